'use strict';

// Requests and responses as node's own http classes, without a connection between.

const http = require('http');
const { Duplex } = require('stream');

// Socket is the end of a connection to nobody: it takes everything and says nothing.
class Socket extends Duplex {
  constructor(request) {
    super();
    this.remoteAddress = request.remote;
    this.remoteFamily = request.remote.includes(':') ? 'IPv6' : 'IPv4';
    this.remotePort = 0;
    this.encrypted = request.scheme === 'https';
  }

  _read() {}

  _write(piece, encoding, done) { done(); }

  _writev(pieces, done) { done(); }

  setTimeout() { return this; }

  setNoDelay() { return this; }

  setKeepAlive() { return this; }

  ref() { return this; }

  unref() { return this; }

  address() { return { address: '127.0.0.1', family: 'IPv4', port: 0 }; }
}

function incoming(request, socket, IncomingMessage) {
  const req = new IncomingMessage(socket);
  req.method = request.method;
  req.url = request.query === '' ? request.path : `${request.path}?${request.query}`;
  req.httpVersion = '1.1';
  req.httpVersionMajor = req.httpVersionMinor = 1;
  for (const [name, value] of Object.entries(request.headers)) {
    req.headers[name] = value;
    req.rawHeaders.push(name, value);
  }
  if (request.body.length > 0) req.push(request.body);
  req.push(null);
  req.complete = true;
  return req;
}

// exchange gives serve(req, res) a request and promises the answer that is complete
// when res has ended. It fails when what serve returns does.
function exchange(request, serve, classes = http) {
  return new Promise((resolve, reject) => {
    const socket = new Socket(request);
    const req = incoming(request, socket, classes.IncomingMessage);
    const res = new classes.ServerResponse(req);
    res.assignSocket(socket);
    collect(res, resolve);
    res.on('close', () => {
      if (!res.writableEnded) reject(new Error('The response was closed before it had ended.'));
    });
    socket.on('error', reject);
    Promise.resolve(serve(req, res)).catch(reject);
  });
}

// collect keeps what is written. Frameworks replace the prototype of res, so the
// methods are its own.
function collect(res, resolve) {
  const { write, end, writeHead } = http.ServerResponse.prototype;
  const parts = [];
  const keep = (piece, encoding) => {
    if (piece === undefined || piece === null || typeof piece === 'function') return;
    parts.push(typeof piece === 'string' ? Buffer.from(piece, typeof encoding === 'string' ? encoding : 'utf8') : Buffer.from(piece));
  };
  res.writeHead = (status, ...rest) => {
    const reason = typeof rest[0] === 'string' ? rest.shift() : undefined;
    setAll(res, rest[0]);
    return reason === undefined ? writeHead.call(res, status) : writeHead.call(res, status, reason);
  };
  res.write = (piece, encoding, done) => {
    if (!res.headersSent) res.writeHead(res.statusCode);
    const more = write.call(res, piece, encoding, done);
    keep(piece, encoding);
    return more;
  };
  res.end = (piece, encoding, done) => {
    if (res.writableEnded) return end.call(res, piece, encoding, done);
    keep(piece, encoding);
    end.call(res, piece, encoding, done);
    resolve({ status: res.statusCode, headers: res.getHeaders(), body: Buffer.concat(parts) });
    return res;
  };
}

// setAll takes the headers that writeHead was given: an object, or names and values in
// turn.
function setAll(res, headers) {
  if (headers === undefined || headers === null) return;
  if (!Array.isArray(headers)) {
    for (const name of Object.keys(headers)) if (headers[name] !== undefined) res.setHeader(name, headers[name]);
    return;
  }
  const pairs = Array.isArray(headers[0]) ? headers : headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]]] : []));
  for (const [name, value] of pairs) res.appendHeader ? res.appendHeader(name, value) : res.setHeader(name, value);
}

module.exports = { exchange };
