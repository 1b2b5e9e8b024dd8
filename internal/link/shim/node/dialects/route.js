'use strict';

// Routes such as products/{category:alpha}/{id:int?} and {*rest}, as Azure has them.

const fs = require('fs');
const path = require('path');

// matcher gives a function that finds the parameters of a path under a route, {} when it
// does not fit. Azure serves routes below the prefix of host.json, api unless it says
// another, Hearth also below the function's own URL: both are understood.
function matcher(route, root) {
  if (!route) return () => ({});
  const wanted = segments(route);
  const prefix = segments(prefixOf(root));
  return (path) => {
    const parts = segments(path).map(decoded);
    const prefixed = prefix.length > 0 && prefix.every((part, i) => parts[i] === part);
    return walk(wanted, parts) || (prefixed ? walk(wanted, parts.slice(prefix.length)) : null) || {};
  };
}

function segments(path) {
  return path.split('/').filter(Boolean);
}

// prefixOf is host.json's extensions.http.routePrefix; http.routePrefix in its version 1.
function prefixOf(root) {
  try {
    const said = JSON.parse(fs.readFileSync(path.join(root, 'host.json'), 'utf8').replace(/^\uFEFF/, ''));
    for (const http of [said.extensions && said.extensions.http, said.http]) {
      if (http && typeof http.routePrefix === 'string') return http.routePrefix;
    }
  } catch { /* there is none, or it is not JSON: the usual one */ }
  return 'api';
}

function walk(wanted, parts) {
  const params = {};
  for (let i = 0; i < wanted.length; i++) {
    const found = /^\{(\*?)([^:?=}]+)((?::[^}?]+)*)(\??)(?:=[^}]*)?\}$/.exec(wanted[i]);
    if (found === null) {
      if (parts[i] === undefined || parts[i].toLowerCase() !== wanted[i].toLowerCase()) return null;
      continue;
    }
    const [, rest, name, , optional] = found;
    if (rest) {
      params[name] = parts.slice(i).join('/');
      return params;
    }
    if (parts[i] === undefined) {
      if (optional) continue;
      return null;
    }
    params[name] = parts[i];
  }
  return parts.length > wanted.length ? null : params;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// urlOf is the whole URL of a request.
function urlOf({ scheme, headers, path, query }) {
  return `${scheme}://${headers.host || 'localhost'}${path}${query === '' ? '' : `?${query}`}`;
}

module.exports = { matcher, urlOf };
