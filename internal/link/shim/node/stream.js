'use strict';

// Streamed responses: awslambda.streamifyResponse and what its handlers write to.

const { Writable } = require('stream');
const logs = require('./logs.js');
const output = require('./output.js');

const MORE = 1;
const FAILED = 2;
const STREAMED = 4;
const WINDOW = 256 * 1024; // bytes that may be sent before the host asks for more
const CHUNK = 64 * 1024;
const HTTP = 'application/vnd.awslambda.http-integration-response';

// The marks that Lambda's own runtime puts on handlers; libraries look for them.
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

const open = new Map(); // by stream: responses that have not ended

// ResponseStream sends what is written to it at the end of the turn. What the host has
// no room for waits, and 'drain' with it.
class ResponseStream extends Writable {
  #inv;
  #stream;
  #type = 'application/octet-stream';
  #prelude = null; // bytes before the first ones
  #begun = false;
  #room = WINDOW;
  #chunk = null; // being sent
  #from = 0;
  #sent = null; // called when all of it is

  constructor(inv, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.#inv = inv;
    this.#stream = inv.stream;
    open.set(this.#stream, this);
    // Destroyed with an error, it fails its invocation, not the whole process.
    this.on('error', (err) => inv.fail(err));
    this.on('close', () => inv.onStreamClosed());
  }

  get begun() {
    return this.#begun;
  }

  setContentType(type) {
    if (this.#begun) throw misuse('Cannot set the content type any more: the response has begun.');
    this.#type = String(type).slice(0, 255);
  }

  // integrate makes the response an HTTP answer with status, headers and cookies.
  integrate(prelude) {
    if (this.#begun) throw misuse('Cannot set status and headers any more: the response has begun.');
    this.setContentType(HTTP);
    this.#prelude = Buffer.concat([Buffer.from(JSON.stringify(prelude)), Buffer.alloc(8)]);
  }

  write(chunk, ...rest) {
    return super.write(plain(chunk), ...rest);
  }

  end(chunk, ...rest) {
    if (chunk === undefined || chunk === null || typeof chunk === 'function') return super.end(chunk, ...rest);
    return super.end(plain(chunk), ...rest);
  }

  _write(chunk, encoding, sent) {
    if (this.#prelude !== null) {
      chunk = Buffer.concat([this.#prelude, chunk]);
      this.#prelude = null;
    }
    this.#chunk = chunk;
    this.#from = 0;
    this.#sent = sent;
    this.#pump();
  }

  _final(done) {
    if (this.#prelude === null) {
      done();
    } else {
      this._write(Buffer.alloc(0), '', done);
    }
  }

  _destroy(err, done) {
    this.#chunk = null;
    this.#inv.resume();
    done(err);
  }

  #pump() {
    while (this.#from < this.#chunk.length && this.#room > 0) {
      const to = Math.min(this.#from + Math.min(CHUNK, this.#room), this.#chunk.length);
      this.#send(MORE, this.#chunk, this.#from, to);
      this.#room -= to - this.#from;
      this.#from = to;
    }
    if (this.#from < this.#chunk.length) {
      this.#inv.stall();
      return;
    }
    this.#chunk = null;
    const sent = this.#sent;
    sent();
  }

  #send(flags, bytes, from, to) {
    if (this.#begun) {
      output.bytes(output.TYPE.DATA, flags, this.#stream, '', bytes, from, to);
      return;
    }
    this.#begun = true;
    const head = String.fromCharCode(this.#type.length) + this.#type;
    output.bytes(output.TYPE.RESULT, flags | STREAMED, this.#stream, head, bytes, from, to);
  }

  // granted: the host has room for n bytes more.
  granted(n) {
    this.#room += n;
    if (this.#chunk === null) return;
    this.#inv.resume();
    logs.run(this.#inv, () => this.#pump());
  }

  // cancelled: nobody waits for the response any more.
  cancelled() {
    logs.run(this.#inv, () => this.destroy());
  }

  // finish sends the last frame: with the failure document of one that FAILED. It tells
  // whether it did: a failure before anything was sent is an ordinary response.
  finish(flags, failure) {
    open.delete(this.#stream);
    this.destroy();
    const failed = (flags & FAILED) !== 0;
    if (failed && !this.#begun) return false;
    const last = failed ? Buffer.from(failure) : Buffer.alloc(0);
    this.#send(flags, last, 0, last.length);
    return true;
  }
}

function misuse(message) {
  const err = new Error(message);
  err.name = 'InvalidStreamingOperation';
  return err;
}

// plain: as on Lambda, what is neither text nor bytes is written as JSON.
function plain(chunk) {
  return typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
}

class HttpResponseStream {
  static from(stream, prelude) {
    stream.integrate(prelude);
    return stream;
  }
}

function streamifyResponse(handler, options) {
  handler[STREAMING] = 'response';
  if (options && options.highWaterMark !== undefined) handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark, 10);
  return handler;
}

// install gives the owner's code its awslambda.
function install() {
  globalThis.awslambda = { ...globalThis.awslambda, streamifyResponse, HttpResponseStream };
}

// streams tells whether a handler was given to streamifyResponse.
function streams(handler) {
  return handler[STREAMING] === 'response';
}

// create makes the response stream of an invocation of such a handler.
function create(inv, handler) {
  return new ResponseStream(inv, handler[HIGH_WATER_MARK]);
}

function window(stream, n) {
  const response = open.get(stream);
  if (response !== undefined) response.granted(n);
}

function cancel(stream) {
  const response = open.get(stream);
  if (response !== undefined) response.cancelled();
}

module.exports = { cancel, create, install, streams, window };
