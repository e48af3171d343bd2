"""``oleada audit``: is the trail whole, its signed heads, and a copy of them elsewhere."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
from oleada_store.options import THERE

from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import checked, exported, heads, verify, witnessed
from oleada_server.client import connect
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only


@click.group("audit")
def audit_group() -> None:
    """The audit trail: verify it, fetch a copy of it, sign a head, export heads."""


@audit_group.command("verify")
@click.option(
    "--heads", "file", type=THERE,
    help="Heads that were exported: what an auditor or another machine holds.",
)  # fmt: skip
@click.option(
    "--key", type=THERE,
    help="online-public.json from a place you trust, to check the heads with.",
)  # fmt: skip
@click.option(
    "--entries", type=THERE,
    help="Check this file, which `oleada audit fetch` made, and no server.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify_command(
    file: Path | None, key: Path | None, entries: Path | None, as_json: bool
) -> None:
    """Check every entry, the chain, the tree and every head; exit 1 if anything is wrong."""
    given = file.read_text(errors="replace").splitlines() if file is not None else []
    if entries is not None:
        found = checked.of_export(entries, given, key)
    else:
        with _database():
            read_only()
            found = checked.everything(given, key)
    if as_json:
        print(json.dumps(checked.shown(found)))
    else:
        for line in _told(found):
            print(line)
    if not found.is_whole:
        sys.exit(1)


@audit_group.command("fetch")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def fetch(file: Path) -> None:
    """Fetch what FILE lacks of the audit trail through the REST API, and append it to FILE.

    An auditor's copy, far from the server; `oleada audit verify --entries FILE` checks it.
    """
    held = file.read_text(errors="replace").splitlines() if file.exists() else []
    after = max((entry.id for entry in exported.read(held)), default=0)
    with tempfile.TemporaryFile("w+") as part:
        for line in connect().lines("/api/v1/audit/export", {"after": after}):
            part.write(f"{line}\n")
        part.seek(0)
        count = sum(1 for _ in exported.read(part))
        if count:
            part.seek(0)
            _append(file, part)
    print(f"{count} entries added to {file}")


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


@audit_group.command("sightings")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def sightings(as_json: bool) -> None:
    """List heads that boxes were shown and that are not this server's; exit 1 if one is unsettled.

    A box keeps the highest head that it was shown, signed by this server's key, and says it
    back. One that this server never issued is a *split view*: somebody else has the key, or a
    copy of the server runs. One of the time between a backup and its restore is called lost.
    """
    with _database():
        found = [witnessed.shown(one) for one in witnessed.list_all()]
    if as_json:
        print(json.dumps(found))
    else:
        for one in found:
            print("\n".join(witnessed.lines(one)))
        if not found:
            print("No box has seen a head that is not this server's.")
    if any(one["kind"] == "split" and one["settled_at"] is None for one in found):
        sys.exit(1)


@audit_group.command("settle")
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@click.option("--reason", required=True, help="How it was cleared up; stays in the audit trail.")
def settle(number: int, reason: str) -> None:
    """Say that foreign head NUMBER is cleared up: pages and `oleada doctor` stop to warn of it."""
    with _database():
        found = witnessed.settle(number, "system:cli", reason, now_utc())
        print(f"Foreign head {found.id} of {found.size} entries is settled.")


def _append(file: Path, part: IO[str]) -> None:
    """Append *part*, which is whole, to *file*, and see it on the disk."""
    with file.open("a") as end:
        shutil.copyfileobj(part, end)
        end.flush()
        os.fsync(end.fileno())


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
