"""Tells the agent what an action finds, a JSON object a line, bounded and without secrets."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from oleada_wire.actions import FILE_BYTES_MAX, FILES_MAX, PROGRESS_MAX, RESULT_BYTES_MAX, Value
from oleada_wire.codec import STRING_CHARS_MAX
from oleada_wire.words import ResultStatus

from oleada_agent.actions.order import ActionError
from oleada_agent.actions.redact import is_secret, redact

LINES_MAX: Final = PROGRESS_MAX - 2
"""Progress that an action tells; the agent keeps two for itself."""
QUIET_MS: Final = 400
"""Progress comes no more often than this."""
PART_CHARS: Final = 8_000
"""Of text in one message; the wire takes a little more."""
PART_BYTES: Final = 24 * 1024
NUMBER_MAX: Final = 2**63 - 1
VALUES_MAX: Final = 3_000
Upload = Callable[[str, bytes], dict[str, Any]]


class LineTeller:
    """The ``Teller`` of a process.

    Args:
        write: Writes one line, without its end.
        known: Secrets of this box.
        steady_ms: A clock that never jumps.
        upload: Brings a file to the server; returns name, size and digest.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        known: frozenset[str],
        steady_ms: Callable[[], int],
        upload: Upload,
    ) -> None:
        self._write = write
        self._known = known
        self._steady_ms = steady_ms
        self._upload = upload
        self._values: dict[str, Value] = {}
        self._text: list[str] = []
        self._waiting_bytes = 0
        self._room_bytes = RESULT_BYTES_MAX
        self._count = 0
        self._lines = 0
        self._told_ms = steady_ms()
        self._done_parts: int | None = None
        self._files: list[dict[str, Any]] = []
        self._then = ""
        self.is_truncated = False

    def say(self, values: Mapping[str, Value], *, done_parts: int | None = None) -> None:
        """Tell *values*, which were not told before."""
        for name, value in values.items():
            if not is_secret(name):
                self._keep(name, value)
        if done_parts is not None:
            self._done_parts = max(0, min(done_parts, 10_000))
        # Ever more rarely, so that a long action has messages left for what it finds last.
        quiet_ms = QUIET_MS + QUIET_MS * self._lines // 10
        if self._lines < LINES_MAX // 2 and self._steady_ms() - self._told_ms >= quiet_ms:
            self._flush()

    def write(self, text: str) -> None:
        """Tell more of the text."""
        if len(text) > RESULT_BYTES_MAX:
            text, self.is_truncated = text[:RESULT_BYTES_MAX], True
        clean = redact(text, self._known).replace("\0", "?")
        clean = "".join(one if one.isprintable() or one in "\n\t" else "?" for one in clean)
        for begin in range(0, len(clean), PART_CHARS // 2):
            piece = clean[begin : begin + PART_CHARS // 2]
            if not self._has_room(len(json.dumps(piece))):
                return
            if sum(map(len, self._text)) + len(piece) > PART_CHARS:
                self._flush()
            self._text.append(piece)

    def upload(self, name: str, data: bytes) -> None:
        """Bring *data* to the server.

        Raises:
            ActionError: it is too large, or could not be brought.
        """
        if len(data) > FILE_BYTES_MAX or len(self._files) >= FILES_MAX:
            raise ActionError(
                ResultStatus.TRANSFER,
                f"{name} has {len(data)} bytes; {FILES_MAX} files of at most {FILE_BYTES_MAX} "
                "may be brought.",
            )
        self._files.append(self._upload(name, data))

    def then(self, deed: str) -> None:
        """Ask the agent for *deed* when the result is kept."""
        self._then = deed

    def end(self, status: str, detail: str = "", refusal: str | None = None) -> None:
        """Tell how the action ended; nothing is told after that."""
        if sum(map(len, self._text)) + len(detail) > PART_CHARS:
            self._flush()
        said = redact(detail, self._known)
        text = "".join([*self._text, "\n" if self._text and said else "", said])
        self._write(
            json.dumps({
                "end": status,
                "output": text[:STRING_CHARS_MAX],
                "values": self._values,
                "error": refusal,
                "is_truncated": self.is_truncated,
                "files": self._files,
                "then": self._then,
            })
        )  # fmt: skip

    def _keep(self, name: str, value: object) -> None:
        if isinstance(value, str):
            value = redact(value, self._known)[: STRING_CHARS_MAX // 4]
            value = "".join(one if one.isprintable() else "?" for one in value)
        elif not isinstance(value, bool | int) or abs(value) > NUMBER_MAX:
            return
        cost = len(json.dumps({name: value}))
        if self._count >= VALUES_MAX or not self._has_room(cost):
            self.is_truncated = True
            return
        if self._waiting_bytes + cost > PART_BYTES:
            self._flush()
        self._values[name] = value
        self._waiting_bytes += cost
        self._count += 1

    def _has_room(self, size_bytes: int) -> bool:
        if size_bytes > self._room_bytes or self._lines >= LINES_MAX:
            self.is_truncated = True
            return False
        self._room_bytes -= size_bytes
        return True

    def _flush(self) -> None:
        if self._lines >= LINES_MAX:
            return
        line = {
            "done_parts": self._done_parts,
            "output": "".join(self._text),
            "values": self._values,
        }
        self._write(json.dumps(line))
        self._values, self._text, self._waiting_bytes = {}, [], 0
        self._lines += 1
        self._told_ms = self._steady_ms()
