"""Who may rewrite the audit trail without being found? Nobody who lacks the exported heads."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from oleada_server import config as settings
from oleada_server.audit import heads, service, verify
from oleada_server.audit.cli import audit_group
from oleada_server.audit.models import APPEND_ONLY, AuditEvent, AuditHead
from oleada_server.audit.tree import EMPTY_SHA256, Tree
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_store.keys import make_online_keys, read_online, write_public
from oleada_wire import messages
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from tests.support.audit import add_deeds, chain_anew, unguarded

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def trail(app: Flask) -> Flask:
    """A server with five entries, a head, three entries more, and a head of those."""
    _publish_key(settings.current().keys_dir)
    add_deeds(5, NOON)
    heads.sign(NOON)
    add_deeds(3, NOON + HOUR)
    heads.sign(NOON + HOUR)
    return app


def _publish_key(directory: Path) -> None:
    key = read_online(directory / "director.pem")
    write_public(directory / "online-public.json", {"director": key.public_key()})


def known(lines: list[str] | None = None) -> list[messages.AuditHead]:
    if lines is None:
        lines = [heads.line_of(head) for head in heads.list_heads()]
    return list(heads.read(lines, heads.director_role()))


def verdict(lines: list[str] | None = None) -> verify.Verdict:
    return verify.verify(verify.entries(), known(lines), heads.epoch())


def naive_root(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 9162, 2.1.1 writes it down."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    cut = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + naive_root(leaves[:cut]) + naive_root(leaves[cut:])).digest()


def test_the_tree_is_that_of_the_standard_and_goes_on_from_its_edge() -> None:
    leaves = [sha256(bytes([n])).digest() for n in range(70)]
    tree = Tree()

    assert tree.root_sha256() == EMPTY_SHA256
    for count, leaf in enumerate(leaves, start=1):
        tree.add(leaf.hex())
        tree = Tree(tree.size, tree.edge)
        assert tree.root_sha256() == naive_root(leaves[:count]).hex()


def test_an_edge_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 leaves has 2 perfect"):
        Tree(3, ["00" * 32])


def test_an_untouched_trail_is_whole_and_fits_its_heads(trail: Flask) -> None:
    assert verdict() == verify.Verdict(entries=8, heads=2)


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("verb", ["UPDATE {} SET at = at", "DELETE FROM {}"])
def test_the_database_refuses_to_change_or_remove_what_was_written(
    trail: Flask, table: str, verb: str
) -> None:
    with pytest.raises(DBAPIError, match="only added to"):
        db.session.execute(text(verb.format(table)))
    db.session.rollback()

    assert verdict().is_whole


@pytest.mark.real
def test_postgresql_refuses_to_empty_the_trail(postgresql_config: settings.Config) -> None:
    from oleada_server.app import create_app  # noqa: PLC0415 - only here

    with create_app(postgresql_config, ()).app_context():
        with pytest.raises(DBAPIError, match="only added to"):
            db.session.execute(text("TRUNCATE audit_event"))
        db.session.remove()
        db.engine.dispose()


@pytest.mark.parametrize("entry_id", [1, 4, 8])
def test_an_edited_entry_is_found(trail: Flask, entry_id: int) -> None:
    with unguarded():
        row = AuditEvent.id == entry_id
        db.session.execute(update(AuditEvent).where(row).values(actor="user:else"))

    assert verdict().broken == entry_id


@pytest.mark.parametrize("entry_id", [1, 4, 7])
def test_a_removed_entry_is_found(trail: Flask, entry_id: int) -> None:
    with unguarded():
        db.session.execute(delete(AuditEvent).where(AuditEvent.id == entry_id))

    found = verdict()
    assert found.broken == entry_id + 1
    assert found.wrong  # and the newest head misses one


@pytest.mark.parametrize("entry_id", [1, 4, 8])
def test_an_edited_entry_whose_chain_was_written_anew_is_found_by_a_head(
    trail: Flask, entry_id: int
) -> None:
    with unguarded():
        row = AuditEvent.id == entry_id
        db.session.execute(update(AuditEvent).where(row).values(actor="user:else"))
        db.session.expire_all()
        chain_anew()

    found = verdict()
    assert service.first_broken() is None  # the chain alone is deceived
    assert len(found.wrong) == (2 if entry_id <= 5 else 1)
    assert "another trail was there" in found.wrong[0]


def test_entries_cut_off_at_the_end_are_missed_by_a_head(trail: Flask) -> None:
    with unguarded():
        db.session.execute(delete(AuditEvent).where(AuditEvent.id > 6))

    found = verdict()
    assert (found.broken, len(found.wrong)) == (None, 1)
    assert "2 of its entries are not there any more" in found.wrong[0]


def test_who_rewrites_trail_and_heads_is_found_by_the_heads_that_were_exported(
    trail: Flask, tmp_path: Path
) -> None:
    file = tmp_path / "second-place.jsonl"
    assert heads.append(file) == 2
    with unguarded():
        db.session.execute(delete(AuditHead))
        db.session.execute(update(AuditEvent).where(AuditEvent.id == 2).values(reason="other"))
        db.session.expire_all()
        chain_anew()
    heads.sign(NOON + 2 * HOUR)

    assert verdict().is_whole  # it holds the online key: by itself nothing shows
    lines = [heads.line_of(head) for head in heads.list_heads()]
    assert len(verdict([*lines, *file.read_text().splitlines()]).wrong) == 2


def test_a_head_is_signed_once_an_hour_and_only_for_something_new(app: Flask) -> None:
    _publish_key(settings.current().keys_dir)
    assert not heads.tick(NOON)
    add_deeds(1, NOON)

    signed = [heads.tick(NOON), heads.tick(NOON + HOUR)]
    add_deeds(1, NOON)
    signed += [heads.tick(NOON + HOUR / 2), heads.tick(NOON + HOUR), heads.tick(NOON + HOUR)]

    assert signed == [True, False, False, True, False]


def test_the_second_place_is_only_added_to(trail: Flask, tmp_path: Path) -> None:
    file = tmp_path / "second-place.jsonl"
    heads.append(file)
    before = file.read_text()
    add_deeds(1, NOON)
    heads.sign(NOON + 2 * HOUR)

    assert (heads.append(file), heads.append(file)) == (1, 0)
    assert file.read_text().startswith(before)
    assert [head.size for head in known(file.read_text().splitlines())] == [5, 8, 9]


def test_a_head_that_another_key_signed_is_no_head(trail: Flask, tmp_path: Path) -> None:
    make_online_keys(tmp_path)

    with pytest.raises(BadInputError, match="Line 1 is no head"):
        list(heads.read([heads.line_of(heads.list_heads()[0])],
                        heads.public_key(tmp_path / "online-public.json")))  # fmt: skip


def test_what_was_lost_in_a_restore_is_told_and_is_not_called_tampering(trail: Flask) -> None:
    lines = [heads.line_of(head) for head in heads.list_heads()]
    with unguarded():  # the backup was made after five entries
        db.session.execute(delete(AuditEvent).where(AuditEvent.id > 5))
        db.session.execute(delete(AuditHead).where(AuditHead.size > 5))
    service.record("system:restore", "server.restore", "server", now=NOON + 2 * HOUR)
    db.session.commit()

    found = verdict(lines)
    assert found.is_whole
    assert len(found.lost) == 1


def test_the_command_says_which_entry_and_ends_with_1(
    trail: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings.current()
    monkeypatch.setenv("OLEADA_DATA_DIR", str(config.data_dir))
    monkeypatch.setenv("OLEADA_DATABASE_URL", config.database_url)
    file = tmp_path / "heads.jsonl"
    run = CliRunner()

    exported = run.invoke(audit_group, ["export", str(file)])
    good = run.invoke(audit_group, ["verify", "--heads", str(file)])
    with unguarded():
        db.session.execute(update(AuditEvent).where(AuditEvent.id == 2).values(actor="x"))
    bad = run.invoke(audit_group, ["verify", "--heads", str(file), "--json"])

    assert exported.output == f"2 heads added to {file}\n"
    assert (good.exit_code, good.output) == (0, "8 entries, 2 heads: whole\n")
    assert (bad.exit_code, json.loads(bad.output)["broken"]) == (1, 2)
