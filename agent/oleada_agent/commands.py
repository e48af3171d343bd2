"""Signed commands: a short list of verbs, each done once, before it expires.

The number of the last command is durable *before* it is carried out, so a replayed one
does nothing even after a power cut: at most once is right for a command, whose sender
sees that no result came and may send another. Source: trust design 8, rows 11 and 28.
"""

import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from oleada_wire.messages import Cmd, Header, Result
from oleada_wire.words import Refusal, ResultStatus

from oleada_agent.errors import StorageError
from oleada_agent.journal import write_whole
from oleada_agent.ports import Disk

LAST: Final = ("data/last-command.0", "data/last-command.1")
OUTPUT_CHARS_MAX: Final = 8_000


class Commands:
    """Carries out what the director has signed for this box.

    Args:
        verbs: What may be asked for; each returns a short text.
        put_result: Puts the result into the outbox.
        act: Takes up a command of the table of actions; returns False for any other.
    """

    def __init__(
        self,
        disk: Disk,
        verbs: dict[str, Callable[[], str]],
        put_result: Callable[[Callable[[Header], Result]], None],
        act: Callable[[Cmd], bool] | None = None,
    ) -> None:
        self._disk = disk
        self._verbs = verbs
        self._put_result = put_result
        self._act = act
        with suppress(StorageError):
            for path in LAST:
                self._disk.unlink(f"{path}.tmp")  # of a disk that refused the rest
        copies = [self._read(path) for path in LAST]
        self._last_seq = max(copies)
        if min(copies) < self._last_seq:  # a cut has parted them, and one alone may rot
            with suppress(StorageError):
                self._remember(self._last_seq)

    def obey(self, command: Cmd, now_ms: int) -> bool:
        """Carry *command* out and report; return False for one that is stale or a replay.

        Of one whose time ran out the sender is told, once; a replay is nobody's command.
        """
        if command.cmd_seq <= self._last_seq:
            return False
        try:
            self._remember(command.cmd_seq)
        except StorageError as error:
            self._report(command, ResultStatus.ERROR, f"The box's disk refuses: {error}")
            return False
        if command.expires_ms <= now_ms:
            sentence = "Its time ran out before it came."
            self._report(command, ResultStatus.REFUSED, sentence, Refusal.TOO_LATE)
            return False
        verb = self._verbs.get(command.verb)
        if verb is None and self._act is not None and self._act(command):
            return True
        if verb is None or command.arguments:
            known = ", ".join(sorted(self._verbs))
            self._report(
                command, ResultStatus.REFUSED, f"This box knows, without arguments: {known}."
            )
            return True
        self._report(command, ResultStatus.COMPLETE, verb())
        return True

    def _report(
        self, command: Cmd, status: ResultStatus, output: str, why: Refusal | None = None
    ) -> None:
        self._put_result(
            lambda header: Result(
                header, command.cmd_id, status, output[:OUTPUT_CHARS_MAX], error=why
            )
        )

    def _remember(self, seq: int) -> None:
        text = str(seq)
        for path in LAST:
            write_whole(self._disk, path, f"{text} {zlib.crc32(text.encode()):08x}".encode())
        self._last_seq = seq

    def _read(self, path: str) -> int:
        with suppress(StorageError, ValueError):
            if self._disk.exists(path):
                text, crc = self._disk.read(path).decode("ascii").split()
                if int(crc, 16) == zlib.crc32(text.encode()):
                    return int(text)
        return 0
