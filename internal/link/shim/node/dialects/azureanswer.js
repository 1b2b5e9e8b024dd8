'use strict';

// What an Azure function answers, as an answer of event.js.

// httpAnswer: an object that says status, headers, cookies or body is the response
// itself; anything else is its body. Nothing at all is 204.
function httpAnswer(value) {
  if (value === undefined || value === null) return { status: 204, headers: {}, body: '' };
  if (typeof value !== 'object' || Buffer.isBuffer(value) || Array.isArray(value) || !isResponse(value)) {
    return { status: 200, ...bodyOf(value, {}) };
  }
  const headers = headersOf(value.headers || {});
  const status = Number(firstOf(value.statusCode, typeof value.status === 'function' ? undefined : value.status, 200));
  if (Array.isArray(value.cookies) && value.cookies.length > 0) headers['set-cookie'] = value.cookies.map(cookie);
  return { status, ...bodyOf(value.body, headers) };
}

const PARTS = ['body', 'status', 'statusCode', 'headers', 'cookies', 'isRaw'];

function isResponse(value) {
  return PARTS.some((part) => value[part] !== undefined);
}

function firstOf(...values) {
  return values.find((value) => value !== undefined && value !== null);
}

function headersOf(headers) {
  const all = {};
  for (const name of Object.keys(headers)) all[name.toLowerCase()] = headers[name];
  return all;
}

function bodyOf(body, headers) {
  const as = (type) => (headers['content-type'] === undefined ? { 'content-type': type, ...headers } : headers);
  if (body === undefined || body === null) return { headers, body: '' };
  if (typeof body === 'string') return { headers: as('text/plain; charset=utf-8'), body };
  if (body instanceof ArrayBuffer) return { headers: as('application/octet-stream'), body: Buffer.from(body) };
  if (ArrayBuffer.isView(body)) {
    return { headers: as('application/octet-stream'), body: Buffer.from(body.buffer, body.byteOffset, body.byteLength) };
  }
  return { headers: as('application/json; charset=utf-8'), body: JSON.stringify(body) };
}

function cookie({ name, value, maxAge, expires, domain, path, secure, httpOnly, sameSite }) {
  const parts = [`${name}=${encodeURIComponent(String(value))}`];
  if (maxAge !== undefined && maxAge !== null) parts.push(`Max-Age=${Math.trunc(maxAge)}`);
  if (expires) parts.push(`Expires=${new Date(expires).toUTCString()}`);
  if (domain) parts.push(`Domain=${domain}`);
  if (path) parts.push(`Path=${path}`);
  if (secure) parts.push('Secure');
  if (httpOnly) parts.push('HttpOnly');
  if (sameSite) parts.push(`SameSite=${sameSite}`);
  return parts.join('; ');
}

module.exports = { cookie, headersOf, httpAnswer };
