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
// when res has ended. It fails when what serve returns does. With begin (of index.js),
// what is written before the end leaves at once.
function exchange(request, serve, begin, classes = http) {
  return new Promise((resolve, reject) => {
    const socket = new Socket(request);
    const req = incoming(request, socket, classes.IncomingMessage);
    const res = new classes.ServerResponse(req);
    res.assignSocket(socket);
    collect(res, request.method === 'HEAD' ? null : begin, resolve);
    res.on('close', () => {
      if (!res.writableEnded) reject(new Error('The response was closed before it had ended.'));
    });
    socket.on('error', reject);
    Promise.resolve(serve(req, res)).catch(reject);
  });
}

// collect keeps what is written. Frameworks replace the prototype of res, so the
// methods are its own.
function collect(res, begin, resolve) {
  const { write, end, writeHead } = http.ServerResponse.prototype;
  const parts = [];
  let stream = null;
  res.writeHead = (status, ...rest) => {
    const reason = typeof rest[0] === 'string' ? rest.shift() : undefined;
    setAll(res, rest[0]);
    return reason === undefined ? writeHead.call(res, status) : writeHead.call(res, status, reason);
  };
  res.write = (piece, encoding, done) => {
    if (!res.headersSent) res.writeHead(res.statusCode);
    if (res.writableEnded || !begin) {
      if (!res.writableEnded) parts.push(bytesOf(piece, encoding));
      return write.call(res, piece, encoding, done);
    }
    if (stream === null) {
      res.flushHeaders();
      stream = begin({ status: res.statusCode, headers: res.getHeaders() });
      stream.on('drain', () => res.emit('drain'));
    }
    return stream.write(bytesOf(piece, encoding), typeof encoding === 'function' ? encoding : done);
  };
  res.end = (piece, encoding, done) => {
    if (res.writableEnded) return end.call(res, piece, encoding, done);
    if (piece !== undefined && piece !== null && typeof piece !== 'function') {
      if (stream === null) parts.push(bytesOf(piece, encoding));
      else stream.write(bytesOf(piece, encoding));
    }
    if (stream === null) {
      end.call(res, piece, encoding, done);
      resolve({ status: res.statusCode, headers: res.getHeaders(), body: Buffer.concat(parts) });
    } else {
      end.call(res, [piece, encoding, done].find((argument) => typeof argument === 'function'));
      stream.once('close', () => resolve({ streamed: true }));
      stream.end();
    }
    return res;
  };
}

function bytesOf(piece, encoding) {
  return typeof piece === 'string' ? Buffer.from(piece, typeof encoding === 'string' ? encoding : 'utf8') : Buffer.from(piece);
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
