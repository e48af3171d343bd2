"""Is the audit trail what it was? Entries, chain, tree and every head that is known.

An entry that was changed does not fit its hash; one that was removed or put in between
breaks the chain; where the chain was written anew behind it, the heads that were signed
before do not fit any more. The more places heads lie in, the less can be rewritten.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from oleada_wire.messages import AuditHead

from oleada_server.audit import service
from oleada_server.audit.tree import EMPTY_SHA256, Tree

ONE_BY_ONE: Final = 2000
"""Entries that are read each by itself around one that can not be read."""
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        entries: How many there are.
        broken: Id of the first entry that does not fit its hash or the chain; None if all do.
        heads: How many heads were compared.
        wrong: What is wrong with heads, a sentence each.
        lost: What heads saw before the last restore that is not there any more: a backup
            knows only what was before it.
    """

    entries: int
    broken: int | None = None
    heads: int = 0
    wrong: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed, removed, put in between or written anew."""
        return self.broken is None and not self.wrong


@dataclass(slots=True)
class _Walk:
    """One walk along the trail, and the heads that wait for it to come by."""

    waiting: dict[int, list[AuditHead]]
    epoch: int
    tree: Tree = field(default_factory=Tree)
    previous: str = service.BEGINNING
    broken: int | None = None
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def pass_by(self, entry: Any) -> None:
        is_read = not isinstance(entry, Unreadable)
        spelt = service.digest_of(entry) if is_read else EMPTY_SHA256
        fits = is_read and entry.previous_sha256 == self.previous and entry.entry_sha256 == spelt
        if not fits and self.broken is None:
            self.broken = int(entry.id)
        self.previous = entry.entry_sha256
        # What is no hash at all was put there from outside: the leaf that should be there.
        self.tree.add(entry.entry_sha256 if is_sha256(entry.entry_sha256) else spelt)
        for head in self.waiting.pop(self.tree.size, ()):
            self._compare(head)

    def _compare(self, head: AuditHead) -> None:
        if head.root_sha256 == self.tree.root_sha256():
            return
        self._say(head, "another trail was there when it was signed")

    def end(self) -> None:
        for heads in self.waiting.values():
            for head in heads:
                missing = head.size - self.tree.size
                self._say(head, f"{missing} of its entries are not there any more")

    def _say(self, head: AuditHead, what: str) -> None:
        text = f"head of {head.size} entries, signed at {head.signed_ms}: {what}"
        (self.lost if head.epoch < self.epoch else self.wrong).append(text)


def is_sha256(text: object) -> bool:
    """Return whether *text* is 64 lowercase hex digits."""
    return isinstance(text, str) and len(text) == 64 and set(text) <= _HEX


def verify(entries: Iterable[Any], heads: Iterable[AuditHead], epoch: int) -> Verdict:
    """Return what is wrong with *entries*, in order, judged by themselves and by *heads*.

    Args:
        entries: Rows of the trail.
        heads: Heads whose signatures were checked.
        epoch: When the server was last restored, in milliseconds; 0 for never.
    """
    waiting: dict[int, list[AuditHead]] = {}
    count = 0
    for head in heads:
        waiting.setdefault(head.size, []).append(head)
        count += 1
    walk = _Walk(waiting, epoch)
    for entry in entries:
        walk.pass_by(entry)
    walk.end()
    return Verdict(walk.tree.size, walk.broken, count, tuple(walk.wrong), tuple(walk.lost))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry over which something was written that is no date or no JSON."""

    id: int
    action: str = ""
    previous_sha256: str = ""
    entry_sha256: str = ""


def entries() -> Iterator[Any]:
    """Yield every entry of this server's trail; one that can not be read as such, in its place."""
    after = 0
    while True:
        try:
            for entry in service.rows_after(after):
                yield entry
                after = entry.id
        except (ValueError, TypeError):
            yield from _one_by_one(after)
            after += ONE_BY_ONE
            continue
        return


def _one_by_one(after: int) -> Iterator[Any]:
    for entry_id in range(after + 1, after + 1 + ONE_BY_ONE):
        try:
            yield from service.rows_after(entry_id - 1, entry_id)
        except (ValueError, TypeError):
            yield Unreadable(entry_id)
