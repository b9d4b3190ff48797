"""Sends back what comes, but answers `GET /http` as HTTP. Arguments: port."""

import socketserver
import sys


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            if data.startswith(b"GET /http "):
                data = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
