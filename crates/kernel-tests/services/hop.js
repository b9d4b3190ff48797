// A hop in front of another: answers `/NAME/ID` with what the next hop says to `/back/ID`, over kept-alive connections.
// Arguments: port, port of the next hop.
'use strict';

const http = require('node:http');

const agent = new http.Agent({ keepAlive: true });

const server = http.createServer((request, response) => {
    const number = request.url.slice(request.url.lastIndexOf('/') + 1);
    const call = { host: '127.0.0.1', port: Number(process.argv[3]), path: `/back/${number}`, agent };
    http.get(call, (answer) => {
        const parts = [];
        answer.on('data', (part) => { parts.push(part); });
        answer.on('end', () => {
            const body = Buffer.concat(parts);
            response.writeHead(200, { 'Content-Length': body.length });
            response.end(body);
        });
    });
});

server.listen(Number(process.argv[2]), '127.0.0.1');
