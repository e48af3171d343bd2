"""A box keeps the highest head of the audit trail that it was shown, and says it back."""

from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent.booted import BootFacts
from oleada_agent.config import Config
from oleada_agent.identity import Identity
from oleada_agent.machine_states import State
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.slots import FileSlots
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.errors import RollbackError, SplitViewError
from oleada_agent.trust.store import MetadataStore
from oleada_agent.trust.witness import Witness
from oleada_agent.voice import Voice
from oleada_lab.sim.disk import Fault, SimDisk
from oleada_wire import messages
from oleada_wire.envelope import KeySigner, RoleKeys
from oleada_wire.errors import BadSignatureError, WireError
from oleada_wire.ids import BootId
from oleada_wire.messages import AuditHead, Deny, Header, Health, Meta
from oleada_wire.words import BootReason

from tests.agent.edge.repository import MODEL, NOON, Repository

NOON_MS = int(NOON.timestamp() * 1000)
BOOT = BootId(7, "0a1b2c3d")
HEADER = Header("f" * 32, NOON_MS, BOOT, 1)
DIRECTOR = KeySigner.of(Ed25519PrivateKey.from_private_bytes(b"d" * 32))
STRANGER = KeySigner.of(Ed25519PrivateKey.from_private_bytes(b"s" * 32))
ROLE = RoleKeys({DIRECTOR.keyid: DIRECTOR.key.public_key()}, 1)
PLACES = ("trust/audit/head.json", "trust/audit/second/head.json")


def sealed(size: int, root: str = "a", epoch: int = 0, signer: KeySigner = DIRECTOR) -> str:
    head = AuditHead(HEADER, size, root * 64, "e" * 64, epoch, NOON_MS)
    return messages.seal(head, [signer]).decode()


@dataclass
class Home:
    """A disk, and the witness on it."""

    disk: SimDisk = field(default_factory=SimDisk)

    def __post_init__(self) -> None:
        self.witness = self.restarted()

    def restarted(self) -> Witness:
        """Return the witness as the next start of the agent would have it."""
        found = Witness(self.disk, "trust/audit")
        found.follow(ROLE)
        return found


@pytest.fixture
def home() -> Home:
    return Home()


def test_the_highest_head_is_kept_and_outlives_a_restart(home: Home) -> None:
    for size in (5, 8):
        home.witness.see(sealed(size), ROLE)

    assert home.witness.seen == sealed(8)
    assert home.restarted().seen == sealed(8)


def test_a_head_of_a_shorter_trail_is_a_rollback_and_changes_nothing(home: Home) -> None:
    home.witness.see(sealed(8), ROLE)

    with pytest.raises(RollbackError, match="has 5 entries; it had 8 before"):
        home.witness.see(sealed(5), ROLE)

    assert home.restarted().seen == sealed(8)


def test_two_heads_of_one_length_and_other_roots_are_a_split_view_and_the_first_stays(
    home: Home,
) -> None:
    home.witness.see(sealed(8), ROLE)

    with pytest.raises(SplitViewError, match="Two audit trails of 8 entries"):
        home.witness.see(sealed(8, root="b"), ROLE)

    assert home.restarted().seen == sealed(8)


def test_after_a_restore_a_shorter_trail_is_believed(home: Home) -> None:
    home.witness.see(sealed(8), ROLE)

    home.witness.see(sealed(6, epoch=1), ROLE)

    assert home.restarted().seen == sealed(6, epoch=1)
    with pytest.raises(RollbackError):
        home.witness.see(sealed(9), ROLE)


@pytest.mark.parametrize(
    "text",
    [
        sealed(9, signer=STRANGER),
        "{}",
        "",
        messages.seal(Deny(HEADER, MODEL, 1), [DIRECTOR]).decode(),
    ],
)
def test_what_is_no_head_of_the_director_is_not_kept(home: Home, text: str) -> None:
    home.witness.see(sealed(8), ROLE)

    with pytest.raises(WireError):
        home.witness.see(text, ROLE)

    assert home.restarted().seen == sealed(8)


def test_a_head_whose_signer_was_rotated_away_is_forgotten(home: Home) -> None:
    """A thief's head of 2^60 entries locks the box no longer than the thief's key counts."""
    home.witness.see(sealed(1 << 60), ROLE)
    after = RoleKeys({STRANGER.keyid: STRANGER.key.public_key()}, 1)

    home.witness.follow(after)
    home.witness.see(sealed(9, signer=STRANGER), after)

    assert home.witness.seen == sealed(9, signer=STRANGER)


@pytest.mark.parametrize("broken", PLACES)
def test_one_torn_copy_is_made_good_from_the_other(home: Home, broken: str) -> None:
    home.witness.see(sealed(8), ROLE)
    home.disk.truncate(broken, 10)

    assert home.restarted().seen == sealed(8)
    assert [home.disk.read(path).decode() for path in PLACES] == [sealed(8)] * 2


def test_of_two_copies_that_a_cut_has_parted_the_higher_counts(home: Home) -> None:
    home.witness.see(sealed(5), ROLE)
    home.disk.pwrite(PLACES[0], 0, sealed(8).encode())
    home.disk.truncate(PLACES[0], len(sealed(8)))

    assert home.restarted().seen == sealed(8)


def test_a_disk_that_refuses_leaves_the_head_in_memory(home: Home) -> None:
    home.disk.faults = (Fault(home.disk.changes + 1),)

    home.witness.see(sealed(8), ROLE)

    assert home.witness.seen == sealed(8)


def test_a_head_is_news_once(home: Home) -> None:
    assert home.witness.take_news() is None
    home.witness.see(sealed(8), ROLE)

    assert home.witness.take_news() == sealed(8)
    home.witness.see(sealed(8), ROLE)
    assert home.witness.take_news() is None
    assert home.restarted().take_news() is None  # its hello tells


@dataclass
class Bench:
    """A box's authority over a repository."""

    repository: Repository = field(default_factory=Repository)
    disk: SimDisk = field(default_factory=SimDisk)

    def __post_init__(self) -> None:
        MetadataStore(self.disk, "trust").write("root", self.repository.files["1.root.json"])
        self.authority = self.restarted()

    def restarted(self) -> Authority:
        """Return the authority as the next start of the agent would have it."""
        return Authority(
            Box("VX417Q3K0928", MODEL), self.disk, "trust", now_ms=lambda: NOON_MS,
            steady_ms=lambda: 0, capacity_bytes=lambda: 1 << 20,
        )  # fmt: skip

    def meta(self, size: int, signer: KeySigner | None = None) -> Meta:
        """Return the metadata with a head of *size*."""
        text = sealed(size, signer=signer or self.repository.director)
        return Meta(HEADER, self.repository.plain_files(), text)


def test_the_head_that_comes_with_the_metadata_is_kept_and_read_back_with_it() -> None:
    bench = Bench()

    assert bench.authority.accept_meta(bench.meta(8)) is None
    again = bench.restarted()
    assert again.witness.seen is None  # who may sign it is not known yet
    again.load()

    assert again.witness.seen == bench.authority.witness.seen == bench.meta(8).audit_head


def test_a_head_that_is_not_believed_keeps_no_metadata_back() -> None:
    bench = Bench()
    bench.authority.accept_meta(bench.meta(8))
    bench.repository.add_target(f"{MODEL}/5.9.0.img", b"new", version="5.9.0", security_version=3)
    bench.repository.publish(MODEL)

    against = bench.authority.accept_meta(bench.meta(9, signer=STRANGER))

    assert isinstance(against, BadSignatureError)
    again = bench.restarted()
    again.load()
    assert again.witness.seen == bench.meta(8).audit_head
    trusted = again._trusted
    assert trusted is not None
    assert trusted.find(f"{MODEL}/5.9.0.img").length == len(b"new")


def test_hello_says_the_head_always_and_health_when_it_is_new() -> None:
    home = Home()
    outbox = DiskOutbox(home.disk, Stamp(home.disk, BOOT, lambda: 0, lambda: "0" * 32), lambda: 0)
    voice = Voice(
        config=Config("SN-417", MODEL, "https://door.example", "ca.pem", "claim-token"),
        identity=Identity("VX417Q3K0928", MODEL, "UTC", "broker.example", 8883, "https://a"),
        facts=BootFacts("A", "5.8.1", BOOT, BootReason.POWER_ON, 3, True, False, ()),
        disk=home.disk,
        slots=FileSlots(home.disk, running_slot="A", hardware_model=MODEL, capacity_bytes=1),
        outbox=outbox,
        witness=home.witness,
    )

    def health() -> str | None:
        voice.put_health(State(), {}, is_clock_behind=False)
        said = [messages.decode(Health, data) for kind, data in outbox.due() if kind == "health"]
        return said[-1].audit_head

    assert voice.hello(HEADER, State()).audit_head is None
    home.witness.see(sealed(8), ROLE)
    assert voice.hello(HEADER, State()).audit_head == sealed(8)
    assert health() == sealed(8)
    assert health() is None
