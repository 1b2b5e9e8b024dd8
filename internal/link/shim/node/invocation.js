'use strict';

// One invocation: its context object, the call of the handler, and its one result.

const failures = require('./failures.js');
const logs = require('./logs.js');
const output = require('./output.js');
const stream = require('./stream.js');

const FAILED = 2;
const LEAVING = 16; // this process ends: another invocation would be lost
const MAX_LAST = 16 * 1024; // bytes of a failure document after a streamed response

const LONG = 512; // characters of a body that is sent beside its answer

// The owner's code may replace these.
const { parse, stringify } = JSON;
const { byteLength } = Buffer;
const { getPrototypeOf } = Object;
const { now } = Date;

// The function that this instance is, set once by become().
let settings = null;
let handler = null;
let exclusive = true;
let streaming = false; // the handler writes its response to a stream
let mayCallBack = false; // the handler can get hold of callback or context
let socket = null;

// Invocations that end, in one way or another, when nothing else is left to do: the
// event loop is then empty but for the host's socket, which is unreferenced while
// any of them waits.
const quiet = new Set();

class Context {
  constructor(inv, request) {
    this.callbackWaitsForEmptyEventLoop = true;
    this.functionVersion = settings.version;
    this.functionName = settings.function;
    this.memoryLimitInMB = settings.memory;
    this.logGroupName = settings.logGroup;
    this.logStreamName = settings.logStream;
    this.clientContext = request.client === '' ? undefined : parse(request.client);
    this.identity = undefined;
    this.invokedFunctionArn = request.arn;
    this.awsRequestId = request.id;
    this.xRayTraceId = request.trace === '' ? undefined : request.trace;
    const { deadline } = request;
    this.getRemainingTimeInMillis = () => deadline - now();
    this.done = (err, value) => inv.done(err, value);
    this.succeed = (value) => inv.succeed(value);
    this.fail = (err) => inv.fail(err === undefined || err === null ? 'handled' : err);
  }
}

class Invocation {
  constructor(request, payload, event) {
    this.stream = request.stream;
    this.id = request.id;
    this.request = request;
    this.payload = payload;
    this.event = event; // instead of payload, of an HTTP request
    this.partial = ['', '', '']; // unfinished log lines, by descriptor
    this.context = null;
    this.promised = false; // the handler returned a promise
    this.held = undefined; // callback's value, while the event loop empties
    this.response = null; // the stream that the handler writes to
    this.settled = false; // the streaming handler's promise is
    this.closed = false; // the stream is
    this.ended = false;
  }

  // callback is the handler's third argument.
  callback(err, value) {
    if (err !== undefined && err !== null) {
      this.fail(err);
    } else if (exclusive && this.context.callbackWaitsForEmptyEventLoop) {
      if (!quiet.has(this)) this.awaitQuiet();
      this.held = this.held === undefined ? { value } : this.held;
    } else {
      this.succeed(value);
    }
  }

  done(err, value) {
    if (err !== undefined && err !== null) this.fail(err);
    else this.succeed(value);
  }

  succeed(value) {
    if (this.ended) return;
    let text;
    let body = '';
    try {
      if (this.request.http && hasLongBody(value)) {
        ({ body } = value);
        text = stringify({ ...value, body: '' });
      } else {
        text = stringify(value);
      }
    } catch (err) {
      this.fail(unserialisable(err));
      return;
    }
    if (text === undefined) text = 'null';
    const most = settings.maxResponseBytes;
    if (body !== '') {
      const head = byteLength(text);
      const size = byteLength(body);
      if (head + size > most) this.fail(tooLarge(head + size, most));
      else this.end(0, text, body, size);
      return;
    }
    if (text.length * 3 > most) {
      const size = byteLength(text);
      if (size > most) {
        this.fail(tooLarge(size, most));
        return;
      }
    }
    this.end(0, text);
  }

  fail(thrown) {
    if (this.ended) return;
    logs.failure('Invoke Error', thrown);
    this.end(FAILED, failures.document(thrown, this.response === null ? settings.maxResponseBytes : MAX_LAST));
  }

  end(flags, text, body = '', size = 0) {
    logs.complete(this, this.stream);
    this.ended = true;
    if (this.response === null || !this.response.finish(flags, text)) {
      if (body === '') output.result(this.stream, flags, text);
      else output.answer(this.stream, text, body, size);
    }
    this.request = this.payload = this.event = this.held = undefined;
    if (quiet.delete(this) && quiet.size === 0) socket.ref();
  }

  // settle: a streaming handler has done its part. As on Lambda, its result is not
  // the response, and the stream may end later.
  settle() {
    this.settled = true;
    if (this.closed) this.onStreamClosed();
  }

  onStreamClosed() {
    this.closed = true;
    if (!this.settled || this.ended) return;
    if (this.response.writableFinished) this.end(0, '');
    else this.fail(new failures.RuntimeError('Runtime.StreamError',
      'The response stream was closed before it was ended. Call responseStream.end() when everything is written.'));
  }

  // stall and resume: the host has no room for more of the response. It will have,
  // so nothing that the event loop is empty of matters meanwhile.
  stall() {
    if (quiet.delete(this) && quiet.size === 0) socket.ref();
  }

  resume() {
    if (exclusive && this.promised && !this.ended) this.awaitQuiet();
  }

  awaitQuiet() {
    if (quiet.has(this)) return;
    quiet.add(this);
    if (quiet.size === 1) socket.unref();
  }

  // onQuiet: nothing in this process can make progress any more.
  onQuiet() {
    if (this.held !== undefined) {
      this.succeed(this.held.value);
    } else if (this.settled) {
      this.fail(new failures.RuntimeError('Runtime.StreamError',
        'The response stream was never ended, and nothing is left in the event loop. Call responseStream.end().'));
    } else if (this.promised) {
      this.fail(new failures.RuntimeError('Runtime.NodeJsExit',
        'The handler returned a promise that can never settle: nothing is left in the event loop. ' +
        'Look for a promise whose resolve or reject is not called.'));
    } else {
      this.succeed(null);
    }
  }
}

function unserialisable(err) {
  const cause = failures.describe(err).errorMessage.split('\n')[0];
  const error = new failures.RuntimeError('Error',
    `Unable to stringify response body: ${cause}. Return what JSON can hold: no circular references, no BigInt.`);
  return error;
}

function tooLarge(size, most) {
  const error = new failures.RuntimeError('Function.ResponseSizeTooLarge',
    `Response payload size (${size} bytes) exceeded maximum allowed payload size (${most} bytes). ` +
    'Return less, or store it and return a reference to it.');
  error.stack = '';
  return error;
}

// takeEvent is the event of an invocation, which does not keep it.
function takeEvent(inv) {
  let { event } = inv;
  if (event === undefined) event = inv.payload === '' ? {} : parse(inv.payload);
  inv.payload = inv.event = undefined;
  return event;
}

// hasLongBody tells whether a result is the answer to an HTTP request with a body that is
// worth sending beside it: quoting it costs more than all the rest.
function hasLongBody(value) {
  return value !== null && typeof value === 'object' && typeof value.body === 'string' && value.body.length >= LONG &&
    getPrototypeOf(value) === Object.prototype && typeof value.toJSON !== 'function' &&
    (typeof value.statusCode === 'number' || typeof value.statusCode === 'string');
}

// call runs in the invocation's asynchronous context.
function call(inv) {
  let result;
  try {
    const { request } = inv;
    if (exclusive) setTrace(request.trace);
    inv.context = new Context(inv, request);
    const event = takeEvent(inv);
    if (streaming) {
      callStreaming(inv, event);
      return;
    }
    result = handler(event, inv.context, (err, value) => inv.callback(err, value));
  } catch (err) {
    inv.fail(err);
    return;
  }
  if (inv.ended) return;
  if (result !== null && result !== undefined && typeof result.then === 'function') {
    inv.promised = true;
    result.then((value) => inv.succeed(value), (err) => inv.fail(err));
    if (exclusive) inv.awaitQuiet();
  } else if (handler.length < 3 && result !== undefined) {
    inv.succeed(result);
  } else if (exclusive) {
    inv.awaitQuiet();
  } else if (!mayCallBack) {
    inv.succeed(null);
  } else if (handler.length < 3) {
    inv.awaitQuiet();
  }
}

function callStreaming(inv, event) {
  inv.response = stream.create(inv, handler);
  inv.promised = true;
  if (exclusive) inv.awaitQuiet();
  Promise.resolve(handler(event, inv.response, inv.context)).then(() => inv.settle(), (err) => inv.fail(err));
}

let lastTrace = '';

function setTrace(trace) {
  if (trace === lastTrace) return;
  lastTrace = trace;
  if (trace === '') delete process.env._X_AMZN_TRACE_ID;
  else process.env._X_AMZN_TRACE_ID = trace;
}

// become makes this process an instance of a function.
function become(init, fn, hostSocket) {
  settings = { ...init, memory: String(init.memoryMB) };
  handler = fn;
  exclusive = init.model !== 'concurrent';
  streaming = stream.streams(fn);
  mayCallBack = fn.length > 1 || /\.\.\.|\barguments\b|\[native code\]/.test(Function.prototype.toString.call(fn));
  socket = hostSocket;
}

function invoke(request, payload, event) {
  logs.run(new Invocation(request, payload, event), call);
}

// onEmptyLoop ends the invocations that waited for it, and tells whether any did.
function onEmptyLoop() {
  for (const inv of [...quiet]) logs.run(inv, () => inv.onQuiet());
}

module.exports = { FAILED, LEAVING, become, invoke, onEmptyLoop };
