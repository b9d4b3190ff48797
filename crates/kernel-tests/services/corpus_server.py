"""Answers as each request asks, by the system call that it names. Arguments: port.

The target is `/x/NUMBER?` and these, all of which have defaults:
  status, size    of the response; `trap=1` makes its body look like HTTP
  frame           length, chunked, trailers, close, none
  chunk           length of a chunk
  send            write, writev, holes, sendto, sendmsg, more, cork, dribble, sendfile, splice, zerocopy, file, uring
  pad             bytes of a header that fills the head up
  interim         1 for a `103 Early Hints` before the response
Nothing in a response depends on the time, and each says what the request's body was.
"""

import hashlib
import os
import socket
import struct
import sys
import threading
import time
import urllib.parse

sys.dont_write_bytecode = True
import corpus_bytes as known

# include/linux/socket.h, include/uapi/asm-generic/socket.h; Python does not name them.
SO_ZEROCOPY, MSG_ZEROCOPY, MSG_ERRQUEUE = 60, 0x4000000, 0x2000
VECTOR = 64
DRIBBLE = 7

noise_file = os.memfd_create("noise")
os.write(noise_file, known.NOISE)


class Part:
    """Some bytes of a response, and where they lie in the file of noise, if they do."""

    def __init__(self, data, offset=None):
        self.data, self.offset = memoryview(data), offset


def all_of(parts, call):
    parts = [part.data for part in parts if len(part.data)]
    while parts:
        sent = call(parts[:VECTOR])
        while parts and sent >= len(parts[0]):
            sent -= len(parts.pop(0))
        if sent:
            parts[0] = parts[0][sent:]


def send_zerocopy(connection, parts):
    connection.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    asked = done = 0

    def reap(enough):
        nonlocal done
        deadline = time.monotonic() + 20
        while done < enough and time.monotonic() < deadline:
            try:
                _, ancillary, _, _ = connection.recvmsg(1, 128, MSG_ERRQUEUE)
            except BlockingIOError:
                time.sleep(0.0005)
                continue
            # struct sock_extended_err: a range of finished calls.
            _, _, _, _, _, first, last = struct.unpack_from("=IBBBBII", ancillary[0][2])
            done += last - first + 1
        if done < enough:
            raise TimeoutError("no word of a finished send")

    def call(parts):
        nonlocal asked
        while True:
            try:
                sent = connection.sendmsg(parts, [], MSG_ZEROCOPY)
            except OSError as error:
                # Too many are under way.
                if error.errno != 105 or done == asked:
                    raise
                reap(done + 1)
                continue
            asked += 1
            return sent

    all_of(parts, call)
    reap(asked)
    connection.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 0)


def send_file(connection, part):
    offset, left = part.offset, len(part.data)
    while left:
        sent = os.sendfile(connection.fileno(), noise_file, offset, left)
        offset, left = offset + sent, left - sent


def send_splice(connection, part):
    reading, writing = os.pipe()
    offset, left = part.offset, len(part.data)
    while left:
        ready = os.splice(noise_file, writing, min(left, 65_536), offset)
        offset, left = offset + ready, left - ready
        while ready:
            ready -= os.splice(reading, connection.fileno(), ready)
    os.close(reading)
    os.close(writing)


def send(connection, how, parts):
    descriptor = connection.fileno()
    if how == "write":
        all_of([Part(b"".join(part.data for part in parts))], lambda parts: os.write(descriptor, parts[0]))
    elif how == "writev":
        all_of(parts, lambda parts: os.writev(descriptor, parts))
    elif how == "holes":
        all_of(parts, lambda parts: os.writev(descriptor, [b"", parts[0], b"", *parts[1:], b""]))
    elif how == "sendto":
        for part in parts:
            connection.sendall(part.data)
    elif how == "sendmsg":
        all_of(parts, lambda parts: connection.sendmsg(parts))
    elif how == "more":
        for part in parts[:-1]:
            connection.sendall(part.data, socket.MSG_MORE)
        connection.sendall(parts[-1].data)
    elif how == "cork":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for part in parts:
            connection.sendall(part.data)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    elif how == "dribble":
        data = b"".join(part.data for part in parts)
        for place in range(0, len(data), DRIBBLE):
            connection.sendall(data[place : place + DRIBBLE])
            if place < 30 * DRIBBLE:
                time.sleep(0.0002)
    elif how == "zerocopy":
        send_zerocopy(connection, parts)
    elif how == "uring":
        import corpus_uring

        corpus_uring.Ring().send_all(descriptor, b"".join(part.data for part in parts))
    elif how == "file":
        # The head too: a whole message that never was in this process's memory.
        whole = os.memfd_create("response")
        os.write(whole, b"".join(part.data for part in parts))
        left = os.fstat(whole).st_size
        while left:
            left -= os.sendfile(descriptor, whole, os.fstat(whole).st_size - left, left)
        os.close(whole)
    else:
        by_pages = send_file if how == "sendfile" else send_splice
        for part in parts:
            if part.offset is None:
                connection.sendall(part.data)
            else:
                by_pages(connection, part)


class Connection:
    def __init__(self, connection):
        self.connection = connection
        self.data = bytearray()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more(self):
        data = self.connection.recv(65_536)
        self.data += data
        return bool(data)

    def until(self, needle):
        while (end := self.data.find(needle)) < 0:
            if not self.more():
                return None
        return self.take(end + len(needle))

    def take(self, length):
        while len(self.data) < length:
            if not self.more():
                raise EOFError("the connection ended inside a request")
        taken = bytes(self.data[:length])
        del self.data[:length]
        return taken

    def upload(self, headers):
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self.take(int(headers.get("content-length", "0")))
        content = bytearray()
        while True:
            size = int(self.until(b"\r\n"), 16)
            content += self.take(size)
            while self.until(b"\r\n") != b"\r\n":
                pass
            if size == 0:
                return bytes(content)

    def answer(self):
        """Answers one request; returns whether another may follow."""
        head = self.until(b"\r\n\r\n")
        if head is None:
            return False
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        path, _, query = target.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if "expect" in headers:
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        upload = self.upload(headers)
        if "interim" in asked:
            self.connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        number, frame, size = int(path.rpartition("/")[2]), asked.get("frame", "length"), int(asked.get("size", "0"))
        send(self.connection, asked.get("send", "write"), response(method, number, frame, size, asked, upload))
        return frame != "close"


def response(method, number, frame, size, asked, upload):
    lines = [
        f"HTTP/1.1 {asked.get('status', '200')} Corpus",
        f"X-Number: {number}",
        f"X-Upload: {hashlib.sha256(upload).hexdigest()[:16]}",
    ]
    if "pad" in asked:
        lines.append(f"X-Pad: {'p' * int(asked['pad'])}")
    framing = {
        "length": [f"Content-Length: {size}"],
        "chunked": ["Transfer-Encoding: chunked"],
        "trailers": ["Transfer-Encoding: chunked", "Trailer: X-Sum"],
        "close": ["Connection: close"],
        "none": [],
    }
    head = Part("\r\n".join([*lines, *framing[frame], "", ""]).encode())
    if method == "HEAD" or frame == "none" or asked.get("status") == "304":
        return [head]
    trap = "trap" in asked
    body = memoryview(known.body(number, size, trap))
    start = None if trap else known.place(number)
    if frame in ("length", "close"):
        return [head, Part(body, start)] if size else [head]
    parts = [head]
    for offset, length in known.chunks(size, int(asked["chunk"])):
        parts.append(Part(b"%x;odd=yes\r\n" % length))
        parts.append(Part(body[offset : offset + length], None if trap else start + offset))
        parts.append(Part(b"\r\n"))
    parts.append(Part(b"0\r\nX-Sum: 1\r\n\r\n" if frame == "trailers" else b"0\r\n\r\n"))
    return parts


def serve(connection):
    with connection:
        end = Connection(connection)
        while end.answer():
            pass
        connection.shutdown(socket.SHUT_WR)
        # What the client still sends would make the kernel reset the connection, and the client lose the response.
        while connection.recv(65_536):
            pass


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256)
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=serve, args=(accepted,), daemon=True).start()


main()
