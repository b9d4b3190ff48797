"""Reads what came on a connection only when another connection comes. Arguments: port."""

import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
# Whoever waits for this server connects once and goes.
listener.accept()[0].close()
while True:
    first, _ = listener.accept()
    second, _ = listener.accept()
    first.recv(65536)
    first.close()
    second.close()
