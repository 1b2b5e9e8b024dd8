'use strict';

// Google Cloud Functions: (req, res), background functions and CloudEvents.
//
// Where the archive brings @google-cloud/functions-framework, requests go through that
// very framework, in this process and without a socket. Where it does not, what is
// here stands in for it.

const path = require('path');
const { createRequire } = require('module');
const event = require('./event.js');
const express = require('./express.js');
const message = require('./message.js');
const names = require('./names.js');
const { RuntimeError } = require('../failures.js');

const FRAMEWORK = '@google-cloud/functions-framework';
const ALIAS = 'hearth-function'; // under which the framework is given the function

async function load(root, name, host) {
  const framework = findFramework(root) || standIn();
  const { file, keys } = names.locate(host.loader, root, name, ['index', 'function']);
  const module = await host.loader.open(root, file);
  const target = process.env.FUNCTION_TARGET || keys[keys.length - 1] || name;
  const registered = framework.registered(target);
  const handler = registered ? registered.userFunction : names.handlerIn(host.loader, module, keys, name);
  const kind = registered ? registered.signatureType : kindOf(handler);
  switch (kind) {
    case 'http': return event.viaRequests(framework.serveHTTP(handler, host));
    case 'cloudevent': return cloudEvents(handler, framework, host);
    case 'event': return background(handler, framework, host);
    default:
      throw new RuntimeError('Runtime.InvalidSignatureType',
        `FUNCTION_SIGNATURE_TYPE is '${kind}'; it must be http, event or cloudevent.`);
  }
}

// kindOf is the signature of a function that is merely exported: what
// FUNCTION_SIGNATURE_TYPE says; else it is told by the parameters.
function kindOf(handler) {
  const said = process.env.FUNCTION_SIGNATURE_TYPE;
  if (said) return said;
  const second = secondParameter(handler);
  return handler.length >= 3 || isCallback(second) || isContext(second) ? 'event' : 'http';
}

const isCallback = (parameter) => /^(?:callback|cb|done)$/.test(parameter);
const isContext = (parameter) => /^_?(?:context|ctx|metadata)$/.test(parameter);

function secondParameter(handler) {
  const text = Function.prototype.toString.call(handler);
  const list = /^[^(]*\(([^)]*)\)/.exec(text);
  const second = list === null ? undefined : list[1].split(',')[1];
  return second === undefined ? '' : second.replace(/\/\*.*?\*\//g, '').trim().split(/[\s=:]/)[0];
}

// background serves (data, context[, callback]), and (event, callback) as it was for
// the first of Google's runtimes.
function background(handler, framework, host) {
  const run = (data, context) => new Promise((resolve, reject) => {
    const done = (err, result) => (err ? reject(err) : resolve(result));
    const old = isCallback(secondParameter(handler)) && handler.length === 2;
    const result = old ? handler({ data, context, ...context }, done) : handler(data, context, done);
    if (handler.length < 3 && !old) resolve(result);
    else if (result !== undefined && typeof result.then === 'function') result.then(resolve, reject);
  });
  return {
    async invoke(payload, call) {
      const { data, context } = isBackground(payload) ? split(payload) : { data: payload, context: contextFor(call, host) };
      const result = await run(data, context);
      return result === undefined ? null : result;
    },
    http: framework.serveHTTP(async (req, res) => {
      const { data, context } = fromRequest(req);
      respond(res, await run(data, context));
    }, host),
  };
}

function isBackground(body) {
  return body !== null && typeof body === 'object' && 'data' in body &&
    ('context' in body || 'specversion' in body || 'eventId' in body);
}

// split: context is said apart, or is all that is not data.
function split(body) {
  if (body.context !== undefined) return { data: body.data, context: body.context };
  const { data, ...rest } = body;
  return { data, context: rest.specversion === undefined ? rest : fromCloudEvent(rest) };
}

function fromRequest(req) {
  if (req.get('ce-type') === undefined) return split(Object(req.body));
  const attributes = {};
  for (const [name, value] of Object.entries(req.headers)) {
    if (name.startsWith('ce-')) attributes[name.slice(3)] = value;
  }
  return { data: req.body, context: fromCloudEvent(attributes) };
}

function fromCloudEvent({ id, time, type, source, subject, ...rest }) {
  return { eventId: id, timestamp: time, eventType: type, resource: subject ? `${source}/${subject}` : source, ...rest };
}

function contextFor(call, { init }) {
  return {
    eventId: call.context.awsRequestId, timestamp: new Date().toISOString(),
    eventType: 'hearth.invoke', resource: init.arn,
  };
}

// cloudEvents: an Invoke payload that is no CloudEvent becomes the data of one.
function cloudEvents(handler, framework, host) {
  const http = framework.serveCloudEvents(handler, host);
  return {
    http,
    async invoke(payload, call) {
      const isOne = payload !== null && typeof payload === 'object' && payload.specversion !== undefined;
      const about = contextFor(call, host);
      const one = isOne ? payload : {
        specversion: '1.0', id: about.eventId, time: about.timestamp, type: about.eventType, source: about.resource,
        datacontenttype: 'application/json', data: payload,
      };
      return event.valueOf(await http(event.requestFor(one, 'application/cloudevents+json'), call));
    },
  };
}

// respond sends what an event function returned, as the framework does.
function respond(res, result) {
  if (result === undefined || result === null) res.sendStatus(204);
  else if (typeof result === 'number') res.json(result);
  else res.send(result);
}

// findFramework is the archive's framework, null when it brings none.
function findFramework(root) {
  const require = createRequire(path.join(root, 'handler'));
  let api;
  let getTestServer;
  let registry;
  try {
    const main = require.resolve(FRAMEWORK);
    api = require(main);
    getTestServer = require(`${FRAMEWORK}/testing`).getTestServer;
    registry = require(path.join(path.dirname(main), 'function_registry.js'));
  } catch (err) {
    if (err.code === 'MODULE_NOT_FOUND' || err.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return null;
    throw err;
  }
  // serverOf registers a function that reports what it throws, and hands back the
  // framework's own application around it.
  const serverOf = (register, handler, { logs }) => {
    const failures = new WeakMap(); // by invocation
    const fail = (err) => {
      const call = failures.get(logs.invocation());
      if (call === undefined) throw err;
      call.fail(err);
    };
    register(ALIAS, watched(handler, fail));
    const server = getTestServer(ALIAS);
    return (request, call) => {
      failures.set(logs.invocation(), call);
      return message.exchange(request, (req, res) => { server.emit('request', req, res); }, call.begin);
    };
  };
  return {
    registered: (target) => registry.getRegisteredFunction(target),
    serveHTTP: (handler, host) => serverOf(api.http, handler, host),
    serveCloudEvents: (handler, host) => serverOf(api.cloudEvent, handler, host),
  };
}

// watched is handler, except that its failures go to fail and it does not return then:
// the framework would make an answer of them.
function watched(handler, fail) {
  const around = function around(...args) {
    if (process.domain) process.domain.prependListener('error', fail); // what it throws later
    try {
      const last = args[args.length - 1];
      if (args.length === handler.length && typeof last === 'function' && last.name !== 'next') {
        args[args.length - 1] = (err, result) => (err ? fail(err) : last(null, result));
      }
      const result = handler.apply(this, args);
      if (result === null || result === undefined || typeof result.then !== 'function') return result;
      return result.then((value) => value, (err) => {
        fail(err);
        return new Promise(() => {});
      });
    } catch (err) {
      fail(err);
      return new Promise(() => {});
    }
  };
  // The framework tells callbacks by the number of parameters.
  return Object.defineProperty(around, 'length', { value: handler.length });
}

// standIn is what an archive without the framework gets, also when it requires it.
function standIn() {
  const known = new Map();
  const register = (signatureType) => (name, userFunction) => { known.set(name, { signatureType, userFunction }); };
  const api = { http: register('http'), cloudEvent: register('cloudevent') };
  provide(FRAMEWORK, api);
  const serveHTTP = (handler) => (request, call) => message.exchange(request, (req, res) => {
    if (/^\/(?:favicon\.ico|robots\.txt)$/.test(request.path)) return res.status(404).send(null);
    if (!parseBody(req, request.body)) return res.status(400).send('The request says that its body is JSON, but it is not.');
    return handler(req, res);
  }, call.begin, express.classes);
  const serveCloudEvents = (handler) => serveHTTP(async (req, res) => {
    if (req.method !== 'POST') return res.sendStatus(404);
    respond(res, await new Promise((resolve, reject) => {
      const result = handler(cloudEventOf(req), (err, value) => (err ? reject(err) : resolve(value)));
      if (handler.length < 2 || (result && typeof result.then === 'function')) resolve(result);
    }));
  });
  return { registered: (target) => known.get(target), serveHTTP, serveCloudEvents };
}

// provide makes require(name) find exported, for CommonJS.
function provide(name, exported) {
  const Module = require('module');
  const loadModule = Module._load;
  Module._load = function load(request, ...rest) {
    return request === name ? exported : loadModule.call(this, request, ...rest);
  };
}

function cloudEventOf(req) {
  if (req.get('ce-id') === undefined) return req.body;
  const one = { data: req.body };
  for (const [name, value] of Object.entries(req.headers)) {
    if (name.startsWith('ce-')) one[name.slice(3)] = value;
  }
  if (req.headers['content-type']) one.datacontenttype = req.headers['content-type'];
  return one;
}

// parseBody sets req.body and req.rawBody; it is false for bad JSON.
function parseBody(req, bytes) {
  req.body = {};
  if (bytes.length === 0) return true;
  req.rawBody = bytes;
  const type = event.mediaType(req.headers['content-type']);
  if (type === 'application/json' || type === 'application/cloudevents+json') {
    req.body = event.parsed(bytes.toString(), undefined);
    return req.body !== null && typeof req.body === 'object';
  }
  if (type === 'text/plain') req.body = bytes.toString();
  else if (type === 'application/x-www-form-urlencoded') req.body = event.queryOf(bytes.toString());
  else req.body = bytes;
  return true;
}

module.exports = { load };
