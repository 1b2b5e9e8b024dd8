"""What of a Flask request handlers of cloud functions use, and what a Flask view may
return. Where the archive brings Flask, that one runs instead."""

from io import BytesIO

from .. import payload
from . import event


class BadRequest(Exception):
    """The request is at fault: 400."""


class MultiDict(dict):
    """A dictionary of lists that looks like one of their first values."""

    def __init__(self, pairs):
        super().__init__()
        for name, value in pairs:
            self.setdefault_list(name).append(value)

    def setdefault_list(self, name):
        return dict.setdefault(self, name, [])

    def __getitem__(self, name):
        return dict.__getitem__(self, name)[0]

    def get(self, name, default=None, type=None):
        if name not in self:
            return default
        try:
            return self[name] if type is None else type(self[name])
        except (ValueError, TypeError):
            return default

    def getlist(self, name, type=None):
        values = list(dict.get(self, name, ()))
        return values if type is None else [type(value) for value in values]

    def items(self, multi=False):
        for name, values in dict.items(self):
            for value in values if multi else values[:1]:
                yield name, value

    def values(self):
        return (values[0] for values in dict.values(self))

    def lists(self):
        return dict.items(self)

    def to_dict(self, flat=True):
        return dict(self.items()) if flat else {name: list(values) for name, values in self.lists()}


class Headers(dict):
    """Headers, whatever the case of their names."""

    def __init__(self, headers):
        super().__init__(("-".join(part.capitalize() for part in name.split("-")), value) for name, value in headers.items())
        self.lower = {name.lower(): value for name, value in headers.items()}

    def __getitem__(self, name):
        return self.lower[name.lower()]

    def __contains__(self, name):
        return isinstance(name, str) and name.lower() in self.lower

    def get(self, name, default=None, type=None):
        value = self.lower.get(name.lower())
        if value is None:
            return default
        try:
            return value if type is None else type(value)
        except (ValueError, TypeError):
            return default


class UserAgent:
    def __init__(self, string):
        self.string = string

    def __str__(self):
        return self.string


class Request:
    """A Flask request, read-only."""

    def __init__(self, request):
        self.method, self.path = request.method, _unquoted(request.path)
        self.query_string = request.query.encode()
        self.data = request.body
        self.headers = Headers(request.headers)
        self.scheme = request.scheme
        self.host = request.headers.get("host", "localhost")
        self.access_route = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()]
        self.remote_addr = self.access_route[0] if self.access_route else request.remote
        self.content_type = request.headers.get("content-type")
        self.content_length = len(request.body) if request.body else None
        self.mimetype = request.kind
        self.user_agent = UserAgent(request.headers.get("user-agent", ""))
        self.stream = BytesIO(request.body)
        self.view_args, self.environ = {}, {}
        self.is_json = event.is_json(request.kind)
        self.is_secure = request.scheme == "https"
        self.url_root = "%s://%s/" % (self.scheme, self.host)
        self.root_url, self.base_url = self.url_root, self.url_root + request.path.lstrip("/")
        self.full_path = "%s?%s" % (self.path, request.query)
        self.url = self.base_url + ("?" + request.query if request.query else "")
        self.args = _pairs(request.query)
        self.form, self.files = form_of(self.content_type, self.data)
        self.values = MultiDict([*self.args.items(True), *self.form.items(True)])
        self.cookies = _cookies(request.headers.get("cookie", ""))

    def get_data(self, cache=True, as_text=False, parse_form_data=False):
        return self.data.decode("utf-8", "replace") if as_text else self.data

    def get_json(self, force=False, silent=False, cache=True):
        if not (force or self.is_json):
            if silent:
                return None
            raise BadRequest("The request's content type is not JSON.")
        try:
            return payload.loads(self.data.decode("utf-8"))
        except (ValueError, RecursionError):
            if silent:
                return None
            raise BadRequest("The request's body is not the JSON that its content type says.") from None

    @property
    def json(self):
        return self.get_json()


def form_of(content_type, data):
    """The fields and the files of a form that a body holds; none of either otherwise."""
    kind = event.media_type(content_type)
    if kind == "application/x-www-form-urlencoded":
        return _pairs(data.decode("utf-8", "replace")), MultiDict(())
    if kind == "multipart/form-data":
        return _multipart(content_type, data)
    return MultiDict(()), MultiDict(())


def _unquoted(path):
    if "%" not in path:
        return path
    from urllib.parse import unquote

    return unquote(path)


def _pairs(query):
    if not query:
        return MultiDict(())
    from urllib.parse import parse_qsl

    return MultiDict(parse_qsl(query, keep_blank_values=True))


def _cookies(text):
    found = {}
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        if equals:
            found.setdefault(name, value.strip('"'))
    return found


class File:
    """An uploaded file."""

    def __init__(self, name, filename, content_type, data):
        self.name, self.filename, self.content_type, self.mimetype = name, filename, content_type, content_type
        self.stream = BytesIO(data)
        self.read, self.seek = self.stream.read, self.stream.seek

    def save(self, to):
        with open(to, "wb") as target:
            target.write(self.stream.getvalue())


def _multipart(content_type, data):
    from email.parser import BytesParser
    from email.policy import HTTP

    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + data)
    form, files = [], []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True) or b""
        if part.get_filename() is None:
            form.append((name, content.decode("utf-8", "replace")))
        else:
            files.append((name, File(name, part.get_filename(), part.get_content_type(), content)))
    return MultiDict(form), MultiDict(files)


def answer(value):
    """The answer of what a view has returned: a body, or a tuple of it with a status,
    headers or both. The rules are Flask's."""
    status, headers = 200, []
    if isinstance(value, tuple):
        if len(value) == 3:
            value, status, headers = value
        elif len(value) == 2 and isinstance(value[1], (dict, list, tuple)):
            value, headers = value
        elif len(value) == 2:
            value, status = value
        else:
            raise TypeError("The function returned a tuple of %d. Return (body, status, headers), (body, status) or (body, headers)" % len(value))
    if value is None:
        raise TypeError("The function returned None, which is no response. Return text, bytes, a dictionary, a list, or a tuple of that with a status")
    headers = event.pairs(headers)
    kind = "text/html; charset=utf-8"
    if isinstance(value, (dict, list)):
        kind, value = "application/json", payload.encode(value)
    elif not isinstance(value, (str, bytes, bytearray)):
        if not hasattr(value, "__iter__") or hasattr(value, "items"):
            raise TypeError("The function returned a %s, which is no response. Return text, bytes, a dictionary or a list" % type(value).__name__)
    if not event.header(headers, "content-type"):
        headers.append(("content-type", kind))
    made = event.Answer if isinstance(value, (str, bytes, bytearray)) else event.Stream
    return made(int(str(status).split()[0]), headers, value)
