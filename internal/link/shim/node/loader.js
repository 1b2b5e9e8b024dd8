'use strict';

// Finds and loads the handler that a string such as "dir/file.object.function" names.

const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');
const { RuntimeError } = require('./failures.js');

const bare = require; // the shim's own, where a function's has the name

// load returns the handler function; it throws a RuntimeError that says what to do,
// or whatever the owner's code threw while it was loaded.
async function load(taskRoot, name) {
  const { file, keys } = split(name);
  const { exported, found } = await open(taskRoot, file);
  return pick(exported, keys, name, found);
}

// open loads a file of the archive, or whatever node finds under its name: found is
// null then.
async function open(taskRoot, file) {
  const found = find(taskRoot, file);
  try {
    return { exported: await bring(taskRoot, found, file), found };
  } catch (err) {
    throw explain(err, taskRoot, found);
  }
}

function split(name) {
  const bad = (why) => new RuntimeError('Runtime.MalformedHandlerName',
    `The handler name '${name}' ${why}. Write it as file.function, for example index.handler.`);
  if (name.split(/[./]/).length < 2 || name === '') throw bad('has no function in it');
  if (name.includes('..')) throw bad("must not contain '..'");
  const slash = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', slash);
  if (dot < 0 || dot === slash || dot === name.length - 1) throw bad('is not of the form file.function');
  return { file: name.slice(0, dot), keys: name.slice(dot + 1).split('.') };
}

// find returns the file to load: the name as it is, or with one of the extensions.
function find(taskRoot, file) {
  const base = path.resolve(taskRoot, file);
  const extensions = ['', '.js', '.mjs', '.cjs'];
  if (process.features.typescript) extensions.push('.ts', '.mts', '.cts');
  for (const extension of extensions) {
    if (isFile(base + extension)) return base + extension;
  }
  return null;
}

function isFile(name) {
  const stat = fs.statSync(name, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile();
}

function bring(taskRoot, found, file) {
  // Required from a place of its own below the task root, the handler sees neither
  // the shim's modules nor its paths.
  const require = createRequire(path.join(taskRoot, 'handler'));
  if (found === null) return require(resolve(require, taskRoot, file));
  const extension = path.extname(found);
  if (extension === '.mjs' || extension === '.mts' || (/^\.[jt]s$/.test(extension) && isModule(path.dirname(found)))) {
    // Loading this takes as long as the rest of the shim: only ES modules pay for it.
    return import(bare('url').pathToFileURL(found));
  }
  return require(found);
}

// resolve finds a handler that is a directory or a package, as node would.
function resolve(require, taskRoot, file) {
  try {
    return require.resolve('./' + file);
  } catch {
    try {
      return require.resolve(file);
    } catch {
      throw new RuntimeError('Runtime.ImportModuleError',
        `Error: Cannot find module '${file}': the archive holds no ${file}.js, ${file}.mjs or ${file}.cjs. ` +
        `At its top it holds: ${listing(taskRoot)}. Set the handler to a file that is there, or put the file into the archive.`);
    }
  }
}

function listing(directory) {
  try {
    const names = fs.readdirSync(directory, { withFileTypes: true })
      .map((entry) => entry.name + (entry.isDirectory() ? '/' : '')).sort();
    if (names.length === 0) return 'nothing';
    return names.slice(0, 20).join(', ') + (names.length > 20 ? ', …' : '');
  } catch (err) {
    return `(unreadable: ${err.code})`;
  }
}

// isModule tells whether the nearest package.json says "type": "module".
function isModule(directory) {
  for (let at = directory; ; at = path.dirname(at)) {
    if (path.basename(at) === 'node_modules') return false;
    try {
      return JSON.parse(fs.readFileSync(path.join(at, 'package.json'), 'utf8')).type === 'module';
    } catch (err) {
      if (err.code !== 'ENOENT' && err.code !== 'ENOTDIR') return false;
    }
    if (at === path.dirname(at)) return false;
  }
}

function explain(err, taskRoot, found) {
  if (err instanceof RuntimeError) return err;
  if (err instanceof SyntaxError) {
    return new RuntimeError('Runtime.UserCodeSyntaxError', `SyntaxError: ${err.message}${place(err, taskRoot, found)}`, err);
  }
  if (err && (err.code === 'MODULE_NOT_FOUND' || err.code === 'ERR_MODULE_NOT_FOUND')) {
    const hint = missing(err.message);
    return new RuntimeError('Runtime.ImportModuleError', `Error: ${err.message.split('\n')[0]}${hint}`, err);
  }
  return err;
}

function missing(message) {
  const match = /Cannot find (?:module|package) '([^']+)'/.exec(message);
  if (match === null) return '';
  const name = match[1];
  if (name.startsWith('.') || name.startsWith('/')) {
    return `. Is this file in the archive? Names are case-sensitive, and ES modules need the extension.`;
  }
  const parts = name.split('/');
  const pack = name.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
  return `. Is it in node_modules of the archive? Run 'npm install ${pack}' beside package.json and deploy again.`;
}

// place tells the file and line of a syntax error. node puts them on top of the
// stack for CommonJS; for ES modules it tells them only when it dies of them.
function place(err, taskRoot, found) {
  const at = /^(?:file:\/\/)?(\/[^\n]*):(\d+)\n/m;
  let match = at.exec(String(err.stack));
  if (match === null && found !== null) {
    const { spawnSync } = require('child_process');
    const check = spawnSync(process.execPath, ['--check', found], { encoding: 'utf8', timeout: 2000 });
    match = at.exec(String(check.stderr));
    if (match === null) return ` (in ${path.relative(taskRoot, found)} or a file that it imports)`;
  }
  return match === null ? '' : ` (${path.relative(taskRoot, match[1])}:${match[2]})`;
}

function pick(exported, keys, name, found) {
  let value = exported;
  for (const key of keys) value = value === null || value === undefined ? undefined : value[key];
  if (typeof value === 'function') return value;
  const problem = value === undefined || value === null ? 'is undefined or not exported' : `is not a function but ${typeof value}`;
  const functions = Object.keys(Object(exported)).filter((key) => typeof exported[key] === 'function');
  const where = found === null ? 'the module' : path.basename(found);
  const example = `Write exports.${keys.join('.')} = async (event) => … or, in an ES module, export const ${keys[0]} = ….`;
  let others = `${where} exports no functions. ${example}`;
  if (functions.length > 0) {
    others = `${where} exports the functions ${functions.join(', ')}. Set the handler to one of them, or export ${keys.join('.')}.`;
  } else if (typeof exported === 'function') {
    others = `${where} exports a function itself, without a name. ${example}`;
  }
  throw new RuntimeError('Runtime.HandlerNotFound', `${name} ${problem}. ${others}`);
}

module.exports = { explain, find, load, open, pick };
