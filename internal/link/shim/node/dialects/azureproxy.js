'use strict';

// With app.setup({ enableHttpStream: true }), the library of the v4 model serves HTTP on
// this machine's own loopback, and the host hands requests over to it there.

const { urlOf } = require('./route.js');

const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'x-ms-invocation-id']);

// send hands a request over and promises the answer, unless what the library works on
// fails before.
function send(uri, request, { context, begin }, work) {
  const http = require('http'); // not before: most functions do without
  const { host, pathname, search } = new URL(urlOf(request));
  const target = new URL(uri);
  return new Promise((resolve, reject) => {
    const req = http.request({
      host: '127.0.0.1', port: target.port, method: request.method, path: pathname + search,
      headers: { ...request.headers, 'x-ms-invocation-id': context.awsRequestId, 'x-forwarded-host': host, 'x-forwarded-proto': request.scheme },
      agent: false,
    }, (res) => {
      const headers = Object.fromEntries(Object.entries(res.headers).filter(([name]) => !HOP.has(name) && name !== 'date'));
      res.on('error', reject);
      if (begin && res.headers['content-length'] === undefined && request.method !== 'HEAD') {
        res.pipe(begin({ status: res.statusCode, headers })).once('close', () => resolve({ streamed: true }));
        return;
      }
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('end', () => resolve({ status: res.statusCode, headers, body: Buffer.concat(parts) }));
    });
    req.on('error', reject);
    work.catch((err) => {
      req.destroy();
      reject(err);
    });
    req.end(request.body);
  });
}

module.exports = { send };
