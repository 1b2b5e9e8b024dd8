'use strict';

// One invocation: its context object, the call of the handler, and its one result.

const failures = require('./failures.js');
const logs = require('./logs.js');
const output = require('./output.js');

const FAILED = 2;

// The owner's code may replace these.
const { parse, stringify } = JSON;
const { now } = Date;

// The function that this instance is, set once by become().
let settings = null;
let handler = null;
let exclusive = true;
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
  constructor(request, payload) {
    this.stream = request.stream;
    this.id = request.id;
    this.request = request;
    this.payload = payload;
    this.partial = ['', '', '']; // unfinished log lines, by descriptor
    this.context = null;
    this.promised = false; // the handler returned a promise
    this.held = undefined; // callback's value, while the event loop empties
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
    try {
      text = stringify(value);
    } catch (err) {
      this.fail(unserialisable(err));
      return;
    }
    if (text === undefined) text = 'null';
    const most = settings.maxResponseBytes;
    if (text.length * 3 > most) {
      const size = Buffer.byteLength(text);
      if (size > most) {
        this.fail(tooLarge(size, most));
        return;
      }
    }
    this.end(0, text);
  }

  fail(thrown) {
    if (this.ended) return;
    logs.line('ERROR', 2, `Invoke Error ${failures.forLog(thrown)}`);
    this.end(FAILED, failures.document(thrown, settings.maxResponseBytes));
  }

  end(flags, text) {
    logs.complete(this, this.stream);
    output.result(this.stream, flags, text);
    this.ended = true;
    this.request = this.payload = this.held = undefined;
    if (quiet.delete(this) && quiet.size === 0) socket.ref();
  }

  awaitQuiet() {
    quiet.add(this);
    if (quiet.size === 1) socket.unref();
  }

  // onQuiet: nothing in this process can make progress any more.
  onQuiet() {
    if (this.held !== undefined) {
      this.succeed(this.held.value);
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

// call runs in the invocation's asynchronous context.
function call(inv) {
  let result;
  try {
    const { request } = inv;
    if (exclusive) setTrace(request.trace);
    inv.context = new Context(inv, request);
    const event = inv.payload === '' ? {} : parse(inv.payload);
    inv.payload = undefined;
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
  mayCallBack = fn.length > 1 || /\.\.\.|\barguments\b|\[native code\]/.test(Function.prototype.toString.call(fn));
  socket = hostSocket;
}

function invoke(request, payload) {
  logs.run(new Invocation(request, payload), call);
}

// onEmptyLoop ends the invocations that waited for it, and tells whether any did.
function onEmptyLoop() {
  for (const inv of [...quiet]) logs.run(inv, () => inv.onQuiet());
}

module.exports = { FAILED, become, invoke, onEmptyLoop };
