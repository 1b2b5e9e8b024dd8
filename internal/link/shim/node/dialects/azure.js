'use strict';

// Azure Functions. With @azure/functions 4 or later in the archive, and no function.json
// that the handler's name leads to, it is the v4 model; else that of v1 to v3.

const fs = require('fs');
const path = require('path');
const names = require('./names.js');
const v3 = require('./azure3.js');
const v4 = require('./azure4.js');

async function load(root, name, host) {
  const described = describe(root, name, host);
  if (described === null && major(root) >= 4) return v4.load(root, name, host);
  return v3.load(root, name, host, described);
}

// describe finds the function.json that belongs to a handler's name: of a folder of that
// name, or beside the file; null when there is none. dir is where it lies.
function describe(root, name, { init, loader }) {
  const { file } = names.locate(loader, root, name);
  for (const dir of [name, name.replace(/\..*$/, ''), path.posix.dirname(file), init.function]) {
    const where = path.join(root, dir, 'function.json');
    if (dir.includes('..') || !fs.existsSync(where)) continue;
    return { dir, ...JSON.parse(fs.readFileSync(where, 'utf8').replace(/^\uFEFF/, '')) };
  }
  return null;
}

function major(root) {
  try {
    const own = path.join(root, 'node_modules/@azure/functions/package.json');
    return parseInt(JSON.parse(fs.readFileSync(own, 'utf8')).version, 10);
  } catch {
    const said = { ...names.manifest(root).dependencies }['@azure/functions'];
    return said === undefined ? 0 : parseInt(String(said).replace(/^[^\d]*/, ''), 10) || 0;
  }
}

module.exports = { load };
