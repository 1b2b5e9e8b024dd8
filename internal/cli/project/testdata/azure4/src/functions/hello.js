const { app } = require('@azure/functions');
app.http('hello', { methods: ['GET'], route: 'hello/{name:alpha?}', handler: async (request) => ({ body: 'hi ' + request.params.name }) });
