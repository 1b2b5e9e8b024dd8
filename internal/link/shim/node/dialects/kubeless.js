'use strict';

// Kubeless: module.exports = { name(event, context) {…} }.

const event = require('./event.js');
const express = require('./express.js');
const message = require('./message.js');
const names = require('./names.js');

async function load(root, name, { init, loader }) {
  const { file, keys } = names.locate(loader, root, name, ['handler', 'index']);
  const handler = names.handlerIn(loader, await loader.open(root, file), keys, name);
  const surroundings = {
    'function-name': keys.length > 0 ? keys[keys.length - 1] : init.function,
    runtime: `nodejs${process.versions.node}`,
    'memory-limit': `${init.memoryMB}Mi`,
  };
  const run = (data, req, res, call) => handler({
    'event-type': req.get('event-type'),
    'event-id': req.get('event-id') || call.context.awsRequestId,
    'event-time': req.get('event-time') || new Date().toISOString(),
    'event-namespace': req.get('event-namespace') || 'hearth',
    data,
    extensions: { request: req, response: res },
  }, { ...surroundings, timeout: String(Math.ceil(call.context.getRemainingTimeInMillis() / 1000)) });

  return {
    http: (request, call) => message.exchange(request, async (req, res) => {
      const data = dataOf(request);
      req.body = data;
      req.rawBody = request.body;
      send(res, await run(data, req, res, call));
    }, call.begin, express.classes),
    async invoke(payload, call) {
      let value;
      const answer = await message.exchange(event.requestFor(payload), async (req, res) => {
        req.body = payload;
        value = await run(payload, req, res, call);
        if (!res.writableEnded) res.end();
      }, null, express.classes);
      return answer.body.length > 0 ? event.valueOf(answer) : value;
    },
  };
}

// dataOf: a body that is sent as JSON is parsed, another text is text.
function dataOf(request) {
  const type = event.mediaType(request.headers['content-type']);
  const text = request.body.toString();
  if (request.body.length === 0) return event.isJSON(type) ? {} : '';
  if (event.isJSON(type)) return event.parsed(text, text);
  if (type === 'application/x-www-form-urlencoded') return event.queryOf(text);
  return type.startsWith('multipart/') || type === 'application/octet-stream' ? request.body : text;
}

function send(res, value) {
  if (res.writableEnded) return;
  if (value === undefined) res.end();
  else if (typeof value === 'string') res.end(value);
  else res.json(value);
}

module.exports = { load };
