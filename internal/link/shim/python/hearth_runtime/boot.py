"""From HELLO to READY, and on to the server that fits the handler and the model."""

import os
import sys

from . import frames, hooks, logs
from .invocation import Intake, attribution
from .process import Process, guard


class Init:
    """What INIT says."""

    def __init__(self, body):
        from .payload import decode

        said = decode(body)
        self.handler = said.get("handler") or ""
        self.dialect = said.get("dialect") or "aws"
        self.arn = said.get("arn") or ""
        self.root = os.path.abspath(said.get("taskRoot") or "/var/task")
        self.env = said.get("env") or {}
        self.concurrent = said.get("model") == "concurrent"
        self.slots = max(int(said.get("slots") or 1), 1)
        self.function = said.get("function") or ""
        self.version = said.get("version") or ""
        self.memory = str(said.get("memoryMB") or "")
        self.log_group = said.get("logGroup") or ""
        self.log_stream = said.get("logStream") or ""
        self.most = int(said.get("maxResponseBytes") or 6291556)


def main():
    process = Process()
    writer = frames.Writer()
    log = logs.Log(writer)
    process.attach(log)
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [path for path in sys.path if path != own]
    try:
        from . import runtime  # while the host makes up its mind

        reader, intake = frames.Reader(), Intake(process.shut_down)
        init = Init(_wait_for_init(reader, intake, process))
        process.watch_connection()
        _prepare(init, log, process)
        guard.release()
        runtime.Runtime(init, reader, intake, log, process).start()
    except Exception as error:
        from . import failures

        failures.crash(error)


def _wait_for_init(reader, intake, process):
    while True:
        guard.rest()
        found = reader.read()
        guard.idle = False
        if found is None:
            process.leave(0)
        for position, entry in enumerate(found):
            if entry[0] == frames.INIT:
                intake.take(found[position + 1 :])
                return entry[3]
        intake.take(found)


def _prepare(init, log, process):
    """Makes the process what the owner's code expects."""
    import builtins

    os.environ.update(init.env)
    if "TZ" in init.env:
        import time

        time.tzset()
    extra = [path for path in init.env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [init.root, *extra]
    try:
        os.chdir(init.root)
    except OSError:
        pass  # the handler's module will not be found, and that has its own words
    builtins.exit = builtins.quit = sys.exit  # site is not loaded
    logs.install(log)
    actions = {
        "logging": lambda logging: logs.configure_logging(logging, log, os.environ),
        "signal": process.adopt_signals,
    }
    if init.concurrent:
        attribution.shared = True
        actions["threading"] = attribution.inherit
        actions["concurrent.futures.thread"] = attribution.inherit_jobs
        hooks.share_trace_id(os, attribution)
    hooks.Hooks(actions)
    try:
        import faulthandler

        faulthandler.enable(2)  # a crash in C code leaves its trace in the pipe
    except Exception:
        pass
