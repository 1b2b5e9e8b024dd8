'use strict';

// Failure documents, in Lambda's shapes: {errorType, errorMessage, trace}.

const { types } = require('util');

// RuntimeError is a failure that the shim itself finds.
class RuntimeError extends Error {
  constructor(type, message, cause) {
    super(message);
    this.name = type;
    if (cause && typeof cause.stack === 'string') this.stack = cause.stack;
  }
}

function isError(value) {
  return types.isNativeError(value) || (
    value !== null && typeof value === 'object' && typeof value.name === 'string' && value.name !== '' &&
    typeof value.message === 'string' && typeof value.stack === 'string');
}

// lines of a stack trace; of one that somebody has emptied, none.
function lines(stack) {
  return stack === '' ? [] : String(stack).split('\n');
}

// describe makes a failure document of whatever was thrown.
function describe(thrown) {
  try {
    if (isError(thrown)) {
      return {
        errorType: String(thrown.name),
        errorMessage: String(thrown.message),
        trace: lines(thrown.stack),
      };
    }
    return { errorType: typeof thrown, errorMessage: String(thrown), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage: 'The function failed with a value whose name, message or stack cannot be read. Throw an Error.',
      trace: [],
    };
  }
}

// document is the failure document as JSON, cut down to at most `most` bytes.
function document(thrown, most) {
  const doc = describe(thrown);
  const text = JSON.stringify(doc);
  if (Buffer.byteLength(text) <= most) return text;
  doc.errorType = doc.errorType.slice(0, 200);
  doc.errorMessage = doc.errorMessage.slice(0, 10000) + ' [cut]';
  doc.trace = [];
  return JSON.stringify(doc);
}

// forLog is how Lambda writes a failure into the log: a tab, then JSON with
// everything that the error carries.
function forLog(thrown) {
  try {
    const error = isError(thrown) ? thrown : new Error(describe(thrown).errorMessage);
    return '\t' + JSON.stringify(error, (_, value) => (isError(value) ? withEverything(value) : value));
  } catch {
    return '\t' + JSON.stringify(describe(thrown));
  }
}

function withEverything(error) {
  return {
    errorType: error.name,
    errorMessage: error.message,
    code: error.code,
    ...error,
    stack: lines(error.stack),
  };
}

module.exports = { RuntimeError, describe, document, forLog, isError };
