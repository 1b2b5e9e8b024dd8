'use strict';

// Azure Functions, models v1 to v3: (context, ...inputs), function.json.

const path = require('path');
const { format } = require('util');
const event = require('./event.js');
const names = require('./names.js');
const { matcher, urlOf } = require('./route.js');
const { headersOf, httpAnswer } = require('./azureanswer.js');

const HTTP = [
  { type: 'httpTrigger', direction: 'in', name: 'req' },
  { type: 'http', direction: 'out', name: 'res' },
];

async function load(root, name, host, described) {
  const shape = shapeOf(described);
  const handler = await find(root, name, host, described);
  const match = matcher(shape.trigger.route, root);
  const run = (values, call) => runOnce(handler, shape, values, host, call);
  const ofRequest = async (request, call) => {
    const params = match(request.path);
    const { methods } = shape.trigger;
    if (Array.isArray(methods) && methods.length > 0 && !methods.some((m) => m.toUpperCase() === request.method)) {
      return { status: 404, headers: {}, body: '' };
    }
    const outcome = await run(requestFor(request, params), call);
    return httpAnswer(outcome[shape.answer]);
  };
  if (shape.trigger.type === 'httpTrigger') return event.viaRequests(ofRequest);
  const ofEvent = async (payload, call) => {
    const outcome = await run(payload, call);
    const outputs = Object.keys(outcome).filter((key) => key !== '$return');
    if (outcome.$return !== undefined) return outcome.$return;
    return outputs.length === 0 ? null : outcome;
  };
  return {
    invoke: ofEvent,
    http: async (request, call) => {
      const text = request.body.toString();
      const value = await ofEvent(event.parsed(text, text), call);
      return { status: value === null ? 204 : 200, headers: { 'content-type': 'application/json' }, body: value === null ? '' : JSON.stringify(value) };
    },
  };
}

// shapeOf sorts the bindings of function.json; without one it is an HTTP function.
function shapeOf(described) {
  const bindings = described === null || !Array.isArray(described.bindings) ? HTTP : described.bindings;
  const out = bindings.filter((b) => b.direction === 'out');
  const http = out.find((b) => b.type === 'http');
  return {
    bindings,
    in: bindings.filter((b) => b.direction !== 'out'),
    trigger: bindings.find((b) => /trigger$/i.test(b.type)) || HTTP[0],
    out,
    answer: http === undefined ? 'res' : http.name, // where the response is to be found
    dir: described === null ? '' : described.dir,
  };
}

// find loads the function: what scriptFile and entryPoint say, else what the handler's
// name does; of a module with a single function, that one.
async function find(root, name, { loader }, described) {
  let { file, keys } = names.locate(loader, root, name);
  if (described !== null) {
    const script = described.scriptFile || 'index';
    const scripted = path.posix.normalize(path.posix.join(described.dir, script));
    if (described.scriptFile || loader.find(root, file) === null) {
      file = scripted;
      keys = [];
    }
    if (described.entryPoint) keys = [described.entryPoint];
  }
  const module = await loader.open(root, file);
  const base = module.exported && module.exported.default !== undefined && typeof module.exported !== 'function' ? module.exported.default : module.exported;
  if (keys.length === 0 && base !== null && typeof base === 'object') {
    const functions = Object.keys(base).filter((key) => typeof base[key] === 'function');
    const one = ['run', 'index'].find((key) => functions.includes(key)) || (functions.length === 1 ? functions[0] : undefined);
    if (one !== undefined) return base[one].bind(base);
  }
  return names.handlerIn(loader, module, keys, name);
}

// runOnce calls the handler and promises its outputs by binding name.
function runOnce(handler, shape, value, host, call) {
  return new Promise((resolve, reject) => {
    const context = contextFor(shape, value, host, call);
    let ended = false;
    const finish = (outputs) => {
      if (ended) return;
      ended = true;
      resolve(collect(shape, context, outputs));
    };
    context.done = (err, outputs) => {
      if (err) reject(err);
      else finish(outputs);
    };
    context.res = respondWith(() => finish());
    const inputs = shape.in.map((b) => context.bindings[b.name]);
    const result = handler(context, ...inputs);
    if (result !== null && result !== undefined && typeof result.then === 'function') result.then(finish, reject);
    else if (result !== undefined) finish(result);
  });
}

// collect gathers the outputs: what the function gave, over what it has set.
function collect(shape, context, given) {
  const all = {};
  for (const { name, type } of shape.out) {
    const set = name === '$return' ? undefined : context.bindings[name];
    if (set !== undefined) all[name] = set;
    if (type === 'http' && name !== '$return' && touched(context.res)) all[name] = context.res;
  }
  if (given === undefined) return fallBack(shape, all, context);
  if (shape.out.some((b) => b.name === '$return')) all.$return = given;
  const named = given !== null && typeof given === 'object' ? shape.out.filter((b) => Object.hasOwn(given, b.name)) : [];
  for (const { name } of named) all[name] = given[name];
  // Said without the binding's name, it is the response if there is one to be given.
  if (named.length === 0 && !shape.out.some((b) => b.name === '$return') && all[shape.answer] === undefined) all[shape.answer] = given;
  return fallBack(shape, all, context);
}

// fallBack: context.res also answers for a binding of another name.
function fallBack(shape, all, context) {
  if (all[shape.answer] === undefined && touched(context.res)) all[shape.answer] = context.res;
  return all;
}

function touched(res) {
  return res !== undefined && !(res instanceof Response && !res.set$);
}

// Response is what context.res is until the function puts another in its place.
class Response {
  #end;

  constructor(end) {
    this.#end = end;
    Object.defineProperty(this, 'set$', { value: false, writable: true });
    this.headers = {};
    return new Proxy(this, {
      set(target, key, value) {
        target.set$ = true;
        target[key] = value;
        return true;
      },
      get: (target, key) => (typeof target[key] === 'function' ? target[key].bind(target) : target[key]),
    });
  }

  change(key, value) {
    this.set$ = true;
    if (key !== undefined) this[key] = value;
    return this;
  }

  status(code) { return this.change('statusCode', code); }

  setHeader(name, value) {
    this.headers[String(name).toLowerCase()] = value;
    return this.change();
  }

  header(name, value) { return this.setHeader(name, value); }

  set(name, value) { return this.setHeader(name, value); }

  getHeader(name) { return this.headers[String(name).toLowerCase()]; }

  get(name) { return this.getHeader(name); }

  removeHeader(name) {
    delete this.headers[String(name).toLowerCase()];
    return this;
  }

  type(type) { return this.setHeader('content-type', type); }

  json(body) {
    this.type('application/json');
    return this.send(body);
  }

  send(body) {
    if (body !== undefined) this.change('body', body);
    return this.end();
  }

  end(body) {
    if (body !== undefined) this.change('body', body);
    this.change();
    this.#end();
    return this;
  }

  sendStatus(code) {
    this.status(code);
    return this.end();
  }
}

const respondWith = (end) => new Response(end);

function contextFor(shape, value, { init, logs }, call) {
  const { context } = call;
  const bindings = {};
  for (const b of shape.in) if (b !== shape.trigger) bindings[b.name] = undefined;
  bindings[shape.trigger.name] = value;
  const id = context.awsRequestId;
  const isRequest = shape.trigger.type === 'httpTrigger';
  const say = (level, fd) => (...args) => logs.line(level, fd, format(...args));
  return {
    invocationId: id,
    executionContext: {
      invocationId: id, functionName: init.function, functionDirectory: path.posix.join(init.taskRoot, shape.dir), retryContext: null,
    },
    bindings,
    bindingData: { invocationId: id, ...(isRequest ? { ...value.query, ...value.params, headers: value.headers, query: value.query } : {}) },
    bindingDefinitions: shape.bindings.map(({ name, type, direction = 'in' }) => ({ name, type, direction })),
    traceContext: { traceparent: isRequest ? value.headers.traceparent || null : null, tracestate: null, attributes: {} },
    log: Object.assign(say('INFO', 1), {
      error: say('ERROR', 2), warn: say('WARN', 2), info: say('INFO', 1), verbose: say('DEBUG', 1), metric: say('INFO', 1),
    }),
    req: isRequest ? value : undefined,
  };
}

// requestFor is the request that the handler sees.
function requestFor(request, params) {
  const { headers } = request;
  const type = headers['content-type'];
  const text = request.body.toString();
  const binary = /^(?:application\/octet-stream|image\/|audio\/|video\/|multipart\/)/.test(event.mediaType(type));
  let body;
  if (request.body.length > 0) body = binary ? request.body : event.isJSON(type) ? event.parsed(text, text) : text;
  return {
    method: request.method,
    url: urlOf(request),
    originalUrl: urlOf(request),
    headers: headersOf(headers),
    query: event.queryOf(request.query),
    params,
    body,
    rawBody: request.body.length > 0 ? text : undefined,
    bufferBody: request.body.length > 0 ? request.body : undefined,
    get: (name) => headers[String(name).toLowerCase()],
    user: null,
  };
}

module.exports = { load };
