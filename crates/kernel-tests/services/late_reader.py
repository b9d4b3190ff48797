"""Reads what came on a connection only when another connection comes. Arguments: port, `answer` or `silent`."""

import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
# Whoever waits for this server connects once and goes.
listener.accept()[0].close()
while True:
    first, _ = listener.accept()
    second, _ = listener.accept()
    # The second call finds the end of the stream behind the last bytes.
    first.recv(30)
    first.recv(65536)
    if sys.argv[2] == "answer":
        first.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    first.close()
    second.close()
