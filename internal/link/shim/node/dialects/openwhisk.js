'use strict';

// Apache OpenWhisk: main(params), as an action and as a web action.

const path = require('path');
const event = require('./event.js');
const names = require('./names.js');

async function load(root, name, { init, loader, exclusive }) {
  const { file, keys } = names.locate(loader, root, name);
  if (keys.length === 0) keys.push('main');
  const handler = await find(root, file, keys, name, loader);
  process.env.__OW_ACTION_NAME = `/_/${init.function}`;
  process.env.__OW_ACTION_VERSION = init.version;
  process.env.__OW_NAMESPACE = '_';
  const raw = /^(?:1|true)$/i.test(process.env.__OW_RAW_HTTP || process.env.OW_RAW_HTTP || '');
  const run = async (params, call) => {
    if (exclusive) { // these have one value for each process
      process.env.__OW_ACTIVATION_ID = call.context.awsRequestId;
      process.env.__OW_DEADLINE = String(Date.now() + call.context.getRemainingTimeInMillis());
    }
    const result = await handler(params);
    return result === undefined || result === null ? {} : result;
  };
  return {
    invoke: run,
    http: async (request, call) => answer(await run(paramsOf(request, raw), call)),
  };
}

// find loads the handler. An action of a single file may leave its function without an
// export, as OpenWhisk runs the file as a script.
async function find(root, file, keys, name, loader) {
  const found = loader.find(root, file);
  let module;
  if (found !== null && /\.c?js$/.test(found) && keys.length === 1) {
    module = await asScript(root, found, file, keys[0], loader);
  } else {
    module = await loader.open(root, file);
  }
  return names.handlerIn(loader, module, keys, name);
}

// asScript has the file export its function of that name, where it exports nothing of
// that name itself.
async function asScript(root, found, file, key, loader) {
  const extensions = require('module')._extensions;
  const extension = extensions[path.extname(found)] ? path.extname(found) : '.js';
  const usual = extensions[extension];
  extensions[extension] = (module, filename) => {
    if (filename !== found || !/^[A-Za-z_$][\w$]*$/.test(key)) return usual(module, filename);
    extensions[extension] = usual;
    const compile = module._compile;
    module._compile = (text, ...rest) => {
      module._compile = compile;
      const shared = `;if(typeof ${key}==='function'&&module.exports&&module.exports.${key}===undefined&&typeof module.exports==='object')module.exports.${key}=${key};`;
      return module._compile(`${text}\n${shared}`, ...rest);
    };
    return usual(module, filename);
  };
  try {
    return await loader.open(root, file);
  } finally {
    extensions[extension] = usual;
  }
}

// paramsOf merges the query and, over it, a JSON or form body. Raw web actions get
// both as they are.
function paramsOf(request, raw) {
  const type = event.mediaType(request.headers['content-type']);
  const text = request.body.toString();
  const params = raw ? {} : event.queryOf(request.query);
  let body;
  if (!raw && request.body.length > 0) {
    if (type === 'application/x-www-form-urlencoded') body = event.queryOf(text);
    else if (event.isJSON(type) || type === '') body = event.parsed(text, undefined);
  }
  const merged = body !== null && typeof body === 'object' && !Array.isArray(body);
  if (merged) Object.assign(params, body);
  params.__ow_method = request.method.toLowerCase();
  params.__ow_headers = request.headers;
  params.__ow_path = request.path === '/' ? '' : request.path;
  params.__ow_query = request.query;
  if (!merged && (raw || request.body.length > 0)) params.__ow_body = isText(type) ? text : request.body.toString('base64');
  return params;
}

function isText(type) {
  return type === '' || /^text\/|[/+](?:json|xml|javascript|x-www-form-urlencoded)$/.test(type);
}

// isWeb tells a web result from a plain one that is to be the JSON response itself.
function isWeb(result) {
  if (result === null || typeof result !== 'object' || Array.isArray(result)) return false;
  const keys = Object.keys(result);
  return 'statusCode' in result || (keys.length > 0 && keys.every((key) => key === 'body' || key === 'headers'));
}

function answer(result) {
  if (isWeb(result)) return web(result, 200);
  if (result !== null && typeof result === 'object' && result.error !== undefined) {
    return isWeb(result.error) ? web(result.error, 400) : json(400, result);
  }
  return typeof result === 'string' ? web({ body: result }, 200) : json(200, result);
}

function json(status, value) {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

function web({ statusCode, headers, body }, usual) {
  const said = { ...headers };
  const type = event.header(said, 'content-type');
  const none = body === undefined || body === null || body === '';
  const status = Number(statusCode === undefined ? (none && usual === 200 ? 204 : usual) : statusCode);
  if (none) return { status, headers: said, body: '' };
  if (typeof body !== 'string') {
    if (type === '') said['content-type'] = 'application/json';
    return { status, headers: said, body: JSON.stringify(body) };
  }
  if (type === '') said['content-type'] = 'text/html; charset=utf-8';
  // What is not text travels as base64.
  if (type !== '' && !isText(event.mediaType(type))) return { status, headers: said, body: Buffer.from(body, 'base64') };
  return { status, headers: said, body };
}

module.exports = { load };
