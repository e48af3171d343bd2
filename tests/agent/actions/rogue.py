"""A process of an action that has gone wrong, as its ``cmd_id`` says; run by tests alone."""

import json
import os
import signal
import sys


def main() -> None:
    """Misbehave."""
    order = json.loads(sys.stdin.buffer.read())
    how = order["cmd_id"]
    if how == "flood":
        for _ in range(1_600):
            os.write(1, b'{"output": "' + b"x" * 30_000 + b'"}\n' * 2)
    if how == "long-line":
        os.write(1, b"x" * 100_000_000)
    if how == "nonsense":
        os.write(1, b'\xff\n[]\n{"values": {"a": NaN, "b": [1], "c": 1e400, "d": 5}}\n')
        os.write(1, b'{"end": "Wonderful", "values": 7, "files": [1], "error": {}, "then": []}\n')
    if how == "hog":
        take_all(int(order["parent"]))
    if how == "family":
        breed()


def take_all(parent: int) -> None:
    """Take more memory than there may be."""
    from oleada_agent.actions.__main__ import _bound  # noqa: PLC0415 - the others need none

    _bound(parent, 10_000)
    try:
        bytearray(1 << 30)
    except MemoryError:
        os.write(1, b'{"end": "Error_Internal", "error": "too-much-memory"}\n')


def breed() -> None:
    """Start another process, and stay."""
    if os.fork():
        os.write(1, b'{"values": {"ready": true}}\n')
    signal.pause()


if __name__ == "__main__":
    main()
