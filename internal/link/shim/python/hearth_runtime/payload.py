"""Events and results as JSON, as Lambda's runtime has it: Decimal becomes a number
with all its digits, bytes within a result become text, bytes alone are sent as they
are, NaN stays NaN, and text is not escaped to ASCII."""

import json
import os
import sys

from .failures import Failure

_loads = json.loads


def decode(payload):
    if not payload:
        return {}
    try:
        return _loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Failure("Runtime.UnmarshalError", "Unable to unmarshal input: %s. Send the event as JSON" % error) from None


class _DecimalFound(Exception):
    pass


def _default(value):
    if isinstance(value, bytes):
        return value.decode("utf-8")
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        raise _DecimalFound
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


_encode = json.JSONEncoder(ensure_ascii=False, default=_default).encode


def encode(value):
    if isinstance(value, bytes):
        return value
    try:
        try:
            text = _encode(value)
        except _DecimalFound:
            text = _encode_decimals(value)
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair; as an escape it survives
            return json.dumps(json.loads(text)).encode()
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise Failure("Runtime.MarshalError", "Unable to marshal response: %s%s" % (error, _advice(value))) from None


def _encode_decimals(value):
    """The encoder knows no raw numbers: marks that nobody can guess stand in."""
    mark = os.urandom(8).hex()
    numbers = []

    def default(inner):
        try:
            return _default(inner)
        except _DecimalFound:
            if inner.is_nan():
                return float("nan")
            numbers.append(str(inner))
            return "%s:%d" % (mark, len(numbers) - 1)

    text = json.JSONEncoder(ensure_ascii=False, default=default).encode(value)
    pieces = text.split('"%s:' % mark)
    for i in range(1, len(pieces)):
        index, _, rest = pieces[i].partition('"')
        pieces[i] = numbers[int(index)] + rest
    return "".join(pieces)


_ADVICE = {
    "datetime": "return its .isoformat()",
    "date": "return its .isoformat()",
    "time": "return its .isoformat()",
    "set": "return a list",
    "frozenset": "return a list",
    "generator": "return list(...) of it",
    "async_generator": "collect it into a list",
    "coroutine": "await it before returning it",
    "bytes": "return base64.b64encode(...).decode()",
    "bytearray": "return base64.b64encode(...).decode()",
    "UUID": "return str(...) of it",
    "ndarray": "return its .tolist()",
}


def _advice(value):
    """Names the place of what cannot be encoded, and what to return in its stead."""
    where, culprit = _find(value, "the result", 0)
    if culprit is None:
        return ""
    name = type(culprit).__name__
    return " (%s). Instead, %s" % (where, _ADVICE.get(name, "return dictionaries, lists, text, numbers, True, False or None"))


def _find(value, where, depth):
    if value is None or isinstance(value, (str, int, float)) or depth > 50:
        return where, None
    if isinstance(value, dict):
        for key, inner in value.items():
            if not (key is None or isinstance(key, (str, int, float))):
                return "a key of %s" % where, key
            found = _find(inner, "%s[%r]" % (where, key), depth + 1)
            if found[1] is not None:
                return found
        return where, None
    if isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            found = _find(inner, "%s[%d]" % (where, index), depth + 1)
            if found[1] is not None:
                return found
        return where, None
    try:
        _default(value)
    except _DecimalFound:
        return where, None
    except Exception:
        return where, value
    return where, None
