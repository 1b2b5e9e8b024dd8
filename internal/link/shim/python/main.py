"""Hearth's Python runtime: speaks frames (PROTOCOL.md) on descriptor 3 and calls the
owner's handler. Standard library only, Python 3.9 or later.

Start it as:  python3 -I -S -B -X utf8 main.py
Nothing of the machine's site-packages is visible then: what a function needs comes
with its code. Start-up time counts, so imports are few, and HELLO goes out first.
"""

import os
import sys


def hello():
    version = "%d.%d.%d" % sys.version_info[:3]
    body = b'{"protocol":1,"runtime":"python%s","pid":%d}' % (version.encode(), os.getpid())
    os.set_blocking(3, True)
    os.set_inheritable(3, False)
    os.write(3, len(body).to_bytes(4, "little") + b"\x10" + bytes(7) + body)


if __name__ == "__main__":
    hello()
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from hearth_runtime import boot

    boot.main()
