'use strict';
// The hello handler as functions-framework wants it.
exports.hello = (request, response) => response.type('text/plain').send('hello\n');
