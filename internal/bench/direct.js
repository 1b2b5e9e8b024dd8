'use strict';
// The comparison: a handler in a plain Node HTTP server. The second argument says what
// the handler is given: the path alone, the body as text, or the body as JSON.
const http = require('node:http');
const { handler } = require(process.argv[2]);

async function answer(response, event) {
  const result = await handler(event, {});
  response.writeHead(result.statusCode, result.headers);
  response.end(result.body);
}

// whole gives the body once it is there.
function whole(request, then) {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => then(Buffer.concat(parts).toString()));
}

const ways = {
  path: (request, response) => answer(response, { rawPath: request.url }),
  text: (request, response) => whole(request, (body) => answer(response, { rawPath: request.url, body })),
  json: (request, response) => whole(request, async (body) => {
    const result = JSON.stringify(await handler(JSON.parse(body), {}));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(result);
  }),
};

const server = http.createServer(ways[process.argv[3] || 'path']);
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
