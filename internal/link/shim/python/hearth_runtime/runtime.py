"""Loads the handler, calls it, and answers."""

import os
import sys

from . import failures, frames, loader, packed, payload
from .invocation import ClientContext, LambdaContext, attribution
from .process import guard

_TRACE_ID = "_X_AMZN_TRACE_ID"


async def _coroutine():
    pass


def _type_of_coroutine():
    sample = _coroutine()
    sample.close()
    return type(sample)


_Coroutine = _type_of_coroutine()


def _has_long_body(result):
    """Tells whether a result is the answer to an HTTP request with a body that is worth
    sending beside it: quoting it costs more than all the rest."""
    if type(result) is not dict:
        return False
    body = result.get("body")
    return type(body) is str and len(body) >= 512 and type(result.get("statusCode")) in (int, str)


class Runtime:
    def __init__(self, init, reader, intake, log, process):
        self.init, self.reader, self.intake = init, reader, intake
        self.log, self.writer, self.process = log, log.writer, process
        self.handler = None
        self.server = None
        self.stream = None  # the class of what is sent in parts; a dialect has one
        self.loops = {}  # by thread, for handlers that turn out to be asynchronous

    def start(self):
        """Loads the handler and serves; does not return."""
        try:
            self.handler = self._load()
            self.server = self._server()
        except BaseException as error:
            guard.held = True
            self._init_failed(error)
        guard.held = True
        self.log.flush()
        self.writer.send([frames.frame(frames.READY, 0, b"{}")])
        self.server.serve()

    def _load(self):
        if self.init.dialect == "aws":
            return loader.load(self.init.handler, self.init.root)
        from . import dialects
        from .dialects import event

        self.stream = event.Stream
        return dialects.load(self.init)

    def _server(self):
        if loader.is_async(self.handler):
            from .tasks import Tasks

            return Tasks(self)
        if self.init.concurrent:
            from .threads import Threads

            return Threads(self)
        from .exclusive import Exclusive

        return Exclusive(self)

    def _init_failed(self, error):
        code = 1
        if isinstance(error, SystemExit):
            words = failures.exited(error)
            error = failures.Failure("Runtime.ExitError", "Error: Runtime exited %s during init: the code called sys.exit "
                                     "while its module was loaded" % words, failures.stack(error.__traceback__))
        doc = failures.document(error)
        self.log.flush()
        self.log.say(None, failures.text(error, doc))
        self.writer.send([frames.frame(frames.INIT_ERROR, 0, failures.encode(doc, frames.MAX_BODY))])
        self.process.leave(code)

    def context(self, invocation):
        client = None
        if invocation.client_context:
            try:
                client = ClientContext(payload.loads(invocation.client_context))
            except (ValueError, AttributeError) as error:
                raise failures.Failure(
                    "Runtime.LambdaContextUnmarshalError",
                    "Unable to parse Client Context JSON: %s. Send a JSON object" % error,
                ) from None
        return LambdaContext(self.init, invocation, client)

    def call(self, invocation, guarded):
        """Runs a handler that is not asynchronous, and puts its result down to be
        sent. guarded: on the main thread, where the owner's signal handlers run."""
        try:
            context = self.context(invocation)
            event = packed.take(invocation)
            try:
                if guarded:
                    guard.release()
                result = self.handler(event, context)
                if type(result) is _Coroutine:
                    result = self._complete(result)
                parts = None
                if self.stream is not None and type(result) is self.stream:
                    from . import streaming

                    parts = streaming.send(self, invocation, result)
            finally:
                if guarded:
                    guard.held = True
            if parts is None:
                parts = self.succeeded(invocation, result)
        except SystemExit as error:
            self.exiting(invocation, error)
            raise
        except BaseException as error:
            parts = self.failed(invocation, error)
        self.finish(invocation, parts)

    def _complete(self, coroutine):
        """For a function that returns a coroutine without being async def."""
        import asyncio
        from _thread import get_ident

        loop = self.loops.get(get_ident())
        if loop is None:
            loop = self.loops[get_ident()] = asyncio.new_event_loop()
        return loop.run_until_complete(coroutine)

    def finish(self, invocation, parts):
        self.intake.active.pop(invocation.stream, None)  # the number is the host's again
        self.log.finish(invocation, parts)

    def succeeded(self, invocation, result):
        """The frames of a result."""
        if invocation.cancelled:
            return frames.response(invocation.stream, b"null", 0)
        if self.stream is not None and type(result) is self.stream:
            result = result.collected().document()  # on an event loop nothing waits for a window
        beside = b""
        if invocation.http and _has_long_body(result):
            try:
                beside = result["body"].encode("utf-8")
                result = {**result, "body": ""}
            except UnicodeEncodeError:
                pass  # half a surrogate pair; as an escape it survives
        body = payload.encode(result)
        if len(body) + len(beside) > self.init.most:
            raise failures.out_of_room(self.init.most)
        if beside:
            return frames.answer(invocation.stream, body, beside)
        return frames.response(invocation.stream, body, 0)

    def failed(self, invocation, error):
        """The frames of a failure, which it also logs."""
        doc = failures.document(error, invocation.request_id)
        try:
            self.log.say(invocation, failures.text(error, doc))
        finally:
            body = failures.encode(doc, self.init.most)
        return frames.response(invocation.stream, body, frames.FAILED)

    def exiting(self, invocation, error):
        """Says who ends the process; the answer is the host's, which sees it end."""
        self.log.flush(invocation)
        self.log.say(
            invocation,
            "[ERROR] Runtime.ExitError: RequestId: %s Error: Runtime exited %s: the handler called sys.exit, which "
            "ends the whole instance. Return or raise instead\n" % (invocation.request_id, failures.exited(error)),
        )

    def set_trace_id(self, invocation):
        """With one invocation at a time the environment can hold its trace id."""
        if invocation.trace_id:
            if os.environ.get(_TRACE_ID) != invocation.trace_id:
                os.environ[_TRACE_ID] = invocation.trace_id
        elif _TRACE_ID in os.environ:
            del os.environ[_TRACE_ID]
