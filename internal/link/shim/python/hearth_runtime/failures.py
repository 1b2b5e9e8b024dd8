"""Failure documents in Lambda's shapes, and their words in the log."""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_MAX_FRAMES = 100
_CUT_MESSAGE = 10_000


class Failure(Exception):
    """A failure that the shim itself finds."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind, self.trace = kind, list(trace)


def stack(tb):
    """A traceback as a list of strings, without the shim's and the importer's frames."""
    found = []
    while tb is not None:
        code = tb.tb_frame.f_code
        name = code.co_filename
        if not (name.startswith(_HERE) or name.startswith("<frozen importlib")):
            found.append((name, tb.tb_lineno, code.co_name))
        tb = tb.tb_next
    if len(found) > _MAX_FRAMES:
        half = _MAX_FRAMES // 2
        found[half:-half] = [(len(found) - 2 * half,)]
    return [_line(*f) for f in found]


def _line(name, number=None, function=None):
    if number is None:
        return "  [%d more]\n" % name
    text = '  File "%s", line %d, in %s\n' % (name, number, function)
    try:
        import linecache

        source = linecache.getline(name, number).strip()
    except Exception:  # out of memory, of descriptors, …: do without
        source = ""
    return text + "    %s\n" % source if source else text


def message(error):
    try:
        text = str(error)
    except Exception:
        return "the error's text cannot be made: __str__ of %s fails" % type(error).__name__
    if not text and isinstance(error, MemoryError):
        return "the function needs more memory than it has. Give it more memory, or let it hold less at once"
    return text


def document(error, request_id=""):
    if isinstance(error, Failure):
        kind, trace = error.kind, error.trace
    else:
        kind, trace = type(error).__name__, stack(error.__traceback__)
    return {"errorMessage": message(error), "errorType": kind, "requestId": request_id, "stackTrace": trace}


def encode(doc, most):
    """The document as JSON of at most so many bytes."""
    from .payload import encode as as_json

    body = as_json(doc)
    if len(body) > most:
        body = as_json(dict(doc, stackTrace=[], errorMessage=doc["errorMessage"][:_CUT_MESSAGE] + " [cut]"))
    return body


def text(error, doc=None):
    """The failure for the log: Lambda's words, and what it was caused by."""
    doc = doc or document(error)
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        import time

        from .payload import encode as as_json

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return as_json(dict(timestamp=stamp, level="ERROR", **doc)).decode() + "\n"
    lines = ["[ERROR] %s\n" % _headline(doc["errorType"], doc["errorMessage"])]
    if doc["stackTrace"]:
        lines += ["Traceback (most recent call last):\n", *doc["stackTrace"]]
    seen = {id(error)}
    cause = _cause(error)
    while cause is not None and id(cause) not in seen and len(seen) < 10:
        seen.add(id(cause))
        lines.append("Caused by %s\n" % _headline(type(cause).__name__, message(cause)))
        lines += stack(cause.__traceback__)
        cause = _cause(cause)
    return "".join(lines)


def _headline(kind, words):
    return "%s: %s" % (kind, words) if words else kind


def _cause(error):
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def exited(error):
    """sys.exit while there was something to answer."""
    code = error.code
    words = "without providing a reason" if code in (None, 0) else "with error: exit status %s" % (code if isinstance(code, int) else 1)
    return words


def out_of_room(most):
    return Failure(
        "Function.ResponseSizeTooLarge",
        "Response payload size exceeded maximum allowed payload size (%d bytes). "
        "Return less, or store the data elsewhere and return where it is" % most,
    )


def crash(error):
    """For the shim's own faults: to the pipe, since nothing else can be relied on."""
    try:
        os.write(2, ("the Python runtime failed: " + text(error)).encode("utf-8", "replace"))
    except Exception:
        pass
    sys.exit(70)
