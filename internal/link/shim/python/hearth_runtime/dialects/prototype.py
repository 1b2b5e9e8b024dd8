"""The prototype of seed 004: a function from an input to an output."""

from . import Adapter, event, locate


def load(init):
    return Prototype(locate(init, "index", "handler"))


class Prototype(Adapter):
    def arguments(self, payload, context):
        return (payload,)

    def requested(self, request, context):
        if not request.body:
            return ({},)
        return (event.parsed(request.body, request.body.decode("utf-8", "replace")),)

    def answer(self, value):
        return event.json_answer(None) if value is None else event.plain_answer(value)
