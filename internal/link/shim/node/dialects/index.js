'use strict';

// Handlers written for other vendors. A dialect turns such a handler into one of
// Lambda's shape, (event, context) => promise, so that everything else about an
// invocation, its log, its failures, its end, is the same for all of them.
//
// A dialect exports load(root, name, host), which loads the owner's code and returns
//
//   invoke(payload, call)   what the Invoke API gave, to what it answers
//   http(request, call)     a request of the function's URL, to an answer
//
// (event.js has the shapes of request and answer; call is below). It runs in the
// asynchronous context of its invocation.

const event = require('./event.js');
const loader = require('../loader.js');
const logs = require('../logs.js');
const stream = require('../stream.js');
const { RuntimeError } = require('../failures.js');

const NAMES = ['azure', 'binaris', 'google', 'kubeless', 'openwhisk', 'prototype'];

// loaderOf returns what loads a handler of the dialect that init names.
function loaderOf(init) {
  if (!NAMES.includes(init.dialect)) {
    return async () => {
      throw new RuntimeError('Runtime.InvalidDialect',
        `There is no dialect '${init.dialect}' for Node. Set it to aws or one of ${NAMES.join(', ')}.`);
    };
  }
  const dialect = require(`./${init.dialect}.js`);
  const host = { init, loader, logs, exclusive: init.model !== 'concurrent' };
  return async (root, name) => handlerOf(await dialect.load(root, name, host));
}

// handlerOf is what the shim calls.
function handlerOf({ invoke, http }) {
  return async (payload, context) => {
    const inv = logs.invocation();
    const isRequest = inv.request.http;
    const call = { context, fail: null, begin: isRequest ? (answer) => begin(inv, answer) : null };
    // A handler can fail outside what it returns: fail ends the invocation then.
    const failure = new Promise((_, reject) => { call.fail = reject; });
    const work = isRequest
      ? http(event.requestOf(payload), call).then(event.answerOf)
      : invoke(payload, call);
    return Promise.race([work, failure]);
  };
}

// begin makes the rest of the answer a stream: status and headers leave with what is
// written first. The invocation ends when the answer { streamed: true } is promised.
function begin(inv, { status, headers }) {
  const { statusCode, headers: single, multiValueHeaders = {}, cookies = [] } = event.answerOf({ status, headers });
  for (const [name, values] of Object.entries(multiValueHeaders)) single[name] = values.join(', ');
  inv.response = stream.create(inv, {});
  inv.response.integrate({ statusCode, headers: single, cookies });
  return inv.response;
}

module.exports = { loaderOf };
