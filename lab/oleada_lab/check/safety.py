"""Safety, S1 to S10: what must never be so, faults or not; judged fact by fact.

Each class hears the facts it names and answers with a sentence when one breaks it.
docs/reference/invariants.md has the table.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from oleada_wire.version import version_key

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact

SPOOL_MESSAGES_MAX: Final = 500
"""400 of telemetry (outbox.py) and what verdicts of a few attempts may add."""
ENDS: Final = frozenset({"halted", "stopped", "finished"})
SHOWN_GOOD: Final = "updated"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run agreed on beforehand.

    Attributes:
        signed: By SHA-256 of each image that is validly signed, its version.
        leaving: The release whose boxes go back if its rollout ends badly; empty for none.
        flash_bytes_per_day_max: Of one box.
        secrets: Texts that must not leave a box.
        connects_per_s_max: That the broker may be asked for.
        connected_share_min: Of the boxes that have power, at the end.
        proof_boxes_min: Good boxes that a wave must prove before the next may open.
    """

    signed: Mapping[str, str]
    leaving: str = ""
    flash_bytes_per_day_max: int = 1 << 40
    secrets: Sequence[bytes] = ()
    connects_per_s_max: int = 1 << 30
    connected_share_min: float = 0.999
    watchdog_boots_max: int = 4
    proof_boxes_min: int = 0


@dataclass(slots=True)
class NoBrick:
    """S1: with power, some slot boots, and what it holds was signed."""

    terms: Terms
    name: ClassVar[str] = "S1"
    hears: ClassVar[tuple[type, ...]] = (facts.Bricked, facts.Booted, facts.Settled)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.Bricked(box, why):
                return f"{box} boots nothing: {why}"
            case facts.Booted(box=box, digest=digest) if digest not in self.terms.signed:
                return f"{box} boots an image that nobody has signed: {digest[:12]}"
            case facts.Settled(runs=runs):
                dead = [box for box, version in runs.items() if version is None]
                return f"{dead[0]} would boot nothing" if dead else None
            case _:
                return None


@dataclass(slots=True)
class OnlyVerified:
    """S2: nothing becomes bootable whose bytes were not signed."""

    terms: Terms
    name: ClassVar[str] = "S2"
    hears: ClassVar[tuple[type, ...]] = (facts.SlotArmed,)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        if isinstance(fact, facts.SlotArmed) and fact.digest not in self.terms.signed:
            return f"{fact.box} arms slot {fact.slot}, whose bytes nobody has signed"
        return None


@dataclass(slots=True)
class FallbackKept:
    """S3: the slot that runs is never written, nor the good one while another is on trial."""

    terms: Terms
    name: ClassVar[str] = "S3"
    hears: ClassVar[tuple[type, ...]] = (facts.SlotErased,)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.SlotErased(box=box, slot=slot, running=running) if slot == running:
                return f"{box} writes slot {slot}, which runs"
            case facts.SlotErased(box=box, slot=slot, is_running_proven=False):
                return f"{box} writes slot {slot}, its fallback, from a slot on trial"
            case _:
                return None


@dataclass(slots=True)
class NoDowngrade:
    """S4: no box calls an older version good than it has called good before.

    But the very version that the server has sent this box back to.
    """

    terms: Terms
    name: ClassVar[str] = "S4"
    hears: ClassVar[tuple[type, ...]] = (facts.SlotProven, facts.BoxMade, facts.SentBack)
    newest: dict[str, str] = field(default_factory=dict)
    back_to: dict[str, str] = field(default_factory=dict)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.SlotProven(box=box, version=version):
                before = self.newest.get(box, version)
                is_sent = self.back_to.get(box) == version
                if version_key(version) < version_key(before) and not is_sent:
                    return f"{box} goes back from {before} to {version}"
                self.newest[box] = version
            case facts.SentBack(box, version):
                self.back_to[box] = version
            case facts.BoxMade(box, version):
                self.newest[box] = version
            case _:
                pass
        return None


@dataclass(slots=True)
class Truth:
    """S5: the server shows no success that the box has not attested, and no invented box."""

    terms: Terms
    name: ClassVar[str] = "S5"
    hears: ClassVar[tuple[type, ...]] = (
        facts.BoxMade, facts.Booted, facts.SlotProven, facts.Shown, facts.Settled,
    )  # fmt: skip
    booted: dict[str, set[str]] = field(default_factory=dict)
    proven: dict[str, str] = field(default_factory=dict)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.BoxMade(box, version):
                self.booted[box], self.proven[box] = {version}, version
            case facts.Booted(box=box, version=version):
                self.booted.setdefault(box, set()).add(version)
            case facts.SlotProven(box=box, version=version):
                self.proven[box] = version
            case facts.Shown(box=box, state=state, version=version):
                return self._shown(box, state, version)
            case facts.Settled(runs=runs, shown=shown):
                return self._settled(runs, shown)
            case _:
                pass
        return None

    def _shown(self, box: str, state: str, version: str) -> str | None:
        if box not in self.booted:
            return f"the server shows a box that there is not: {box}"
        if version and version not in self.booted[box]:
            return f"the server shows {version} on {box}, which never ran it"
        if state == SHOWN_GOOD and version and self.proven.get(box) != version:
            return f"the server shows {box} as updated to {version}, which it has not kept"
        return None

    def _settled(
        self, runs: Mapping[str, str | None], shown: Mapping[str, tuple[str, str]]
    ) -> str | None:
        invented = sorted(set(shown) - set(runs))
        if invented:
            return f"the server shows a box that there is not: {invented[0]}"
        targets = frozenset(self.terms.signed.values())
        for box, (state, _) in shown.items():
            version = runs[box]
            if state == SHOWN_GOOD and version not in targets:
                return f"the server shows {box} as updated, but it runs {version}"
            if state == SHOWN_GOOD and self.proven.get(box) != version:
                return f"the server shows {box} as updated, but it has not kept {version}"
        return None


@dataclass(slots=True)
class BlastRadius:
    """S6: nobody is commanded outside an open wave, beyond its size, or after the end.

    Nobody installs without a lease of the attempt.
    """

    terms: Terms
    name: ClassVar[str] = "S6"
    hears: ClassVar[tuple[type, ...]] = (
        facts.WaveOpened, facts.Commanded, facts.LeaseGiven, facts.RolloutMoved,
        facts.InstallBegan, facts.Verdict,
    )  # fmt: skip
    leased: set[str] = field(default_factory=set)
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    commanded: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.WaveOpened(wave, boxes, rollout):
                self.sizes[rollout, wave] = boxes
            case facts.RolloutMoved(state, rollout):
                self.states[rollout] = state
            case facts.Commanded():
                return self._command(fact)
            case facts.LeaseGiven():
                return self._lease(fact)
            case facts.InstallBegan(box=box) if box not in self.leased:
                return f"{box} installs without a lease"
            case facts.Verdict(box=box):
                self.leased.discard(box)
            case _:
                pass
        return None

    def _lease(self, given: facts.LeaseGiven) -> str | None:
        self.leased.add(given.box)
        state = self.states.get(given.rollout, "running")
        if state != "running":
            return f"{given.box} is given a lease though the rollout is {state}"
        if given.in_flight >= given.in_flight_max:
            others = f"{given.in_flight} others, of {given.in_flight_max}"
            return f"{given.box} is given a lease beside {others}"
        return None

    def _command(self, given: facts.Commanded) -> str | None:
        box, wave, state = given.box, given.wave, self.states.get(given.rollout, "running")
        members = self.commanded.setdefault((given.rollout, wave), set())
        members.add(box)
        if state in ENDS:
            return f"{box} is commanded though the rollout is {state}"
        size = self.sizes.get((given.rollout, wave))
        if size is None:
            return f"{box} is commanded in wave {wave}, which was never opened"
        if len(members) > size:
            return f"{len(members)} boxes are commanded in wave {wave} of {size}"
        return None


@dataclass(slots=True)
class Idempotence:
    """S7: what ended does not begin again, and no older attempt follows a newer one."""

    terms: Terms
    name: ClassVar[str] = "S7"
    hears: ClassVar[tuple[type, ...]] = (facts.InstallBegan, facts.Verdict)
    ended: set[tuple[str, str, int]] = field(default_factory=set)
    newest: dict[tuple[str, str], int] = field(default_factory=dict)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.InstallBegan(box, assignment, attempt):
                newest = self.newest.get((box, assignment), 0)
                if (box, assignment, attempt) in self.ended:
                    return f"{box} installs {assignment}, attempt {attempt}, again after its end"
                if attempt < newest:
                    return f"{box} installs attempt {attempt} after attempt {newest}"
                self.newest[box, assignment] = attempt
            case facts.Verdict(box=box, assignment=assignment, attempt=attempt):
                self.ended.add((box, assignment, attempt))
            case _:
                pass
        return None


@dataclass(slots=True)
class Budget:
    """S8: spool and flash writes stay within what was declared."""

    terms: Terms
    name: ClassVar[str] = "S8"
    hears: ClassVar[tuple[type, ...]] = (facts.Used,)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        if not isinstance(fact, facts.Used):
            return None
        if fact.spool_messages > SPOOL_MESSAGES_MAX:
            return f"{fact.box} kept {fact.spool_messages} messages, of {SPOOL_MESSAGES_MAX}"
        limit = self.terms.flash_bytes_per_day_max
        if fact.flash_bytes_per_day > limit:
            return f"{fact.box} wrote {fact.flash_bytes_per_day} bytes in a day, of {limit}"
        return None


@dataclass(slots=True)
class Privacy:
    """S9: nothing that a box says carries a secret of its household or a key."""

    terms: Terms
    name: ClassVar[str] = "S9"
    hears: ClassVar[tuple[type, ...]] = (facts.Spoke,)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        if isinstance(fact, facts.Spoke):
            for secret in self.terms.secrets:
                if secret in fact.payload:
                    return f"{fact.box} tells {secret[:8]!r}… in a {fact.kind}"
        return None


@dataclass(slots=True)
class Accounting:
    """S10: each health message is stored once, counted as dropped, or still there."""

    terms: Terms
    name: ClassVar[str] = "S10"
    hears: ClassVar[tuple[type, ...]] = (
        facts.HealthMade, facts.HealthCounted, facts.HealthLost, facts.HealthKept, facts.Settled,
    )  # fmt: skip
    made: Counter[str] = field(default_factory=Counter)
    accounted: Counter[str] = field(default_factory=Counter)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.HealthMade(box):
                self.made[box] += 1
            case facts.HealthCounted(box):
                self.accounted[box] += 1
                if self.accounted[box] > self.made[box]:
                    return f"more health of {box} is stored than it made"
            case facts.HealthLost(box, messages) | facts.HealthKept(box, messages):
                self.accounted[box] += messages
            case facts.Settled():
                return self._settled()
            case _:
                pass
        return None

    def _settled(self) -> str | None:
        for box, made in self.made.items():
            if self.accounted[box] != made:
                return f"{box} made {made} health messages; {self.accounted[box]} are accounted for"
        return None


ALL: Final = (
    NoBrick, OnlyVerified, FallbackKept, NoDowngrade, Truth, BlastRadius, Idempotence, Budget,
    Privacy, Accounting,
)  # fmt: skip
