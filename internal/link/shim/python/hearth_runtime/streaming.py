"""Streamed responses: what a handler yields leaves while it still runs. The host grants
a window of bytes and widens it as its reader takes them (PROTOCOL.md)."""

from . import failures, frames
from .process import guard

WINDOW = 262144  # bytes that may be sent before the host grants more
STREAMED = 4  # flag
CHUNK = 65536
MOST_FAILURE = 16384  # bytes of a failure document after the first part
TYPE = b"application/vnd.awslambda.http-integration-response"


def send(runtime, invocation, answer):
    """Sends the parts of an event.Stream as they come; gives the last frames."""
    pipe = _Pipe(runtime, invocation, answer.prelude())
    try:
        for part in answer.parts:
            if invocation.cancelled:
                break
            pipe.write(part.encode("utf-8") if isinstance(part, str) else bytes(part))
    except SystemExit:
        raise
    except BaseException as error:
        return pipe.failed(error)
    finally:
        close = getattr(answer.parts, "close", None)
        if close is not None:
            close()
    return pipe.finished()


class _Pipe:
    def __init__(self, runtime, invocation, prelude):
        self.runtime, self.invocation = runtime, invocation
        self.head = bytes([len(TYPE)]) + TYPE  # neither counts against the window
        self.prelude = prelude + bytes(8)
        self.sent = 0

    def write(self, part):
        """Sends a part; waits while the host has no room for it."""
        if not part:
            return
        if self.prelude:
            part, self.prelude = self.prelude + part, b""
        at = 0
        while at < len(part) and not self.invocation.cancelled:
            room = self.invocation.granted - self.sent
            if room <= 0:
                self.runtime.server.await_window(self.invocation, self.sent)
                continue
            piece = part[at : at + min(room, CHUNK)]
            self._send(piece, frames.MORE)
            at += len(piece)
            self.sent += len(piece)

    def _send(self, piece, flags):
        held = guard.enter()
        try:
            self.runtime.writer.send([self._frame(piece, flags)], patient=True)
        finally:
            guard.leave(held)

    def _frame(self, piece, flags):
        if self.head is None:
            return frames.frame(frames.MORE_RESULT, self.invocation.stream, piece, flags)
        head, self.head = self.head, None
        return frames.frame(frames.RESULT, self.invocation.stream, head + piece, flags | STREAMED)

    def finished(self):
        if self.invocation.cancelled and self.head is not None:
            return frames.response(self.invocation.stream, b"null", 0)
        last, self.prelude = self.prelude, b""
        return [self._frame(last, 0)]

    def failed(self, error):
        """Before the first part it is a failure like any other."""
        if self.head is not None:
            raise error
        doc = failures.document(error, self.invocation.request_id)
        self.runtime.log.say(self.invocation, failures.text(error, doc))
        return [self._frame(failures.encode(doc, MOST_FAILURE), frames.FAILED)]
