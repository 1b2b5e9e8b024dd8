"""Many invocations at once, each in a thread."""

import threading
from _queue import SimpleQueue

from .invocation import attribution
from .process import guard


class Threads:
    """Threads take turns at reading: the one that reads an invocation hands the
    reading on and runs the invocation itself, so that between socket and handler no
    thread has to wake another. There is always one more thread than invocations.
    The main thread waits, and runs signal handlers and exit hooks."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.jobs = SimpleQueue()  # invocations to run; None: read
        self.busy = set()  # invocations, until they are answered
        self.threads = 0
        self.exits = SimpleQueue()  # what sys.exit raised; None: signals are to be looked at
        runtime.process.wake = lambda: self.exits.put(None)

    def serve(self):
        self._grow(1)
        self.jobs.put(None)
        guard.rest()
        error = None
        while error is None:
            error = self.exits.get()
        guard.idle = False
        self.runtime.process.exit(error)

    def await_window(self, invocation, sent):
        """Waits until the host takes more than the bytes that were sent, or none: the
        thread that reads rings."""
        if invocation.bell is None:
            invocation.bell = SimpleQueue()
        if invocation.granted <= sent and not invocation.cancelled:
            invocation.bell.get()

    def _grow(self, wanted):
        while self.threads < wanted:
            self.threads += 1
            threading.Thread(target=self._work, name="hearth-%d" % self.threads, daemon=True).start()

    def _work(self):
        attribution.enter(None)
        while True:
            invocation = self.jobs.get()
            if invocation is None:
                invocation = self._read()
                if invocation is None:
                    return
            self._run(invocation)
            invocation = None

    def _read(self):
        """Gives an invocation to run, once others are told to do the rest."""
        runtime = self.runtime
        while True:
            found = runtime.reader.read()
            if found is None:
                runtime.process.hang_up()
                return None
            ready = runtime.intake.take(found)
            if not ready:
                continue
            self.busy.update(ready)
            for invocation in ready[1:]:
                self.jobs.put(invocation)
            self._grow(len(self.busy) + 1)
            self.jobs.put(None)
            return ready[0]

    def _run(self, invocation):
        attribution.enter(invocation)
        try:
            self.runtime.call(invocation, guarded=False)
        except SystemExit as error:
            self.exits.put(error)
            return
        finally:
            attribution.enter(None)
        self.runtime.writer.flush()
        self.busy.discard(invocation)
