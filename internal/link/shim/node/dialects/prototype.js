'use strict';

// The prototype of seed 004: a module is a function from an input to an output.

const event = require('./event.js');
const names = require('./names.js');

async function load(root, name, { loader }) {
  const { file, keys } = names.locate(loader, root, name);
  const handler = names.handlerIn(loader, await loader.open(root, file), keys, name);
  return {
    invoke: async (payload) => handler(payload),
    http: async (request) => answer(await handler(inputOf(request))),
  };
}

// inputOf: a body that is JSON is the input; any other is, as text.
function inputOf(request) {
  const text = request.body.toString();
  return text === '' ? {} : event.parsed(text, text);
}

function answer(output) {
  if (output === undefined) return { status: 200, headers: {}, body: '' };
  if (typeof output === 'string') return { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: output };
  return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(output) };
}

module.exports = { load };
