'use strict';

// Events of HTTP requests, as the host writes them (PROTOCOL.md, "HTTP events").

const JSON_FORM = 1;
const ASCII = 1; // kinds of bodies
const TEXT = 2;
const BINARY = 3;

// The owner's code may replace this.
const { parse } = JSON;
const { defineProperty } = Object;

// read makes an event of its head, from at on, and its body, which lie one behind the other.
function read(form, kind, bytes, at, middle, end, id) {
  const event = form === JSON_FORM ? parse(bytes.utf8Slice(at, middle)) : unpack(bytes, at, middle, id);
  if (kind === 0) {
    if (form !== JSON_FORM) event.isBase64Encoded = false;
    return event;
  }
  if (kind === ASCII) event.body = bytes.latin1Slice(middle, end);
  else if (kind === TEXT) event.body = bytes.utf8Slice(middle, end);
  else event.body = bytes.base64Slice(middle, end);
  event.isBase64Encoded = kind === BINARY;
  return event;
}

// What unpack reads: here, so that taking a string needs no closure of its own.
let source = null;
let lengths = 0; // the place of the next string's length
let ascii = true;
let text = ''; // all strings, if they are ASCII
let place = 0; // of the next string in text, or in source

function length() {
  let n = source[lengths++];
  if (n < 128) return n;
  n -= 128;
  for (let shift = 128; ; shift *= 128) {
    const byte = source[lengths++];
    if (byte < 128) return n + byte * shift;
    n += (byte - 128) * shift;
  }
}

function next() {
  const from = place;
  const to = from + length();
  place = to + 1; // there is a NUL between
  return ascii ? text.slice(from, to) : source.utf8Slice(from, to);
}

function unpack(bytes, at, end, id) {
  source = bytes;
  const timeEpoch = bytes.readUInt32LE(at + 1) + bytes.readUInt32LE(at + 5) * 0x100000000;
  const cookies = bytes.readUInt32LE(at + 9);
  const headers = bytes.readUInt32LE(at + 13);
  const query = bytes.readUInt32LE(at + 17);
  const parameters = bytes.readUInt32LE(at + 21);
  lengths = at + 29;
  const begin = lengths + bytes.readUInt32LE(at + 25); // of the strings
  ascii = (bytes[at] & 1) !== 0;
  if (ascii) {
    text = bytes.latin1Slice(begin, end);
    place = 0;
  } else {
    place = begin;
  }
  const routeKey = next();
  const rawPath = next();
  const rawQueryString = next();
  const apiId = next();
  const domainName = next();
  const method = next();
  const protocol = next();
  const sourceIp = next();
  const userAgent = next();
  const time = next();
  const event = { version: '2.0', routeKey, rawPath, rawQueryString };
  if (cookies > 0) {
    event.cookies = [];
    for (let i = 0; i < cookies; i++) event.cookies.push(next());
  }
  event.headers = pairs(headers);
  if (query > 0) event.queryStringParameters = pairs(query);
  if (parameters > 0) event.pathParameters = pairs(parameters);
  event.requestContext = {
    accountId: 'anonymous', apiId, domainName, domainPrefix: apiId,
    http: { method, path: rawPath, protocol, sourceIp, userAgent },
    requestId: id, routeKey, stage: '$default', time, timeEpoch,
  };
  source = null;
  text = '';
  return event;
}

// pairs makes an object of so many strings, names and values in turn.
function pairs(strings) {
  const object = {};
  for (let i = 0; i < strings; i += 2) {
    const name = next();
    if (name === '__proto__') defineProperty(object, name, { value: next(), writable: true, enumerable: true, configurable: true });
    else object[name] = next();
  }
  return object;
}

module.exports = { read };
