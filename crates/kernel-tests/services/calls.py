"""An HTTP server that receives and sends by the system calls that it is told to use.

Arguments: port, receiving call (read, readv, recvfrom, recvmsg), sending call (write, writev, sendto, sendmsg,
sendfile), size of the body. Keeps connections alive; echoes how many bytes the request's body had.
"""

import os
import socket
import sys
import tempfile

port, receiving, sending, size = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
body = b"x" * size
body_file = tempfile.TemporaryFile()
body_file.write(body)
body_file.flush()


def receive(connection):
    descriptor = connection.fileno()
    if receiving == "read":
        return os.read(descriptor, 65536)
    if receiving == "recvfrom":
        return connection.recv(65536)
    first, second = bytearray(48), bytearray(65536)
    if receiving == "readv":
        length = os.readv(descriptor, [first, second])
    else:
        length = connection.recvmsg_into([first, second])[0]
    return bytes((first + second)[:length])


def all_of(parts, call):
    parts = [memoryview(part) for part in parts if part]
    while parts:
        sent = call(parts)
        while parts and sent >= len(parts[0]):
            sent -= len(parts.pop(0))
        if sent:
            parts[0] = parts[0][sent:]


def send(connection, head):
    descriptor = connection.fileno()
    if sending == "write":
        all_of([head + body], lambda parts: os.write(descriptor, parts[0]))
    elif sending == "sendto":
        connection.sendall(head + body)
    elif sending == "writev":
        all_of([head[:20], head[20:], body], lambda parts: os.writev(descriptor, parts))
    elif sending == "sendmsg":
        all_of([head[:20], head[20:], body], lambda parts: connection.sendmsg(parts))
    else:
        connection.sendall(head)
        offset = 0
        while offset < size:
            offset += os.sendfile(descriptor, body_file.fileno(), offset, size - offset)


def serve(connection):
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = receive(connection)
            if not more:
                return
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        left = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                left = int(value)
        while left > len(data):
            left -= len(data)
            data = receive(connection)
            if not data:
                return
        data = data[left:]
        send(connection, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Call: %s\r\n\r\n" % (size, sending.encode()))


listener = socket.create_server(("127.0.0.1", port))
while True:
    accepted, _ = listener.accept()
    with accepted:
        serve(accepted)
