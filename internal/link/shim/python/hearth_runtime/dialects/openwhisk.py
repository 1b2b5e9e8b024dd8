"""Apache OpenWhisk: main(params), as an action and as a web action."""

import os
from base64 import b64decode, b64encode
from time import time

from .. import payload
from . import Adapter, event, locate


def load(init):
    os.environ["__OW_ACTION_NAME"] = "/_/" + init.function
    os.environ["__OW_ACTION_VERSION"] = init.version
    os.environ["__OW_NAMESPACE"] = "_"
    return OpenWhisk(locate(init, "__main__", "main"), init)


class OpenWhisk(Adapter):
    def __init__(self, function, init):
        super().__init__(function)
        self.exclusive = not init.concurrent
        self.raw = (os.environ.get("__OW_RAW_HTTP") or os.environ.get("OW_RAW_HTTP", "")).lower() in ("1", "true")

    def arguments(self, value, context):
        if self.exclusive:  # these have one value for each process
            os.environ["__OW_ACTIVATION_ID"] = context.aws_request_id
            os.environ["__OW_DEADLINE"] = str(int(time() * 1000) + context.get_remaining_time_in_millis())
        return (value,)

    def result(self, value, payload=None):
        return {} if value is None else value

    def requested(self, request, context):
        """Merges the query and, over it, a JSON or form body. Raw web actions get
        both as they are."""
        params = {} if self.raw else event.query_of(request.query)
        body, kind = None, request.kind
        if request.body and not self.raw:
            if kind == "application/x-www-form-urlencoded":
                body = event.query_of(request.body.decode("utf-8", "replace"))
            elif not kind or event.is_json(kind):
                body = event.parsed(request.body, None)
        if isinstance(body, dict):
            params.update(body)
        params["__ow_method"] = request.method.lower()
        params["__ow_headers"] = request.headers
        params["__ow_path"] = "" if request.path == "/" else request.path
        params["__ow_query"] = request.query
        if not isinstance(body, dict) and (self.raw or request.body):
            text = not kind or event.is_text(kind)
            params["__ow_body"] = request.body.decode("utf-8", "replace") if text else b64encode(request.body).decode("ascii")
        return self.arguments(params, context)

    def answer(self, value):
        value = self.result(value)
        if _is_web(value):
            return _web(value, 200)
        if isinstance(value, dict) and value.get("error") is not None:
            error = value["error"]
            return _web(error, 400) if _is_web(error) else event.json_answer(value, 400)
        return _web({"body": value}, 200) if isinstance(value, str) else event.json_answer(value)


def _is_web(value):
    """Tells a web result from a plain one that is to be the JSON response itself."""
    if not isinstance(value, dict):
        return False
    return "statusCode" in value or bool(value) and all(key in ("headers", "body") for key in value)


def _web(value, usual):
    body, headers = value.get("body"), event.pairs(value.get("headers"))
    kind = event.header(headers, "content-type")
    none = body is None or body == ""
    status = value.get("statusCode")
    if status is None:
        status = 204 if none and usual == 200 else usual
    if none:
        return event.Answer(int(status), headers, "")
    if not isinstance(body, str):
        if not kind:
            headers.append(("content-type", "application/json"))
        return event.Answer(int(status), headers, payload.encode(body))
    if not kind:
        headers.append(("content-type", "text/html; charset=utf-8"))
    elif not event.is_text(kind):  # what is not text travels as base64
        return event.Answer(int(status), headers, b64decode(body))
    return event.Answer(int(status), headers, body)
