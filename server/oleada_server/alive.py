"""Signs of life from a process to whoever supervises it, and who notices their end.

The protocol is that of sd_notify(3): a datagram ``WATCHDOG=1`` to the socket that
NOTIFY_SOCKET names, so ``oleada up`` and systemd understand the same process. A file
would not do: on a full or read-only disk a healthy process would look dead.
"""

import os
import secrets
import socket
from contextlib import suppress
from typing import Final

SILENT_S: Final = 180.0
"""A process that turns at least every ten seconds and was not heard for so long hangs."""
LOOK_S_MAX: Final = 1.0
"""What one look may add to a silence: a supervisor that slept has not heard either."""
NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
_SIGN: Final = b"WATCHDOG=1"
_BYTES_MAX: Final = 4096


def tell() -> None:
    """Tell the supervisor that this process turns; does nothing when there is none."""
    address = os.environ.get(NOTIFY_SOCKET, "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line, suppress(OSError):
        line.setblocking(False)  # a supervisor that is paused must not pause us
        line.sendto(_SIGN, address.replace("@", "\0", 1))


class Ear:
    """Where one process is heard.

    Args:
        silent_s: After so long without a sign it counts as hanging.
    """

    def __init__(self, silent_s: float = SILENT_S) -> None:
        name = f"oleada-{os.getpid()}-{secrets.token_hex(8)}"
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(f"\0{name}")
        self._line.setblocking(False)
        self._silent_s = silent_s
        self._looked_s: float | None = None
        self._silence_s = 0.0
        self.address = f"@{name}"
        """What NOTIFY_SOCKET must be for it."""

    def hangs(self, now_s: float) -> bool:
        """Return whether the process has been silent for too long at *now_s* (monotonic)."""
        since_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        self._looked_s = now_s
        self._silence_s = 0.0 if self._heard() else self._silence_s + min(since_s, LOOK_S_MAX)
        return self._silence_s > self._silent_s

    def begin(self) -> None:
        """Forget what was heard: the process begins anew."""
        self._heard()
        self._silence_s, self._looked_s = 0.0, None

    def close(self) -> None:
        """Listen no more."""
        self._line.close()

    def _heard(self) -> bool:
        heard = False
        with suppress(BlockingIOError):
            while True:
                heard |= _SIGN in self._line.recv(_BYTES_MAX)
        return heard
