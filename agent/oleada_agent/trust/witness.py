"""The newest head of the server's audit trail that this box has seen.

Every release and every wave is an entry of that trail. A box keeps the highest head that
it was shown and says it back, in the server's own signature: a server that shows some
boxes another trail than its auditors (a secret firmware for one customer) has then signed
the proof of it. A box decides nothing by it. Source: trust design 7 and 8, row 24.
"""

from contextlib import suppress
from typing import Final

from oleada_wire import messages
from oleada_wire.envelope import RoleKeys
from oleada_wire.errors import WireError
from oleada_wire.messages import AuditHead

from oleada_agent.errors import StorageError
from oleada_agent.ports import Disk
from oleada_agent.trust.errors import RollbackError, SplitViewError
from oleada_agent.trust.store import MetadataStore

NAME: Final = "head"


class Witness:
    """Keeps the highest head, in two copies.

    Args:
        folder: On the *disk*; holds ``head.json`` and ``second/head.json``.

    Attributes:
        seen: Its envelope, as the server signed it; None before the first, and after the
            key that had signed it was rotated away.
    """

    def __init__(self, disk: Disk, folder: str) -> None:
        self._store = MetadataStore(disk, folder)
        self._head: AuditHead | None = None
        self._is_news = self._is_loaded = False
        self.seen: str | None = None

    def follow(self, role: RoleKeys) -> None:
        """Go by the keys of *role* from now on: forget a head that none of them signs."""
        copies = [self.seen.encode()] if self.seen is not None else []
        if not self._is_loaded:
            copies += self._store.read(NAME)
        self._head = self.seen = None
        for data in copies:
            with suppress(WireError):  # torn, or signed with a key of before a theft
                head = messages.open_message(AuditHead, data, role)
                if self._head is None or _order(head) > _order(self._head):
                    self._head, self.seen = head, data.decode()
        if self.seen is not None and not self._is_loaded:
            self._store.mend(NAME, self.seen.encode())
        self._is_loaded = True

    def see(self, sealed: str, role: RoleKeys) -> None:
        """Keep the head in envelope *sealed* if it is higher than the one that is kept.

        Raises:
            WireError: it is no head, or not signed by *role*.
            RollbackError: it is of a shorter trail than was there.
            SplitViewError: it is of another trail, as long as the one that was there.
        """
        if sealed == self.seen:
            return
        head, known = messages.open_message(AuditHead, sealed.encode(), role), self._head
        if known is not None and _order(head) < _order(known):
            raise RollbackError(
                f"The audit trail has {head.size} entries; it had {known.size} before."
            )
        if known is not None and _order(head) == _order(known):
            if head.root_sha256 != known.root_sha256:
                raise SplitViewError(f"Two audit trails of {head.size} entries were signed here.")
            return
        self._head, self.seen, self._is_news = head, sealed, True
        with suppress(StorageError):  # it holds in memory, and the next one is written again
            self._store.write(NAME, sealed.encode())

    def take_news(self) -> str | None:
        """Return the head if it is new since the last call; else None."""
        found, self._is_news = self.seen if self._is_news else None, False
        return found


def _order(head: AuditHead) -> tuple[int, int]:
    """Return what orders heads: sizes are compared since the server's last restore."""
    return head.epoch, head.size
