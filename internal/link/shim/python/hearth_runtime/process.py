"""The life of the process: signals, shutdown, exit, forks."""

import os
import sys
from _thread import get_ident, start_new_thread
from time import sleep

import _signal

_SIGTERM = _signal.SIGTERM
# Brings the main thread out of whatever it does, to leave. SIGTERM itself must stay as
# the owner's code expects it: a Python handler for it would be inherited by forked
# children, and the signal be lost on one that has only just been forked.
_LEAVE = _signal.SIGRTMAX - 3
HANGUP_GRACE = 0.5  # seconds, when the host is gone
EXIT_GRACE = 2.0  # seconds for exit hooks after sys.exit (Lambda's limit)


class Guard:
    """Puts off the owner's signal handlers while the shim itself is at work on the
    main thread: one that raises must not tear a frame apart."""

    def __init__(self):
        self.main = get_ident()
        self.held = True
        self.idle = False  # the main thread waits; handlers may run, but not raise
        self.deferred = []

    def enter(self):
        """Begins the shim's work within the owner's; gives what leave needs."""
        if get_ident() != self.main or self.held:
            return True
        self.held = True
        return False

    def leave(self, held):
        if not held:
            self.release()

    def rest(self):
        """The main thread is about to wait. What was put off runs now."""
        self.idle = True
        self._catch_up()

    def release(self):
        """The owner's code runs from here on."""
        self.held = False
        self._catch_up()

    def _catch_up(self):
        while self.deferred:
            deliver, signum, frame = self.deferred.pop(0)
            deliver(signum, frame)


guard = Guard()


class Process:
    def __init__(self):
        self.log = None
        self.writer = None
        self.leaving = False
        self.left = False
        self.on_leave = lambda: self.leave(0)  # ends the process, on the main thread
        self.wake = lambda: None  # ends the server's own wait on the main thread
        self.handlers = {}  # what the owner's code has set, by signal
        _signal.signal(_LEAVE, self._deliver_to(None))

    def attach(self, log):
        self.log, self.writer = log, log.writer
        self.writer.gone = self.hang_up
        os.register_at_fork(after_in_child=self._after_fork)

    # Ends. A timer makes sure of each: hooks and threads may hang.

    def shut_down(self, grace):
        """As SIGTERM would: the owner's handler, exit hooks, exit. Any thread."""
        if self.leaving:
            return
        self.leaving = True
        self._timer(grace, 0)
        number = _SIGTERM if callable(self.handlers.get(_SIGTERM)) else _LEAVE
        if get_ident() != guard.main:
            _signal.pthread_kill(guard.main, number)
            self.wake()  # a signal that comes just before a wait does not end it
            return
        idle, guard.idle = guard.idle, True
        _signal.pthread_kill(guard.main, number)  # the handler has run when it returns
        guard.idle = idle

    def hang_up(self):
        """The host has closed the connection."""
        self.shut_down(HANGUP_GRACE)

    def exit(self, error):
        """The owner's code called sys.exit. Main thread only; does not return."""
        code = error.code
        if code is None:
            code = 0
        elif not isinstance(code, int):
            self.log.say(None, "%s\n" % (code,))
            code = 1
        self.leaving = True
        self._timer(EXIT_GRACE, code & 0xFF)
        self.leave(code & 0xFF)

    def leave(self, code):
        """Runs exit hooks and exits. The interpreter's own teardown would only take
        time, and could hang on threads that still run."""
        if self.left:
            return
        self.left = True
        guard.held = False
        try:
            threading = sys.modules.get("threading")
            if threading is not None:
                threading._shutdown()
            import atexit

            atexit._run_exitfuncs()
        except BaseException:
            pass  # hooks have had their say in the log
        try:
            self.log.flush()
            self.writer.drain()
        finally:
            os._exit(code)

    def _timer(self, seconds, code):
        def run():
            sleep(seconds)
            os._exit(code)

        start_new_thread(run, ())

    def watch_connection(self):
        """Ends the process when the host closes the connection, even while code runs
        that never looks."""
        import select

        poll = select.poll()
        poll.register(self.writer.fd, select.POLLRDHUP)

        def run():
            poll.poll()
            self.hang_up()

        start_new_thread(run, ())

    def _after_fork(self):
        from . import logs

        self.writer.fd, fd = -1, self.writer.fd
        try:
            os.close(fd)
        except OSError:
            pass
        self.log.forked = True
        logs.after_fork()
        guard.main, guard.held, guard.idle = get_ident(), False, False

    # Signals.

    def _deliver_to(self, handler):
        """Wraps a signal handler; None stands for none, only leaving."""

        def deliver(signum, frame):
            if guard.held and not guard.idle:
                guard.deferred.append((deliver, signum, frame))
                return
            try:
                if guard.idle:
                    self._run_idle(handler, signum, frame)
                elif handler is not None:
                    handler(signum, frame)
            finally:
                if self.leaving and signum in (_SIGTERM, _LEAVE):
                    self.on_leave()

        deliver.owner = handler
        return deliver

    def _run_idle(self, handler, signum, frame):
        try:
            if handler is not None:
                handler(signum, frame)
        except SystemExit as error:
            self.exit(error)
        except BaseException as error:
            from . import failures

            self.log.say(None, failures.text(error))

    def adopt_signals(self, signal):
        """Wraps the handlers that the owner's code sets, once it imports signal."""
        set_handler, get_handler = signal.signal, signal.getsignal
        process = self

        def replacement(signalnum, handler, /):
            old = getsignal(signalnum)
            set_handler(signalnum, process._deliver_to(handler) if callable(handler) else handler)
            process.handlers[int(signalnum)] = handler
            return old

        def getsignal(signalnum, /):
            handler = get_handler(signalnum)
            return getattr(handler, "owner", handler)

        replacement.__doc__, getsignal.__doc__ = set_handler.__doc__, get_handler.__doc__
        signal.signal, signal.getsignal = replacement, getsignal
