"""One invocation at a time, on the main thread: signal handlers, asyncio.run and
everything else that insists on the main thread work as the owner expects."""

import select
from _queue import SimpleQueue
from _thread import allocate_lock, start_new_thread
from time import sleep

from .invocation import attribution
from .process import guard

TICK = 0.2  # seconds after which a handler counts as long


class Exclusive:
    """The main thread reads, runs and answers, with no other thread between. Only
    while a handler runs for long does a second thread look for SHUTDOWN and CANCEL in
    its stead; it sleeps when the handlers are quick or the instance is idle."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.turn = allocate_lock()  # to read
        self.ready = []  # invocations read and not yet run
        self.count = 0  # invocations begun
        self.busy = False
        self.asleep = False  # the second thread
        self.bell = SimpleQueue()  # wakes it
        start_new_thread(self._stand_in, ())

    def serve(self):
        runtime = self.runtime
        while True:
            if not self.ready:
                with self.turn:
                    if not self.ready:
                        guard.rest()
                        self._read()
                        guard.idle = False
                continue
            invocation = self.ready.pop(0)
            self.count += 1
            self.busy = True
            if self.asleep:
                self.asleep = False
                self.bell.put(None)
            attribution.only = invocation
            runtime.set_trace_id(invocation)
            try:
                runtime.call(invocation, guarded=True)
            except SystemExit as error:
                runtime.process.exit(error)
            self.busy = False
            attribution.only = invocation = None
            runtime.writer.flush()

    def await_window(self, invocation, sent):
        """Waits until the host takes more than the bytes that were sent, or none: here
        the main thread reads for itself."""
        held = guard.enter()
        try:
            with self.turn:
                if invocation.granted <= sent and not invocation.cancelled:
                    guard.rest()
                    self._read()
                    guard.idle = False
        finally:
            guard.leave(held)

    def _read(self):
        found = self.runtime.reader.read()
        if found is None:
            self.runtime.process.hang_up()
            sleep(60)  # it ends before that
            return
        self.ready += self.runtime.intake.take(found)

    def _stand_in(self):
        while True:
            self.asleep = True
            if not self.busy:
                self.bell.get()
            self.asleep = False
            seen = -1
            while self.busy or self.count != seen:
                seen = self.count
                sleep(TICK)
                if self.busy and self.count == seen:
                    self._read_while(seen)

    def _read_while(self, seen):
        poll = select.poll()
        poll.register(self.runtime.reader.fd, select.POLLIN)
        while self.busy and self.count == seen:
            if not poll.poll(TICK * 1000):
                continue
            if not self.turn.acquire(False):
                return  # the main thread reads again
            try:
                if self.busy and self.count == seen:
                    self._read()
            finally:
                self.turn.release()
