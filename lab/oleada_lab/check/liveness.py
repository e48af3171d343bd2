"""Liveness, L1 to L6: what must become so once faults have stopped; judged at the end.

L3 is judged as it happens, since a box that boots a broken image for ever never ends.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.check.safety import ENDS, Terms

OUTCOMES: Final = frozenset({"updated", "failed", "rolled_back", "declined"})
ENDED_BADLY: Final = frozenset({"halted", "stopped"})


@dataclass(slots=True)
class Reconnect:
    """L1: boxes that have power are connected again, and did not all come at once."""

    terms: Terms
    name: ClassVar[str] = "L1"
    hears: ClassVar[tuple[type, ...]] = (
        facts.Connected, facts.Disconnected, facts.Unplugged, facts.Settled,
    )  # fmt: skip
    connected: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.Connected(box):
                self.connected.add(box)
            case facts.Disconnected(box):
                self.connected.discard(box)
            case facts.Unplugged(box):
                self.gone.add(box)
            case facts.Settled(runs=runs, connects_per_s=peak):
                return self._settled(set(runs) - self.gone, peak)
            case _:
                pass
        return None

    def _settled(self, expected: set[str], peak: int) -> str | None:
        if peak > self.terms.connects_per_s_max:
            return f"{peak} connections in one second, of {self.terms.connects_per_s_max}"
        missing = sorted(expected - self.connected)
        if len(missing) > len(expected) * (1 - self.terms.connected_share_min):
            return (
                f"{len(missing)} of {len(expected)} boxes are not connected, such as {missing[0]}"
            )
        return None


@dataclass(slots=True)
class Converge:
    """L2: every box that was commanded has the release, or a verdict that says why not."""

    terms: Terms
    name: ClassVar[str] = "L2"
    hears: ClassVar[tuple[type, ...]] = (
        facts.Commanded, facts.Unplugged, facts.RolloutMoved, facts.Settled,
    )  # fmt: skip
    commanded: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    states: dict[int, str] = field(default_factory=dict)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.Commanded(box=box, rollout=rollout):
                self.commanded[box] = rollout
            case facts.Unplugged(box):
                self.gone.add(box)
            case facts.RolloutMoved(state, rollout):
                self.states[rollout] = state
            case facts.Settled(shown=shown):
                return self._settled(shown)
            case _:
                pass
        return None

    def _settled(self, shown: dict[str, tuple[str, str]]) -> str | None:
        for box, rollout in self.commanded.items():
            state, reason = shown.get(box, ("unknown", ""))
            has_ended = self.states.get(rollout) in ENDS
            if box in self.gone or (state == "queued" and has_ended):
                continue
            if state not in OUTCOMES:
                return f"{box} was commanded and is {state} at the end"
            if state != "updated" and not reason:
                return f"{box} is {state}, and nobody says why"
        return None


@dataclass(slots=True)
class RollBack:
    """L3: an image that does not stay up is left after a few boots."""

    terms: Terms
    name: ClassVar[str] = "L3"
    hears: ClassVar[tuple[type, ...]] = (facts.Booted, facts.SlotArmed)
    boots: dict[str, int] = field(default_factory=dict)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.SlotArmed(box=box):
                self.boots[box] = 0
            case facts.Booted(box=box, is_proven=False, after_watchdog=True):
                self.boots[box] = self.boots.get(box, 0) + 1
                if self.boots[box] > self.terms.watchdog_boots_max:
                    return (
                        f"{box} has booted an image {self.boots[box]} times that does not stay up"
                    )
            case _:
                pass
        return None


@dataclass(slots=True)
class Resume:
    """L4: after a restart of server or broker a rollout goes on by itself."""

    terms: Terms
    name: ClassVar[str] = "L4"
    hears: ClassVar[tuple[type, ...]] = (
        facts.ServiceUp, facts.RolloutMoved, facts.Commanded, facts.Shown, facts.Settled,
    )  # fmt: skip
    state: str = "running"
    waits_since: str = ""

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.ServiceUp(what) if self.state == "running":
                self.waits_since = what
            case facts.RolloutMoved(state):
                self.state, self.waits_since = state, ""
            case facts.Commanded() | facts.Shown():
                self.waits_since = ""
            case facts.Settled() if self.waits_since:
                return f"since {self.waits_since} is up again, the rollout has not moved"
            case _:
                pass
        return None


@dataclass(slots=True)
class WrongClock:
    """L5: a wrong clock never ends in a refusal, or in silence, that lasts."""

    terms: Terms
    name: ClassVar[str] = "L5"
    hears: ClassVar[tuple[type, ...]] = (
        facts.ClockSet, facts.Connected, facts.Disconnected, facts.Verdict, facts.Settled,
    )  # fmt: skip
    struck: dict[str, None] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)
    refusal: dict[str, str] = field(default_factory=dict)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.ClockSet(box=box):
                self.struck[box] = None
            case facts.Connected(box):
                self.connected.add(box)
            case facts.Disconnected(box):
                self.connected.discard(box)
            case facts.Verdict(box=box, phase=phase, reason=reason):
                self.refusal.pop(box, None)
                if phase == "declined":
                    self.refusal[box] = reason
            case facts.Settled():
                return self._settled()
            case _:
                pass
        return None

    def _settled(self) -> str | None:
        for box in self.struck:
            if box not in self.connected:
                return f"{box}, whose clock was wrong, is not connected"
            if box in self.refusal:
                return f"{box}, whose clock was wrong, has refused: {self.refusal[box]}"
        return None


@dataclass(slots=True)
class WayBack:
    """L6: whoever runs a release that has ended badly is sent back, or a reason is shown.

    Whoever is shown to be back runs what it was sent back to, and all that were counted
    were sent. Only where the plan says that boxes go back.
    """

    terms: Terms
    name: ClassVar[str] = "L6"
    hears: ClassVar[tuple[type, ...]] = (
        facts.Unplugged, facts.RolloutMoved, facts.WayBack, facts.SentBack, facts.Settled,
    )  # fmt: skip
    ended_badly: bool = False
    gone: set[str] = field(default_factory=set)
    counted: dict[int, int] = field(default_factory=dict)
    sent: dict[str, facts.SentBack] = field(default_factory=dict)
    refused: str = ""

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.Unplugged(box):
                self.gone.add(box)
            case facts.RolloutMoved(state, 1):
                self.ended_badly = state in ENDED_BADLY
            case facts.WayBack(refused=refused, rollout=rollout, boxes=boxes):
                if not refused:
                    self.counted[rollout] = boxes
                elif boxes:  # a reason why none has to go speaks for nobody
                    self.refused = refused
            case facts.SentBack(box=box):
                self.sent[box] = fact
            case facts.Settled(runs=runs, shown=shown) if self.terms.leaving and self.ended_badly:
                return self._settled(runs, shown)
            case _:
                pass
        return None

    def _settled(
        self, runs: dict[str, str | None], shown: dict[str, tuple[str, str]]
    ) -> str | None:
        rollouts = [one.rollout for one in self.sent.values()]
        for rollout, boxes in self.counted.items():
            if rollouts.count(rollout) != boxes:
                return f"{boxes} boxes were to go back, and {rollouts.count(rollout)} were sent"
        for box, version in runs.items():
            sent = self.sent.get(box)
            is_left = version == self.terms.leaving and box not in self.gone
            if is_left and sent is None and not self.refused:
                return f"{box} runs {version}, which has ended badly, and nobody sends it back"
            if sent is not None and shown[box][0] == "updated" and version != sent.version:
                return f"{box} is shown to be back on {sent.version}, and runs {version}"
        return None


ALL: Final = (Reconnect, Converge, RollBack, Resume, WrongClock, WayBack)
