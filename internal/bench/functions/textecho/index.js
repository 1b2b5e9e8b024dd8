'use strict';
// Gives back the body of a request.
exports.handler = async (event) => ({
  statusCode: 200,
  headers: { 'content-type': 'text/plain' },
  body: event.body,
});
