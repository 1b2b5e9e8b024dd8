"""What the handler writes becomes LOG frames of its invocation, line by line."""

import io
import os
import sys
from _thread import get_ident

from . import frames
from .invocation import attribution
from .process import guard

MAX_LINE = frames.MAX_BODY - 1


class Log:
    """Splits into lines what threads write, and sends the lines at once: a crash a
    moment later must not swallow them."""

    def __init__(self, writer):
        self.writer = writer
        self.partials = {}  # unfinished lines of nobody, by thread and descriptor
        self.forked = False  # in a child: the socket is the parent's

    def write(self, fd, data):
        invocation = attribution.current()
        held = guard.enter()
        try:
            partials = self.partials if invocation is None else invocation.partials
            key = (get_ident(), fd)
            end = data.rfind(b"\n") + 1
            if not end:
                line = partials.get(key)
                if line is None:
                    line = partials[key] = bytearray()
                line += data
                if len(line) < MAX_LINE:
                    return
                data = bytes(partials.pop(key))
            else:
                line = partials.pop(key, None)
                if end < len(data):
                    partials[key] = bytearray(data[end:])
                    data = data[:end]
                if line is not None:
                    data = bytes(line) + data
            self._send(invocation, fd, data)
        finally:
            guard.leave(held)

    def _send(self, invocation, fd, data):
        if self.forked:
            os.write(fd, data)
            return
        prefix = b"\x01" if fd == 1 else b"\x02"
        pieces = [data] if len(data) <= MAX_LINE else _cut(data)
        writer = self.writer
        with writer.order:
            # After its result, an invocation's lines are the instance's.
            stream = 0 if invocation is None or invocation.done else invocation.stream
            for piece in pieces:
                writer.pending.append(frames.frame(frames.LOG, stream, prefix + piece))
        writer.flush(patient=True)

    def finish(self, invocation, parts):
        """Sends an invocation's unfinished lines and then its result."""
        writer = self.writer
        self.flush(invocation)
        with writer.order:
            invocation.done = True
            writer.pending.extend(parts)

    def flush(self, invocation=None):
        """Sends the unfinished lines of an invocation, or of the instance."""
        partials = self.partials if invocation is None else invocation.partials
        if partials:
            for key in list(partials):
                line = partials.pop(key, None)
                if line:
                    self._send(invocation, key[1], bytes(line) + b"\n")

    def say(self, invocation, text):
        """Writes whole lines of the shim's own, to standard error."""
        held = guard.enter()
        try:
            self._send(invocation, 2, text.encode("utf-8", "backslashreplace"))
        finally:
            guard.leave(held)


def _cut(data):
    """Pieces that fit a frame; cut at the end of a line or at least of a character."""
    pieces = []
    at = 0
    while len(data) - at > MAX_LINE:
        end = data.rfind(b"\n", at, at + MAX_LINE) + 1
        if end <= at:
            end = at + MAX_LINE
            while end > at + MAX_LINE - 4 and data[end] & 0xC0 == 0x80:
                end -= 1
        pieces.append(data[at:end])
        at = end
    pieces.append(data[at:])
    return pieces


class Binary(io.RawIOBase):
    """sys.stdout.buffer."""

    def __init__(self, log, fd):
        self._log, self._fd = log, fd

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        self._log.write(self._fd, data)
        return len(data)

    def fileno(self):
        return self._fd


class Stream(io.TextIOBase):
    """sys.stdout and sys.stderr."""

    encoding = "utf-8"
    errors = "backslashreplace"
    mode = "w"
    line_buffering = True
    write_through = True

    def __init__(self, log, fd):
        self._log, self._fd = log, fd
        self.name = "<stdout>" if fd == 1 else "<stderr>"
        self.buffer = Binary(log, fd)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        self._log.write(self._fd, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writable(self):
        return True

    def fileno(self):
        return self._fd

    def reconfigure(self, **_):
        """Accepted, and without effect: lines are sent as they come."""

    def close(self):
        """Without effect: others may still write."""


def install(log):
    sys.stdout, sys.stderr = Stream(log, 1), Stream(log, 2)


def after_fork():
    """In a forked child the socket is the parent's; the child writes to the pipe."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False))


def configure_logging(logging, log, environ):
    """Gives the root logger Lambda's handler and format, once the owner's code
    imports logging."""
    import time

    as_json = environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    logging.Formatter.converter = time.gmtime

    class LambdaLoggerHandler(logging.Handler):
        def emit(self, record):
            try:
                invocation = attribution.current()
                record.aws_request_id = invocation.request_id if invocation is not None else ""
                text = self.format(record)
                log.say(invocation, text if text.endswith("\n") else text + "\n")
            except Exception:
                self.handleError(record)

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            import json

            stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
            line = {
                "timestamp": "%s.%03dZ" % (stamp, record.msecs),
                "level": record.levelname,
                "message": record.getMessage(),
                "logger": record.name,
                "requestId": record.aws_request_id,
            }
            if record.exc_info and record.exc_info[0] is not None:
                from . import failures

                line["errorType"] = record.exc_info[0].__name__
                line["errorMessage"] = str(record.exc_info[1])
                line["stackTrace"] = failures.stack(record.exc_info[2])
                line["location"] = "%s:%s:%d" % (record.pathname, record.funcName, record.lineno)
            return json.dumps(line, ensure_ascii=False, default=str)

    handler = LambdaLoggerHandler()
    handler.setFormatter(
        JsonFormatter()
        if as_json
        else logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
        )
    )
    level = environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = {"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(level, level)
    if level in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"):
        logging.root.setLevel(level)
    logging.root.addHandler(handler)
