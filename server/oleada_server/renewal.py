"""Certificates of our own ends, looked after while the server runs.

Made at the start with years to live (initialise.py); a server that is never stopped, or
whose files were changed by ``oleada init`` or by hand, is looked after here: what ends soon
is made anew, and the processes that hold a changed file are to be started again.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from cryptography import x509

from oleada_server.config import Config
from oleada_server.enrolment.pki import SERVER_NAME
from oleada_server.errors import ServerError
from oleada_server.initialise import make_certificates

EVERY_S: Final = 3600.0
HELD_BY: Final = {
    "broker": ("broker",),
    "door": ("door",),
    SERVER_NAME: ("worker",),
    "device-ca": ("broker", "door"),
    "service-ca": ("broker", "door", "worker"),
}
"""Which processes read a certificate, by the name of its file."""


class Renewal:
    """The certificates of *config* as the running processes know them."""

    def __init__(self, config: Config, now_s: float) -> None:
        self._config = config
        self._held = self._look()
        self._running = {name: self._read(name) for name in HELD_BY}
        self._due_s = now_s + EVERY_S

    def turn(
        self, now_s: float, now: Callable[[], datetime], say: Callable[[str], None]
    ) -> set[str]:
        """Make what ends soon, once an hour and after a change; return who has to start again.

        A process that runs has read its certificate: while the file can not be read it is
        better off as it is, for it could not start again.

        Args:
            now_s: Of the steady clock.
            now: The time, asked when something is to be made.
            say: Told what was done, or why it could not be.
        """
        if now_s < self._due_s and self._look() == self._held:
            return set()
        self._due_s = now_s + EVERY_S
        try:
            make_certificates(self._config, now())
        except (ServerError, OSError, ValueError) as error:
            say(f"Certificates can not be looked after: {error}")
        self._held = self._look()
        changed = [name for name in HELD_BY if self._has_changed(name, say)]
        for name in changed:
            say(f"Certificate {name} has changed; {', '.join(HELD_BY[name])} starts again with it.")
        return {process for name in changed for process in HELD_BY[name]}

    def _has_changed(self, name: str, say: Callable[[str], None]) -> bool:
        """Return whether there is another good certificate *name* than the one that runs."""
        found = self._read(name)
        if found is None:
            if self._running[name] is not None:
                say(f"Certificate {name} can not be read; who has it goes on with the last one.")
            return False
        before, self._running[name] = self._running[name], found
        return found != before

    def _read(self, name: str) -> bytes | None:
        """Return what is in the file; None if that is no certificate."""
        try:
            data = (self._config.pki_dir / f"{name}.pem").read_bytes()
            x509.load_pem_x509_certificate(data)
        except (OSError, ValueError):
            return None
        return data

    def _look(self) -> dict[str, int]:
        """Return when each file was last written; 0 for one that is not there."""
        found = {}
        for name in HELD_BY:
            path = self._config.pki_dir / f"{name}.pem"
            found[name] = path.stat().st_mtime_ns if path.exists() else 0
        return found
