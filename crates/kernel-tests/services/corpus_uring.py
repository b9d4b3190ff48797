"""Sends and receives by io_uring, without a library. Run by itself it tells by its exit code whether that is allowed."""

import ctypes
import mmap
import os
import struct

# arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/linux/io_uring.h
SETUP, ENTER = 425, 426
OFF_SQ_RING, OFF_SQES = 0, 0x10000000
ENTER_GETEVENTS = 1
OP_SEND, OP_RECV = 26, 27
ENTRIES = 4
SQE = struct.Struct("<BBHiQQIIQHHiQQ")
CQE = struct.Struct("<QiI")

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def system_call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_void_p, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Ring:
    def __init__(self):
        parameters = ctypes.create_string_buffer(120)
        self.descriptor = system_call(SETUP, ENTRIES, ctypes.addressof(parameters))
        numbers = struct.unpack("<30I", parameters.raw)
        self.sq_tail, self.sq_mask, self.sq_array = (numbers[10 + field] for field in (1, 2, 6))
        self.cq_head, self.cq_tail, self.cq_mask, self.cqes = (numbers[20 + field] for field in (0, 1, 2, 5))
        length = max(self.sq_array + numbers[0] * 4, self.cqes + numbers[1] * CQE.size)
        self.rings = mmap.mmap(self.descriptor, length, offset=OFF_SQ_RING)
        self.sqes = mmap.mmap(self.descriptor, numbers[0] * SQE.size, offset=OFF_SQES)

    def __del__(self):
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def word(self, offset):
        return struct.unpack_from("<I", self.rings, offset)[0]

    def call(self, operation, descriptor, address, length):
        """One operation from beginning to end; returns its result."""
        tail = self.word(self.sq_tail)
        place = tail & self.word(self.sq_mask)
        SQE.pack_into(self.sqes, place * SQE.size, operation, 0, 0, descriptor, 0, address, length, 0, 7, 0, 0, 0, 0, 0)
        struct.pack_into("<I", self.rings, self.sq_array + 4 * place, place)
        struct.pack_into("<I", self.rings, self.sq_tail, tail + 1)
        system_call(ENTER, self.descriptor, 1, 1, ENTER_GETEVENTS, 0, 0)
        head = self.word(self.cq_head)
        assert head != self.word(self.cq_tail), "nothing was done"
        _, result, _ = CQE.unpack_from(self.rings, self.cqes + (head & self.word(self.cq_mask)) * CQE.size)
        struct.pack_into("<I", self.rings, self.cq_head, head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def send_all(self, descriptor, data):
        buffer = ctypes.create_string_buffer(data, len(data))
        sent = 0
        while sent < len(data):
            sent += self.call(OP_SEND, descriptor, ctypes.addressof(buffer) + sent, len(data) - sent)

    def receive(self, descriptor, length):
        buffer = ctypes.create_string_buffer(length)
        received = self.call(OP_RECV, descriptor, ctypes.addressof(buffer), length)
        return buffer.raw[:received]


if __name__ == "__main__":
    Ring()
