"""From an event of payload format 2.0 to a plain request, and from a plain answer to
the result that the function URL makes its response of."""

from base64 import b64decode, b64encode

from .. import payload


def is_event(value):
    """An event of payload format 2.0 that somebody hands to Invoke."""
    if not isinstance(value, dict) or value.get("version") != "2.0":
        return False
    context = value.get("requestContext")
    return isinstance(context, dict) and isinstance(context.get("http"), dict)


class Request:
    """A request as it was sent: headers by lower-case name, body as bytes."""

    def __init__(self, method, path, query, headers, body, remote="127.0.0.1"):
        self.method, self.path, self.query = method, path, query
        self.headers, self.body, self.remote = headers, body, remote
        self.scheme = headers.get("x-forwarded-proto", "http")

    @classmethod
    def of(cls, event):
        http = event["requestContext"]["http"]
        headers = dict(event.get("headers") or {})
        if event.get("cookies"):
            headers["cookie"] = "; ".join(event["cookies"])
        body = event.get("body") or ""
        body = b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass")
        if body:
            headers["content-length"] = str(len(body))
        return cls(
            http.get("method") or "GET", event.get("rawPath") or "/", event.get("rawQueryString") or "",
            headers, body, http.get("sourceIp") or "127.0.0.1",
        )

    @classmethod
    def standing_for(cls, value):
        """The request that stands for a payload where the function knows only
        requests: a POST with the payload as its JSON body."""
        body = payload.encode(value)
        headers = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))}
        return cls("POST", "/", "", headers, body)

    @property
    def kind(self):
        return media_type(self.headers.get("content-type"))


class Answer:
    """headers is a list of pairs; body is text or bytes."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def document(self):
        """The result of payload format 2.0."""
        doc = {"statusCode": self.status, "headers": {}}
        many = {}
        for name, value in self.headers:
            if name.lower() == "set-cookie":
                doc.setdefault("cookies", []).append(str(value))
            else:
                many.setdefault(name, []).append(str(value))
        for name, values in many.items():
            if len(values) == 1:
                doc["headers"][name] = values[0]
            else:
                doc.setdefault("multiValueHeaders", {})[name] = values
        body = self.body
        if isinstance(body, (bytes, bytearray)):
            try:
                body = bytes(body).decode("utf-8")
            except UnicodeDecodeError:
                body = b64encode(body).decode("ascii")
                doc["isBase64Encoded"] = True
        if body:
            doc["body"] = body
        return doc

    def value(self):
        """What the Invoke API answers: the body's value; the whole answer where it
        says more than that, since it is no success."""
        if not 200 <= self.status <= 299:
            return self.document()
        body = self.body.encode("utf-8") if isinstance(self.body, str) else bytes(self.body)
        if not body:
            return None
        if is_json(header(self.headers, "content-type")):
            return parsed(body, body.decode("utf-8", "replace"))
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            return self.document()


class Stream(Answer):
    """An answer whose body comes in parts, which are sent as they come."""

    def __init__(self, status, headers, parts):
        super().__init__(status, headers, "")
        self.parts = parts

    def prelude(self):
        return payload.encode(Answer.document(self))

    def collected(self):
        """The same with the whole body."""
        try:
            body = b"".join(part.encode("utf-8") if isinstance(part, str) else bytes(part) for part in self.parts)
        finally:
            close = getattr(self.parts, "close", None)
            if close is not None:
                close()
        return Answer(self.status, self.headers, body)

    def document(self):
        return self

    def value(self):
        return self.collected().value()


def pairs(headers):
    """Headers as a list of pairs, from a dictionary or such a list."""
    if not headers:
        return []
    items = headers.items() if hasattr(headers, "items") else headers
    flat = []
    for name, value in items:
        if isinstance(value, (list, tuple)):
            flat += [(name, one) for one in value]
        elif value is not None:
            flat.append((name, value))
    return flat


def header(headers, name):
    """The first value of a header in pairs, "" if there is none."""
    for key, value in headers:
        if key.lower() == name:
            return str(value)
    return ""


def media_type(kind):
    return str(kind or "").partition(";")[0].strip().lower()


def is_json(kind):
    kind = media_type(kind)
    return kind == "application/json" or kind.startswith("application/") and kind.endswith("+json")


def is_text(kind):
    kind = media_type(kind)
    return kind.startswith("text/") or kind.endswith(("/json", "+json", "/xml", "+xml", "/javascript", "x-www-form-urlencoded"))


def parsed(body, otherwise):
    try:
        return payload.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return otherwise


def query_of(query):
    """A query string as a dictionary; a name that comes twice has a list."""
    from urllib.parse import parse_qsl

    found = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def json_answer(value, status=200):
    return Answer(status, [("content-type", "application/json")], payload.encode(value))


def plain_answer(value):
    """The answer of a value that says nothing about HTTP."""
    if value is None:
        return Answer(200, [], "")
    if isinstance(value, str):
        return Answer(200, [("content-type", "text/plain; charset=utf-8")], value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Answer(200, [("content-type", "application/octet-stream")], bytes(value))
    return json_answer(value)
