'use strict';

// Hearth's shim for Node: it stands between the frames on descriptor 3 (PROTOCOL.md)
// and the owner's handler. It speaks first, so that the host can get ready while the
// rest of it loads.

const output = require('./output.js');

const LOST = 70; // exit code without a connection

// Without its connection a shim is of no use: nobody could be told anything any more.
output.onGone((err) => {
  const closed = err.code === 'EPIPE' || err.code === 'ECONNRESET'; // by the host
  if (!closed) process._rawDebug(`the Node runtime lost descriptor 3: ${err.message}`);
  process.exit(closed ? 0 : LOST);
});

output.frame(output.TYPE.HELLO, 0, 0,
  JSON.stringify({ protocol: 1, runtime: `nodejs${process.versions.node}`, pid: process.pid }));
output.finish();

const failures = require('./failures.js');
const input = require('./input.js');
const invocation = require('./invocation.js');
const loader = require('./loader.js');
const logs = require('./logs.js');
const stream = require('./stream.js');

const MAX_DOCUMENT = 16 * 1024; // bytes of an INIT_ERROR
const UNCAUGHT = 129; // exit codes as Lambda's runtime has them
const UNHANDLED = 128;

let ready = false;
let concurrent = false;
let leaving = false;

function leave(code) {
  process.exit(code);
}

function failInit(err, code) {
  if (leaving) return;
  leaving = true;
  logs.completeOutside();
  output.frame(output.TYPE.INIT_ERROR, 0, 0, failures.document(err, MAX_DOCUMENT));
  leave(code);
}

async function onInit(text) {
  const init = JSON.parse(text);
  concurrent = init.model === 'concurrent';
  applyEnvironment(init.env || {});
  try {
    process.chdir(init.taskRoot);
  } catch { /* the loader says what is missing */ }
  const load = loaderOf(init);
  hide();
  stream.install();
  logs.follow(concurrent);
  logs.configure(process.env);
  try {
    invocation.become(init, await load(init.taskRoot, init.handler), socket);
  } catch (err) {
    logs.failure('Init Error', err);
    failInit(err, 1);
    return;
  }
  if (leaving) return;
  ready = true;
  logs.completeOutside();
  output.frame(output.TYPE.READY, 0, 0, '{}');
}

// loaderOf tells what finds the handler. What other vendors' handlers need is loaded
// only when it is.
function loaderOf(init) {
  if (!init.dialect || init.dialect === 'aws') return loader.load;
  return require('./dialects/index.js').loaderOf(init);
}

function applyEnvironment(env) {
  const nodePath = process.env.NODE_PATH;
  Object.assign(process.env, env);
  if (process.env.NODE_PATH !== nodePath) require('module').Module._initPaths();
}

// hide takes the shim's own modules out of the owner's sight.
function hide() {
  process.mainModule = undefined;
  for (const name of Object.keys(require.cache)) {
    if (name.startsWith(__dirname)) delete require.cache[name];
  }
}

function onShutdown(grace) {
  if (leaving) return;
  leaving = true;
  if (process.listenerCount('SIGTERM') === 0) leave(0);
  socket.unref();
  setTimeout(leave, Math.max(grace - 50, 0), 0).unref();
  process.emit('SIGTERM', 'SIGTERM', 15);
}

// culprit is the invocation in whose asynchronous context we are, while it runs.
function culprit() {
  const inv = logs.invocation();
  return inv !== null && inv !== undefined && !inv.ended ? inv : null;
}

process.on('uncaughtException', (err) => {
  logs.failure('Uncaught Exception', err);
  if (!ready) {
    failInit(err, UNCAUGHT);
    return;
  }
  const inv = culprit();
  if (inv !== null) inv.end(invocation.FAILED | invocation.LEAVING, failures.document(err, MAX_DOCUMENT));
  leave(UNCAUGHT);
});

process.on('unhandledRejection', (reason) => {
  const said = failures.describe(reason);
  const message = failures.isError(reason) ? `${said.errorType}: ${said.errorMessage}` : said.errorMessage;
  const err = new failures.RuntimeError('Runtime.UnhandledPromiseRejection', message, reason);
  logs.failure('Unhandled Promise Rejection', err);
  if (!ready) {
    failInit(err, UNHANDLED);
    return;
  }
  // Where invocations share the instance, one's lost rejection is no reason to end
  // the others, if it is known whose it is.
  const last = !concurrent || logs.invocation() === undefined;
  const inv = culprit();
  if (inv !== null) inv.end(invocation.FAILED | (last ? invocation.LEAVING : 0), failures.document(err, MAX_DOCUMENT));
  if (last) leave(UNHANDLED);
});

process.on('exit', () => {
  const inv = logs.invocation();
  if (inv && !inv.ended) logs.complete(inv, inv.stream);
  logs.completeOutside();
  output.finish();
});

process.on('beforeExit', () => {
  if (!leaving) invocation.onEmptyLoop();
});

logs.capture();

const socket = input.listen({
  init: onInit,
  invoke: invocation.invoke,
  cancel: stream.cancel, // the handler cannot be interrupted; its result is dropped by the host
  window: stream.window,
  shutdown: onShutdown,
  end: () => leave(0),
});
