"""Docker's name server, as far as reverse look-ups go. Arguments: address, the name that every address has."""

import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print("ready", file=sys.stderr, flush=True)
name = b"".join(bytes([len(label)]) + label.encode() for label in sys.argv[2].split(".")) + b"\0"
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    is_reverse = query[end - 4 : end] == b"\0\x0c\0\x01" and b"\x07in-addr\x04arpa" in query
    head = query[:2] + (b"\x81\x80" if is_reverse else b"\x81\x83") + b"\0\1" + (b"\0\1" if is_reverse else b"\0\0")
    answer = b"\xc0\x0c\0\x0c\0\1\0\0\x02\x58" + len(name).to_bytes(2, "big") + name
    server.sendto(head + b"\0\0\0\0" + query[12:end] + (answer if is_reverse else b""), client)
