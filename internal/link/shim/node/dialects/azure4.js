'use strict';

// Azure Functions, model v4: app.http(name, { handler }). The vendor's library
// @azure/functions runs as it is; what is here is the host's side of it, which the
// library looks for as @azure/functions-core.

const path = require('path');
const { format } = require('util');
const event = require('./event.js');
const names = require('./names.js');
const proxy = require('./azureproxy.js');
const { cookie } = require('./azureanswer.js');
const { matcher, urlOf } = require('./route.js');
const { RuntimeError } = require('../failures.js');

const LEVELS = {
  trace: ['TRACE', 2], debug: ['DEBUG', 1], information: ['INFO', 1], none: ['INFO', 1],
  warning: ['WARN', 2], error: ['ERROR', 2], critical: ['FATAL', 2],
};

class Disposable {
  constructor(dispose) { this.dispose = dispose; }
}

// Core is what the library gets for @azure/functions-core.
class Core {
  constructor({ logs }) {
    this.functions = new Map(); // by lower-case name
    this.hooks = new Map(); // callbacks by name
    this.model = null;
    this.appData = {};
    const core = this;
    this.api = {
      version: '4.0.0',
      hostVersion: '4.1000.0',
      Disposable,
      registerHook(name, callback) {
        const list = core.hooks.get(name) || [];
        core.hooks.set(name, list.concat(callback));
        return new Disposable(() => core.hooks.set(name, core.hooks.get(name).filter((one) => one !== callback)));
      },
      registerFunction(metadata, callback) {
        core.functions.set(metadata.name.toLowerCase(), { metadata, callback });
        return new Disposable(() => core.functions.delete(metadata.name.toLowerCase()));
      },
      setProgrammingModel(model) { core.model = model; },
      getProgrammingModel: () => core.model,
      log(level, category, message) {
        // The library's chatter about itself is nobody's log.
        if (category === 'system' && !['warning', 'error', 'critical'].includes(level)) return;
        const [word, fd] = LEVELS[level] || LEVELS.information;
        logs.line(word, fd, format(message));
      },
    };
  }

  async run(name, context) {
    for (const callback of this.hooks.get(name) || []) await callback({ hookData: {}, appHookData: this.appData, ...context });
  }
}

async function load(root, name, host) {
  const core = new Core(host);
  supply(core.api);
  const keys = await open(root, name, host);
  const found = pick(core, name, keys, host);
  const capabilities = core.model === null ? {} : await core.model.getCapabilities({});
  await core.run('appStart', { functionAppDirectory: root });
  const trigger = Object.values(found.metadata.bindings).find((b) => /trigger$/i.test(b.type));
  const serve = { core, found, trigger, host, uri: capabilities.HttpUri, match: matcher(trigger.route, root) };
  return trigger.type.toLowerCase() === 'httptrigger' ? event.viaRequests((request, call) => serveHTTP(serve, request, call)) : {
    invoke: (payload, call) => serveEvent(serve, payload, call),
    http: async (request, call) => {
      const text = request.body.toString();
      const value = await serveEvent(serve, event.parsed(text, text), call);
      return { status: value === null ? 204 : 200, headers: { 'content-type': 'application/json' }, body: value === null ? '' : JSON.stringify(value) };
    },
  };
}

// supply makes require('@azure/functions-core') find the host's side.
function supply(api) {
  const Module = require('module');
  const loadModule = Module._load;
  Module._load = function load(request, ...rest) {
    return request === '@azure/functions-core' ? api : loadModule.call(this, request, ...rest);
  };
}

// open loads the file that the handler's name leads to, else the package's main ones:
// package.json may name several with a pattern.
async function open(root, name, { loader }) {
  const { file, keys } = names.locate(loader, root, name);
  if (loader.find(root, file) !== null) {
    await loader.open(root, file);
    return keys;
  }
  const { main } = names.manifest(root);
  const files = typeof main === 'string' ? expand(root, main) : [];
  if (files.length === 0) await loader.open(root, file); // which has the words for it
  for (const one of files) await loader.open(root, one);
  return keys;
}

// expand finds the files of a pattern such as src/functions/*.js or {a,b}/**/*.js.
function expand(root, pattern) {
  const fs = require('fs');
  const text = pattern.replace(/^\.\//, '');
  if (!/[*{?]/.test(text)) return [text];
  const expression = text.replace(/[.+^$()|[\]\\]/g, '\\$&').replace(/\*\*\/|\*|\?|\{|\}|,/g,
    (part) => ({ '**/': '(?:.*/)?', '*': '[^/]*', '?': '[^/]', '{': '(?:', '}': ')', ',': '|' }[part]));
  const whole = new RegExp(`^${expression}$`);
  const found = [];
  const walk = (dir) => {
    for (const entry of fs.readdirSync(path.join(root, dir), { withFileTypes: true })) {
      const below = dir === '' ? entry.name : `${dir}/${entry.name}`;
      if (entry.isDirectory() && entry.name !== 'node_modules') walk(below);
      else if (whole.test(below)) found.push(below);
    }
  };
  walk('');
  return found.sort();
}

// pick finds the registered function: of the handler's name, of the Hearth function's
// name, or the only one there is.
function pick({ functions }, name, keys, { init }) {
  for (const candidate of [keys[keys.length - 1], name, path.posix.basename(name), init.function]) {
    const found = candidate === undefined ? undefined : functions.get(candidate.toLowerCase());
    if (found !== undefined) return found;
  }
  if (functions.size === 1) return [...functions.values()][0];
  const known = [...functions.values()].map(({ metadata }) => metadata.name);
  throw new RuntimeError('Runtime.HandlerNotFound', known.length === 0
    ? `The code of '${name}' registers no function. Register one, for example app.http('hello', { handler: async (request, context) => … }).`
    : `The code of '${name}' registers the functions ${known.join(', ')}, none of that name. Set the handler to one of them, for example index.${known[0]}.`);
}

async function serveHTTP(serve, request, call) {
  const { trigger, uri } = serve;
  const methods = trigger.methods || [];
  if (methods.length > 0 && !methods.some((m) => m.toUpperCase() === request.method)) return { status: 404, headers: {}, body: '' };
  const params = serve.match(request.path);
  const url = urlOf(request);
  if (uri !== undefined) {
    // The library takes the request over HTTP, to stream it.
    const work = run(serve, {}, call, { Headers: { json: JSON.stringify(request.headers) }, ...stringsOf(params) });
    return proxy.send(uri, request, call, work);
  }
  const data = {
    http: { method: request.method, url, headers: request.headers, params, query: undefined, body: { bytes: request.body } },
  };
  const response = await run(serve, data, call, {});
  return answerOf(response.returnValue);
}

function stringsOf(params) {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, { string: value }]));
}

async function serveEvent(serve, payload, call) {
  const data = typeof payload === 'string' ? { string: payload } : { json: JSON.stringify(payload) };
  const response = await run(serve, data, call, {});
  if (response.returnValue !== null && response.returnValue !== undefined) return plain(response.returnValue);
  const outputs = Object.fromEntries((response.outputData || []).map(({ name, data: value }) => [name, plain(value)]));
  return Object.keys(outputs).length === 0 ? null : outputs;
}

// run takes one invocation through the library, as the vendor's host does.
async function run({ core, found, trigger, host }, data, call, triggerMetadata) {
  const { metadata, callback } = found;
  const id = call.context.awsRequestId;
  const hookData = {};
  const invocation = {
    hookData, invocationId: id, metadata, state: undefined, log: core.api.log,
    request: {
      invocationId: id, functionId: metadata.name, triggerMetadata, retryContext: null,
      traceContext: { traceParent: call.context.xRayTraceId || '', traceState: '', attributes: {} },
      inputData: [{ name: trigger.name, data }],
    },
  };
  const model = core.model.getInvocationModel(invocation);
  const { context, inputs } = await model.getArguments();
  const before = { hookData, appHookData: core.appData, invocationContext: context, inputs, functionCallback: callback };
  invocation.state = 'preInvocationHooks';
  await core.run('preInvocation', before);
  const outcome = { hookData, appHookData: core.appData, invocationContext: context, inputs: before.inputs, result: null, error: null };
  invocation.state = undefined;
  try {
    outcome.result = await model.invokeFunction(context, before.inputs, before.functionCallback);
  } catch (err) {
    outcome.error = err;
  }
  invocation.state = 'postInvocationHooks';
  await core.run('postInvocation', outcome);
  if (outcome.error !== null && outcome.error !== undefined) throw outcome.error;
  return model.getResponse(context, outcome.result);
}

function plain(value) {
  if (value === null || value === undefined) return null;
  if (value.string !== undefined) return value.string;
  if (value.json !== undefined) return event.parsed(value.json, value.json);
  if (value.bytes !== undefined) return Buffer.from(value.bytes).toString('base64');
  if (value.int !== undefined) return value.int;
  return value.double !== undefined ? value.double : null;
}

function answerOf(value) {
  if (value === null || value === undefined) return { status: 204, headers: {}, body: '' };
  const { statusCode, headers, cookies, body } = value.http;
  const all = { ...headers };
  if (cookies && cookies.length > 0) all['set-cookie'] = cookies.map((one) => cookie(unwrapped(one)));
  return { status: Number(statusCode), headers: all, body: body && body.bytes ? Buffer.from(body.bytes) : (body && body.string) || '' };
}

// unwrapped takes the library's optional values out of their boxes.
function unwrapped(boxed) {
  const sites = { lax: 'Lax', strict: 'Strict', explicitNone: 'None' };
  const one = {};
  for (const [key, value] of Object.entries(boxed)) {
    one[key] = value !== null && typeof value === 'object' && 'value' in value ? value.value : value;
  }
  if (one.expires && one.expires.seconds !== undefined) one.expires = Number(one.expires.seconds) * 1000;
  one.sameSite = sites[one.sameSite];
  return one;
}

module.exports = { load };
