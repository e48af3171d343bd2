"""What the page of a rollout shows, worked out from its rows and counts; no SQL here.

The page says it in a sentence first, then shows waves and gates, the wave that is at
work, and what its gate still wants. Every number leads to the boxes behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from flask import url_for
from markupsafe import Markup

from oleada_server.rollouts.models import Rollout, Wave
from oleada_server.rollouts.plan import Outcome, exact
from oleada_server.rollouts.service import WaveCounts
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_server.web import status, words
from oleada_server.web.status import Status
from oleada_server.web.words import gettext

OVER: Final = frozenset({RolloutState.FINISHED, RolloutState.HALTED, RolloutState.STOPPED})


@dataclass(frozen=True, slots=True)
class WaveFigures:
    """The counts of one wave: all, by what they mean for the limits, and by state."""

    wave: Wave
    boxes: int
    outcomes: Mapping[Outcome, int]
    states: Mapping[BoxState, int]

    @property
    def updated(self) -> int:
        """Return how many boxes run the release."""
        return self.outcomes[Outcome.GOOD]

    @property
    def there(self) -> int:
        """Return how many boxes it has, without those that were revoked."""
        return self.boxes - self.outcomes[Outcome.GONE]

    @property
    def judged(self) -> int:
        """Return how many boxes speak for or against the release."""
        return self.outcomes[Outcome.GOOD] + self.outcomes[Outcome.BAD]

    @property
    def state(self) -> WaveState:
        """Return where the wave is."""
        return WaveState(self.wave.state)


@dataclass(frozen=True, slots=True)
class Tile:
    """One wave in the rail."""

    name: str
    note: str
    word: str
    kind: str
    cls: str
    share: float
    fill: str
    updated: int
    boxes: int
    what: str
    when: str
    href: str
    is_now: bool
    has_begun: bool


@dataclass(frozen=True, slots=True)
class GateMark:
    """One gate in the rail: between two waves, or after the last."""

    shape: str
    name: str
    word: str


@dataclass(frozen=True, slots=True)
class Part:
    """One group of boxes of the wave that is at work."""

    state: Status
    fill: str
    count: int
    note: str
    href: str


@dataclass(frozen=True, slots=True)
class Figures:
    """All waves of a rollout with their counts, and which one is at work."""

    rollout: Rollout
    waves: tuple[WaveFigures, ...]
    now_index: int

    @property
    def at_work(self) -> WaveFigures:
        """Return the wave that is at work: the last that opened, or the first."""
        return self.waves[self.now_index]

    @property
    def boxes(self) -> int:
        """Return how many boxes all waves have."""
        return sum(wave.boxes for wave in self.waves)

    @property
    def updated(self) -> int:
        """Return how many boxes run the release."""
        return sum(wave.updated for wave in self.waves)

    @property
    def failed(self) -> int:
        """Return how many boxes failed or rolled back, for whatever reason."""
        return sum(
            wave.states[BoxState.FAILED] + wave.states[BoxState.ROLLED_BACK] for wave in self.waves
        )

    @property
    def judged(self) -> int:
        """Return how many boxes speak for or against the release."""
        return sum(wave.judged for wave in self.waves)

    @property
    def bad(self) -> int:
        """Return how many boxes speak against the release."""
        return sum(wave.outcomes[Outcome.BAD] for wave in self.waves)

    @property
    def unsigned(self) -> WaveFigures | None:
        """Return the wave that could open now if approvers had signed it, None if none could."""
        if self.rollout.state not in {RolloutState.SCHEDULED, RolloutState.RUNNING}:
            return None
        return next((one for one in self.waves if _is_unsigned_next(one, self.waves)), None)

    @property
    def is_over(self) -> bool:
        """Return whether the rollout has ended."""
        return RolloutState(self.rollout.state) in OVER


def _is_unsigned_next(one: WaveFigures, waves: Sequence[WaveFigures]) -> bool:
    before = [other for other in waves if other.wave.position < one.wave.position]
    is_next = one.state is WaveState.WAITING and all(
        other.state is WaveState.PASSED for other in before
    )
    return is_next and one.wave.sign_request is not None and one.wave.authorisation is None


def figures(
    rollout: Rollout, counts: Sequence[WaveCounts], planned: Sequence[int] | None = None
) -> Figures:
    """Return the figures of *rollout* from the *counts* of its waves.

    *planned* are the boxes that each wave of a draft would cover now.
    """
    waves = tuple(
        WaveFigures(wave, count.boxes, count.outcomes, count.states)
        if planned is None
        else WaveFigures(wave, planned[index], count.outcomes, count.states)
        for index, (wave, count) in enumerate(zip(rollout.waves, counts, strict=True))
    )
    begun = [i for i, wave in enumerate(waves) if wave.state is not WaveState.WAITING]
    return Figures(rollout, waves, max(begun, default=0))


def title(rollout: Rollout) -> str:
    """Return what the page is called: ``5.8.2 to VX-410``."""
    return gettext(
        "%(version)s to %(model)s",
        version=rollout.release.version,
        model=rollout.release.hardware_model,
    )


def state_of(found: Figures) -> Status:
    """Return how the state of a rollout is shown: one with a held wave waits for a person."""
    state = RolloutState(found.rollout.state)
    if state is RolloutState.RUNNING and found.at_work.state is WaveState.HELD:
        return Status("wait", gettext("Held"), "wait")
    if state is RolloutState.RUNNING and found.unsigned is not None:
        return Status("wait", gettext("Waits for signatures"), "wait")
    return status.rollout(state)


def pill(found: Figures) -> str:
    """Return the words of the state beside the title: ``Running, wave 3 of 4``."""
    state = RolloutState(found.rollout.state)
    if state not in {RolloutState.RUNNING, RolloutState.PAUSED}:
        return status.rollout(state).word
    return gettext(
        "%(state)s, wave %(wave)s of %(waves)s",
        state=state_of(found).word,
        wave=found.now_index + 1,
        waves=len(found.waves),
    )


def boxes_href(
    rollout: Rollout, wave: Wave | None, states: Sequence[BoxState] = (), why: str | None = None
) -> str:
    """Return the address of the devices of *wave*, or of all waves, that are in *states*.

    *why* narrows it to those that ended for this reason.
    """
    return url_for(
        "device_pages.index",
        rollout=f"R-{rollout.id}",
        wave=None if wave is None else wave.position,
        box=",".join(states) or None,
        why=None if why == BoxState.SILENT else why,
    )


def tiles(found: Figures, now: datetime) -> list[Tile]:
    """Return the waves of the rail, in order, as they are at *now*."""
    shown = [_tile(found, index) for index in range(len(found.waves))]
    return [
        replace(tile, when=tile.when or _earliest(found, index, now))
        for index, tile in enumerate(shown)
    ]


def _tile(found: Figures, index: int) -> Tile:
    figures_ = found.waves[index]
    wave, state = figures_.wave, figures_.state
    is_now = index == found.now_index and not found.is_over and state is not WaveState.WAITING
    fill = {"ok": "f-ok", "live": "f-live", "wait": "f-wait", "bad": "f-bad"}
    name = gettext("Wave %(n)s", n=wave.position)
    return Tile(
        name=name,
        note="" if wave.name in {name, f"Wave {wave.position}"} else wave.name,
        word=status.wave(state).word if is_now or state is WaveState.HALTED else "",
        kind=status.wave(state).kind,
        cls=_tile_class(state, is_now, figures_.boxes, found.boxes),
        share=figures_.updated / figures_.boxes if figures_.boxes else 0,
        fill=fill.get(status.wave(state).kind, "f-ok"),
        updated=figures_.updated,
        boxes=figures_.boxes,
        what=_what(found.rollout, wave),
        when=_when(wave),
        href=boxes_href(found.rollout, wave),
        is_now=is_now,
        has_begun=state is not WaveState.WAITING,
    )


def _tile_class(state: WaveState, is_now: bool, boxes: int, all_boxes: int) -> str:
    share = boxes / all_boxes if all_boxes else 0
    width = "g3" if share > 0.4 else "g2" if share > 0.15 else "g1"
    if state is WaveState.HALTED:
        return f"{width} broken"
    if not is_now:
        return width
    return f"{width} now held" if state is WaveState.HELD else f"{width} now"


def _what(rollout: Rollout, wave: Wave) -> str:
    if wave.share_until is None:
        return gettext("chosen boxes")
    before = [
        other.share_until
        for other in rollout.waves
        if other.position < wave.position and other.share_until is not None
    ]
    share = float(exact(wave.share_until) - exact(max(before, default=0.0)))
    if wave.share_until >= 1 and before:
        return gettext("everyone else")
    return gettext("%(share)s, at random", share=words.percent(share))


def _when(wave: Wave) -> str:
    if wave.opened_at is None:
        return ""
    if wave.passed_at is None:
        return gettext("since %(moment)s", moment=words.moment(wave.opened_at))
    first, last = words.day(wave.opened_at), words.day(wave.passed_at)
    if first == last:
        return first
    return gettext("%(first)s to %(last)s", first=first, last=last)


def _earliest(found: Figures, index: int, now: datetime) -> str:
    """Return when the next wave can open at the earliest: behind the soak of the one at work."""
    is_next = index == found.now_index + 1 and found.rollout.state == RolloutState.RUNNING
    if not is_next or found.at_work.state not in {WaveState.OPEN, WaveState.SOAKING}:
        return ""
    wave = found.at_work.wave
    ends = max((wave.soak_from or now) + timedelta(seconds=wave.soak_s), now)
    return gettext("%(day)s or later", day=words.day(ends))


def gates(found: Figures, held: int, wanted: int) -> list[GateMark]:
    """Return the gates of the rail; of the one in front, *held* of *wanted* checks hold."""
    marks = []
    for index, figures_ in enumerate(found.waves):
        name = gettext("Gate %(n)s", n=index + 1)
        match figures_.state:
            case WaveState.PASSED:
                marks.append(GateMark("ok", name, gettext("passed")))
            case WaveState.HALTED:
                marks.append(GateMark("bad", name, gettext("broken")))
            case WaveState.WAITING:
                marks.append(GateMark("off", name, gettext("closed")))
            case WaveState.HELD:
                marks.append(GateMark("wait", name, gettext("held")))
            case _:
                text = gettext("%(held)s of %(wanted)s", held=held, wanted=wanted)
                marks.append(GateMark("off" if found.is_over else "live", name, text))
    return marks


_GROUPS: Final[tuple[tuple[str, tuple[BoxState, ...]], ...]] = (
    ("f-ok", (BoxState.UPDATED,)),
    ("f-live", (BoxState.INSTALLING, BoxState.RESTARTING, BoxState.CHECKING)),
    ("f-old", (BoxState.UNPROVEN,)),
    ("f-prev", (BoxState.DOWNLOADING,)),
    ("f-strong", (BoxState.QUEUED, BoxState.ASSIGNED, BoxState.LEASED)),
    ("f-bad", (BoxState.FAILED, BoxState.ROLLED_BACK)),
    ("f-warn", (BoxState.SILENT,)),
    ("hatchoff", (BoxState.DECLINED,)),
)


def parts(found: Figures) -> list[Part]:
    """Return the groups of boxes of the wave that is at work; they add up to all of it."""
    figures_ = found.at_work
    shown = []
    for fill, states in _GROUPS:
        count = sum(figures_.states[state] for state in states)
        if BoxState.UNPROVEN in states and not count:
            continue  # only boxes of other makes have this stage
        if BoxState.QUEUED in states and not any(figures_.states.values()):
            count = figures_.boxes  # a draft: nothing is frozen yet
        shown.append(
            Part(
                state=_group_status(states, figures_),
                fill=fill,
                count=count,
                note=_group_note(states, figures_, count),
                href=boxes_href(found.rollout, figures_.wave, states),
            )
        )
    return shown


def _group_status(states: tuple[BoxState, ...], figures_: WaveFigures) -> Status:
    if BoxState.ASSIGNED in states:
        word = gettext("Waiting") if figures_.state is not WaveState.WAITING else gettext("Planned")
        return Status("off", word, "sched")
    if BoxState.FAILED in states:
        return Status("bad", gettext("Failed"), "bad")
    if BoxState.INSTALLING in states:
        return Status("live", gettext("Installing"), "live")
    return status.box(states[0])


def _group_note(states: tuple[BoxState, ...], figures_: WaveFigures, count: int) -> str:
    if BoxState.FAILED in states and figures_.states[BoxState.ROLLED_BACK]:
        return gettext("%(n)s rolled back", n=words.number(figures_.states[BoxState.ROLLED_BACK]))
    if BoxState.LEASED in states and figures_.states[BoxState.LEASED]:
        return gettext("%(n)s may start", n=words.number(figures_.states[BoxState.LEASED]))
    return words.percent(count / figures_.boxes) if figures_.boxes else ""


def label(shown: Sequence[Part]) -> str:
    """Return the bar in words, for whoever can not see it."""
    return ", ".join(
        f"{words.number(part.count)} {part.state.word}" for part in shown if part.count
    )


def row_waves(found: Figures) -> list[tuple[int, float, str]]:
    """Return (boxes, share done, fill) of each wave for the narrow rail of the list."""
    return [
        (tile.boxes, tile.share, tile.fill if tile.has_begun else "f-track")
        for tile in (_tile(found, index) for index in range(len(found.waves)))
    ]


def until(at: datetime) -> Markup:
    """Return *at* as the bold moment of a sentence."""
    return Markup("<b>{}</b>").format(words.moment(at))
