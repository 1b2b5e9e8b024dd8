"""Events and results as JSON, as Lambda's runtime has it: Decimal becomes a number
with all its digits, bytes within a result become text, bytes alone are sent as they
are, NaN stays NaN, and text is not escaped to ASCII.

The json package takes longer to import than all of this runtime (it needs re), and
its entrances cost a few microseconds at each call. Its C core is used directly; the
package helps out where the core differs from what is expected, and with errors."""

import os
import sys

from .failures import Failure


class _Dialect:
    """What the scanner asks about: the defaults of json.loads."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
    memo = {}


def _by_package():
    import json

    def dumps(value, default):
        return json.dumps(value, ensure_ascii=False, default=default)

    return json.loads, dumps


def _by_core():
    from _json import encode_basestring, make_encoder, make_scanner

    scan = make_scanner(_Dialect)

    def loads(text):
        text = text.strip(" \t\r\n")
        try:
            value, end = scan(text, 0)
            if end == len(text):
                return value
        except StopIteration:
            pass
        import json

        return json.loads(text)  # which has the words for what is wrong

    def dumps(value, default):
        return "".join(make_encoder({}, default, encode_basestring, None, ": ", ", ", False, False, True)(value, 0))

    sample = {"a": [1.5, None, True, "ü\n", float("inf")], "1": {}}
    if loads(dumps(sample, None)) != sample:
        raise ValueError("the C core of json is not what it was")
    return loads, dumps


try:
    loads, dumps = _by_core()
except Exception:
    loads, dumps = _by_package()


def decode(payload):
    if not payload:
        return {}
    try:
        return loads(payload.decode("utf-8"))
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


def encode(value):
    if isinstance(value, bytes):
        return value
    try:
        try:
            text = dumps(value, _default)
        except _DecimalFound:
            text = _encode_decimals(value)
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair; as an escape it survives
            return _escape(text)
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

    text = dumps(value, default)
    pieces = text.split('"%s:' % mark)
    for i in range(1, len(pieces)):
        index, _, rest = pieces[i].partition('"')
        pieces[i] = numbers[int(index)] + rest
    return "".join(pieces)


def _escape(text):
    """JSON with everything beyond ASCII as escapes."""
    import json

    return json.dumps(json.loads(text)).encode()


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
