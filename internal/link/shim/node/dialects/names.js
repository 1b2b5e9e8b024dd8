'use strict';

// Finds a handler by the names that other vendors give it.

const fs = require('fs');
const path = require('path');
const { RuntimeError } = require('../failures.js');

// locate splits a handler's name into the file to load and the keys of the function in
// it. A name without a file is a function of the package's main file, unless it is that
// of a file.
function locate(loader, root, name, mains) {
  const slash = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', slash);
  if (name.includes('..') || name === '' || name.startsWith('/')) {
    throw new RuntimeError('Runtime.MalformedHandlerName',
      `The handler name '${name}' does not name a file of the archive. Write it as file.function, for example index.handler.`);
  }
  const whole = loader.find(root, name);
  if (whole !== null && dot !== name.length - 1) return { file: name, keys: [] };
  if (dot > slash && dot < name.length - 1) return { file: name.slice(0, dot), keys: name.slice(dot + 1).split('.') };
  return { file: mainOf(loader, root, mains), keys: [name] };
}

// mainOf is the file that package.json names, or the first of mains that is there.
function mainOf(loader, root, mains = ['index']) {
  const main = manifest(root).main;
  if (typeof main === 'string') return path.posix.normalize(main).replace(/^\.\//, '');
  return mains.find((file) => loader.find(root, file) !== null) || mains[0];
}

function manifest(root) {
  try {
    return JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  } catch {
    return {};
  }
}

// handlerIn is the function that keys name in a loaded module; where they name nothing
// and the module itself is a function, that one.
function handlerIn(loader, module, keys, name) {
  const { exported, found } = module;
  for (const base of [exported, exported && exported.default]) {
    let value = base;
    for (const key of keys) value = value === null || value === undefined ? undefined : value[key];
    if (typeof value === 'function') return value;
  }
  if (typeof exported === 'function') return exported;
  if (exported && typeof exported.default === 'function') return exported.default;
  return loader.pick(exported, keys.length > 0 ? keys : ['handler'], name, found);
}

module.exports = { handlerIn, locate, mainOf, manifest };
