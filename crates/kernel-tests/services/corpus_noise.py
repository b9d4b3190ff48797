"""Says random bytes first and reads random bytes, at the same time, until the other end has said all. Arguments: port."""

import random
import socket
import sys
import threading

LENGTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 100, 1_000, 4_095, 4_096, 4_097, 20_000, 65_537]


def say(connection, seed):
    noise = random.Random(seed)
    for length in noise.sample(LENGTHS, len(LENGTHS)):
        connection.sendall(noise.randbytes(length))


def serve(connection, seed):
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        speaker = threading.Thread(target=say, args=(connection, seed))
        speaker.start()
        while connection.recv(65_536):
            pass
        speaker.join()


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
seed = 0
while True:
    accepted, _ = listener.accept()
    seed += 1
    threading.Thread(target=serve, args=(accepted, seed), daemon=True).start()
