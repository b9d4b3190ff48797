// A hop in front of another: answers /NAME/ID with what the next hop says to /back/ID, and /status/NNN with that status.
// Arguments: port, port of the next hop, what it asks by: `agent` (node:http's own agent) or `fetch`.
'use strict';

const http = require('node:http');

const [port, next, manner] = process.argv.slice(2);

function askByAgent(url) {
    return new Promise((resolve, reject) => {
        http.get(url, (answer) => {
            const parts = [];
            answer.on('data', (part) => { parts.push(part); });
            answer.on('end', () => { resolve(Buffer.concat(parts)); });
        }).on('error', reject);
    });
}

async function askByFetch(url) {
    return Buffer.from(await (await fetch(url)).arrayBuffer());
}

const ask = manner === 'fetch' ? askByFetch : askByAgent;

async function answer(request) {
    const [, name, last] = request.url.split('/');
    if (name === 'status') {
        return [Number(last), Buffer.from(last)];
    }
    return [200, await ask(`http://127.0.0.1:${next}/back/${last}`)];
}

const server = http.createServer((request, response) => {
    answer(request).catch((error) => [502, Buffer.from(String(error))]).then(([status, body]) => {
        response.writeHead(status, { 'Content-Length': body.length });
        response.end(body);
    });
});

server.listen(Number(port), '127.0.0.1');
