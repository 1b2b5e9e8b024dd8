"""What handlers get; the events of HTTP requests as the host writes them (PROTOCOL.md,
"HTTP events")."""

from binascii import b2a_base64
from struct import Struct

from . import payload

_JSON = 1  # the form; else packed
_ASCII, _TEXT = 1, 2  # kinds of bodies; else binary
_FIXED = Struct("<BQIIIII")
_APART = 2  # the flag: there are no NULs but those that end the strings
_SINGLES = 10  # strings that every event has


def take(invocation):
    """The event of an invocation, which does not keep it."""
    data, invocation.payload = invocation.payload, None
    if invocation.http:
        return _read(invocation.form, invocation.kind, data, invocation.size, invocation.request_id)
    return payload.decode(data)


def _read(form, kind, data, size, request_id):
    event = payload.loads(data[:size].decode("utf-8")) if form == _JSON else _unpack(data, size, request_id)
    if not kind:
        if form != _JSON:
            event["isBase64Encoded"] = False
        return event
    body = data[size:]
    if kind == _ASCII or kind == _TEXT:
        event["body"] = body.decode("utf-8")
        event["isBase64Encoded"] = False
    else:
        event["body"] = b2a_base64(body, newline=False).decode("ascii")
        event["isBase64Encoded"] = True
    return event


def _unpack(data, end, request_id):
    flags, time_epoch, cookies, headers, query, parameters, size = _FIXED.unpack_from(data)
    at = _FIXED.size + size
    if flags & _APART:
        all_ = data[at:end].decode("utf-8").split("\0")
    else:
        all_ = _strings(data, at)
    route_key, path, raw_query, api, domain, method, protocol, source, agent, time = all_[:_SINGLES]
    event = {"version": "2.0", "routeKey": route_key, "rawPath": path, "rawQueryString": raw_query}
    at = _SINGLES + cookies
    if cookies:
        event["cookies"] = all_[_SINGLES:at]
    event["headers"] = _pairs(all_, at, headers)
    at += headers
    if query:
        event["queryStringParameters"] = _pairs(all_, at, query)
    at += query
    if parameters:
        event["pathParameters"] = _pairs(all_, at, parameters)
    event["requestContext"] = {
        "accountId": "anonymous",
        "apiId": api,
        "domainName": domain,
        "domainPrefix": api,
        "http": {"method": method, "path": path, "protocol": protocol, "sourceIp": source, "userAgent": agent},
        "requestId": request_id,
        "routeKey": route_key,
        "stage": "$default",
        "time": time,
        "timeEpoch": time_epoch,
    }
    return event


def _pairs(strings, at, count):
    return dict(zip(strings[at : at + count : 2], strings[at + 1 : at + count : 2]))


def _strings(data, end):
    """The strings, one of which has a NUL within."""
    found, at, place = [], _FIXED.size, end
    while at < end:
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        found.append(data[place : place + length].decode("utf-8"))
        place += length + 1
    return found
