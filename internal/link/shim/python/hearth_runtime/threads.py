"""Many invocations at once, with threads for those that take long."""

import threading
from _queue import SimpleQueue
from _thread import allocate_lock
from time import monotonic, sleep

from .invocation import attribution
from .process import guard

TICK = 0.002  # seconds after which a handler counts as long
SHORT = 0.00015  # seconds that the handlers of quick invocations take on average
IN_A_ROW = 3  # reads of slow invocations, after which it is no coincidence
AT_ONCE = 16  # answers that one write may carry
APART = 0.1  # seconds for which slow invocations get threads of their own, at first
APART_MOST = 10.0


class Threads:
    """One thread leads: it reads invocations and runs them one after another, so that
    between socket and handler no thread has to wake another. That is right while
    handlers are quick. When one is not, a second thread takes the lead from it, and for
    a while every invocation gets a thread: the leader hands the lead on before it runs
    one, and there is always one more thread than invocations. The main thread waits,
    and runs signal handlers and exit hooks."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.lead = allocate_lock()  # to read, and to take from the queue
        self.queue = []  # invocations that the leader has read and not yet begun, last first
        self.jobs = SimpleQueue()  # invocations to run in a thread; None: lead
        self.busy = set()  # invocations, until they are answered
        self.growing = allocate_lock()
        self.threads = 0
        self.short = False  # of threads: the process may have no more
        self.exits = SimpleQueue()  # what sys.exit raised; None: signals are to be looked at
        self.count = 0  # invocations that a leader has begun
        self.running = None  # the one that the leader runs
        self.asleep = False  # the second thread
        self.bell = SimpleQueue()  # wakes it
        self.slow = 0  # reads of slow invocations, in a row
        self.apart = False  # every invocation gets a thread
        self.until = 0.0  # when that ends, or has ended
        self.pause = APART
        runtime.process.wake = lambda: self.exits.put(None)

    def serve(self):
        self.lead.acquire()
        self._start(self._work)
        self._start(self._look)
        self.jobs.put(None)
        guard.rest()
        error = None
        while error is None:
            error = self.exits.get()
        guard.idle = False
        self.runtime.process.exit(error)

    def await_window(self, invocation, sent):
        """Waits until the host takes more than the bytes that were sent, or none: the
        thread that leads rings."""
        if invocation.bell is None:
            invocation.bell = SimpleQueue()
        if invocation.granted <= sent and not invocation.cancelled:
            if self.running is invocation:
                self._depose()
            invocation.bell.get()

    def _start(self, work):
        threading.Thread(target=work, name="hearth-%d" % self.threads, daemon=True).start()
        self.threads += 1

    def _grow(self):
        """Sees to one more thread than there are invocations, and one that looks. If the
        process may have no more, those that there are do what there is to do."""
        with self.growing:
            try:
                while self.threads < len(self.busy) + 2:
                    self._start(self._work)
                self.short = False
            except RuntimeError:
                self.short = True
                self._rouse()

    def _work(self):
        attribution.enter(None)
        while True:
            invocation = self.jobs.get()
            if invocation is None:
                if not self._lead():
                    return
            else:
                self._run(invocation)
                self.runtime.writer.flush()
            invocation = None

    def _lead(self):
        """Reads and runs until another thread leads; false at the end."""
        lead, writer, queue = self.lead, self.runtime.writer, self.queue
        while True:
            if not self._read():
                return False
            begun, done = monotonic(), 0
            if self.apart:
                if begun < self.until:
                    first = queue.pop()
                    self._hand_on()
                    if self._run(first):
                        writer.flush()
                    return True
                self.apart = False
            while queue:
                if not self._run_leading(queue.pop()):
                    return False
                if not lead.acquire(False):
                    writer.flush()
                    return True
                self.running = None
                done += 1
                if len(writer.pending) >= AT_ONCE:
                    writer.flush()
                if monotonic() - begun > SHORT * done + TICK:
                    break
            writer.flush()
            if monotonic() - begun <= SHORT * done:
                self.slow = 0
                continue
            self.slow += 1
            if self.slow >= IN_A_ROW:
                self._spread()
            if queue:
                self._hand_on()
                return True

    def _run_leading(self, invocation):
        """Runs an invocation; meanwhile the lead is for others to take."""
        self.count += 1
        self.running = invocation
        self._rouse()
        self.lead.release()
        return self._run(invocation)

    def _read(self):
        """Reads invocations into the queue and tells how many; 0 at the end."""
        runtime = self.runtime
        while True:
            found = runtime.reader.read()
            if found is None:
                runtime.process.hang_up()
                return 0
            ready = runtime.intake.take(found)
            if ready:
                self.busy.update(ready)
                ready.reverse()
                self.queue += ready
                return len(ready)

    def _hand_on(self):
        """Gives what is in the queue to threads, and the lead, which the caller has, to
        another one."""
        queue = self.queue
        while queue:
            self.jobs.put(queue.pop())
        self._grow()
        self.jobs.put(None)

    def _run(self, invocation):
        attribution.enter(invocation)
        try:
            self.runtime.call(invocation, guarded=False)
        except SystemExit as error:
            self.exits.put(error)
            return False
        finally:
            attribution.enter(None)
        self.busy.discard(invocation)
        return True

    def _spread(self):
        """For a while every invocation gets a thread; longer each time, unless handlers
        have been quick for long in between."""
        now = monotonic()
        self.pause = APART if now - self.until > 10 * self.pause else min(2 * self.pause, APART_MOST)
        self.apart, self.until, self.slow = True, now + self.pause, 0

    def _depose(self):
        """Takes the lead from a thread that runs an invocation, if one does."""
        if self.lead.acquire(False):
            self.running = None
            self._spread()
            self._hand_on()
            self.runtime.writer.flush()

    def _rouse(self):
        if self.asleep:
            self.asleep = False
            self.bell.put(None)

    def _look(self):
        """Looks whether the leader's invocation takes long, and whether there may be more
        threads again; sleeps when there is nothing to look for."""
        while True:
            self.asleep = True
            if self.running is None and not self.short:
                self.bell.get()
            self.asleep = False
            seen = -1
            while self.running is not None or self.short or self.count != seen:
                seen = self.count
                sleep(TICK)
                if self.short:
                    self._grow()
                if self.running is not None and self.count == seen:
                    self._depose()
