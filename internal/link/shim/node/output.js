'use strict';

// Frames towards the host. The frames of one turn of the event loop are collected
// and leave in one synchronous write. When the host does not take them, they wait
// here; when too much waits, whoever produces more is blocked.

const fs = require('fs');

const FD = 3;
const HEADER = 12;
const CHUNK = 64 * 1024; // body bytes of one frame
const TURN = 4 * CHUNK; // bytes of large responses in one turn
const START = 2 * CHUNK + TURN; // the buffer's usual size; what is never used of it costs nothing
const LIMIT = 1024 * 1024; // bytes that may wait before producers are blocked
const PATIENCE = 10; // short pauses for a host that is just about to read
const SIZES = 8; // bytes before a result and its body: how long they are
const MORE = 1;
const SIZED = 32;

const TYPE = { HELLO: 16, READY: 17, INIT_ERROR: 18, RESULT: 19, DATA: 20, LOG: 21 };

// The owner's code may replace these.
const { writeSync } = fs;
const { wait } = Atomics;
const later = setTimeout;
const atTurnsEnd = setImmediate;

const EMPTY = Buffer.alloc(0);
const never = new Int32Array(new SharedArrayBuffer(4));
const large = []; // responses of more than a chunk, each in turn
let out = Buffer.allocUnsafeSlow(START);
let used = 0;
let scheduled = false; // a flush or a retry is due
let dead = false; // the host takes nothing any more
let gone = () => {}; // called then

// onGone sets what is called, once, when the connection takes nothing any more.
function onGone(call) {
  gone = call;
}

function header(at, type, flags, stream, length) {
  out.writeUInt32LE(length, at);
  out[at + 4] = type;
  out[at + 5] = flags;
  out[at + 6] = 0;
  out[at + 7] = 0;
  out.writeUInt32LE(stream, at + 8);
}

// frame adds a frame with a short text as its body: at most CHUNK / 3 characters.
function frame(type, flags, stream, text) {
  const worst = HEADER + text.length * 3;
  if (out.length - used < worst) makeRoom(worst);
  const length = out.write(text, used + HEADER);
  header(used, type, flags, stream, length);
  used += HEADER + length;
  schedule();
}

// result adds a response. The caller has checked its size.
function result(stream, flags, text) {
  if (text.length * 3 <= CHUNK) {
    frame(TYPE.RESULT, flags, stream, text);
    return;
  }
  const size = Buffer.byteLength(text);
  const head = Buffer.alloc(SIZES);
  head.writeUInt32LE(size, 0);
  addResult(stream, flags, head, text, size);
}

// answer adds a response to an HTTP request and the body that belongs into it, which has
// so many bytes. The caller has checked their size.
function answer(stream, text, body, size) {
  const most = HEADER + SIZES + text.length * 3 + size;
  if (most > CHUNK) {
    const head = Buffer.from(' '.repeat(SIZES) + text);
    head.writeUInt32LE(head.length - SIZES, 0);
    head.writeUInt32LE(size, 4);
    addResult(stream, 0, head, body, size);
    return;
  }
  if (out.length - used < most) makeRoom(most);
  const begin = used + HEADER + SIZES;
  const length = out.write(text, begin);
  out.write(body, begin + length, size === body.length ? 'latin1' : 'utf8');
  out.writeUInt32LE(length, begin - 8);
  out.writeUInt32LE(size, begin - 4);
  header(used, TYPE.RESULT, SIZED, stream, SIZES + length + size);
  used = begin + length + size;
  schedule();
}

// addResult adds a large response: its sizes and what else comes first, and a text of so
// many bytes.
function addResult(stream, flags, head, text, size) {
  const r = { type: TYPE.RESULT, flags: flags | SIZED, stream, head, body: text, from: 0 };
  if (head.length > CHUNK) { // it needs more than one frame itself
    r.body = Buffer.concat([head, Buffer.from(text)]);
    r.head = EMPTY;
  } else if (size !== text.length) { // ASCII is not copied before it leaves
    r.body = Buffer.from(text);
  }
  large.push(r);
  schedule();
}

// bytes adds a frame: a head of one byte for each character, and at most CHUNK bytes
// of a buffer.
function bytes(type, flags, stream, head, body, from, to) {
  const length = head.length + to - from;
  if (out.length - used < HEADER + length) makeRoom(HEADER + length);
  header(used, type, flags, stream, length);
  out.latin1Write(head, used + HEADER);
  body.copy(out, used + HEADER + head.length, from, to);
  used += HEADER + length;
  schedule();
}

// log adds log text, split at CHUNK / 4 characters, never inside a character.
function log(stream, fd, text) {
  let from = 0;
  do {
    let to = Math.min(from + CHUNK / 4, text.length);
    const last = text.charCodeAt(to - 1);
    if (to < text.length && last >= 0xd800 && last < 0xdc00) to--;
    logFrame(stream, fd, from === 0 && to === text.length ? text : text.slice(from, to));
    from = to;
  } while (from < text.length);
}

function logFrame(stream, fd, text) {
  const worst = HEADER + 1 + text.length * 3;
  if (out.length - used < worst) makeRoom(worst);
  const length = 1 + out.write(text, used + HEADER + 1);
  out[used + HEADER] = fd;
  header(used, TYPE.LOG, 0, stream, length);
  used += HEADER + length;
  schedule();
}

function makeRoom(size) {
  if (!dead && !scheduled) write(0);
  if (used + size > LIMIT) drain();
  if (out.length - used >= size) return;
  const wider = Buffer.allocUnsafeSlow(Math.max(out.length * 2, used + size));
  out.copy(wider, 0, 0, used);
  out = wider;
}

function schedule() {
  if (scheduled) return;
  scheduled = true;
  atTurnsEnd(flush);
}

// flush writes what waits. While large responses are unfinished, it leaves the event
// loop a turn after every few chunks.
function flush() {
  scheduled = false;
  addLarge();
  if (!write(PATIENCE)) {
    scheduled = true;
    later(flush, 1);
  } else if (large.length > 0) {
    schedule();
  } else if (out.length > START) {
    out = Buffer.allocUnsafeSlow(START);
  }
}

// addLarge adds a chunk of each large response in turn, as far as there is room: what is
// waiting when there is none leaves first.
function addLarge() {
  for (let room = TURN; room > 0 && large.length > 0; room -= CHUNK) {
    const r = large[0];
    if (out.length - used < HEADER + r.head.length + CHUNK) {
      if (used > 0) return;
      out = Buffer.allocUnsafeSlow(HEADER + r.head.length + CHUNK);
    }
    large.shift();
    const begin = used + HEADER;
    const to = Math.min(r.from + CHUNK, r.body.length);
    const more = to < r.body.length ? MORE : 0;
    const head = r.head.copy(out, begin);
    const length = head + put(r.body, r.from, to, begin + head);
    header(used, r.type, r.type === TYPE.RESULT ? r.flags | more : more, r.stream, length);
    used = begin + length;
    r.type = TYPE.DATA;
    r.head = EMPTY;
    r.from = to;
    if (more) large.push(r);
  }
}

// put writes a part of a body, bytes or a text that is ASCII, and tells its length.
function put(body, from, to, at) {
  if (typeof body === 'string') out.write(body.slice(from, to), at, 'latin1');
  else body.copy(out, at, from, to);
  return to - from;
}

// write tries to write everything, and tells whether it could.
function write(patience) {
  let from = 0;
  while (from < used && !dead) {
    try {
      from += writeSync(FD, out, from, used - from);
    } catch (err) {
      if (err.code !== 'EAGAIN') {
        dead = true;
        gone(err);
      } else if (patience-- > 0) {
        wait(never, 0, 0, 0.05);
      } else {
        out.copyWithin(0, from, used);
        used -= from;
        return false;
      }
    }
  }
  used = 0;
  return true;
}

// drain blocks until the host has taken everything that waits, but for the rest of
// large responses.
function drain() {
  while (!write(PATIENCE)) wait(never, 0, 0, 1);
}

// finish blocks until everything is written: for the end of the process.
function finish() {
  do {
    addLarge();
    drain();
  } while (large.length > 0 && !dead);
}

module.exports = { TYPE, CHUNK, answer, bytes, frame, result, log, finish, onGone };
