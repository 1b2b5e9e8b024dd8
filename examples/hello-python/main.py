"""The same idea in Python: heavy init, some CPU, a wait, and who served it.

With executionModel concurrent, plain functions run in threads and share these
globals, so the counter needs its lock.
"""

import os
import threading
import time
import uuid

INSTANCE = os.environ.get("HEARTH_INSTANCE_ID") or str(uuid.uuid4())
NUMBERS = list(range(1_000_000))  # init: once per instance, about 40 MB

_lock = threading.Lock()
_invocations = 0


def handler(event, context):
    global _invocations
    with _lock:
        _invocations += 1
        invocation = _invocations
    print(f"invocation {invocation}, {context.get_remaining_time_in_millis()} ms left")

    total = sum(NUMBERS)
    time.sleep(float(event.get("waitMs", 2000)) / 1000)

    return {"instance": INSTANCE, "invocation": invocation, "sum": total}
