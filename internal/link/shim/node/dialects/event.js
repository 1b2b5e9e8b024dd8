'use strict';

// From an event of payload format 2.0 to a plain request, and from a plain answer to
// the result that the function URL makes its response of.
//
// A request is { method, path, query, headers, body, remote, scheme }: the path and the
// query as they were sent, headers by lower-case name, the body's bytes (empty when
// there is none). An answer is { status, headers, body }: headers by any name, each a
// value or a list of them, the body as bytes or text.

const { isUtf8 } = require('buffer');

// isEvent tells an event of payload format 2.0 that somebody hands to Invoke.
function isEvent(payload) {
  return payload !== null && typeof payload === 'object' && payload.version === '2.0' &&
    payload.requestContext !== null && typeof payload.requestContext === 'object' &&
    payload.requestContext.http !== null && typeof payload.requestContext.http === 'object';
}

function requestOf(event) {
  const { http } = event.requestContext;
  const headers = { ...event.headers };
  if (Array.isArray(event.cookies) && event.cookies.length > 0) headers.cookie = event.cookies.join('; ');
  const text = typeof event.body === 'string' ? event.body : '';
  const body = Buffer.from(text, event.isBase64Encoded ? 'base64' : 'utf8');
  // The length may have been counted before the body was decoded on the way here.
  if (body.length > 0) headers['content-length'] = String(body.length);
  return {
    method: http.method || 'GET',
    path: event.rawPath || '/',
    query: event.rawQueryString || '',
    headers,
    body,
    remote: http.sourceIp || '127.0.0.1',
    scheme: headers['x-forwarded-proto'] || 'http',
  };
}

// requestFor is the request that stands for a payload where the handler knows only
// requests: a POST with the payload as its JSON body.
function requestFor(payload, type = 'application/json') {
  const body = Buffer.from(JSON.stringify(payload === undefined ? null : payload));
  return {
    method: 'POST',
    path: '/',
    query: '',
    headers: { host: 'localhost', 'content-type': type, 'content-length': String(body.length) },
    body,
    remote: '127.0.0.1',
    scheme: 'http',
  };
}

// answerOf makes the result of payload format 2.0 of an answer.
function answerOf({ status, headers, body, streamed }) {
  if (streamed) return undefined; // it has been sent
  const result = { statusCode: status, headers: {} };
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || value === null) continue;
    if (name.toLowerCase() === 'set-cookie') {
      result.cookies = (result.cookies || []).concat(value).map(String);
    } else if (Array.isArray(value)) {
      result.multiValueHeaders = result.multiValueHeaders || {};
      result.multiValueHeaders[name] = value.map(String);
    } else {
      result.headers[name] = String(value);
    }
  }
  if (typeof body === 'string') {
    result.body = body;
  } else if (body !== undefined && body !== null && body.length > 0) {
    const text = isUtf8(body);
    result.body = body.toString(text ? 'utf8' : 'base64');
    if (!text) result.isBase64Encoded = true;
  }
  return result;
}

// valueOf is what the Invoke API answers where the handler has answered a request: the
// body's value. An answer that says more than that, since it is no success, is told
// whole.
function valueOf(answer) {
  if (answer.status < 200 || answer.status > 299) return answerOf(answer);
  const bytes = Buffer.isBuffer(answer.body) ? answer.body : Buffer.from(answer.body || '');
  if (bytes.length === 0) return null;
  const type = header(answer.headers, 'content-type');
  if (isJSON(type)) return parsed(bytes.toString(), bytes.toString());
  return isUtf8(bytes) ? bytes.toString() : answerOf(answer);
}

function header(headers, name) {
  for (const key of Object.keys(headers)) {
    if (key.toLowerCase() === name) return String(headers[key]);
  }
  return '';
}

// mediaType is the type in a Content-Type, without its parameters.
function mediaType(type) {
  return String(type || '').split(';')[0].trim().toLowerCase();
}

function isJSON(type) {
  return /^application\/(?:.*\+)?json$/.test(mediaType(type));
}

function parsed(text, otherwise) {
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}

// queryOf is a query string as an object; a name that comes twice has a list.
function queryOf(query) {
  return { ...require('querystring').parse(query) };
}

// viaRequests makes a dialect's two entrances of one that knows only requests.
function viaRequests(serve) {
  return {
    http: serve,
    async invoke(payload, call) {
      if (isEvent(payload)) return answerOf(await serve(requestOf(payload), call));
      return valueOf(await serve(requestFor(payload), call));
    },
  };
}

module.exports = { answerOf, header, isEvent, isJSON, mediaType, parsed, queryOf, requestFor, requestOf, valueOf, viaRequests };
