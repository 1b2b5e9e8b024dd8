'use strict';

// Routes such as products/{category:alpha}/{id:int?} and {*rest}, as Azure has them.

// match gives the parameters of a path under a route, {} when it does not fit. Azure
// serves routes below api/, Hearth below the function's own URL: both are understood.
function match(route, path) {
  if (!route) return {};
  const wanted = route.split('/').filter(Boolean);
  const parts = path.split('/').filter(Boolean).map(decoded);
  return walk(wanted, parts) || (parts[0] === 'api' ? walk(wanted, parts.slice(1)) : null) || {};
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

module.exports = { match, urlOf };
