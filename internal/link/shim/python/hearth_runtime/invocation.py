"""An invocation, and the context object that the handler sees."""

import sys
from _contextvars import ContextVar
from _thread import get_ident
from struct import Struct
from time import time

_BEGIN, _HTTP = Struct("<QB"), Struct("<IBB")
_U32, _U16 = Struct("<I"), Struct("<H")


class Invocation:
    __slots__ = ("stream", "deadline", "request_id", "arn", "trace_id", "client_context", "payload", "http", "form", "kind", "size", "done", "cancelled", "partials", "granted", "bell")

    def __init__(self, stream, body, flags):
        self.stream = stream
        self.http = bool(flags & 8)  # it was made of an HTTP request
        self.done = False  # its RESULT is on the way; guarded by the writer's order
        self.cancelled = False
        self.partials = {}  # unfinished lines, by thread and descriptor
        self.granted = 262144  # bytes of a streamed response that the host takes
        self.bell = None  # rung when it takes more, or none; a SimpleQueue
        self.deadline, length = _BEGIN.unpack_from(body)
        at = 9 + length
        self.request_id = body[9:at].decode()
        self.arn, at = _text(body, at)
        if body[at : at + 4] == b"\0\0\0\0":
            self.trace_id = self.client_context = ""
            at += 4
        else:
            self.trace_id, at = _text(body, at)
            self.client_context, at = _text(body, at)
        # The size is the payload's; the body of an HTTP event comes behind it.
        if self.http:
            self.size, self.form, self.kind = _HTTP.unpack_from(body, at)
            at += 10
        else:
            self.size, = _U32.unpack_from(body, at)
            self.form = self.kind = 0
            at += 4
        self.payload = body[at:]

    def ring(self):
        if self.bell is not None:
            self.bell.put(None)


def _text(body, at):
    end = at + 2 + _U16.unpack_from(body, at)[0]
    return body[at + 2 : end].decode("utf-8", "replace"), end


class Intake:
    """Puts frames together to invocations. One thread at a time may use it."""

    def __init__(self, on_shutdown):
        self.on_shutdown = on_shutdown
        self.partial = {}  # stream: [invocation, parts of its payload]
        self.active = {}  # stream: invocation, until its RESULT

    def take(self, frames):
        """Gives the invocations that are complete now."""
        ready = []
        for kind, flags, stream, body in frames:
            if kind == 2:  # INVOKE
                invocation = self.active[stream] = Invocation(stream, body, flags)
                if flags & 1:
                    self.partial[stream] = [invocation, [invocation.payload]]
                else:
                    ready.append(invocation)
            elif kind == 3:  # DATA
                entry = self.partial.get(stream)
                if entry is not None:
                    entry[1].append(body)
                    if not flags & 1:
                        del self.partial[stream]
                        entry[0].payload = b"".join(entry[1])
                        ready.append(entry[0])
            elif kind == 4:  # CANCEL
                invocation = self.active.get(stream)
                if invocation is not None:
                    invocation.cancelled = True
                    invocation.ring()
            elif kind == 6:  # WINDOW
                invocation = self.active.get(stream)
                if invocation is not None:
                    invocation.granted += int.from_bytes(body[:4], "little")
                    invocation.ring()
            elif kind == 5:  # SHUTDOWN
                self.on_shutdown(int.from_bytes(body[:4], "little") / 1000)
        return ready


# Which invocation the running code belongs to. Threads and tasks of their own kind
# set the variable; with one invocation at a time, all code belongs to that one.
_variable = ContextVar("hearth_invocation", default=None)
_NOBODY = object()


class Attribution:
    def __init__(self):
        self.only = None  # the one invocation of an exclusive instance
        self.shared = False

    def current(self):
        """The invocation that the caller works for, or None."""
        if not self.shared:
            return self.only
        invocation = _variable.get()
        if invocation is None:
            threading = sys.modules.get("threading")
            if threading is not None:  # a thread that the handler has started
                thread = threading._active.get(get_ident())
                invocation = getattr(thread, "_hearth_invocation", None)
        return None if invocation is _NOBODY else invocation

    def enter(self, invocation):
        """From here on, this thread or task works for the invocation."""
        _variable.set(_NOBODY if invocation is None else invocation)

    def inherit(self, threading):
        """Threads work for the invocation that starts them."""
        start = threading.Thread.start

        def starting(thread):
            thread._hearth_invocation = self.current()
            return start(thread)

        threading.Thread.start = starting

    def inherit_jobs(self, module):
        """Jobs of a thread pool work for the invocation that submits them, whoever
        made the pool's threads start."""
        submit = module.ThreadPoolExecutor.submit

        def submitting(pool, fn, /, *args, **kwargs):
            invocation = self.current()

            def job(*args, **kwargs):
                token = _variable.set(_NOBODY if invocation is None else invocation)
                try:
                    return fn(*args, **kwargs)
                finally:
                    _variable.reset(token)

            return submit(pool, job, *args, **kwargs)

        module.ThreadPoolExecutor.submit = submitting


attribution = Attribution()


class CognitoIdentity:
    cognito_identity_id = None
    cognito_identity_pool_id = None

    def __repr__(self):
        return "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])"


class _Record:
    """An object with fixed fields, from a dictionary that may lack some."""

    fields = ()

    def __init__(self, values):
        for name in self.fields:
            setattr(self, name, values.get(name))

    def __repr__(self):
        inner = ",".join("%s=%s" % (name, getattr(self, name)) for name in self.fields)
        return "%s([%s])" % (type(self).__name__, inner)


class Client(_Record):
    fields = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(_Record):
    fields = ("custom", "env", "client")

    def __init__(self, values):
        super().__init__(values)
        if isinstance(self.client, dict):
            self.client = Client(self.client)


class LambdaContext:
    """Lambda's context object."""

    def __init__(self, init, invocation, client_context):
        self.aws_request_id = invocation.request_id
        self.log_group_name = init.log_group
        self.log_stream_name = init.log_stream
        self.function_name = init.function
        self.memory_limit_in_mb = init.memory
        self.function_version = init.version
        self.invoked_function_arn = invocation.arn
        self.tenant_id = None
        self.client_context = client_context
        self.identity = CognitoIdentity()
        self._deadline = invocation.deadline

    def get_remaining_time_in_millis(self):
        """Milliseconds until the invocation times out."""
        return max(self._deadline - int(time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        inner = ",".join("%s=%s" % item for item in vars(self).items() if item[0] != "_deadline")
        return "LambdaContext([%s])" % inner
