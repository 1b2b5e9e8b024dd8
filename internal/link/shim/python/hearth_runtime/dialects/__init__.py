"""Handlers written for other vendors. A dialect turns such a handler into one of
Lambda's shape, handler(event, context), so that everything else about an invocation,
its log, its failures, its end, is the same for all of them.

A dialect has load(init), which gives an Adapter."""

import os

from .. import loader
from ..failures import Failure
from ..invocation import attribution

_NAMES = ("azure", "binaris", "google", "kubeless", "openwhisk", "prototype")


class Adapter:
    """What a dialect does before and after the owner's function is called."""

    def __init__(self, function):
        self.function = function

    def arguments(self, payload, context):
        """The function's arguments for a payload of the Invoke API."""
        raise NotImplementedError

    def result(self, value, payload):
        """What the Invoke API answers to the payload."""
        return value

    def requested(self, request, context):
        """The function's arguments for a request of its URL."""
        raise NotImplementedError

    def answer(self, value):
        """The event.Answer of what the function has returned."""
        raise NotImplementedError


def load(init):
    """The handler of init.dialect, as the runtime calls it."""
    name = init.dialect
    if name not in _NAMES:
        raise Failure(
            "Runtime.InvalidDialect",
            "There is no dialect '%s' for Python. Set it to aws or one of %s" % (name, ", ".join(_NAMES)),
        )
    dialect = getattr(__import__("%s.%s" % (__name__, name), fromlist=["load"]), "load")(init)
    return _async(dialect) if loader.is_async(dialect.function) else _plain(dialect)


def _plain(dialect):
    from . import event as events

    def handler(event, context):
        if attribution.current().http:
            arguments = dialect.requested(events.Request.of(event), context)
            return dialect.answer(dialect.function(*arguments)).document()
        return dialect.result(dialect.function(*dialect.arguments(event, context)), event)

    return handler


def _async(dialect):
    from . import event as events

    async def handler(event, context):
        if attribution.current().http:
            arguments = dialect.requested(events.Request.of(event), context)
            return dialect.answer(await dialect.function(*arguments)).document()
        return dialect.result(await dialect.function(*dialect.arguments(event, context)), event)

    return handler


def locate(init, module, function):
    """The function that init.handler names. A name without a dot is a module of the
    archive, and function is meant in it; or a function of the module of that name."""
    name = init.handler
    if "." not in name.rpartition("/")[2]:
        own = os.path.exists(os.path.join(init.root, name + ".py"))
        name = "%s.%s" % (name, function) if own else "%s.%s" % (module, name)
    return loader.load(name, init.root)
