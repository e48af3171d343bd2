"""``log_pull``: the newest lines of the box's own logs, without secrets."""

import re
from collections.abc import Set
from datetime import datetime
from pathlib import Path
from typing import Final

from oleada_wire.words import Refusal

from oleada_agent import clock
from oleada_agent.actions.order import Order, Teller, refused
from oleada_agent.actions.redact import GONE, redact

OWN: Final = ("run/agent.log", "run/player.log", "data/trial.log")
READ_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of the end of one file."""
LINE_CHARS_MAX: Final = 1_000
TEXT_CHARS_MAX: Final = 160 * 1024
"""Of all logs, when they come as text: the newest lines count."""
FILE: Final = "log.txt"
_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z ]{1,40}-----")
_KEY_ENDS: Final = re.compile(r"-----END [A-Z ]{1,40}-----")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?")


def log_pull(order: Order, teller: Teller) -> None:
    """Tell the newest lines of one log or of all, oldest first.

    Raises:
        ActionError: there is no such log.
    """
    asked = order.arguments
    logs = {path.name: path for path in _logs(order)}
    if asked["file"]:
        if asked["file"] not in logs:
            names = ", ".join(sorted(logs)) or "none"
            raise refused(Refusal.BAD_ARGUMENT, f"There is no such log; this box has: {names}.")
        logs = {asked["file"]: logs[asked["file"]]}
    after_ms = clock.now_ms() - asked["since_s"] * 1000 if asked["since_s"] else None
    texts: list[str] = []
    chars_max = READ_BYTES_MAX if asked["as_file"] else TEXT_CHARS_MAX // max(1, len(logs))
    for number, (name, path) in enumerate(sorted(logs.items()), start=1):
        size_bytes, wanted = tail(path, asked["lines"], after_ms)
        wanted = [_short(line, order.known) for line in wanted]
        lines = _newest(wanted, chars_max)
        teller.say({
            f"VendorLogFile.{number}.Name": name,
            f"VendorLogFile.{number}.X_OLEADA_SizeBytes": size_bytes,
            f"VendorLogFile.{number}.X_OLEADA_Lines": len(lines),
            f"VendorLogFile.{number}.X_OLEADA_Truncated": len(lines) < len(wanted),
        })  # fmt: skip
        texts.append("".join([f"== {name}\n", *(f"{line}\n" for line in lines)]))
    if asked["as_file"]:
        clean = redact("".join(texts), order.known)
        teller.upload(FILE, clean.encode("utf-8", "replace"))
    else:
        for text in texts:
            teller.write(text)


def _logs(order: Order) -> list[Path]:
    named = order.settings.get("logs", [])
    paths = [order.box / name for name in OWN]
    paths += [Path(name) for name in named if isinstance(name, str) and name.startswith("/")]
    return [path for path in paths if path.is_file()]


def tail(path: Path, lines_max: int, after_ms: int | None) -> tuple[int, list[str]]:
    """Return how large the file is, and its last lines that are not older than *after_ms*."""
    with path.open("rb") as file:
        size_bytes = file.seek(0, 2)
        is_cut = size_bytes > READ_BYTES_MAX
        file.seek(max(0, size_bytes - READ_BYTES_MAX))
        lines = file.read(READ_BYTES_MAX).decode("utf-8", "replace").splitlines()
    # What half a line says is not known: the name of a secret may be its other half.
    lines = _without_keys(lines[is_cut:], is_cut=is_cut)
    if after_ms is not None:
        lines = _since(lines, after_ms)
    return size_bytes, lines[-lines_max:]


def _short(line: str, known: Set[str]) -> str:
    """Return the beginning of *line*; a secret of which only the first part is told is one."""
    if len(line) <= LINE_CHARS_MAX:
        return line
    return redact(line, known)[:LINE_CHARS_MAX]


def _without_keys(lines: list[str], *, is_cut: bool) -> list[str]:
    """Return *lines* without the keys in them, of which perhaps only a part will be told.

    Args:
        is_cut: There were lines before, so the first of these may be inside of a key.
    """
    kept: list[str] = []
    is_inside, may_be_inside = False, is_cut
    for line in lines:
        if begins := _KEY_BEGINS.search(line):
            is_inside, may_be_inside = _KEY_ENDS.search(line) is None, False
            kept.append(line[: begins.start()] + GONE if is_inside else line)
        elif _KEY_ENDS.search(line):
            kept = [GONE] if may_be_inside else kept
            is_inside = may_be_inside = False
        elif not is_inside:
            kept.append(line)
    return kept


def _newest(lines: list[str], chars_max: int) -> list[str]:
    """Return the last of *lines* that have *chars_max* characters together."""
    kept = len(lines)
    for line in reversed(lines):
        chars_max -= len(line) + 1
        if chars_max < 0:
            break
        kept -= 1
    return lines[kept:]


def _since(lines: list[str], after_ms: int) -> list[str]:
    """Return *lines* from the first on that says a time from *after_ms* on.

    Lines without a time belong to the one before them; a log without times is told whole.
    """
    has_times = False
    for number, line in enumerate(lines):
        found = _TIME.search(line[:80])
        if found is None:
            continue
        has_times = True
        if _ms(found.group()) >= after_ms:
            return lines[number:]
    return [] if has_times else lines


def _ms(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text.replace(",", ".")).timestamp() * 1000)
    except ValueError:
        return 0
