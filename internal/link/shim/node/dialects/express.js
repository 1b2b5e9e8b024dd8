'use strict';

// What an Express application adds to node's requests and responses: the part of it
// that handlers of cloud functions use. Where the archive brings Express, or a
// framework that does, that one runs instead.

const http = require('http');
const { STATUS_CODES } = http;
const event = require('./event.js');

const TYPES = {
  html: 'text/html', htm: 'text/html', txt: 'text/plain', text: 'text/plain', json: 'application/json',
  xml: 'application/xml', css: 'text/css', js: 'text/javascript', csv: 'text/csv', svg: 'image/svg+xml',
  png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp', pdf: 'application/pdf',
  bin: 'application/octet-stream', form: 'application/x-www-form-urlencoded', urlencoded: 'application/x-www-form-urlencoded',
};

// typeOf is the full media type that a short name such as 'json' stands for.
function typeOf(name) {
  if (name.includes('/')) return name;
  const short = name.replace(/^.*\./, '').toLowerCase();
  return TYPES[short] || 'application/octet-stream';
}

class Request extends http.IncomingMessage {
  get(name) {
    const key = String(name).toLowerCase();
    if (key === 'referer' || key === 'referrer') return this.headers.referer || this.headers.referrer;
    return this.headers[key];
  }

  header(name) { return this.get(name); }

  get originalUrl() { return this.url; }

  get baseUrl() { return ''; }

  get path() { return this.url.split('?')[0]; }

  get query() {
    const at = this.url.indexOf('?');
    return this._query || (this._query = event.queryOf(at < 0 ? '' : this.url.slice(at + 1)));
  }

  set query(value) { this._query = value; }

  get params() { return this._params || (this._params = { 0: this.path.slice(1) }); }

  set params(value) { this._params = value; }

  get protocol() { return String(this.headers['x-forwarded-proto'] || 'http').split(',')[0].trim(); }

  get secure() { return this.protocol === 'https'; }

  get ips() { return String(this.headers['x-forwarded-for'] || '').split(',').map((s) => s.trim()).filter(Boolean); }

  get ip() { return this.ips[0] || this.socket.remoteAddress; }

  get host() { return String(this.headers['x-forwarded-host'] || this.headers.host || '').split(',')[0].trim(); }

  get hostname() { return this.host.replace(/:\d+$/, ''); }

  get subdomains() { return this.hostname.split('.').reverse().slice(2); }

  get xhr() { return String(this.headers['x-requested-with'] || '').toLowerCase() === 'xmlhttprequest'; }

  get fresh() { return false; }

  get stale() { return true; }

  // is tells which of the types the body has, or false; null when there is no body.
  is(...types) {
    if (this.headers['content-length'] === undefined && this.headers['transfer-encoding'] === undefined) return null;
    const own = event.mediaType(this.headers['content-type']);
    if (own === '') return false;
    return types.flat().find((type) => matches(type.startsWith('+') ? `*/*${type}` : typeOf(type), own)) || false;
  }

  // accepts tells which of the types the caller likes best, or false.
  accepts(...types) {
    const wanted = String(this.headers.accept || '*/*').split(',').map((part, at) => {
      const [type, ...rest] = part.split(';').map((s) => s.trim());
      const q = rest.find((s) => s.startsWith('q='));
      return { type: type.toLowerCase(), q: q === undefined ? 1 : Number(q.slice(2)) || 0, at };
    }).filter(({ q }) => q > 0).sort((a, b) => b.q - a.q || a.at - b.at);
    const offered = types.flat();
    if (offered.length === 0) return wanted.map(({ type }) => type);
    for (const { type } of wanted) {
      const found = offered.find((offer) => matches(type, typeOf(offer)));
      if (found !== undefined) return found;
    }
    return false;
  }
}

// matches tells whether a media type falls under a pattern such as text/*, */*+json.
function matches(pattern, type) {
  const [major, minor = '*'] = pattern.split('/');
  const [ownMajor, ownMinor = ''] = type.split('/');
  if (major !== '*' && major !== ownMajor) return false;
  return minor === '*' || minor === ownMinor || (minor.startsWith('*+') && ownMinor.endsWith(minor.slice(1)));
}

class Response extends http.ServerResponse {
  constructor(req) {
    super(req);
    this.req = req;
    this.locals = {};
  }

  status(code) {
    this.statusCode = code;
    return this;
  }

  sendStatus(code) {
    return this.status(code).type('txt').send(STATUS_CODES[code] || String(code));
  }

  set(name, value) {
    if (typeof name === 'object') {
      for (const key of Object.keys(name)) this.set(key, name[key]);
      return this;
    }
    let text = Array.isArray(value) ? value.map(String) : String(value);
    if (String(name).toLowerCase() === 'content-type' && typeof text === 'string' && !/;\s*charset\s*=/.test(text) &&
      /^text\/|^application\/(?:json|javascript)$/.test(text)) {
      text += '; charset=utf-8';
    }
    this.setHeader(name, text);
    return this;
  }

  header(name, value) { return this.set(name, value); }

  get(name) { return this.getHeader(name); }

  append(name, value) {
    const before = this.getHeader(name);
    return this.set(name, before === undefined ? value : [].concat(before, value));
  }

  type(name) { return this.set('Content-Type', typeOf(name)); }

  contentType(name) { return this.type(name); }

  json(value) {
    if (!this.hasHeader('Content-Type')) this.set('Content-Type', 'application/json');
    return this.send(JSON.stringify(value));
  }

  jsonp(value) { return this.json(value); }

  send(body) {
    if (Buffer.isBuffer(body) || ArrayBuffer.isView(body)) {
      if (!this.hasHeader('Content-Type')) this.type('bin');
      return this.finish(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
    }
    if (typeof body === 'string') {
      if (!this.hasHeader('Content-Type')) this.type('html');
      return this.finish(Buffer.from(body));
    }
    if (body === undefined || body === null) return this.finish(Buffer.alloc(0));
    return this.json(body);
  }

  finish(bytes) {
    if (this.statusCode === 204 || this.statusCode === 304) {
      for (const name of ['Content-Type', 'Content-Length', 'Transfer-Encoding']) this.removeHeader(name);
      this.end();
    } else {
      this.setHeader('Content-Length', bytes.length);
      this.end(bytes);
    }
    return this;
  }

  location(url) { return this.set('Location', encodeURI(decodable(String(url)))); }

  redirect(status, url) {
    const [code, to] = url === undefined ? [302, status] : [status, url];
    this.status(code).location(to);
    return this.type('txt').send(`${STATUS_CODES[code]}. Redirecting to ${this.get('Location')}`);
  }

  vary(field) {
    const before = String(this.getHeader('Vary') || '');
    const known = before.toLowerCase().split(',').map((s) => s.trim());
    return known.includes(field.toLowerCase()) ? this : this.set('Vary', before === '' ? field : `${before}, ${field}`);
  }

  cookie(name, value, options = {}) {
    const text = typeof value === 'object' ? `j:${JSON.stringify(value)}` : String(value);
    const parts = [`${name}=${(options.encode || encodeURIComponent)(text)}`];
    if (options.maxAge !== undefined) {
      parts.push(`Max-Age=${Math.floor(options.maxAge / 1000)}`);
      options = { ...options, expires: new Date(Date.now() + options.maxAge) };
    }
    if (options.domain) parts.push(`Domain=${options.domain}`);
    parts.push(`Path=${options.path || '/'}`);
    if (options.expires) parts.push(`Expires=${options.expires.toUTCString()}`);
    if (options.httpOnly) parts.push('HttpOnly');
    if (options.secure) parts.push('Secure');
    if (options.sameSite) parts.push(`SameSite=${options.sameSite === true ? 'Strict' : capital(options.sameSite)}`);
    return this.append('Set-Cookie', parts.join('; '));
  }

  clearCookie(name, options = {}) {
    return this.cookie(name, '', { ...options, maxAge: undefined, expires: new Date(1) });
  }
}

function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}

function decodable(url) {
  try {
    return decodeURI(url);
  } catch {
    return url;
  }
}

const classes = { IncomingMessage: Request, ServerResponse: Response };

module.exports = { classes };
