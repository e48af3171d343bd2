"""A head of the audit trail that a box says back is one of ours, lost, or a split view."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from oleada_server import config as settings
from oleada_server.audit import heads, witnessed
from oleada_server.audit import service as audit
from oleada_server.audit.cli import audit_group
from oleada_server.audit.models import AuditEvent, AuditSighting
from oleada_server.audit.witnessed import Kind, Restore, judge
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.messaging.inbox import Incoming, store
from oleada_server.system import facts, sentences
from oleada_server.system.judge import Code
from oleada_server.system.judge import judge as judge_server
from oleada_store.keys import read_online, write_public
from oleada_wire import messages, topics
from oleada_wire.envelope import KeySigner
from oleada_wire.messages import AuditHead
from oleada_wire.topics import Up

from tests.support.audit import add_deeds
from tests.support.fleet import a_header, a_health, a_hello, add_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOX, OTHER = "VX417Q3K0928", "VX417Q3K0929"


@pytest.fixture
def server(app: Flask) -> Flask:
    """A server with two boxes, and a trail of five entries under one head."""
    return _with_a_trail(app)


@pytest.fixture
def small(sqlite_app: Flask) -> Flask:
    """The same on SQLite alone."""
    return _with_a_trail(sqlite_app)


def _with_a_trail(app: Flask) -> Flask:
    directory = settings.current().keys_dir
    key = read_online(directory / "director.pem")
    write_public(directory / "online-public.json", {"director": key.public_key()})
    for device_id in (BOX, OTHER):
        add_device(device_id)
    add_deeds(5, NOON)
    heads.sign(NOON)
    return app


def issued() -> AuditHead:
    (found,) = heads.read([heads.line_of(heads.list_heads()[0])], heads.director_role())
    return found


def sealed(head: AuditHead, key: Ed25519PrivateKey | None = None) -> str:
    signer = key or read_online(settings.current().keys_dir / "director.pem")
    return messages.seal(head, [KeySigner.of(signer)]).decode()


def says(device_id: str, head: str, now: datetime = NOON) -> None:
    hello = a_hello(audit_head=head)
    stored = store([Incoming(topics.up(device_id, Up.HELLO), messages.encode(hello))], now)
    assert stored.counted[device_id] == [hello.header.id]


def sightings() -> list[tuple[str, int, list[str]]]:
    return [(one.kind, one.size, one.boxes) for one in witnessed.list_all()]


def actions() -> list[str]:
    query = db.select(AuditEvent.action).order_by(AuditEvent.id)
    return [name for name in db.session.scalars(query) if name.startswith("audit.")]


def test_a_head_that_was_issued_here_is_nothing_to_tell(server: Flask) -> None:
    says(BOX, heads.line_of(heads.list_heads()[0]))

    assert sightings() == []
    assert facts.gather(settings.current(), NOON).split_views == ()


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"root_sha256": "a" * 64}, id="the same length and another root"),
        pytest.param({"size": 99}, id="more entries than there are"),
        pytest.param({"size": 3}, id="fewer entries, and no head of ours"),
        pytest.param({"epoch": 1}, id="a restore that nobody here did"),
        pytest.param({"size": 1 << 62}, id="as many as a number can say"),
        pytest.param({"root_sha256": "\x1b[2K" * 40}, id="a root that is none and fits nowhere"),
        pytest.param({}, id="the same words, signed once more"),
    ],
)
def test_a_head_that_our_key_has_signed_and_we_never_issued_is_a_split_view(
    server: Flask, changed: dict[str, int]
) -> None:
    head = replace(issued(), header=a_header(), **changed)  # type: ignore[arg-type]

    says(BOX, sealed(head))

    assert sightings() == [("split", head.size, [BOX])]
    assert actions() == [witnessed.SPLIT_ACTION]


def test_it_is_told_of_once_for_all_boxes_and_names_the_first(small: Flask) -> None:
    foreign = sealed(replace(issued(), size=99))
    for device_id in (OTHER, BOX, BOX, OTHER):
        says(device_id, foreign)

    assert sightings() == [("split", 99, [OTHER, BOX])]
    assert actions() == [witnessed.SPLIT_ACTION]


def test_a_terminal_is_told_nothing_but_letters_of_what_a_thief_calls_a_root(small: Flask) -> None:
    says(BOX, foreign := sealed(replace(issued(), root_sha256="\x1b[1A\x1b[2K" * 20)))

    (found,) = witnessed.list_all()
    assert "root ??1???2???1???2?…" in "\n".join(witnessed.lines(witnessed.shown(found)))
    assert found.envelope == foreign


def test_no_more_boxes_are_named_than_people_read(
    small: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnessed, "NAMED_MAX", 1)
    foreign = sealed(replace(issued(), size=99))

    for device_id in (OTHER, BOX):
        says(device_id, foreign)

    (found,) = witnessed.list_all()
    assert found.boxes == [OTHER]
    assert "seen by VX417Q3K0929 and maybe more" in "\n".join(
        witnessed.lines(witnessed.shown(found))
    )


def test_a_thief_who_shows_every_box_another_head_fills_no_disk(
    small: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnessed, "OPEN_MAX", 3)

    for size in range(90, 99):
        says(BOX, sealed(replace(issued(), size=size)))
    kept = [one.size for one in witnessed.list_all()]
    says(OTHER, sealed(replace(issued(), size=90, signed_ms=1)))
    witnessed.settle(witnessed.unsettled()[0].id, "user:ute", "the keys are new", NOON)
    says(OTHER, sealed(replace(issued(), size=99)))

    assert kept == [92, 91, 90]
    assert [one.size for one in witnessed.list_all()] == [99, 92, 91, 90]


def test_a_box_can_not_cry_wolf_with_a_key_of_its_own(small: Flask) -> None:
    forged = sealed(replace(issued(), size=99), Ed25519PrivateKey.generate())

    for text in (forged, "{}", "", "no head", forged[:50], sealed(issued())[:-9]):
        says(BOX, text)

    assert sightings() == []


def test_health_tells_of_a_head_as_well(small: Flask) -> None:
    health = replace(a_health(seq=2), audit_head=sealed(replace(issued(), size=99)))

    store([Incoming(topics.up(BOX, Up.HEALTH), messages.encode(health))], NOON)

    assert sightings() == [("split", 99, [BOX])]


RESTORES = [
    Restore(made_ms=1_000, at_ms=2_000, entries=50),
    Restore(made_ms=5_000, at_ms=6_000, entries=80),
]


@pytest.mark.parametrize(
    ("signed_ms", "epoch", "size", "kind"),
    [
        (1_500, 0, 60, Kind.LOST),
        (1_000, 0, 50, Kind.LOST),
        (2_000, 0, 60, Kind.LOST),
        (5_500, 2_000, 90, Kind.LOST),
        (999, 0, 60, Kind.SPLIT),  # the backup would know it
        (2_001, 0, 60, Kind.SPLIT),  # the server that was replaced goes on
        (1_500, 0, 49, Kind.SPLIT),  # shorter than what the backup has
        (1_500, 2_000, 60, Kind.SPLIT),  # it knows of a restore that was not yet
        (3_000, 2_000, 60, Kind.SPLIT),
    ],
)
def test_only_what_was_signed_between_a_backup_and_its_restore_is_lost(
    signed_ms: int, epoch: int, size: int, kind: Kind
) -> None:
    head = AuditHead(a_header(), size, "a" * 64, "b" * 64, epoch, signed_ms)

    assert judge(head, RESTORES) is kind
    assert judge(head, []) is Kind.SPLIT


def test_after_a_restore_the_lost_head_is_told_as_lost_and_nobody_is_alarmed(
    server: Flask,
) -> None:
    lost = replace(issued(), size=7, signed_ms=to_ms(NOON + HOUR))
    after = {"made_at": (NOON + HOUR / 2).isoformat()}
    for number in range(3):  # what ran is paused, before the restore is an entry itself
        audit.record("system:restore", "rollout.pause", f"R-{number}", now=NOON + 2 * HOUR)
    audit.record("system:restore", "server.restore", "server", now=NOON + 2 * HOUR, after=after)
    db.session.commit()

    says(BOX, sealed(lost), NOON + 3 * HOUR)

    assert sightings() == [("lost", 7, [BOX])]
    assert actions() == [witnessed.LOST_ACTION]
    assert facts.gather(settings.current(), NOON).split_views == ()


def test_the_server_says_so_until_a_person_has_cleared_it_up(small: Flask) -> None:
    says(BOX, sealed(replace(issued(), size=99)))

    (condition,) = [
        one
        for one in judge_server(facts.gather(settings.current(), NOON), NOON)
        if one.code is Code.SPLIT_VIEW
    ]
    said = sentences.said(condition)
    (found,) = witnessed.unsettled()
    witnessed.settle(found.id, "user:ute", "the thief's server is gone, keys are new", NOON)

    assert (condition.kind, condition.about, condition.number) == ("bad", BOX, 1)
    assert said.title == f"Box {BOX} was shown another audit trail than this server's"
    assert facts.gather(settings.current(), NOON).split_views == ()
    assert actions() == [witnessed.SPLIT_ACTION, witnessed.SETTLE_ACTION]
    says(OTHER, found.envelope)
    assert witnessed.unsettled() == []  # the same one does not ring again
    says(OTHER, sealed(replace(issued(), size=100)))
    assert len(witnessed.unsettled()) == 1


def test_what_can_not_be_settled_says_why(small: Flask) -> None:
    says(BOX, sealed(replace(issued(), size=99)))
    (found,) = witnessed.unsettled()

    with pytest.raises(BadInputError, match="a reason is needed"):
        witnessed.settle(found.id, "user:ute", "  ", NOON)
    with pytest.raises(witnessed.NoSuchSightingError, match="no foreign head 77"):
        witnessed.settle(77, "user:ute", "gone", NOON)
    witnessed.settle(found.id, "user:ute", "gone", NOON)
    with pytest.raises(witnessed.SightingSettledError, match="settled already"):
        witnessed.settle(found.id, "user:ute", "gone", NOON)


def test_the_command_lists_in_words_and_ends_with_1_until_it_is_settled(
    small: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings.current()
    monkeypatch.setenv("OLEADA_DATA_DIR", str(config.data_dir))
    monkeypatch.setenv("OLEADA_DATABASE_URL", config.database_url)
    run = CliRunner()
    none = run.invoke(audit_group, ["sightings"])
    says(BOX, sealed(replace(issued(), size=99)))
    number = str(db.session.scalar(db.select(AuditSighting.id)))
    db.session.rollback()

    told = run.invoke(audit_group, ["sightings"])
    settled = run.invoke(audit_group, ["settle", number, "--reason", "it was the drill"])
    after = run.invoke(audit_group, ["sightings", "--json"])

    assert (none.exit_code, none.output) == (
        0, "No box has seen a head that is not this server's.\n",
    )  # fmt: skip
    assert told.exit_code == 1
    assert told.output.startswith(f"{number}  SPLIT VIEW: this server's key has signed a head")
    assert f"seen by {BOX}" in told.output
    assert (settled.exit_code, after.exit_code) == (0, 0), settled.output
    assert json.loads(after.output)[0]["settled_reason"] == "it was the drill"


def test_a_server_without_its_public_key_judges_nothing_and_stores_the_hello(
    small: Flask,
) -> None:
    foreign = sealed(replace(issued(), size=99))
    Path(settings.current().keys_dir / "online-public.json").unlink()

    says(BOX, foreign)

    assert sightings() == []
