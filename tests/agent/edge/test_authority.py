"""Three signed layers: the box runs nothing unless all of them agree."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from oleada_agent.disk import RealDisk
from oleada_agent.machine_events import Authorised, AuthorityRefused, AuthorityUnknown
from oleada_agent.trust.authority import UNKNOWN_LIMIT_MS, Authority, Box
from oleada_agent.trust.errors import FreezeError, RollbackError, TrustError
from oleada_agent.trust.store import MetadataStore
from oleada_wire import cohort, messages
from oleada_wire.envelope import KeySigner
from oleada_wire.errors import WireError
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    Assign,
    Assignment,
    Cohort,
    Deny,
    Header,
    Lease,
    Message,
    Meta,
    Wave,
    Waves,
)
from oleada_wire.words import LeasePhase, Reason

from tests.agent.edge.repository import IMAGE, MODEL, NOON, Repository

DEVICE = "VX417Q3K0928"
NOON_MS = int(NOON.timestamp() * 1000)
HOUR_MS = 3_600_000
PATH = f"{MODEL}/5.8.2.img"
BOOT = BootId(7, "0a1b2c3d")


def a_header(at_ms: int = NOON_MS) -> Header:
    return Header("0" * 32, at_ms, BOOT, 1)


@dataclass
class Bench:
    """A box's authority beside the repository and the keys of its makers."""

    repository: Repository
    directory: Path
    now_ms: int = NOON_MS
    steady_ms: int = 0
    capacity_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        MetadataStore(RealDisk(self.directory)).write("root", self.repository.files["1.root.json"])
        self.authority = self.restarted()

    def restarted(self) -> Authority:
        """Return the authority as a new start of the agent would make it."""
        return Authority(
            Box(DEVICE, MODEL),
            RealDisk(self.directory),
            "",
            now_ms=lambda: self.now_ms,
            steady_ms=lambda: self.steady_ms,
            capacity_bytes=lambda: self.capacity_bytes,
        )

    def meta(self) -> Meta:
        """Return the newest metadata as the server publishes it."""
        return Meta(a_header(), self.repository.plain_files())

    def assignment(self, **changes: Any) -> Assignment:
        """Return an assignment of the signed release, with *changes*."""
        target = self.repository.signed[MODEL].signed.targets[PATH]
        usual = Assignment(
            "A-20418", 1, "R-107", 31, PATH, target.hashes["sha256"], len(IMAGE), "5.8.2", 3,
            issued_ms=NOON_MS - HOUR_MS, expires_ms=NOON_MS + 24 * HOUR_MS,
        )  # fmt: skip
        return replace(usual, **changes)

    def wave(self, **changes: Any) -> Wave:
        """Return a wave that covers everybody, with *changes*."""
        target = self.repository.signed[MODEL].signed.targets[PATH]
        usual = Wave(
            a_header(), 31, "R-107", MODEL, PATH, target.hashes["sha256"], len(IMAGE), 3,
            Cohort(salt="s", share_parts=10_000),
            not_before_ms=NOON_MS - HOUR_MS, not_after_ms=NOON_MS + 72 * HOUR_MS,
        )  # fmt: skip
        return replace(usual, **changes)

    def accept_wave(self, wave: Wave, signers: list[KeySigner] | None = None) -> None:
        """Let *wave* come, signed by the approvers or by *signers*."""
        sealed = messages.seal(wave, list(signers or self.repository.approvers))
        self.authority.accept_waves(Waves(a_header(), (sealed.decode(),)))

    def sealed(self, message: Message) -> bytes:
        """Return *message* signed by the director."""
        return messages.seal(message, [self.repository.director])

    def tell_time(self) -> None:
        """Let the server confirm the box's clock."""
        self.authority.time.asked("q")
        assert self.authority.time.answered("q", self.now_ms)

    def decide(self, assignment: Assignment, floor: int = 0, version: str = "5.8.1") -> Any:
        """Ask whether *assignment* may run."""
        return self.authority.authorise(assignment, floor, version)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(Repository(), tmp_path / "trust")
    made.authority.accept_meta(made.meta())
    made.accept_wave(made.wave())
    return made


def reason_of(event: Any) -> Reason:
    assert isinstance(event, AuthorityRefused), event
    assert event.detail
    return event.reason


def test_three_layers_that_agree_authorise(bench: Bench) -> None:
    assert bench.decide(bench.assignment(attempt=2)) == Authorised("A-20418", 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "f" * 64}, Reason.UNTRUSTED),
        ({"size_bytes": len(IMAGE) + 1}, Reason.UNTRUSTED),
        ({"size_bytes": 0}, Reason.UNTRUSTED),
        ({"version": "5.8.3"}, Reason.UNTRUSTED),
        ({"security_version": 9}, Reason.UNTRUSTED),
        ({"target_path": "VX-500/5.8.2.img"}, Reason.WRONG_HARDWARE),
        ({"target_path": "../5.8.2.img"}, Reason.UNTRUSTED),
        ({"expires_ms": NOON_MS}, Reason.EXPIRED),
        ({"expires_ms": NOON_MS + 8 * 24 * HOUR_MS}, Reason.UNTRUSTED),
        ({"rollout_id": "R-108"}, Reason.NOT_COVERED),
    ],
)
def test_an_assignment_that_differs_from_what_was_signed_is_refused(
    bench: Bench, change: dict[str, Any], reason: Reason
) -> None:
    bench.tell_time()

    assert reason_of(bench.decide(bench.assignment(**change))) is reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "f" * 64}, Reason.NOT_COVERED),
        ({"hardware_model": "VX-500"}, Reason.NOT_COVERED),
        ({"size_bytes": 1}, Reason.NOT_COVERED),
        ({"security_version": 1}, Reason.NOT_COVERED),
        ({"not_after_ms": NOON_MS - 1}, Reason.NOT_COVERED),
        ({"cohort": Cohort(salt="s", share_parts=0)}, Reason.NOT_COVERED),
        ({"cohort": Cohort(merkle_root="0" * 64)}, Reason.NOT_COVERED),
    ],
)
def test_a_wave_that_does_not_name_this_release_and_box_covers_nothing(
    bench: Bench, change: dict[str, Any], reason: Reason
) -> None:
    bench.accept_wave(bench.wave(**change))
    bench.tell_time()

    assert reason_of(bench.decide(bench.assignment())) is reason


def test_a_list_wave_covers_the_box_whose_proof_leads_to_its_root(bench: Bench) -> None:
    boxes = [DEVICE, "VX417Q3K0001", "VX417Q3K0002"]
    bench.accept_wave(bench.wave(cohort=Cohort(merkle_root=cohort.merkle_root(boxes))))
    proof = tuple(cohort.merkle_proof(boxes, DEVICE))
    stolen = tuple(cohort.merkle_proof(boxes, boxes[1]))

    assert isinstance(bench.decide(bench.assignment(proof=proof)), Authorised)
    assert reason_of(bench.decide(bench.assignment(proof=stolen))) is Reason.NOT_COVERED


def test_one_of_two_approvers_opens_no_wave(bench: Bench) -> None:
    bench.accept_wave(bench.wave(), bench.repository.approvers[:1])

    assert isinstance(bench.decide(bench.assignment()), AuthorityUnknown)


def test_the_director_can_not_open_a_wave(bench: Bench) -> None:
    bench.accept_wave(bench.wave(), [bench.repository.director] * 2)

    assert isinstance(bench.decide(bench.assignment()), AuthorityUnknown)


def test_a_wave_that_does_not_come_is_waited_for_but_not_for_ever(bench: Bench) -> None:
    bench.authority.accept_waves(Waves(a_header(), ()))

    assert isinstance(bench.decide(bench.assignment()), AuthorityUnknown)
    bench.steady_ms += UNKNOWN_LIMIT_MS + 1
    assert reason_of(bench.decide(bench.assignment())) is Reason.NOT_COVERED


def test_a_box_that_hears_nobody_does_not_run_out_of_patience(bench: Bench) -> None:
    bench.authority.accept_waves(Waves(a_header(), ()))
    bench.authority.is_listening = False

    for _ in range(3):
        assert isinstance(bench.decide(bench.assignment()), AuthorityUnknown)
        bench.steady_ms += UNKNOWN_LIMIT_MS + 1

    bench.authority.is_listening = True
    assert isinstance(bench.decide(bench.assignment()), AuthorityUnknown)
    bench.steady_ms += UNKNOWN_LIMIT_MS + 1
    assert reason_of(bench.decide(bench.assignment())) is Reason.NOT_COVERED


def test_a_release_that_nobody_signed_is_refused_after_waiting_for_metadata(bench: Bench) -> None:
    unsigned = bench.assignment(target_path=f"{MODEL}/6.0.img", version="6.0")

    assert isinstance(bench.decide(unsigned), AuthorityUnknown)
    bench.steady_ms += UNKNOWN_LIMIT_MS + 1
    assert reason_of(bench.decide(unsigned)) is Reason.UNTRUSTED


def test_below_the_security_floor_nothing_helps(bench: Bench) -> None:
    assert isinstance(bench.decide(bench.assignment(), floor=3), Authorised)
    assert reason_of(bench.decide(bench.assignment(), floor=4)) is Reason.BELOW_SECURITY_FLOOR


@pytest.mark.parametrize(
    ("custom", "reason"),
    [
        ({"min_version": "5.8.2"}, Reason.BELOW_MINIMUM_VERSION),
        ({"hardware_models": ["VX-411"]}, Reason.WRONG_HARDWARE),
        ({"notes": {}}, Reason.UNTRUSTED),
    ],
)
def test_what_the_signed_release_says_of_itself_counts(
    tmp_path: Path, custom: dict[str, Any], reason: Reason
) -> None:
    repository = Repository()
    repository.add_target(PATH, **custom)
    repository.publish(MODEL)
    bench = Bench(repository, tmp_path / "trust")
    bench.authority.accept_meta(bench.meta())
    bench.accept_wave(bench.wave())

    assert reason_of(bench.decide(bench.assignment())) is reason


def test_an_image_larger_than_the_slot_is_refused(bench: Bench) -> None:
    bench.capacity_bytes = len(IMAGE) - 1

    assert reason_of(bench.decide(bench.assignment())) is Reason.TOO_LARGE


def test_a_denied_digest_is_refused_also_after_a_restart(bench: Bench) -> None:
    digest = bench.assignment().sha256
    assert bench.authority.accept_deny(bench.sealed(Deny(a_header(), MODEL, 2, (digest,))))

    assert reason_of(bench.decide(bench.assignment())) is Reason.DENIED
    bench.authority = bench.restarted()
    bench.authority.load()
    bench.accept_wave(bench.wave())
    assert reason_of(bench.decide(bench.assignment())) is Reason.DENIED


def test_a_deny_list_outlives_metadata_that_has_expired_meanwhile(bench: Bench) -> None:
    digest = bench.assignment().sha256
    bench.authority.accept_deny(bench.sealed(Deny(a_header(), MODEL, 2, (digest,))))
    bench.now_ms += 4 * 24 * HOUR_MS
    bench.authority.open(Assign, bench.sealed(Assign(a_header(bench.now_ms), DEVICE, 5)))
    bench.authority = bench.restarted()
    with pytest.raises(FreezeError):
        bench.authority.load()

    bench.repository.signed["timestamp"].signed.expires = NOON + timedelta(days=7)
    bench.repository.publish_online()
    bench.authority.accept_meta(bench.meta())

    assert bench.authority.denied == (digest,)


def test_an_older_deny_list_or_another_models_changes_nothing(bench: Bench) -> None:
    bench.authority.accept_deny(bench.sealed(Deny(a_header(), MODEL, 2, ("a" * 64,))))

    assert not bench.authority.accept_deny(bench.sealed(Deny(a_header(), MODEL, 1)))
    with pytest.raises(WireError, match="VX-500"):
        bench.authority.accept_deny(bench.sealed(Deny(a_header(), "VX-500", 3)))
    assert bench.authority.denied == ("a" * 64,)


def test_a_message_for_another_box_is_not_obeyed(bench: Bench) -> None:
    other = Assign(a_header(), "VX417Q3K0001", 5, bench.assignment())

    with pytest.raises(WireError, match="VX417Q3K0001"):
        bench.authority.open(Assign, bench.sealed(other))


def test_a_lease_does_not_pass_for_an_assignment(bench: Bench) -> None:
    lease = Lease(a_header(), DEVICE, "A-20418", 1, LeasePhase.START, granted=True)

    with pytest.raises(WireError, match="assign"):
        bench.authority.open(Assign, bench.sealed(lease))


def test_nothing_signed_is_read_before_metadata_says_who_signs(tmp_path: Path) -> None:
    bench = Bench(Repository(), tmp_path / "trust")

    with pytest.raises(WireError, match="director"):
        bench.authority.open(Assign, bench.sealed(Assign(a_header(), DEVICE, 5)))
    assert isinstance(bench.decide(bench.assignment()), AuthorityUnknown)


def test_what_was_trusted_is_taken_up_after_a_restart_without_network(bench: Bench) -> None:
    (bench.directory / "timestamp.json").write_bytes(b"torn")

    bench.authority = bench.restarted()
    bench.authority.load()
    bench.accept_wave(bench.wave())

    assert isinstance(bench.decide(bench.assignment()), Authorised)


def test_metadata_that_was_fresh_once_authorises_nothing_when_it_has_expired(bench: Bench) -> None:
    bench.now_ms += int(timedelta(days=3, seconds=1).total_seconds() * 1000)
    late = bench.assignment(expires_ms=bench.now_ms + HOUR_MS, issued_ms=bench.now_ms)

    assert isinstance(bench.decide(late), AuthorityUnknown)


def test_a_signed_time_is_a_floor_that_a_dead_clock_and_a_restart_can_not_sink(
    bench: Bench,
) -> None:
    later = NOON_MS + 48 * HOUR_MS
    bench.authority.open(Assign, bench.sealed(Assign(a_header(later), DEVICE, 5)))

    bench.now_ms = 0
    bench.authority = bench.restarted()
    bench.authority.load()

    assert int(bench.authority.now().timestamp() * 1000) == later
    assert reason_of(bench.decide(bench.assignment(expires_ms=later))) is Reason.EXPIRED


def test_refused_metadata_leaves_what_was_trusted(bench: Bench) -> None:
    old = bench.meta()
    bench.repository.publish(MODEL)
    bench.authority.accept_meta(bench.meta())

    with pytest.raises(RollbackError):
        bench.authority.accept_meta(old)
    assert isinstance(bench.decide(bench.assignment()), Authorised)


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda files: {key: text for key, text in files.items() if key != name}


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json", "VX-410.json"])
def test_metadata_with_a_file_missing_is_refused_by_name(tmp_path: Path, name: str) -> None:
    bench = Bench(Repository(), tmp_path / "trust")

    with pytest.raises(TrustError, match=name.removesuffix(".json")):
        bench.authority.accept_meta(Meta(a_header(), without(name)(bench.meta().files)))


def test_a_wave_that_has_not_begun_is_waited_for(bench: Bench) -> None:
    bench.accept_wave(bench.wave(not_before_ms=NOON_MS + 1))

    assert isinstance(bench.decide(bench.assignment()), AuthorityUnknown)
    bench.now_ms += 1
    assert isinstance(bench.decide(bench.assignment()), Authorised)


def test_an_assignment_is_judged_by_its_own_wave(bench: Bench) -> None:
    others = bench.wave(wave_id=30, cohort=Cohort(salt="s", share_parts=0))
    sealed = [
        messages.seal(wave, list(bench.repository.approvers)).decode()
        for wave in (others, bench.wave())
    ]
    bench.authority.accept_waves(Waves(a_header(), tuple(sealed)))

    assert isinstance(bench.decide(bench.assignment()), Authorised)
    assert reason_of(bench.decide(bench.assignment(wave_id=30))) is Reason.NOT_COVERED


def test_a_box_that_is_new_enough_may_take_a_release_with_a_minimum(tmp_path: Path) -> None:
    repository = Repository()
    repository.add_target(PATH, min_version="5.8")
    repository.publish(MODEL)
    bench = Bench(repository, tmp_path / "trust")
    bench.authority.accept_meta(bench.meta())
    bench.accept_wave(bench.wave())

    assert isinstance(bench.decide(bench.assignment(), version="5.8.0"), Authorised)
    refused = bench.decide(bench.assignment(), version="unknown")
    assert reason_of(refused) is Reason.BELOW_MINIMUM_VERSION
