'use strict';
// The comparison: the handler of testdata/hello in a plain Node HTTP server.
const http = require('node:http');
const { handler } = require(process.argv[2]);

const server = http.createServer(async (request, response) => {
  const result = await handler({ rawPath: request.url }, {});
  response.writeHead(result.statusCode, result.headers);
  response.end(result.body);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
