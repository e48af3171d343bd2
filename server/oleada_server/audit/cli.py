"""``oleada audit``: is the trail whole, its signed heads, and a copy of them elsewhere."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from oleada_wire.messages import AuditHead

from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import heads, verify
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only


@click.group("audit")
def audit_group() -> None:
    """The audit trail: verify it, sign a head, export heads."""


@audit_group.command("verify")
@click.option(
    "--heads", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Heads that were exported: what an auditor or another machine holds.",
)  # fmt: skip
@click.option(
    "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="online-public.json from a place you trust, to check the heads with.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify_command(file: Path | None, key: Path | None, as_json: bool) -> None:
    """Check every entry, the chain, the tree and every head; exit 1 if anything is wrong."""
    with _database():
        found = _verdict(file, key)
    if as_json:
        print(json.dumps({
            "entries": found.entries, "broken": found.broken, "heads": found.heads,
            "wrong": found.wrong, "lost": found.lost, "whole": found.is_whole,
        }))  # fmt: skip
    else:
        for line in _told(found):
            print(line)
    if not found.is_whole:
        sys.exit(1)


@audit_group.command("export")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def export(file: Path | None) -> None:
    """Sign a head now if anything was added, and append every new head to FILE, or print all."""
    with _database():
        heads.sign(now_utc())
        if file is not None:
            print(f"{heads.append(file)} heads added to {file}")
            return
        for head in reversed(heads.list_heads()):
            print(heads.line_of(head))


def _verdict(file: Path | None, key: Path | None) -> verify.Verdict:
    role = heads.public_key(key) if key is not None else heads.director_role()
    lines = [heads.line_of(head) for head in heads.list_heads()]
    if file is not None:
        lines += file.read_text(errors="replace").splitlines()
    known: dict[str, AuditHead] = {}
    for head in heads.read(lines, role):
        known[head.header.id] = head
    read_only()
    return verify.verify(verify.entries(), known.values(), heads.epoch())


def _told(found: verify.Verdict) -> Iterator[str]:
    if found.broken is not None:
        yield (
            f"Entry {found.broken} does not fit: it, or the one before, was changed, removed or "
            "put in from outside."
        )
    yield from (f"WRONG {text}" for text in found.wrong)
    yield from (f"lost in a restore: {text}" for text in found.lost)
    state = "whole" if found.is_whole else "NOT WHOLE"
    yield f"{found.entries} entries, {found.heads} heads: {state}"


@contextmanager
def _database() -> Iterator[None]:
    with create_app(features=WITHOUT_PAGES).app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()
