"""A server that says what its requests tell it to say. Arguments: port.

Answers each connection in a thread. The path names the answer:
  /until-close       no length: the body ends with the connection
  /upgrade           101, then echoes bytes
  /cut               announces 100 bytes, sends 10, closes
  /silent            closes without an answer
  /reset             resets the connection without an answer
  /early-hints       103, then 200
  /slow/MS           answers after MS milliseconds
"""

import socket
import socketserver
import struct
import sys
import time


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            line = self.rfile.readline()
            if not line:
                return
            while self.rfile.readline().strip():
                pass
            path = line.split()[1].decode()
            if not self.answer(path):
                return

    def answer(self, path):
        say = self.wfile.write
        if path == "/until-close":
            say(b"HTTP/1.1 200 OK\r\n\r\n")
            say(b"some bytes " * 10)
            return False
        if path == "/upgrade":
            say(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
            while data := self.connection.recv(4096):
                self.connection.sendall(data)
            return False
        if path == "/cut":
            say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 10)
            return False
        if path == "/silent":
            return False
        if path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if path == "/early-hints":
            say(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        elif path.startswith("/slow/"):
            time.sleep(int(path.rpartition("/")[2]) / 1000)
        say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def shutdown_request(self, request):
        request.close()


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
