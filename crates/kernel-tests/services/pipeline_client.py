"""Sends several requests over one connection before it reads the answers. Arguments: port.

Each line on stdin names how (`together`: one call for all; `apart`: one call each), how many, and the number of the first.
Requests are for `/back/NUMBER`; prints the bodies of the answers.
"""

import socket
import sys

connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
answers = connection.makefile("rb")


def body():
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return answers.read(length).decode()


for line in sys.stdin:
    how, count, first = line.split()
    numbers = range(int(first), int(first) + int(count))
    requests = [f"GET /back/{number} HTTP/1.1\r\nHost: test\r\n\r\n".encode() for number in numbers]
    for part in [b"".join(requests)] if how == "together" else requests:
        connection.sendall(part)
    print(*[body() for _ in numbers], flush=True)
