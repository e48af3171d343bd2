"""The server of a story is killed at each commit of a tick, and what it leaves is compared.

A tick is played again and again from the same rows: once undisturbed, and for each commit
of it killed there, with that transaction lost or kept. Whoever was killed starts anew, knows
nothing but the rows, and ticks in the same moment. Then the database is, to the last row,
what the undisturbed tick has left; the same rows have the same future. The story itself goes
on from one that was killed, another one after each tick. A batch that is killed comes again
from the broker, because nobody has acknowledged it.

What each start draws anew is not compared: ids, boots and numbers of messages, and signatures
over them.
"""

import base64
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from flask import current_app
from oleada_server.db import db
from sqlalchemy import Connection, event

from oleada_lab.errors import LabError
from oleada_lab.sim import services_app
from oleada_lab.sim.crash import Kept

T = TypeVar("T")
TICK: Final = "tick"
BATCH: Final = "batch"
MODES: Final = (Kept.NONE, Kept.ALL)
"""What a kill may leave of the transaction that was being committed."""
DRAWN: Final = ("id", "boot", "seq")
"""Of a message, by whoever writes it."""
TWICE: Final = {
    "change": "SELECT at, object_ref FROM change",
    "counter": "SELECT name, value FROM counter WHERE name != 'server-boots'",
    "outbox_message": "SELECT topic, payload, expires_at FROM outbox_message",
    "sqlite_sequence": "SELECT name FROM sqlite_sequence",
}
"""Tables in which what is done twice may leave a row twice: a page looks once more, and a box
that asks the same again is given the same answer again."""
TOLD_AGAIN: Final = {
    "device": {"assignment_seq", "cmd_seq"},
    "retained_message": {"payload", "revision", "expires_at"},
}
"""Columns that a batch that comes again may raise: who says hello twice is told twice."""
Rows = Mapping[str, Sequence[tuple[Any, ...]]]
"""Of each table, in one order."""


class KilledError(BaseException):
    """The process is gone: what would catch an ``Exception`` never gets to run."""


@dataclass(slots=True)
class Tally:
    """What was tried.

    Attributes:
        deeds: Ticks and batches that were played, by their name.
        commits: Of these, undisturbed.
        kills: Each at one commit, in one mode.
    """

    deeds: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    kills: int = 0


class Killer:
    """Plays what the server does whose app context one is in.

    Args:
        database: The only one of that server.
        names: Of the deeds that are killed: ``tick``, ``batch``.
        modes: Of ``MODES``.
        once: Of deeds that change the same tables only the first is killed.
        tell: Hears of each kill that has left something else: a sentence.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        names: Collection[str],
        modes: Sequence[Kept],
        *,
        once: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self._database, self._names, self._modes = database, names, tuple(modes)
        self._tell = tell
        self._known: set[tuple[str, ...]] | None = set() if once else None

    def play(self, name: str, deed: Callable[[], T]) -> T:
        """Do *deed* undisturbed and killed at each of its commits; go on from a killed one.

        Raises:
            LabError: It does not come again to a commit that it had.
        """
        if name not in self._names:
            return deed()
        with _copy_of(self._database) as before:
            commits, done = _run(deed)
            undisturbed = left(self._database, name)
            if self._is_known(name, left(before, name), undisturbed):
                return done
            self.tally.deeds[name] += 1
            self.tally.commits += commits
            for at, kept in self._order(commits):
                db.session.remove()
                before.backup(self._database)
                _die(deed, at, kept)
                self._database.rollback()  # as a database does for a process that is gone
                services_app.forget_boot(current_app)
                done = deed()
                self.tally.kills += 1
                if (differs := difference(undisturbed, left(self._database, name))) is not None:
                    self._tell(
                        f"a server that is killed at commit {at + 1} of {commits} of a {name}, "
                        f"its transaction {_spelt(kept)}, and starts again: {differs}"
                    )
        return done

    def _is_known(self, name: str, before: Rows, after: Rows) -> bool:
        """Return whether it has changed only what another one has that was killed."""
        if self._known is None:
            return False
        changes = (name, *(table for table in after if before[table] != after[table]))
        if changes in self._known:
            return True
        self._known.add(changes)
        return False

    def _order(self, commits: int) -> list[tuple[int, Kept]]:
        """Return every kill that leaves other rows, the last one another one at each deed.

        A transaction that is lost leaves what the one before it has left.
        """
        every = [
            (at, kept)
            for at in range(commits)
            for kept in self._modes
            if at == 0 or kept is Kept.ALL or Kept.ALL not in self._modes
        ]
        turn = self.tally.deeds.total() % len(every) if every else 0
        return every[turn:] + every[:turn]


def left(database: sqlite3.Connection, name: str) -> Rows:
    """Return every row of *database* after the deed *name*, without what each start draws anew."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    return {
        table: _rows(database, TWICE.get(table) or _query(database, table, name))
        for (table,) in database.execute(tables).fetchall()
    }


def difference(undisturbed: Rows, killed: Rows) -> str | None:
    """Return in words where two databases differ first; None if they do not."""
    for table, rows in undisturbed.items():
        ours, theirs = set(rows), set(killed[table])
        if ours != theirs:
            lost, more = sorted(map(str, ours - theirs)), sorted(map(str, theirs - ours))
            return (
                f"{table} lacks {len(lost)} rows {lost[:1]} and has {len(more)} others {more[:1]}"
            )
    return None


def _query(database: sqlite3.Connection, table: str, name: str) -> str:
    again = TOLD_AGAIN.get(table, set()) if name == BATCH else set()
    columns = [one[1] for one in database.execute(f"PRAGMA table_info({table})")]
    wanted = ", ".join(f'"{column}"' for column in columns if column not in again)
    return f"SELECT {wanted} FROM {table}"  # noqa: S608 - names of our own tables


def _rows(database: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(map(_plain, row)) for row in database.execute(query)]


def _plain(value: Any) -> Any:
    """Return *value*; of a message what it says, and who has signed it."""
    if not isinstance(value, bytes) or not value.startswith(b"{"):
        return value
    return json.dumps(_said(value), sort_keys=True)


def _said(message: bytes | str) -> Any:
    said = json.loads(message)
    if "payload" in said:
        signers = sorted(one["keyid"] for one in said["signatures"])
        return _said(base64.b64decode(said["payload"])), signers
    found = {key: what for key, what in said.items() if key not in DRAWN}
    if "waves" in found:
        found["waves"] = list(map(_said, found["waves"]))
    return found


def _run(deed: Callable[[], T]) -> tuple[int, T]:
    """Do *deed* undisturbed; return how many commits it has, and what it returns."""
    commits = 0

    def count(_connection: Connection) -> None:
        nonlocal commits
        commits += 1

    with _at_commits(count):
        done = deed()
    db.session.remove()
    return commits, done


def _die(deed: Callable[[], object], at: int, kept: Kept) -> None:
    """Do *deed* until its commit number *at*, which the rows show or not; nothing later.

    Raises:
        LabError: It does not come so far.
    """
    came_to = -1

    def commit(connection: Connection) -> None:
        nonlocal came_to
        came_to += 1
        if came_to < at:
            return
        if came_to == at and kept is Kept.ALL:
            under: Any = connection.connection.dbapi_connection
            under.commit()
        raise KilledError  # whoever cleans up after it commits nothing either

    with _at_commits(commit), suppress(KilledError):
        deed()
    db.session.remove()
    if came_to < at:
        raise LabError(f"What has a commit {at + 1} comes only to its commit {came_to + 1}.")


@contextmanager
def _at_commits(hear: Callable[[Connection], None]) -> Iterator[None]:
    engine = db.engine
    event.listen(engine, "commit", hear)
    try:
        yield
    finally:
        event.remove(engine, "commit", hear)


def _spelt(kept: Kept) -> str:
    return "kept" if kept is Kept.ALL else "lost"


@contextmanager
def _copy_of(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.session.remove()
    with closing(sqlite3.connect(":memory:")) as found:
        database.backup(found)
        yield found
