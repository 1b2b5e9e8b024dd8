"""Binaris: handler(body, ctx)."""

import os

from . import Adapter, event, locate


def load(init):
    return Binaris(locate(init, "function", "handler"))


class HTTPResponse:
    def __init__(self, status_code=200, headers=None, body=None, statusCode=None):
        self.status_code = status_code if statusCode is None else statusCode
        self.headers, self.body = headers or {}, body


class Record(dict):
    """A dictionary whose entries are attributes, too."""

    __getattr__ = dict.__getitem__


class Context:
    HTTPResponse = HTTPResponse

    def __init__(self, request, request_id):
        self.request = Record(
            env=os.environ, query=event.query_of(request.query), body=request.body, path=request.path,
            method=request.method, requestId=request_id, request_id=request_id, headers=request.headers,
        )


class Binaris(Adapter):
    def requested(self, request, context):
        body = event.parsed(request.body, None) if request.body else {}
        return body, Context(request, context.aws_request_id)

    def arguments(self, payload, context):
        if event.is_event(payload):
            return self.requested(event.Request.of(payload), context)
        return payload, Context(event.Request.standing_for(payload), context.aws_request_id)

    def result(self, value, payload):
        if event.is_event(payload):
            return self.answer(value).document()
        return self.answer(value).value() if isinstance(value, (HTTPResponse, bytes)) else value

    def answer(self, value):
        if not isinstance(value, HTTPResponse):
            return event.plain_answer(value)
        inner = event.plain_answer(value.body)
        headers = event.pairs(value.headers)
        if not event.header(headers, "content-type"):
            headers += inner.headers
        return event.Answer(int(value.status_code), headers, inner.body)
