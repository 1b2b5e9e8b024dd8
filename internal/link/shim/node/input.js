'use strict';

// Frames from the host.

const { isAscii } = require('buffer'); // from Node 18.15 on
const net = require('net');
const packed = require('./packed.js');

const FD = 3;
const HEADER = 12;
const READ = 64 * 1024;
const DATA = 3; // a frame's type
const MORE = 1;
const LONG = 16 * 1024; // bytes
const HTTP = 8;

// text reads UTF-8. Large texts are mostly ASCII, which is found out and read several
// times as fast.
function text(bytes, from, to) {
  if (to - from >= LONG && isAscii !== undefined && isAscii(bytes.subarray(from, to))) return bytes.latin1Slice(from, to);
  return bytes.utf8Slice(from, to);
}

// listen reads frames until the host closes the connection, and calls on.init,
// on.invoke, on.cancel, on.window, on.shutdown and on.end. It returns the socket.
function listen(on) {
  const partial = new Map(); // by stream: invocations whose payload is not complete
  let rest = Buffer.allocUnsafeSlow(0); // the beginning of a frame
  let kept = 0;
  let filling = null; // the one whose DATA frame is coming
  let missing = 0; // bytes of that frame
  let last = false; // it is the last one

  function feed(n, chunk) {
    let bytes = chunk;
    let end = n;
    let at = filling === null ? 0 : fill(chunk, 0, n);
    if (kept > 0) {
      keep(chunk, at, n);
      bytes = rest;
      end = kept;
      at = 0;
    }
    while (end - at >= HEADER) {
      const next = at + HEADER + bytes.readUInt32LE(at);
      if (bytes[at + 4] === DATA) {
        filling = partial.get(bytes.readUInt32LE(at + 8));
        missing = next - at - HEADER;
        last = (bytes[at + 5] & MORE) === 0;
        at = fill(bytes, at + HEADER, end);
        continue;
      }
      if (next > end) break;
      take(bytes, at, next);
      at = next;
    }
    if (bytes === rest) {
      rest.copyWithin(0, at, end);
      kept = end - at;
      if (kept === 0 && rest.length > 4 * READ) rest = Buffer.allocUnsafeSlow(0);
    } else if (at < end) {
      keep(chunk, at, end);
    }
    return true;
  }

  // fill puts what has come of a DATA frame where it belongs, and tells where it ends.
  function fill(bytes, at, end) {
    const to = Math.min(end, at + missing);
    filling.at += bytes.copy(filling.bytes, filling.at, at, to);
    missing -= to - at;
    if (missing > 0) return to;
    const whole = filling;
    filling = null;
    if (last) {
      partial.delete(whole.request.stream);
      offer(whole.request, whole.bytes, 0, whole.request.size, whole.bytes.length);
    }
    return to;
  }

  function keep(chunk, from, to) {
    if (rest.length - kept < to - from) {
      const wider = Buffer.allocUnsafeSlow(kept + to - from + 2 * READ);
      rest.copy(wider, 0, 0, kept);
      rest = wider;
    }
    chunk.copy(rest, kept, from, to);
    kept += to - from;
  }

  function take(bytes, at, end) {
    const flags = bytes[at + 5];
    const stream = bytes.readUInt32LE(at + 8);
    const body = at + HEADER;
    switch (bytes[at + 4]) {
      case 1:
        on.init(bytes.toString('utf8', body, end));
        break;
      case 2:
        invoke(bytes, body, end, stream, flags);
        break;
      case 4:
        on.cancel(stream);
        break;
      case 5:
        on.shutdown(bytes.readUInt32LE(body));
        break;
      case 6:
        on.window(stream, bytes.readUInt32LE(body));
        break;
    }
  }

  function invoke(bytes, at, end, stream, flags) {
    const http = (flags & HTTP) !== 0;
    const request = { stream, deadline: 0, id: '', arn: '', trace: '', client: '', http, form: 0, kind: 0, size: 0 };
    request.deadline = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x100000000;
    at += 8;
    // One call into native code for three strings: they are all ASCII.
    const idEnd = at + 1 + bytes[at];
    const arnEnd = idEnd + 2 + bytes.readUInt16LE(idEnd);
    const traceEnd = arnEnd + 2 + bytes.readUInt16LE(arnEnd);
    const meta = bytes.latin1Slice(at, traceEnd);
    request.id = meta.slice(1, idEnd - at);
    request.arn = meta.slice(idEnd + 2 - at, arnEnd - at);
    request.trace = meta.slice(arnEnd + 2 - at);
    at = traceEnd + 2 + bytes.readUInt16LE(traceEnd);
    if (at > traceEnd + 2) request.client = bytes.utf8Slice(traceEnd + 2, at);
    request.size = bytes.readUInt32LE(at);
    at += 4;
    let whole = request.size;
    if (http) {
      request.form = bytes[at];
      request.kind = bytes[at + 1];
      whole += bytes.readUInt32LE(at + 2);
      at += 6;
    }
    if ((flags & MORE) === 0) {
      offer(request, bytes, at, at + request.size, end);
      return;
    }
    const waiting = { request, bytes: Buffer.allocUnsafeSlow(whole), at: 0 };
    waiting.at = bytes.copy(waiting.bytes, 0, at, end);
    partial.set(stream, waiting);
  }

  // offer has an invocation run whose payload and body have come.
  function offer(request, bytes, at, middle, end) {
    if (request.http) on.invoke(request, '', packed.read(request.form, request.kind, bytes, at, middle, end, request.id));
    else on.invoke(request, text(bytes, at, middle), undefined);
  }

  const socket = new net.Socket({
    fd: FD,
    readable: true,
    writable: false,
    onread: { buffer: Buffer.allocUnsafeSlow(READ), callback: feed },
  });
  socket.on('error', on.end);
  socket.on('end', on.end);
  socket.on('close', on.end);
  return socket;
}

module.exports = { listen };
