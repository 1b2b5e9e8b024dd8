'use strict';

// Frames from the host.

const net = require('net');

const FD = 3;
const HEADER = 12;
const READ = 64 * 1024;
const MORE = 1;
const HTTP = 8;

// listen reads frames until the host closes the connection, and calls on.init,
// on.invoke, on.cancel, on.window, on.shutdown and on.end. It returns the socket.
function listen(on) {
  const partial = new Map(); // by stream: invocations whose payload is not complete
  let rest = Buffer.allocUnsafeSlow(0); // the beginning of a frame
  let kept = 0;

  function feed(n, chunk) {
    let bytes = chunk;
    let end = n;
    if (kept > 0) {
      keep(chunk, 0, n);
      bytes = rest;
      end = kept;
    }
    let at = 0;
    while (end - at >= HEADER) {
      const next = at + HEADER + bytes.readUInt32LE(at);
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
    const more = (flags & MORE) !== 0;
    const stream = bytes.readUInt32LE(at + 8);
    const body = at + HEADER;
    switch (bytes[at + 4]) {
      case 1:
        on.init(bytes.toString('utf8', body, end));
        break;
      case 2:
        invoke(bytes, body, end, stream, flags);
        break;
      case 3:
        data(bytes, body, end, stream, more);
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
    const request = { stream, deadline: 0, id: '', arn: '', trace: '', client: '', http: (flags & HTTP) !== 0 };
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
    const clientEnd = traceEnd + 2 + bytes.readUInt16LE(traceEnd);
    if (clientEnd > traceEnd + 2) request.client = bytes.utf8Slice(traceEnd + 2, clientEnd);
    if ((flags & MORE) !== 0) {
      partial.set(stream, { request, parts: [Buffer.from(bytes.subarray(clientEnd, end))] });
    } else {
      on.invoke(request, bytes.utf8Slice(clientEnd, end));
    }
  }

  function data(bytes, at, end, stream, more) {
    const waiting = partial.get(stream);
    waiting.parts.push(Buffer.from(bytes.subarray(at, end)));
    if (more) return;
    partial.delete(stream);
    on.invoke(waiting.request, Buffer.concat(waiting.parts).toString());
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
