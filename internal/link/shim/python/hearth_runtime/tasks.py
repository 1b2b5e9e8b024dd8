"""Asynchronous handlers: tasks on one event loop on the main thread, in both models
(the host sends no more at once than the instance has slots)."""

import asyncio
from contextvars import copy_context

from . import failures, packed
from .invocation import attribution
from .process import guard

STOP_DELAY = 0.02  # seconds for callbacks of add_signal_handler to begin
CANCEL_TIME = 1.0  # seconds for cancelled tasks to end


class Tasks:
    def __init__(self, runtime):
        self.runtime = runtime
        self.loop = _event_loop()
        self.tasks = set()
        self.flushing = False
        attribution.shared = True

    def serve(self):
        self.runtime.process.on_leave = lambda: self.loop.call_soon_threadsafe(self._begin_stop)
        self.loop.add_reader(self.runtime.reader.fd, self._readable)
        guard.release()
        self.loop.run_forever()
        self.runtime.process.leave(0)

    def _readable(self):
        held = guard.enter()
        try:
            found = self.runtime.reader.read()
            if found is None:
                self.loop.remove_reader(self.runtime.reader.fd)
                self.runtime.process.hang_up()
                return
            for invocation in self.runtime.intake.take(found):
                copy_context().run(self._begin, invocation)
        finally:
            guard.leave(held)

    def _begin(self, invocation):
        attribution.enter(invocation)
        task = self.loop.create_task(self._run(invocation))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _run(self, invocation):
        runtime = self.runtime
        try:
            context = runtime.context(invocation)
            event = packed.take(invocation)
            if not self.runtime.init.concurrent:
                runtime.set_trace_id(invocation)
            parts = runtime.succeeded(invocation, await runtime.handler(event, context))
        except SystemExit as error:
            runtime.exiting(invocation, error)
            runtime.process.exit(error)
        except BaseException as error:
            parts = runtime.failed(invocation, error)
        held = guard.enter()
        try:
            runtime.finish(invocation, parts)
            if not self.flushing:
                self.flushing = True
                self.loop.call_soon(self._flush)
        finally:
            guard.leave(held)

    def _flush(self):
        """One write for all that one turn of the loop has answered."""
        held = guard.enter()
        try:
            self.flushing = False
            self.runtime.writer.flush()
        finally:
            guard.leave(held)

    def _begin_stop(self):
        self.loop.call_later(STOP_DELAY, lambda: self.loop.create_task(self._stop()))

    async def _stop(self):
        """Cancels what still runs, as asyncio.run does, so that finally clauses run."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=CANCEL_TIME)
        self.runtime.writer.flush()
        self.loop.stop()


def _event_loop():
    """The loop that the owner's module may have used already, or a new one."""
    try:
        return asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop
