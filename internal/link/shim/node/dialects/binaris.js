'use strict';

// Binaris: handler(body, ctx).

const event = require('./event.js');
const names = require('./names.js');

class HTTPResponse {
  constructor({ statusCode = 200, headers = {}, body } = {}) {
    this.statusCode = statusCode;
    this.headers = headers;
    this.body = body;
  }
}

async function load(root, name, { loader }) {
  const { file, keys } = names.locate(loader, root, name, ['function', 'index']);
  const handler = names.handlerIn(loader, await loader.open(root, file), keys, name);
  const serve = async (body, request, call) => handler(body, {
    request: {
      env: process.env,
      query: event.queryOf(request.query),
      body: request.body,
      path: request.path,
      method: request.method,
      requestId: call.context.awsRequestId,
      headers: request.headers,
    },
    HTTPResponse,
  });
  return {
    http: async (request, call) => answer(await serve(bodyOf(request.body), request, call)),
    invoke: async (payload, call) => {
      if (event.isEvent(payload)) {
        const request = event.requestOf(payload);
        return event.answerOf(answer(await serve(bodyOf(request.body), request, call)));
      }
      const result = await serve(payload, event.requestFor(payload), call);
      return result instanceof HTTPResponse || Buffer.isBuffer(result) ? event.valueOf(answer(result)) : result;
    },
  };
}

// bodyOf: an empty body is {}, one that is not JSON is undefined.
function bodyOf(bytes) {
  return bytes.length === 0 ? {} : event.parsed(bytes.toString(), undefined);
}

function answer(result) {
  if (result instanceof HTTPResponse) {
    const inner = plain(result.body);
    const headers = { ...result.headers };
    if (inner.type !== '' && event.header(headers, 'content-type') === '') headers['content-type'] = inner.type;
    return { status: Number(result.statusCode), headers, body: inner.body };
  }
  const { type, body } = plain(result);
  return { status: 200, headers: type === '' ? {} : { 'content-type': type }, body };
}

function plain(value) {
  if (value === undefined || value === null) return { type: '', body: '' };
  if (typeof value === 'string') return { type: 'text/plain; charset=utf-8', body: value };
  if (value instanceof Uint8Array) return { type: 'application/octet-stream', body: Buffer.from(value) };
  return { type: 'application/json', body: JSON.stringify(value) };
}

module.exports = { load };
