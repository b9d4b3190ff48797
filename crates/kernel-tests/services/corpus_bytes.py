"""The bytes that both ends of the corpus know: noise from a fixed seed, and text that looks like the protocol itself."""

import random

# The largest body, and room to begin at different places.
SPREAD = 65_536
NOISE = random.Random(20_477).randbytes((8 << 20) + SPREAD)
TRAP = b"HTTP/1.1 500 Trap\r\nContent-Length: 0\r\n\r\nGET /trap HTTP/1.1\r\nHost: trap\r\n\r\n0\r\n\r\n"


def place(number):
    """Where in the noise the body of an exchange begins."""
    return number * 977 % SPREAD


def body(number, size, trap):
    if trap:
        return (TRAP * (size // len(TRAP) + 1))[:size]
    return NOISE[place(number) : place(number) + size]


def chunks(size, chunk):
    """Offsets and lengths of the chunks of a body."""
    return [(offset, min(chunk, size - offset)) for offset in range(0, size, chunk)]
