// An HTTP server of Node.js: known and chunked lengths, POST bodies, errors. Arguments: port.
'use strict';

const http = require('node:http');

const server = http.createServer((request, response) => {
    if (request.url === '/chunked') {
        for (let part = 0; part < 5; part += 1) {
            response.write(`part ${part} `.repeat(1000));
        }
        response.end();
    } else if (request.url === '/broken') {
        response.writeHead(503, { 'Content-Length': 0 });
        response.end();
    } else {
        let bytes = 0;
        request.on('data', (data) => { bytes += data.length; });
        request.on('end', () => {
            const body = JSON.stringify({ bytes });
            response.writeHead(200, { 'Content-Length': Buffer.byteLength(body) });
            response.end(body);
        });
    }
});

server.listen(Number(process.argv[2]), '127.0.0.1');
