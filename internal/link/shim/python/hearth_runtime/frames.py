"""Frames on the socket: reading, and writing in batches. See PROTOCOL.md."""

import os
from _thread import RLock, allocate_lock, get_ident
from struct import Struct

FD = 3

INIT, INVOKE, DATA, CANCEL, SHUTDOWN = 1, 2, 3, 4, 5
READY, INIT_ERROR, RESULT, MORE_RESULT, LOG = 17, 18, 19, 20, 21
MORE, FAILED, SIZED = 1, 2, 32

MAX_BODY = 262144
HEADER = Struct("<IBBHI")
SIZES = Struct("<II")

READ_BYTES = 65536
WRITE_BYTES = 262144
CROWDED = 32  # frames that may wait for the socket before those who log wait too


def frame(kind, stream, body, flags=0):
    return HEADER.pack(len(body), kind, flags, 0, stream) + body


def response(stream, body, flags):
    """The frames of one response, of any size."""
    if len(body) <= MAX_BODY:
        return [frame(RESULT, stream, body, flags)]
    return _parts(stream, SIZES.pack(len(body), 0) + body, flags | SIZED)


def answer(stream, head, body):
    """The frames of a response to an HTTP request, and the body that belongs into it."""
    return _parts(stream, SIZES.pack(len(head), len(body)) + head + body, SIZED)


def _parts(stream, body, flags):
    parts = []
    kind = RESULT
    for at in range(0, len(body), MAX_BODY):
        more = MORE if at + MAX_BODY < len(body) else 0
        parts.append(frame(kind, stream, body[at : at + MAX_BODY], flags | more))
        kind, flags = MORE_RESULT, 0
    return parts


class Reader:
    """Takes frames off the socket. One thread at a time may use it."""

    def __init__(self, fd=FD):
        self.fd = fd
        self.rest = b""

    def read(self):
        """Blocks; gives a list of (kind, flags, stream, body), or None at the end."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except OSError:
            return None
        if not data:
            return None
        if self.rest:
            data = self.rest + data
        found = []
        at, size = 0, len(data)
        while size - at >= 12:
            length, kind, flags, _, stream = HEADER.unpack_from(data, at)
            end = at + 12 + length
            if end > size:
                break
            found.append((kind, flags, stream, data[at + 12 : end]))
            at = end
        self.rest = data[at:] if at else data
        return found


class Writer:
    """Sends frames. Whoever finds the socket free writes what all have put down, in
    their order; the others go on, unless too much waits already."""

    def __init__(self, fd=FD):
        self.fd = fd
        self.gone = lambda: None  # called when the host takes nothing any more
        self.pending = []
        self.order = RLock()  # finalisers may log at any moment, hence reentrant
        self.turn = allocate_lock()
        self.owner = 0  # the thread that writes

    def send(self, frames, patient=False):
        with self.order:
            self.pending.extend(frames)
        self.flush(patient)

    def flush(self, patient=False):
        """patient: wait for the socket when too much waits for it already."""
        me = get_ident()
        while self.pending:
            if self.owner == me:
                return  # a finaliser or signal handler within write: it will be taken along
            if not self.turn.acquire(patient and len(self.pending) > CROWDED):
                return  # whoever writes takes it along
            self.owner = me
            try:
                with self.order:
                    batch, self.pending = self.pending, []
                self._write(batch)
            finally:
                self.owner = 0
                self.turn.release()

    def drain(self):
        """Waits until all that was put down is written."""
        while self.pending and self.owner != get_ident():
            with self.turn:
                pass
            self.flush()

    def _write(self, batch):
        try:
            if len(batch) == 1:
                self._write_all(batch[0])
                return
            some, size = [], 0
            for data in batch:
                some.append(data)
                size += len(data)
                if size >= WRITE_BYTES:
                    self._write_all(b"".join(some))
                    some, size = [], 0
            if some:
                self._write_all(b"".join(some))
        except OSError:
            self.gone()

    def _write_all(self, data):
        n = os.write(self.fd, data)
        if n < len(data):
            view = memoryview(data)
            while n < len(data):
                n += os.write(self.fd, view[n:])
