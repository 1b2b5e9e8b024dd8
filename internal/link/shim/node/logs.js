'use strict';

// What the handler logs becomes LOG frames of the invocation that logged it.

const { AsyncLocalStorage } = require('async_hooks');
const { Readable, Writable } = require('stream');
const { format } = require('util');
const failures = require('./failures.js');
const output = require('./output.js');

const PARTIAL = 16 * 1024; // characters of a line that may wait for their newline

// The owner's code may replace these.
const { now } = Date;
const date = Date;
const { stringify } = JSON;

// The current invocation: in the concurrent model it follows the asynchronous
// context; where there is one at a time, a variable does, and costs nothing.
let storage = null;
let current = null;

function follow(concurrent) {
  if (concurrent) storage = new AsyncLocalStorage();
}

// Lambda's settings of the log: JSON entries instead of lines of text, and the least
// level that console writes.
const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
let json = false;
let least = 0;

function configure(env) {
  json = String(env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
  least = Math.max(LEVELS.indexOf(String(env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()), 0);
}

// run calls fn(invocation), with invocation as the current one.
function run(invocation, fn) {
  if (storage !== null) {
    storage.run(invocation, fn, invocation);
  } else {
    current = invocation;
    fn(invocation);
  }
}

function invocation() {
  return storage !== null ? storage.getStore() : current;
}

// stream tells whose log it is: an ended invocation has none any more, and what it
// still says belongs to the instance.
function streamOf(inv) {
  return inv === null || inv === undefined || inv.ended ? 0 : inv.stream;
}

let stamp = '';
let stampTime = 0;

function timestamp() {
  const time = now();
  if (time !== stampTime) {
    stampTime = time;
    stamp = new date(time).toISOString();
  }
  return stamp;
}

// line writes one entry in Lambda's text format. Where no invocation runs, nothing
// stands in the place of its id.
function line(level, fd, message) {
  if (json) {
    entry(level, fd, message);
    return;
  }
  const inv = invocation();
  const id = inv === null || inv === undefined ? '' : inv.id;
  output.log(streamOf(inv), fd, `${timestamp()}\t${id}\t${level}\t${message}\n`);
}

// entry writes one entry in Lambda's JSON format, with what an error among args says.
function entry(level, fd, message, error) {
  const inv = invocation();
  const said = { timestamp: timestamp(), level, requestId: inv === null || inv === undefined ? undefined : inv.id, message };
  if (error !== undefined) {
    const { errorType, errorMessage, trace } = failures.describe(error);
    Object.assign(said, { errorType, errorMessage, stackTrace: trace });
  }
  let text;
  try {
    text = stringify(said, (_, value) => (failures.isError(value) ? told(value) : value));
  } catch { // a circle, a BigInt, …
    text = stringify({ ...said, message: format(message) });
  }
  output.log(streamOf(inv), fd, `${text}\n`);
}

// told is what an error is in JSON.
function told(error) {
  const { errorType, errorMessage, trace } = failures.describe(error);
  return { errorType, errorMessage, stackTrace: trace };
}

// say writes what console is given. A single value keeps its form in JSON; of several,
// the first error is told beside the text.
function say(level, fd, args) {
  if (LEVELS.indexOf(level) < least) return;
  if (!json) line(level, fd, format(...args));
  else if (args.length === 1) entry(level, fd, args[0]);
  else entry(level, fd, format(...args), args.find(failures.isError));
}

// failure writes that something was thrown, in Lambda's words.
function failure(words, thrown) {
  if (json) entry('ERROR', 2, told(thrown));
  else line('ERROR', 2, `${words} ${failures.forLog(thrown)}`);
}

// raw writes text as it is, but in whole lines: the rest waits for its newline, or
// for the end of the invocation.
const outside = { partial: ['', '', ''] };

function raw(fd, text) {
  const inv = invocation();
  const stream = streamOf(inv);
  const owner = stream === 0 ? outside : inv;
  const end = text.lastIndexOf('\n') + 1;
  if (end === 0 && owner.partial[fd].length + text.length < PARTIAL) {
    owner.partial[fd] += text;
    return;
  }
  const cut = end === 0 ? text.length : end;
  output.log(stream, fd, owner.partial[fd] + text.slice(0, cut));
  owner.partial[fd] = text.slice(cut);
}

// complete sends the unfinished lines of an owner.
function complete(owner, stream) {
  for (let fd = 1; fd <= 2; fd++) {
    if (owner.partial[fd] !== '') output.log(stream, fd, owner.partial[fd]);
    owner.partial[fd] = '';
  }
}

function completeOutside() {
  complete(outside, 0);
}

function stdStream(fd) {
  const stream = new Writable({
    decodeStrings: false,
    write(piece, encoding, done) {
      raw(fd, typeof piece === 'string' ? piece : piece.toString());
      done();
    },
  });
  // As node's own, they cannot be ended or destroyed.
  stream.end = (piece, ...rest) => {
    if (piece !== undefined && piece !== null && typeof piece !== 'function') stream.write(piece, ...rest);
    return stream;
  };
  stream.destroy = stream.destroySoon = () => stream;
  stream.fd = fd;
  stream._type = 'pipe';
  return stream;
}

function define(name, make) {
  let value;
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get: () => (value === undefined ? (value = make()) : value),
    set: (other) => { value = other; },
  });
}

// capture replaces console, process.stdout and process.stderr, and gives process.stdin
// nothing to read.
function capture() {
  define('stdout', () => stdStream(1));
  define('stderr', () => stdStream(2));
  define('stdin', () => Object.assign(new Readable({ read() { this.push(null); } }), { fd: 0 }));
  const levels = [
    ['log', 'INFO', 1], ['info', 'INFO', 1], ['debug', 'DEBUG', 1], ['trace', 'TRACE', 2],
    ['warn', 'WARN', 2], ['error', 'ERROR', 2], ['fatal', 'FATAL', 2],
  ];
  for (const [name, level, fd] of levels) {
    console[name] = (...args) => say(level, fd, args);
  }
}

module.exports = { capture, complete, completeOutside, configure, failure, follow, invocation, line, run };
