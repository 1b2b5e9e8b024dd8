'use strict';

// What the handler logs becomes LOG frames of the invocation that logged it.

const { AsyncLocalStorage } = require('async_hooks');
const { Readable, Writable } = require('stream');
const { format } = require('util');
const output = require('./output.js');

const PARTIAL = 16 * 1024; // characters of a line that may wait for their newline

const { now } = Date;
const date = Date;

// The current invocation: in the concurrent model it follows the asynchronous
// context; where there is one at a time, a variable does, and costs nothing.
let storage = null;
let current = null;

function follow(concurrent) {
  if (concurrent) storage = new AsyncLocalStorage();
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
  const inv = invocation();
  const id = inv === null || inv === undefined ? '' : inv.id;
  output.log(streamOf(inv), fd, `${timestamp()}\t${id}\t${level}\t${message}\n`);
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
    console[name] = (...args) => line(level, fd, format(...args));
  }
}

module.exports = { capture, complete, completeOutside, follow, invocation, line, run };
