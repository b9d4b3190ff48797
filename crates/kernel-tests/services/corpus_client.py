"""Holds the conversations it is told, and says what came, byte for byte. Arguments: port, conversations at a time.

Each line on stdin is a conversation, that is a connection, in JSON:
  reader     by which calls it reads: recv, poll, edge, peek, readv, recvmsg, waitall, splice, spliced, uring
  manner     kept, pipelined, half
  exchanges  each with number, method, target, upload, and by which calls its request is sent
Each line on stdout is what came of an exchange, or of a connection, in JSON.
"""

import concurrent.futures
import fcntl
import hashlib
import json
import os
import select
import socket
import struct
import sys
import termios
import threading
import time

sys.dont_write_bytecode = True
import corpus_bytes as known

# Far above what anything takes on a busy machine; a wake-up that got lost ends here.
PATIENCE = 25


class Reader:
    """Reads by plain calls; the others differ in `more`, which gets the next bytes, none at the end."""

    def __init__(self, connection):
        self.connection = connection
        self.data = bytearray()
        self.total = 0
        # What FIONREAD announced of it, by those that ask.
        self.announced = None
        # Whether this is the last response of the connection.
        self.is_last = False

    def more(self, need):
        return self.connection.recv(65_536)

    def finish(self):
        pass

    def fill(self, need):
        data = self.more(need)
        self.data += data
        self.total += len(data)
        return bool(data)


class Poll(Reader):
    """Asks how much there is, and takes exactly that."""

    def __init__(self, connection):
        super().__init__(connection)
        connection.setblocking(False)
        self.announced = 0
        self.poll = select.poll()
        self.poll.register(connection, select.POLLIN)

    def more(self, need):
        if not self.poll.poll(PATIENCE * 1000):
            raise TimeoutError("nothing to read")
        (length,) = struct.unpack("i", fcntl.ioctl(self.connection, termios.FIONREAD, bytes(4)))
        if length == 0:
            data = self.connection.recv(1)
            if data:
                # It came between the two calls.
                self.announced += len(data)
            return data
        data = self.connection.recv(length)
        if len(data) != length:
            raise AssertionError(f"FIONREAD announced {length}, there were {len(data)}")
        self.announced += length
        return data


class Edge(Reader):
    """Reads until there is no more, and only then waits for word that there is."""

    def __init__(self, connection):
        super().__init__(connection)
        connection.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(connection, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def more(self, need):
        while True:
            try:
                return self.connection.recv(16_384)
            except BlockingIOError:
                if not self.epoll.poll(PATIENCE):
                    raise TimeoutError("no edge") from None

    def finish(self):
        self.epoll.close()


class Peek(Reader):
    """Looks before it takes."""

    def more(self, need):
        seen = self.connection.recv(32_768, socket.MSG_PEEK)
        taken = self.connection.recv(len(seen)) if seen else b""
        if seen != taken:
            raise AssertionError("what was read is not what was looked at")
        return taken


class Readv(Reader):
    def more(self, need):
        parts = [bytearray(1), bytearray(0), bytearray(6), bytearray(4096), bytearray(30_000)]
        length = os.readv(self.connection.fileno(), parts)
        return b"".join(parts)[:length]


class Recvmsg(Reader):
    """Reads by small buffers."""

    def more(self, need):
        parts = [bytearray(100), bytearray(411), bytearray(1500)]
        length = self.connection.recvmsg_into(parts)[0]
        return b"".join(parts)[:length]


class Waitall(Reader):
    """Reads exactly what is needed: a head byte for byte, a body by one call."""

    def more(self, need):
        return self.connection.recv(need, socket.MSG_WAITALL)


class Spliced(Reader):
    """Lets everything go through a pipe."""

    def __init__(self, connection):
        super().__init__(connection)
        self.pipe = os.pipe()

    def through_pipe(self, at_most):
        length = os.splice(self.connection.fileno(), self.pipe[1], at_most)
        data = b""
        while len(data) < length:
            data += os.read(self.pipe[0], length - len(data))
        return data

    def more(self, need):
        return self.connection.recv(65_536) if self.is_last else self.through_pipe(60_000)

    def finish(self):
        os.close(self.pipe[0])
        os.close(self.pipe[1])


class Splice(Spliced):
    """Reads heads, and lets bodies go through a pipe."""

    def more(self, need):
        if need > 1 and not self.is_last:
            return self.through_pipe(min(need, 60_000))
        return self.connection.recv(65_536 if self.is_last else 1)


class Uring(Reader):
    """Reads by io_uring."""

    def __init__(self, connection):
        super().__init__(connection)
        import corpus_uring

        self.ring = corpus_uring.Ring()

    def more(self, need):
        if self.is_last:
            return self.connection.recv(65_536)
        return self.ring.receive(self.connection.fileno(), 65_536)


READERS = {
    "recv": Reader,
    "poll": Poll,
    "edge": Edge,
    "peek": Peek,
    "readv": Readv,
    "recvmsg": Recvmsg,
    "waitall": Waitall,
    "splice": Splice,
    "spliced": Spliced,
    "uring": Uring,
}


class Message:
    """One response as it comes off a reader."""

    def __init__(self, reader, sum):
        self.reader = reader
        self.sum = sum
        self.bytes = 0

    def take(self, length):
        while len(self.reader.data) < length:
            if not self.reader.fill(length - len(self.reader.data)):
                raise EOFError("the connection ended inside a response")
        return self.taken(length)

    def taken(self, length):
        data = bytes(self.reader.data[:length])
        del self.reader.data[:length]
        self.sum.update(data)
        self.bytes += length
        return data

    def until(self, needle):
        searched = 0
        while (end := self.reader.data.find(needle, searched)) < 0:
            searched = max(0, len(self.reader.data) - len(needle))
            if not self.reader.fill(1):
                raise EOFError("the connection ended inside a head")
        return self.taken(end + len(needle))

    def rest(self):
        before = self.bytes
        while True:
            self.taken(len(self.reader.data))
            # A reader that asks for exactly so much asks for a lot here.
            if not self.reader.fill(65_536):
                return self.bytes - before

    def head(self):
        line, *fields = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        return int(line.split(" ")[1]), headers

    def body(self, method, status, headers):
        if method == "HEAD" or status in (204, 304):
            return 0
        if "content-length" in headers:
            return len(self.take(int(headers["content-length"])))
        if "transfer-encoding" not in headers:
            return self.rest()
        length = 0
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            length += len(self.take(size))
            while self.until(b"\r\n") != b"\r\n":
                pass
            if size == 0:
                return length


def head_and_body(port, exchange):
    """The request, in the parts in which it may be sent."""
    upload, headers = exchange["upload"], [f"Host: 127.0.0.1:{port}"]
    if exchange["pad"]:
        headers.append(f"X-Pad: {'q' * exchange['pad']}")
    content = known.body(exchange["number"] + 1, upload["size"], False)
    body = b""
    if upload["frame"] == "length":
        headers.append(f"Content-Length: {upload['size']}")
        body = content
    elif upload["frame"] == "chunked":
        headers.append("Transfer-Encoding: chunked")
        for offset, length in known.chunks(upload["size"], upload["chunk"]):
            body += b"%X\r\n%b\r\n" % (length, content[offset : offset + length])
        body += b"0\r\n\r\n"
    if upload["expect"]:
        headers.append("Expect: 100-continue")
    lines = [f"{exchange['method']} {exchange['target']} HTTP/1.1", *headers, "", ""]
    return "\r\n".join(lines).encode(), body


def send(connection, how, data):
    # Some readers made the descriptor non-blocking.
    connection.setblocking(True)
    data = memoryview(data)
    while data:
        if how == "dribble":
            sent = connection.send(data[:3])
        elif how == "writev":
            sent = os.writev(connection.fileno(), [data[:5], data[5:40], data[40:]])
        elif how == "sendmsg":
            sent = connection.sendmsg([data[:11], data[11:]])
        else:
            sent = connection.send(data)
        data = data[sent:]


printing = threading.Lock()


def say(**said):
    with printing:
        print(json.dumps(said), flush=True)


def receive(reader, exchange, interim, is_last):
    reader.is_last = is_last
    message = Message(reader, hashlib.sha256())
    statuses = list(interim)
    status, headers = message.head()
    while status < 200:
        statuses.append(status)
        status, headers = message.head()
    length = message.body(exchange["method"], status, headers)
    say(
        number=exchange["number"],
        statuses=[*statuses, status],
        upload=headers["x-upload"],
        body=length,
        bytes=message.bytes,
        digest=message.sum.hexdigest(),
    )


def hold(port, told):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The timeout of Python's sockets makes descriptors non-blocking; the kernel's does not.
        connection.settimeout(None)
        limit = struct.pack("ll", PATIENCE, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        reader = READERS[told["reader"]](connection)
        blocking = connection.getblocking()
        exchanges = told["exchanges"]
        if told["manner"] == "pipelined":
            for pair in zip(exchanges[::2], exchanges[1::2]):
                send(connection, "send", b"".join(b"".join(head_and_body(port, exchange)) for exchange in pair))
                connection.setblocking(blocking)
                for exchange in pair:
                    receive(reader, exchange, [], exchange is exchanges[-1])
        else:
            for exchange in exchanges:
                head, body = head_and_body(port, exchange)
                interim = []
                if exchange["upload"]["expect"]:
                    send(connection, exchange["send"], head)
                    connection.setblocking(blocking)
                    reader.is_last = exchange is exchanges[-1]
                    interim.append(Message(reader, hashlib.sha256()).head()[0])
                    send(connection, exchange["send"], body)
                else:
                    send(connection, exchange["send"], head + body)
                if told["manner"] == "half":
                    connection.shutdown(socket.SHUT_WR)
                connection.setblocking(blocking)
                receive(reader, exchange, interim, exchange is exchanges[-1])
        if reader.data:
            raise AssertionError(f"{len(reader.data)} bytes too many")
        if told["manner"] == "half":
            # The server ends it too; where nothing else says so this is the end of what it sent.
            if reader.fill(1):
                raise AssertionError("bytes behind the response")
        say(connection=exchanges[0]["number"], total=reader.total, announced=reader.announced)
        reader.finish()


def main():
    port, at_a_time = int(sys.argv[1]), int(sys.argv[2])
    with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        held = [pool.submit(hold, port, json.loads(line)) for line in sys.stdin]
    for one in held:
        one.result()


main()
