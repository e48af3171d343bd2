"""Whoever had the server's keys may lie about the time for a while, and no longer than that."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent.errors import StorageError
from oleada_agent.machine_events import Authorised, DenyListed
from oleada_agent.trust.errors import FreezeError, TrustError
from oleada_agent.trust.floor import AHEAD_MAX_MS, TimeFloor
from oleada_lab.real.repository import crypto
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Fault, Op, SimDisk
from oleada_wire import messages, topics
from oleada_wire.envelope import KeySigner
from oleada_wire.messages import Assign, Cmd, Deny, Header
from oleada_wire.topics import Down, Model
from securesystemslib.signer import CryptoSigner

from tests.agent.edge.clocks import BOOT, DAY_MS, DEVICE, NOON_MS, Home, at
from tests.agent.edge.repository import MODEL, NOON, Repository

CENTURY = timedelta(days=36_500)


@dataclass
class Robbed(Home):
    """A box whose server was robbed: the thief signs what the online keys sign."""

    clock_ms: int = NOON_MS
    thieves_director: KeySigner = field(init=False)

    def lie(self) -> None:
        """Sign metadata for a century, and say with the director's key that it is nearly over."""
        self.thieves_director = self.repository.director
        for role in ("timestamp", "snapshot"):
            self.repository.signed[role].signed.expires = NOON + CENTURY
        self.repository.publish_online()
        self.connect()
        later = Header("f" * 32, at(2099), BOOT, 2)
        self.hear(Down.ASSIGN, Assign(later, DEVICE, 3))
        deny = messages.seal(Deny(later, MODEL, 1 << 62, ("a" * 64,)), [self.thieves_director])
        self.inbound.take(topics.model(MODEL, Model.DENY), deny)

    def rotate(self) -> None:
        """Let people name other online keys in root and targets, and the new server sign."""
        name_other_keys(self.repository)
        for role, days in (("timestamp", 2), ("snapshot", 10)):
            self.repository.signed[role].signed.expires = NOON + timedelta(days=days)
        self.repository.publish("root", "targets")

    def may_update(self) -> bool:
        """Return whether the box would do what its new server assigns."""
        self.connect()
        self.questions.ask_time()
        self.answer()
        return self.decide() == Authorised("A-20418", 1)


def name_other_keys(repository: Repository) -> None:
    root = repository.signed["root"].signed
    for role in ("timestamp", "snapshot"):
        root.revoke_key(repository.signers[role][0].public_key.keyid, role)
        repository.signers[role] = [CryptoSigner.generate_ed25519()]
        root.add_key(repository.signers[role][0].public_key, role)
    repository.signed["targets"].signed.revoke_key(repository.director.keyid, "director")
    repository.director = KeySigner.of(Ed25519PrivateKey.generate())
    repository.signed["targets"].signed.add_key(crypto(repository.director).public_key, "director")


def test_a_thief_moves_the_time_no_further_than_people_have_signed() -> None:
    home = Robbed()

    home.lie()

    offline = [home.repository.signed[role].signed.expires for role in ("root", "targets", MODEL)]
    assert home.authority.floor.floor_ms == int(min(offline).timestamp() * 1000)


def test_a_box_that_was_lied_to_does_nothing_until_other_keys_are_named() -> None:
    home = Robbed()
    home.lie()

    assert not home.may_update()
    home.boot()
    with pytest.raises(FreezeError):
        home.authority.load()


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("clock", ["right", "1970", "2099"])
def test_the_lie_ends_with_the_keys_of_the_thief(clock: str, restarted: bool) -> None:
    home = Robbed(clock_ms={"right": NOON_MS, "1970": 0, "2099": at(2099)}[clock])
    home.lie()
    if restarted:
        home.boot()
        with suppress(TrustError):
            home.authority.load()

    home.rotate()

    assert home.may_update()
    assert home.authority.floor.floor_ms < NOON_MS + DAY_MS


def test_a_deny_list_without_end_ends_with_the_key_of_the_thief() -> None:
    home = Robbed()
    home.lie()
    assert home.authority.denied == ("a" * 64,)

    home.rotate()
    home.connect()
    deny = Deny(home.header(), MODEL, 7, ("b" * 64,))
    sealed = messages.seal(deny, [home.repository.director])
    home.inbound.take(topics.model(MODEL, Model.DENY), sealed)

    assert home.authority.denied == ("b" * 64,)
    assert home.fed[-1] == DenyListed(("b" * 64,))


def test_the_floor_stays_when_no_other_keys_were_named() -> None:
    """Old metadata, however it comes, is no reason to believe that the time was a lie."""
    home = Robbed()
    home.connect()
    home.hear(Down.ASSIGN, Assign(Header("f" * 32, NOON_MS + 2 * DAY_MS, BOOT, 2), DEVICE, 3))
    before = home.authority.floor.floor_ms
    home.repository.signed["timestamp"].signed.expires = NOON + timedelta(days=1)
    home.repository.publish_online()
    home.boot()

    home.connect()

    assert home.inbound.refused == {"freeze": 1}
    assert home.authority.floor.floor_ms == before


@pytest.mark.parametrize("kind", ["assign", "cmd"])
def test_a_thief_does_not_use_up_the_numbers_of_a_box(kind: str) -> None:
    home = Robbed()
    home.connect()
    most = int(home.repository.signed["root"].signed.expires.timestamp() * 1000) + AHEAD_MAX_MS

    def told(number: int) -> bool:
        head, before = Header("f" * 32, NOON_MS, BOOT, 2), len(home.fed) + len(home.done)
        if kind == "assign":
            home.hear(Down.ASSIGN, Assign(head, DEVICE, number))
        else:
            home.hear(Down.CMD, Cmd(head, DEVICE, "C-1", number, "ping", NOON_MS + DAY_MS))
        return len(home.fed) + len(home.done) > before

    assert [told(number) for number in (2**63 - 1, most + 1, most)] == [False, False, True]
    assert home.inbound.refused == {"malformed": 2}
    home.repository.signed["root"].signed.expires += timedelta(days=1)
    home.repository.publish("root")
    home.connect()
    assert told(most + 1)  # the next root makes room


def points_of_recovery() -> list[tuple[SimDisk, Robbed]]:
    """Return the disk at each operation while a box that was lied to follows other keys."""
    home = Robbed()
    home.lie()
    home.rotate()
    points: list[tuple[SimDisk, Robbed]] = []

    def watch(op: Op) -> None:
        del op
        points.append((home.disk.fork(), home))

    home.disk.watch = watch
    home.connect()
    return points


@pytest.mark.parametrize("kept", [Kept.ALL, Kept.NONE, Kept.NAMES, Kept.BYTES, Kept.TORN])
def test_after_a_power_cut_anywhere_in_between_a_box_recovers_all_the_same(kept: Kept) -> None:
    points = points_of_recovery()
    assert len(points) > 20

    for number, (disk, honest) in enumerate(points):
        home = Robbed(repository=honest.repository, disk=disk.after_cut(kept, Random(number)))
        with suppress(TrustError):
            home.authority.load()
        assert home.may_update(), f"cut at operation {number} of {len(points)}"


def test_a_disk_that_does_not_let_go_of_the_floor_keeps_it() -> None:
    disk = SimDisk()
    floor = TimeFloor(disk)
    floor.raise_to(at(2099))
    disk.faults = (Fault(disk.changes + 1),)

    with pytest.raises(StorageError):
        floor.forget()

    disk.faults = ()
    assert TimeFloor(disk).floor_ms == at(2099)
