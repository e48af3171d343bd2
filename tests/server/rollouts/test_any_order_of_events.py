"""No order of events and ticks exceeds the room, starts or counts twice, or opens unproven.

Boxes ask and say anything, in time, late, twice or never, and others come later; people
pause, force, retry and accept; time jumps; the server is killed between any two decisions.
A small account beside it is kept from what was asked, said and
answered alone, and every step is compared with it.
"""

import math
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from oleada_server.rollouts import plan
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.plan_box import ReportFacts
from oleada_server.rollouts.states import PENDING, BoxState, RolloutState
from oleada_wire.words import LeasePhase, Phase, Reason

from tests.server.rollouts.any_order import (
    ATTEMPTS_MAX,
    LEASE,
    LIMITS,
    MINUTE,
    RIPE_AFTER,
    TERMS,
    VERSION,
    WAVES,
    Box,
    Server,
)

NEWCOMERS_MAX: Final = 3
BOXES: Final = st.integers(0, sum(WAVES) - 1)
ANY: Final = st.integers(0, sum(WAVES) + NEWCOMERS_MAX - 1)
"""A newcomer, if it has come."""
EVERYBODY: Final = [*range(sum(WAVES) + NEWCOMERS_MAX)]
SOME: Final = st.just(EVERYBODY) | st.sets(ANY, min_size=1).map(sorted)
FEW: Final = st.sets(ANY, min_size=1, max_size=3).map(sorted)
JUMPS: Final = st.sampled_from((1, 4, 16, 16, 23, 31, 125)).map(lambda minutes: minutes * MINUTE)
PHASES: Final = (Phase.DOWNLOADING, Phase.RESTARTING, Phase.CHECKING)
ENDS: Final = (
    (Phase.UPDATED, None), (Phase.ROLLED_BACK, Reason.HEALTH_CHECK),
    (Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL), (Phase.DECLINED, Reason.TOO_LARGE),
    (Phase.FAILED, Reason.DOWNLOAD), (Phase.ROLLED_BACK, Reason.NO_SERVER_CONTACT),
)  # fmt: skip
SAID: Final = st.sampled_from([*((phase, None) for phase in PHASES), *ENDS])
Said = tuple[int, ReportFacts] | tuple[int, int, LeasePhase]
reached: Counter[str] = Counter()


class AnyOrder(RuleBasedStateMachine):
    """One rollout, and everything that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        """Begin a rollout of which nothing is known yet."""
        self.server = Server()
        self.sent: list[Said] = []
        self.begun: set[tuple[int, int]] = set()
        self.ends: dict[tuple[int, int], ReportFacts] = {}
        self.verdicts: dict[tuple[int, int], tuple[ReportFacts, datetime]] = {}
        self.works_until: dict[int, datetime] = {}
        self.given_until: dict[int, datetime] = {}
        self.tries_until: dict[tuple[int, int], datetime] = {}
        self.soaks_from: dict[int, datetime] = {}
        self.passed: set[int] = set()
        self.accepted: set[int] = set()
        self.tick(99)

    # -- what happens ------------------------------------------------------------------

    @rule(at=ANY, phase=st.sampled_from(LeasePhase), behind=st.integers(-1, 1))
    def asks(self, at: int, phase: LeasePhase, behind: int) -> None:
        """A box asks to start or to arm, perhaps for an attempt that is not its own."""
        if at < len(self.server.boxes):
            self.hand_on((at, self.server.boxes[at].attempt - behind, phase))

    @rule(some=SOME, rounds=st.integers(1, 4))
    def all_goes_well(self, some: list[int], rounds: int) -> None:
        """Whoever may goes on trial and is healthy, and all of it grows old; again and again."""
        for _ in range(rounds):
            self.go_on_trial(some)
            self.end(some, ENDS[0])
            self.pass_time(16 * MINUTE, ticks=True)

    @rule(some=SOME, said=st.sampled_from((ENDS[1], *ENDS)), by=JUMPS)
    def all_ends(self, some: list[int], said: tuple[Phase, Reason | None], by: timedelta) -> None:
        """Whoever may goes on trial, and all of them end alike."""
        self.go_on_trial(some)
        self.end(some, said)
        self.pass_time(by, ticks=True)

    @rule(some=SOME)
    def break_one_after_the_other(self, some: list[int]) -> None:
        """Whoever may goes on trial and fails, as long as anybody may."""
        for _ in range(3):
            self.all_ends(some, ENDS[1], MINUTE)

    @rule(some=FEW, by=JUMPS)
    def reach_nobody(self, some: list[int], by: timedelta) -> None:
        """Boxes go back because their lines are dead, and a person may accept that."""
        self.all_ends(some, ENDS[5], by)
        for position in range(1, len(WAVES) + 1):
            self.goes_on(position)

    @rule(some=SOME)
    def go_on_trial(self, some: list[int]) -> None:
        """Boxes start and restart into the release, as far as they may."""
        for at in self.there(some):
            for phase in LeasePhase:
                self.hand_on((at, self.server.boxes[at].attempt, phase))

    @rule(some=FEW, said=st.sampled_from((ENDS[0], *ENDS)))
    def end(self, some: list[int], said: tuple[Phase, Reason | None]) -> None:
        """Boxes that were let begin say how it ended."""
        for at in self.there(some):
            if self.server.boxes[at].counted is not None:
                self.speak(at, 9, said)

    @rule(at=ANY, step=st.integers(1, 9), said=SAID)
    def speak(self, at: int, step: int, said: tuple[Phase, Reason | None]) -> None:
        """A box says something of its newest attempt; it ends once, as it says ever after."""
        if at >= len(self.server.boxes):
            return
        attempt = self.server.boxes[at].attempt
        version = VERSION if said[0] is Phase.UPDATED and step > 1 else "1.0.0"
        report = ReportFacts(attempt, step, *said, version)
        if report.phase.is_final:
            report = self.ends.setdefault((at, attempt), report)
        self.hand_on((at, report))

    @rule(back=st.integers(0, 30))
    def hand_on_again(self, back: int) -> None:
        """The broker delivers late, twice, and in any order."""
        if self.sent:
            self.hand_on(self.sent[-1 - back % len(self.sent)])

    @rule(by=JUMPS, ticks=st.booleans())
    def pass_time(self, by: timedelta, ticks: bool) -> None:
        """Time goes on, and the server sees it at once or not."""
        self.server.now += by
        if self.server.state not in plan.MOVING:  # it has ended, and was asked things since
            self.begin()
        elif ticks:
            self.tick(99)

    @rule(decisions=st.sampled_from((0, 1, 2, 99, 99)))
    def tick(self, decisions: int) -> None:
        """The server ticks; it is killed after so many decisions, if there are more."""
        for done, decision in enumerate(self.server.tick()):
            if done >= decisions:
                break
            self.judge(decision)

    @rule(at=BOXES, pauses=st.sampled_from((False, False, True)))
    def person(self, at: int, pauses: bool) -> None:
        """A person lets a box try again, or pauses the rollout, or resumes it."""
        if not pauses:
            self.server.retry(self.server.boxes[at])
            return
        running, paused = RolloutState.RUNNING, RolloutState.PAUSED
        other = {running: paused, paused: running}
        self.server.state = other.get(self.server.state, self.server.state)

    @rule(at=BOXES, forces=st.sampled_from((False, False, True)))
    def leaves_alone(self, at: int, forces: bool) -> None:
        """Somebody records there, or does no more; or a person forces the rollout."""
        self.server.left_alone ^= {at}
        self.server.is_forced |= forces

    @rule(position=st.integers(1, len(WAVES) + 1), part=st.integers(0, 1))
    def joins(self, position: int, part: int) -> None:
        """A box comes later, to a wave that has passed perhaps, or to one of its own."""
        server = self.server
        is_full = len(server.boxes) >= sum(WAVES) + NEWCOMERS_MAX
        if server.state is RolloutState.RUNNING and not is_full:
            server.join(position, part)
            reached["joined"] += 1

    @rule(position=st.integers(1, len(WAVES)))
    def goes_on(self, position: int) -> None:
        """A person accepts what a wave is held for."""
        if self.server.go_on(position):
            self.accepted.add(position)
            reached["accepted"] += 1

    def there(self, some: list[int]) -> list[int]:
        """Return those of *some* that have come."""
        return [at for at in some if at < len(self.server.boxes)]

    # -- the account, from what was asked, said and answered ----------------------------

    def hand_on(self, said: Said) -> None:
        """Let the server hear one message, perhaps once more."""
        self.sent.append(said)
        box = self.server.boxes[said[0]]
        if len(said) == 3:
            self._asked(box, said[1], said[2])
        else:
            self._said(box, said[1])

    def _asked(self, box: Box, attempt: int, phase: LeasePhase) -> None:
        server, key = self.server, (box.number, box.attempt)
        is_news = not self._has_place(box.number)
        others = sum(self._is_at_work(one.number) for one in server.boxes if one is not box)
        good = sum(now_is is Counted.GOOD for *_, now_is in server.log.changes)
        wide = min(TERMS.start_boxes + good, TERMS.in_flight_max)
        most = max(wide - server.kept_by_bad(), 1)
        if not server.lease(box, attempt, phase):
            return
        is_left = box.number in server.left_alone and not server.is_forced
        assert not is_left, f"(b) started though it is left alone: {box}"
        assert not is_news or others < most, f"(a) {others} are at work, {most} may: {box}"
        assert attempt == box.attempt, f"(b) started for attempt {attempt}: {box}"
        assert key not in self.verdicts, f"(b) started after its verdict: {box}"
        self.begun.add(key)
        self.works_until[box.number] = self.given_until[box.number] = server.now + LEASE
        if phase is LeasePhase.ARM:
            self.tries_until[key] = server.now + RIPE_AFTER
        reached["started"] += is_news

    def _said(self, box: Box, report: ReportFacts) -> None:
        key = (box.number, report.attempt)
        if self.server.report(box, report) is None:
            return
        assert report.attempt == box.attempt, f"(c) an old attempt moved it: {box}"
        assert key not in self.verdicts, f"(c) its verdict counts again: {box}"
        if report.phase.is_final:
            self.verdicts[key] = (report, self.tries_until.get(key, self.server.now))
            self.works_until.pop(box.number, None)
            self.given_until.pop(box.number, None)
            reached["verdict"] += 1
            return
        now, again = self.server.now, self.server.now + LEASE
        if box.state != "silent" and self.given_until.get(box.number, now) > now:
            self.given_until[box.number] = again
        else:
            reached["works without a place"] += 1
        self.works_until[box.number] = again

    def _has_place(self, at: int) -> bool:
        """Return whether a box was let begin and has never let that run out since."""
        now, key = self.server.now, (at, self.server.boxes[at].attempt)
        tries = self.server.boxes[at].counted is Counted.OPEN
        is_given = self._is_at_work(at) and self.given_until.get(at, now) > now
        return is_given or (tries and self.tries_until.get(key, now) > now)

    def _is_at_work(self, at: int) -> bool:
        """Return whether a box may be at work or is in a trial, by what it was told."""
        now, box = self.server.now, self.server.boxes[at]
        is_over = box.state in ("silent", "queued", "assigned")
        works = not is_over and self.works_until.get(at, now) > now
        tries = box.counted is Counted.OPEN and self.tries_until.get((at, box.attempt), now) > now
        return works or tries

    def judge(self, decision: plan.Decision) -> None:
        """Compare what the plan decides with what boxes have said."""
        match decision:
            case plan.StartSoak(position):
                self.soaks_from[position] = self.server.now
            case plan.PassWave(position):
                self._gate(position)
                self.passed.add(position)
            case plan.OpenWave(position):
                assert self.passed >= {*range(1, position)}, f"(d) wave {position} opens too early"
            case plan.Finish():
                waves = range(1, len(self.server.waves) + 1)
                assert self.passed == {*waves}, "(d) finished before every wave has passed"
                going = [box for box in self.server.boxes if box.part not in self.server.halted]
                assert not any(box.state in PENDING for box in going), "(d) finished too early"
            case _:
                pass
        reached[type(decision).__name__] += 1

    def _gate(self, position: int) -> None:
        server = self.server
        going = [box for box in server.boxes if box.part not in server.halted]
        of_wave = [box for box in going if box.wave == position - 1]
        if not of_wave:
            return  # its strata have halted: nobody is left who could prove or break anything
        updated = sum((box.number, box.attempt) in self._updated() for box in of_wave)
        assert updated > 0, f"(d) wave {position} passes without one good box"
        if position not in self.accepted:  # else a person has taken that over
            good, bad = len(self._proved(going)), len(self._bad(going))
            assert _is_proof(bad, good + bad), f"(d) {position} passes on {good} good, {bad} bad"
            heard = sum(not self._was_dark(box) for box in of_wave)
            assert updated >= LIMITS.success_share_min * heard, f"(d) {updated} of {heard}"
        assert server.now - self.soaks_from[position] >= LIMITS.soak, "(d) it has not soaked"

    def _was_dark(self, box: Box) -> bool:
        said, _ = self.verdicts.get((box.number, box.attempt), (None, None))
        return box.state == "silent" or (said is not None and _reached_nobody(said))

    def _updated(self) -> set[tuple[int, int]]:
        return {
            key
            for key, (said, _) in self.verdicts.items()
            if said.phase is Phase.UPDATED and said.version == VERSION
        }

    def _proved(self, boxes: list[Box]) -> set[tuple[int, int]]:
        """Return which attempts are updated and old enough, among those that began."""
        return {
            key
            for key in self._updated() & self.begun
            if self.verdicts[key][1] <= self.server.now and self.server.boxes[key[0]] in boxes
        }

    def _bad(self, boxes: list[Box]) -> set[tuple[int, int]]:
        """Return which attempts that began have said that the release is bad."""
        return {
            key
            for key in (self.verdicts.keys() & self.begun) - self._updated()
            if _is_bad(self.verdicts[key][0]) and self.server.boxes[key[0]] in boxes
        }

    @invariant()
    def the_counts_are_those_of_the_account(self) -> None:
        """Each attempt that began is in the log once; what it stands for is what was said."""
        server = self.server
        stands_for: dict[tuple[int, int], Counted] = {}
        for number, attempt, was, now_is in server.log.changes:
            key = (number, attempt)
            assert stands_for.get(key) is was, f"(b) {key} begins or ends twice: {was} to {now_is}"
            stands_for[key] = now_is
        assert stands_for.keys() == self.begun, "(b) who began is not who was let begin"
        assert len(server.log.assigned) == len({*server.log.assigned}), "(b) assigned twice"
        total = Counter(stands_for.values())
        strata = server.evidence().strata
        found = {one: sum(getattr(s, one) for s in strata) for one in ("bad", "silent", "good")}
        assert found == {one: total[Counted(one)] for one in found}, "(c) the fold counts otherwise"
        bad = {key for key, one in stands_for.items() if one is Counted.BAD}
        good = {key for key, one in stands_for.items() if one is Counted.GOOD}
        assert bad == self._bad(server.boxes), "(c) bad is not what was said"
        assert good <= self._proved(server.boxes), "(c) good is not what was said"
        for key, (said, ripe_at) in self.verdicts.items():
            if _reached_nobody(said) and key in stands_for:
                self._is_dark(key, ripe_at, stands_for[key])

    def _is_dark(self, key: tuple[int, int], ripe_at: datetime, counted: Counted) -> None:
        """Who reached nobody is dark once its trial is old enough, or a person gave it up."""
        box = self.server.boxes[key[0]]
        is_given_up = box.attempt > key[1] or box.state is BoxState.QUEUED
        may = {Counted.OPEN, Counted.SILENT}
        if self.server.now < ripe_at and not is_given_up:
            may = {Counted.OPEN}
            reached["dark, and its trial is young"] += 1
        assert counted in may, f"(c) {key} reached nobody, and stands for {counted}"


def _reached_nobody(said: ReportFacts) -> bool:
    return said.reason is Reason.NO_SERVER_CONTACT


def _is_bad(said: ReportFacts) -> bool:
    """Return whether a verdict speaks against the release: no power cut, no refusal to begin."""
    if said.phase is Phase.UPDATED:
        return True  # of a version that it does not run
    if said.reason is Reason.DOWNLOAD:
        return said.attempt >= ATTEMPTS_MAX  # else it is tried again
    return said.reason is Reason.HEALTH_CHECK


def _is_proof(bad: int, ended: int) -> bool:
    """Return whether so few bad ones come by less than the doubt, if half of all were bad."""
    assert (TERMS.bad_share_max, TERMS.doubt) == (0.5, 0.2)
    return 5 * sum(math.comb(ended, count) for count in range(bad + 1)) <= 1 << ended


TRIED: Final = settings(
    max_examples=60, stateful_step_count=50, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def test_whatever_happens_in_whatever_order_bounds_counts_and_gates_hold() -> None:
    reached.clear()

    run_state_machine_as_test(AnyOrder, settings=TRIED)

    for what in (
        "started", "works without a place", "verdict", "joined", "accepted",
        "dark, and its trial is young", "PassWave", "HoldWave", "Halt", "Finish",
    ):  # fmt: skip
        assert reached[what] > 0, f"no order came to {what}: {reached}"
