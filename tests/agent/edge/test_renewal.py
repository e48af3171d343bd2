"""A box replaces its certificate in time: when, with which key, and what a failure leaves."""

import os
import random
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from oleada_agent import clock, enrol, keypairs, renew, renewal
from oleada_agent.disk import RealDisk
from oleada_agent.keypairs import Span
from oleada_agent.renew import AwayError, NotLetInError, RefusedError
from oleada_agent.renewal import Pace, Renewal
from oleada_agent.timers import Timers

DAY_MS = 86_400_000
LIFE = Span(0, 90 * DAY_MS)
BOX = "VX417Q3K0928"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHORITY = ec.generate_private_key(ec.SECP256R1())


class Door:
    """Issues certificates as the server does; each ends later than the one before."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.days = 90

    def ask(self, csr_pem: str) -> bytes:
        """Return a certificate for the key of *csr_pem*."""
        self.asked.append(csr_pem)
        request = x509.load_pem_x509_csr(csr_pem.encode())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, BOX)])
        self.days += 1
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOON)
            .not_valid_after(NOON + timedelta(days=self.days))
            .sign(AUTHORITY, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def disk(tmp_path: Path, door: Door) -> RealDisk:
    """The disk of a box that has been enrolled."""
    found = RealDisk(tmp_path)
    key, pem = enrol.new_key()
    found.create("data/identity/key.pem")
    found.pwrite("data/identity/key.pem", 0, pem)
    pem = door.ask(enrol.request_of(key, "SN-1"))
    for name in ("certificate.pem", "ca.pem"):
        found.create(f"data/identity/{name}")
        found.pwrite(f"data/identity/{name}", 0, pem)
    return found


def yes() -> None:
    """Let anything in."""


def a_refusal(error: Exception) -> Callable[[], None]:
    def refuse() -> None:
        raise error

    return refuse


def key_in(disk: RealDisk, slot: str) -> bytes:
    return disk.read(f"{keypairs.FOLDERS[slot]}/key.pem")


def test_a_fleet_that_was_enrolled_together_renews_over_a_sixth_of_the_life() -> None:
    names = [f"VX41{number:08d}" for number in range(10_000)]

    days = sorted(renewal.due_ms(LIFE, name) / DAY_MS for name in names)

    assert days[0] >= 60
    assert days[-1] < 75
    in_an_hour = max(
        sum(start <= day < start + 1 / 24 for day in days) for start in days[:: len(days) // 50]
    )
    assert in_an_hour < 80, "of 10 000; evenly spread it were 28"


def test_a_box_renews_at_its_own_moment_and_not_before() -> None:
    at_ms = renewal.due_ms(LIFE, BOX)

    assert not renewal.is_due(LIFE, BOX, at_ms - 1, 0)
    assert renewal.is_due(LIFE, BOX, at_ms, 0)
    assert renewal.is_due(LIFE, BOX, 100 * 365 * DAY_MS, 0)


def test_a_box_with_a_dead_clock_asks_when_the_broker_has_refused_it_a_few_times() -> None:
    for refusals in range(renewal.REFUSALS):
        assert not renewal.is_due(LIFE, BOX, 0, refusals)
    assert renewal.is_due(LIFE, BOX, 0, renewal.REFUSALS)


def test_a_certificate_that_can_not_be_read_is_replaced() -> None:
    assert renewal.is_due(None, BOX, 0, 0)


def test_tries_that_fail_come_ever_more_rarely_and_refusals_hourly_to_daily() -> None:
    dice = random.Random(7)
    pace = Pace(dice.randrange)

    away = [pace.after_ms(1) for _ in range(30)]
    assert away[0] <= renewal.BACKOFF_MS
    assert renewal.BACKOFF_MAX_MS / 2 <= away[-1] <= renewal.BACKOFF_MAX_MS

    pace = Pace(dice.randrange)
    refused = [pace.after_ms(renewal.REFUSED_CODE) for _ in range(30)]
    assert refused[0] >= renewal.REFUSED_MS / 2
    assert renewal.REFUSED_MAX_MS / 2 <= refused[-1] <= renewal.REFUSED_MAX_MS

    assert pace.after_ms(0) == renewal.LOOK_MS
    assert pace.after_ms(1) <= renewal.BACKOFF_MS


def test_each_renewal_makes_a_key_and_the_slots_take_turns(disk: RealDisk, door: Door) -> None:
    keys = {key_in(disk, "a")}

    for slot in ("b", "a", "b"):
        renew.renew(disk, "SN-1", door.ask, yes)

        assert keypairs.active(disk) == slot
        assert key_in(disk, slot) not in keys
        keys.add(key_in(disk, slot))
    assert not keypairs.is_candidate_there(disk)


def test_a_key_of_a_box_is_for_its_own_user_alone(disk: RealDisk, door: Door) -> None:
    renew.renew(disk, "SN-1", door.ask, yes)

    path = disk.root / "data/identity/b/key.pem"
    assert path.stat().st_mode & 0o077 == 0


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_key(
    disk: RealDisk, door: Door
) -> None:
    def lose(csr_pem: str) -> bytes:
        door.ask(csr_pem)
        raise AwayError("the answer was lost")

    for _ in range(2):
        with pytest.raises(AwayError):
            renew.renew(disk, "SN-1", lose, yes)
    renew.renew(disk, "SN-1", door.ask, yes)

    first, *others = [x509.load_pem_x509_csr(one.encode()).public_key() for one in door.asked[1:]]
    assert others == [first, first]
    assert keypairs.active(disk) == "b"


def test_without_a_broker_the_old_one_stays_and_the_new_one_is_tried_again(
    disk: RealDisk, door: Door
) -> None:
    with pytest.raises(AwayError):
        renew.renew(disk, "SN-1", door.ask, a_refusal(AwayError("no broker")))
    assert keypairs.active(disk) == "a"
    asked = len(door.asked)

    renew.renew(disk, "SN-1", door.ask, yes)

    assert keypairs.active(disk) == "b"
    assert len(door.asked) == asked, "the certificate was there already"


def test_one_that_the_broker_does_not_let_in_is_forgotten_and_the_old_one_stays(
    disk: RealDisk, door: Door
) -> None:
    old = key_in(disk, "a")

    with pytest.raises(NotLetInError):
        renew.renew(disk, "SN-1", door.ask, a_refusal(NotLetInError("not you")))

    assert keypairs.active(disk) == "a"
    assert key_in(disk, "a") == old
    assert disk.list("data/identity/b") == []


@pytest.mark.parametrize("what", ["another key", "nonsense", "no later end"])
def test_an_answer_that_is_no_good_is_not_kept(disk: RealDisk, door: Door, what: str) -> None:
    def answer(csr_pem: str) -> bytes:
        if what == "nonsense":
            return b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        if what == "another key":
            csr_pem = enrol.request_of(enrol.new_key()[0], "SN-1")
        door.days = 0 if what == "no later end" else 200
        return door.ask(csr_pem)

    with pytest.raises(RefusedError):
        renew.renew(disk, "SN-1", answer, yes)

    assert keypairs.active(disk) == "a"
    assert not disk.exists("data/identity/b/certificate.pem")


def test_a_record_that_rotted_gives_way_to_the_certificate_that_ends_last(
    disk: RealDisk, door: Door
) -> None:
    renew.renew(disk, "SN-1", door.ask, yes)
    disk.pwrite(keypairs.ACTIVE, 0, b"?")

    assert keypairs.active(disk) == "b"


class Child:
    """What is started instead of ``oleada-agent renew``."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.started = 0

    def start(self, box: Path) -> int:
        """Start it; return its process id."""
        self.started += 1
        return os.posix_spawn("/bin/sh", ["sh", "-c", self.program], os.environ)


class Shower:
    """Whoever shows the certificate."""

    def __init__(self) -> None:
        self.contexts: list[ssl.SSLContext] = []

    def use(self, context: ssl.SSLContext) -> None:
        """Take note."""
        self.contexts.append(context)


def a_renewal(
    child: Child, timers: Timers, box: Path, *, days: float
) -> tuple[Renewal, list[ssl.SSLContext]]:
    """Return the renewal of *box*, so many *days* after its certificate began."""
    shower = Shower()
    now_ms = int((NOON + timedelta(days=days)).timestamp() * 1000)
    made = Renewal(
        box, BOX, users=(shower,), now_ms=lambda: now_ms,
        timers=timers, spread_ms=0, start=child.start,
    )  # fmt: skip
    return made, shower.contexts


def until(renewal_: Renewal, timers: Timers, over: Callable[[], bool]) -> None:
    """Let *renewal_* look whenever its timer is due, until *over*."""
    for _ in range(600):
        if over():
            return
        timers.take_due()
        renewal_.look()
        clock_ms = timers.due_ms.get(renewal.TIMER, 0) - clock.steady_ms()
        if 0 < clock_ms <= renewal.CHILD_LOOK_MS:
            threading.Event().wait(clock_ms / 1000)
    raise AssertionError("it is never over")


def test_what_the_process_has_renewed_is_taken_up(disk: RealDisk) -> None:
    child, timers = Child("exit 0"), Timers()
    made, taken = a_renewal(child, timers, disk.root, days=100)

    until(made, timers, lambda: bool(taken))

    assert child.started == 1


def test_a_process_that_failed_is_started_again_later_and_nothing_is_taken_up(
    disk: RealDisk,
) -> None:
    child, timers = Child("exit 1"), Timers()
    made, taken = a_renewal(child, timers, disk.root, days=100)
    made.look()
    until(made, timers, lambda: timers.due_ms[renewal.TIMER] > clock.steady_ms() + 1_000)

    made.look()

    assert (child.started, taken) == (1, [])


def test_a_certificate_that_is_good_starts_nothing_until_the_broker_refuses_it(
    disk: RealDisk,
) -> None:
    child, timers = Child("exit 0"), Timers()
    made, taken = a_renewal(child, timers, disk.root, days=10)
    made.look()
    assert child.started == 0

    for _ in range(renewal.REFUSALS - 1):
        made.note(is_refused=True)
    made.note(is_refused=False)
    made.look()
    assert child.started == 0
    for _ in range(renewal.REFUSALS):
        made.note(is_refused=True)
    until(made, timers, lambda: bool(taken))

    assert child.started == 1


def test_an_agent_that_ends_takes_its_process_along(disk: RealDisk) -> None:
    child, timers = Child("exec sleep 1000"), Timers()
    made, _ = a_renewal(child, timers, disk.root, days=100)
    made.look()

    made.stop()
    made.stop()

    assert child.started == 1
