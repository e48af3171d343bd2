"""A box with any clock: it finds out the time, obeys what is good, and believes nothing stale."""

from datetime import timedelta

import pytest
from oleada_agent.machine_events import (
    AssignReceived,
    Authorised,
    AuthorityRefused,
    AuthorityUnknown,
    DenyListed,
    LeaseAnswered,
    TrustChanged,
)
from oleada_agent.machine_states import State
from oleada_agent.trust.errors import FreezeError
from oleada_agent.trust.trusted_time import ANSWER_MS_MAX, DOUBT_MS, QUESTIONS_MAX, TrustedTime
from oleada_wire import messages, topics
from oleada_wire.messages import Assign, Cmd, Deny, Header, Lease
from oleada_wire.topics import Down, Model
from oleada_wire.words import LeasePhase, Reason

from tests.agent.edge.clocks import (
    BOOT,
    CLOCKS,
    DAY_MS,
    DEVICE,
    HOUR_MS,
    MINUTE_MS,
    NOON_MS,
    Home,
    at,
)
from tests.agent.edge.repository import MODEL, NOON


@pytest.mark.parametrize("clock", CLOCKS)
def test_whatever_its_clock_says_a_box_is_told_the_time_and_obeys(clock: str) -> None:
    home = Home(CLOCKS[clock])
    home.connect()

    first = home.decide()
    if not isinstance(first, Authorised):
        assert isinstance(first, AuthorityUnknown)
        home.answer()
        assert home.fed[-1] == TrustChanged()

    assert home.decide() == Authorised("A-20418", 1)


@pytest.mark.parametrize("clock", CLOCKS)
def test_whatever_its_clock_says_a_lease_lasts_as_long_as_the_server_meant(clock: str) -> None:
    home = Home(CLOCKS[clock])
    home.connect()
    home.questions.ask_lease("A-20418", 1, LeasePhase.START)
    home.passed_ms += 5_000
    home.answer(granted=True, lasts_ms=HOUR_MS)

    answered = home.fed[-1]
    assert isinstance(answered, LeaseAnswered)
    left_ms = answered.expires_ms - home.authority.time.now_ms()
    assert HOUR_MS - 5_000 <= left_ms <= HOUR_MS


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("boots", [1, 2])
def test_whatever_its_clock_says_metadata_that_has_expired_authorises_nothing(
    clock: str, boots: int
) -> None:
    home = Home(CLOCKS[clock], server_ms=NOON_MS + 4 * DAY_MS)
    for _ in range(boots):
        home.boot()
        home.connect()
        home.questions.ask_time()
        home.answer()

        late = home.decide(issued_ms=NOON_MS + 4 * DAY_MS, expires_ms=NOON_MS + 5 * DAY_MS)
        assert isinstance(late, AuthorityUnknown)
    assert home.inbound.refused["freeze"] >= 1


@pytest.mark.parametrize("clock", ["1970", "1990", "2038", "2099", "in 200 days"])
def test_an_assignment_that_has_really_expired_is_refused_when_the_time_is_told(clock: str) -> None:
    home = Home(CLOCKS[clock])
    home.connect()
    over = NOON_MS - MINUTE_MS

    assert not isinstance(home.decide(expires_ms=over), AuthorityRefused)
    home.questions.ask_time()
    home.answer()

    refused = home.decide(expires_ms=over)
    assert isinstance(refused, AuthorityRefused)
    assert refused.reason is Reason.EXPIRED


def test_a_clock_in_the_future_refuses_nothing_while_the_server_is_silent() -> None:
    home = Home(at(2099))
    home.connect()

    for _ in range(500):
        assert isinstance(home.decide(), AuthorityUnknown)
        home.passed_ms += 10 * MINUTE_MS


def test_the_time_is_asked_for_ever_more_rarely_until_it_is_told() -> None:
    home = Home(at(2099))
    home.connect()
    home.decide()
    pauses = []
    for _ in range(9):
        due_ms = home.questions.next_due_ms()
        assert due_ms is not None
        pauses.append(due_ms // 1000)
        home.passed_ms += due_ms
        home.questions.ask_again()

    assert pauses == [60, 90, 150, 270, 510, 990, 1830, 1830, 1830]
    assert {asked.assignment_id for asked in home.asked} == {""}
    home.answer()
    assert home.questions.next_due_ms() is None


def test_a_question_for_the_time_waits_for_a_server_that_hears() -> None:
    home = Home(at(2099))
    home.questions.connected()
    home.questions.ask_time()
    assert home.asked == []

    home.questions.heard(State())
    assert len(home.asked) == 1
    home.questions.disconnected()
    assert home.questions.next_due_ms() is None
    home.questions.connected()
    home.questions.heard(State())
    assert len(home.asked) == 2


def test_an_answer_is_believed_once_soon_and_by_who_asked() -> None:
    home = Home(at(2099))
    home.connect()
    home.questions.ask_time()
    answer = home.answer()
    told_ms = home.authority.time.now_ms()
    assert told_ms == NOON_MS

    home.passed_ms += HOUR_MS
    home.hear(Down.LEASE, answer)
    assert home.authority.time.now_ms() == NOON_MS + HOUR_MS

    home.boot()
    home.authority.load()
    home.hear(Down.LEASE, answer)
    assert not home.authority.time.is_proven


def test_an_answer_that_was_held_back_tells_no_time() -> None:
    home = Home(at(2099))
    home.connect()
    home.questions.ask_time()
    home.passed_ms += ANSWER_MS_MAX
    home.answer()
    assert home.authority.time.is_proven

    home = Home(at(2099))
    home.connect()
    home.questions.ask_time()
    home.passed_ms += ANSWER_MS_MAX + 1
    home.answer()
    assert not home.authority.time.is_proven


def test_a_lease_that_names_no_question_is_taken_as_ever_and_proves_nothing() -> None:
    home = Home(NOON_MS)
    home.connect()
    old = Lease(home.header(), DEVICE, "A-20418", 1, LeasePhase.START, True, NOON_MS + HOUR_MS)
    home.hear(Down.LEASE, old)

    assert isinstance(home.fed[-1], LeaseAnswered)
    assert not home.authority.time.is_proven


def test_a_lease_for_another_question_is_not_taken() -> None:
    home = Home(NOON_MS)
    home.connect()
    home.fed.clear()
    head = home.header()
    replayed = Lease(
        head, DEVICE, "A-20418", 1, LeasePhase.START, True, NOON_MS + HOUR_MS, request_id="9" * 32
    )
    home.hear(Down.LEASE, replayed)

    assert home.fed == []


def test_a_command_that_only_the_box_calls_late_is_done_when_the_time_is_told() -> None:
    home = Home(at(2039))
    home.connect()
    home.hear(Down.CMD, Cmd(home.header(), DEVICE, "C-1", 1, "ping", NOON_MS + HOUR_MS))
    assert home.done == []
    home.answer()

    assert home.done == ["ping"]


def test_a_command_that_is_late_indeed_is_never_done() -> None:
    home = Home(at(2039))
    home.connect()
    sent = Header("f" * 32, NOON_MS - HOUR_MS, BOOT, 1)
    home.hear(Down.CMD, Cmd(sent, DEVICE, "C-1", 1, "ping", NOON_MS - 1))
    home.answer()

    assert home.done == []


def test_after_a_restart_a_box_with_a_wrong_clock_still_knows_who_may_tell_the_time() -> None:
    home = Home(NOON_MS)
    home.connect()
    home.clock_ms = at(2099)
    home.boot()

    home.authority.load()
    home.questions.connected()
    home.questions.heard(State())
    home.questions.ask_time()
    home.answer()
    assert home.authority.time.now_ms() == NOON_MS


def test_a_deny_list_that_nobody_could_read_at_the_start_counts_when_metadata_comes() -> None:
    home = Home(NOON_MS)
    home.connect()
    sealed = messages.seal(Deny(home.header(), MODEL, 1, ("a" * 64,)), [home.repository.director])
    home.inbound.take(topics.model(MODEL, Model.DENY), sealed)
    for folder in ("data/trust", "data/trust/second"):  # a cut between two files of a new set
        home.disk.unlink(f"{folder}/snapshot.json")
    home.boot()
    home.fed.clear()

    home.connect()

    assert home.fed[0] == DenyListed(("a" * 64,))


def test_a_signed_time_that_makes_metadata_old_ends_it_without_a_question() -> None:
    home = Home(0)
    home.connect()
    home.hear(Down.ASSIGN, Assign(Header("f" * 32, NOON_MS + 4 * DAY_MS, BOOT, 2), DEVICE, 3))
    assert isinstance(home.fed[-1], AssignReceived)

    home.boot()
    with pytest.raises(FreezeError):
        home.authority.load()


def test_a_director_from_the_year_2099_does_not_lock_the_box() -> None:
    home = Home(NOON_MS)
    home.connect()
    home.hear(Down.ASSIGN, Assign(Header("f" * 32, at(2099), BOOT, 2), DEVICE, 3))

    assert home.authority.floor.floor_ms == NOON_MS + 72 * HOUR_MS


def test_an_answer_from_the_year_2099_is_forgotten_with_the_next_one() -> None:
    home = Home(NOON_MS)
    home.connect()
    home.server_ms = at(2099)
    home.questions.ask_time()
    home.answer()
    assert isinstance(home.decide(), AuthorityRefused)

    home.server_ms = NOON_MS
    home.questions.ask_lease("A-20418", 1, LeasePhase.START)
    home.answer()
    home.repository.signed["timestamp"].signed.expires = NOON + timedelta(days=7)
    home.repository.publish_online()
    home.connect()

    assert home.decide(expires_ms=NOON_MS + 4 * DAY_MS) == Authorised("A-20418", 1)


def test_time_goes_on_from_the_floor_while_the_clock_stands_at_1970() -> None:
    level, passed = [NOON_MS], [0]
    time = TrustedTime(
        floor_ms=lambda: level[0], now_ms=lambda: passed[0], steady_ms=lambda: passed[0]
    )

    passed[0] = HOUR_MS
    assert time.now_ms() == NOON_MS + HOUR_MS
    level[0] = NOON_MS + 2 * HOUR_MS
    assert time.now_ms() == NOON_MS + 2 * HOUR_MS
    passed[0] += MINUTE_MS
    assert time.now_ms() == NOON_MS + 2 * HOUR_MS + MINUTE_MS


def test_what_was_told_is_doubted_again_after_a_while() -> None:
    passed = [0]
    time = TrustedTime(floor_ms=lambda: 0, now_ms=lambda: 0, steady_ms=lambda: passed[0])
    time.asked("q")
    assert time.answered("q", NOON_MS)

    fresh = []
    for passed[0] in (DOUBT_MS, DOUBT_MS + 1):
        fresh.append(time.is_fresh)

    assert fresh == [True, False]
    assert time.is_proven


def test_questions_without_an_answer_are_given_up_the_oldest_first() -> None:
    time = TrustedTime(floor_ms=lambda: 0, now_ms=lambda: 0, steady_ms=lambda: 0)
    for number in range(QUESTIONS_MAX + 1):
        time.asked(str(number))

    assert not time.answered("0", NOON_MS)
    assert time.answered("1", NOON_MS)


def test_a_clock_is_known_to_be_off_only_by_what_was_told() -> None:
    time = TrustedTime(floor_ms=lambda: NOON_MS, now_ms=lambda: 0, steady_ms=lambda: 0)
    assert not time.is_off(DAY_MS)

    time.asked("q")
    time.answered("q", NOON_MS)
    assert time.is_off(DAY_MS)
    assert not time.is_off(NOON_MS)


def test_the_question_is_for_nothing_but_the_time() -> None:
    home = Home(at(2099))
    home.connect()
    home.decide()

    [asked] = home.asked
    assert (asked.assignment_id, asked.phase) == ("", LeasePhase.START)
    home.answer(granted=True)
    assert not any(isinstance(event, LeaseAnswered) for event in home.fed)
