"""Judging this server's own trail, or one that was exported, with every head that is known."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oleada_wire.messages import AuditHead

from oleada_server.audit import exported, heads, verify
from oleada_server.clock import to_ms
from oleada_server.errors import BadInputError


def everything(
    more_heads: Iterable[str] = (), key: Path | None = None, newest: int | None = None
) -> verify.Verdict:
    """Return what is wrong with this server's trail, in the caller's read.

    Args:
        more_heads: Lines of heads that were kept elsewhere.
        key: The public keys to check heads with; this data directory's without it.
        newest: Compare so many of the server's own heads; all without it.

    Raises:
        BadInputError: One of *more_heads* is no head, or none that the key signed.
    """
    own = [heads.line_of(head) for head in heads.list_heads(newest)]
    wrong: tuple[str, ...] = ()
    role = heads.public_key(key) if key is not None else heads.director_role() if own else None
    known: dict[str, AuditHead] = {}
    if role is not None:
        try:
            known = {head.header.id: head for head in heads.read(own, role)}
        except BadInputError as error:  # somebody else wrote it
            wrong = (str(error),)
    given = [line for line in more_heads if line.strip()]
    if given:
        known |= {head.header.id: head for head in heads.read(given, role or heads.director_role())}
    found = verify.verify(verify.entries(), known.values(), heads.epoch())
    return verify.Verdict(found.entries, found.broken, found.heads, found.wrong + wrong, found.lost)


def of_export(entries: Path, head_lines: Iterable[str], key: Path | None) -> verify.Verdict:
    """Return what is wrong with the trail in file *entries*, far from any server.

    Raises:
        BadInputError: The file is no export or was cut; a head is none; or heads came
            without the key to check them with.
    """
    known: list[AuditHead] = []
    given = [line for line in head_lines if line.strip()]
    if given and key is None:
        raise BadInputError("Heads are checked with a key: give online-public.json by --key.")
    if key is not None:
        known = list(heads.read(given, heads.public_key(key)))
    epoch = 0
    with entries.open(errors="replace") as file:
        for entry in exported.read(file):
            if entry.action == heads.RESTORED:
                epoch = to_ms(entry.at)
    with entries.open(errors="replace") as file:
        return verify.verify(exported.read(file), known, epoch)


def shown(found: verify.Verdict) -> dict[str, Any]:
    """Return *found* as programs read it."""
    return {
        "entries": found.entries,
        "broken": found.broken,
        "heads": found.heads,
        "wrong": list(found.wrong),
        "lost": list(found.lost),
        "whole": found.is_whole,
    }
