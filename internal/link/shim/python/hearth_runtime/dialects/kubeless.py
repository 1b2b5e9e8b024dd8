"""Kubeless: def name(event, context)."""

import sys
from time import gmtime, strftime

from . import Adapter, event, flask_like, locate


def load(init):
    return Kubeless(locate(init, "handler", "handler"), init)


class Kubeless(Adapter):
    def __init__(self, function, init):
        super().__init__(function)
        self.surroundings = {
            "function-name": init.handler.rpartition(".")[2],
            "runtime": "python%d.%d" % sys.version_info[:2],
            "memory-limit": init.memory + "Mi",
        }

    def _call(self, data, request, context):
        headers = request.headers
        return {
            "data": data,
            "event-id": headers.get("event-id") or context.aws_request_id,
            "event-type": headers.get("event-type"),
            "event-time": headers.get("event-time") or strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()),
            "event-namespace": headers.get("event-namespace") or "hearth",
            "extensions": {"request": flask_like.Request(request)},
        }, dict(self.surroundings, timeout=str(-(-context.get_remaining_time_in_millis() // 1000)))

    def arguments(self, payload, context):
        return self._call(payload, event.Request.standing_for(payload), context)

    def requested(self, request, context):
        text = request.body.decode("utf-8", "replace")
        if event.is_json(request.kind):
            data = event.parsed(request.body, text) if request.body else {}
        elif request.kind == "application/x-www-form-urlencoded":
            data = event.query_of(text)
        elif request.kind == "application/octet-stream" or request.kind.startswith("multipart/"):
            data = request.body
        else:
            data = text
        return self._call(data, request, context)

    def answer(self, value):
        return event.Answer(200, [("content-type", "text/html; charset=utf-8")], value) if isinstance(value, str) else event.plain_answer(value)
