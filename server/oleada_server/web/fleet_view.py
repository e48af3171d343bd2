"""What the fleet's page shows, worked out from counts; no SQL here.

A box is behind when a newer release of its model is published than the one it runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from flask import url_for
from markupsafe import Markup
from oleada_wire.version import is_version, version_key

from oleada_server.devices.counts import Group
from oleada_server.devices.search import Contact
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import IN_FLIGHT, OPEN_ROLLOUTS, RolloutState, WaveState
from oleada_server.web import words
from oleada_server.web.rollout_view import Figures
from oleada_server.web.words import gettext, say, say_n

_DECIDED_BY_PEOPLE: Final = {RolloutState.AWAITING_APPROVAL, RolloutState.PAUSED}
HALT_IS_NEWS_FOR: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Share:
    """Boxes of a model that run one version; *kind* is how the bar shows it."""

    version: str | None
    boxes: int
    kind: str


@dataclass(frozen=True, slots=True)
class ModelFirmware:
    """One model: its boxes by version, the newest first; *newest* is published, or None."""

    name: str
    title: str
    boxes: int
    newest: str | None
    shares: list[Share]

    @property
    def on_newest(self) -> int:
        """Return how many boxes run the newest release."""
        return sum(share.boxes for share in self.shares if share.kind == "new")

    @property
    def parts(self) -> list[tuple[int, str]]:
        """Return the parts of the bar: boxes and fill."""
        return [(share.boxes, _FILLS[share.kind]) for share in self.shares]

    @property
    def label(self) -> str:
        """Return the bar in words."""
        said = [
            f"{share.version or gettext('not reported')} {words.number(share.boxes)}"
            for share in self.shares
        ]
        return f"{self.name}: {', '.join(said)}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The figures of the whole fleet; they add up to *boxes*."""

    boxes: int
    heard: int
    silent: int
    never: int
    behind: int
    withdrawn: int
    judged: int
    models: list[ModelFirmware] = field(default_factory=list)

    @property
    def on_newest(self) -> int:
        """Return how many boxes run the newest release of their model."""
        return self.judged - self.behind


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for a person; *kind* is the shape and colour."""

    kind: str
    title: Markup
    text: str
    href: str
    button: str


@dataclass(frozen=True, slots=True)
class Day:
    """Updates that ended on one day; *x*, *y_updated*, … are of a chart of 100 percent by 100."""

    at: datetime
    updated: int
    other: int
    x: float
    height_updated: float
    height_other: float


DAY_WIDTH: Final = 4.6
"""Percent of the chart's width that one day's bar takes."""


def days(first: datetime, counted: Sequence[tuple[int, int]]) -> list[Day]:
    """Return the bars of *counted* (updated, ended otherwise) days from *first* on."""
    top = max((updated + other for updated, other in counted), default=0) or 1
    room = 100 / max(len(counted), 1)
    return [
        Day(
            first + timedelta(days=index, hours=12),
            updated,
            other,
            round(index * room + (room - DAY_WIDTH) / 2, 2),
            round(updated / top * 92, 2),
            round(other / top * 92, 2),
        )
        for index, (updated, other) in enumerate(counted)
    ]


_FILLS: Final = {
    "new": "f-new",
    "current": "f-prev",
    "older": "f-old",
    "withdrawn": "hatcheol",
    "unknown": "f-track",
}


def fleet(groups: Sequence[Group], releases: Iterable[Release], titles: Mapping[str, str]) -> Fleet:
    """Return the figures of *groups*, judged by the *releases* that are published."""
    newest, withdrawn = _newest(releases)
    models, behind, judged, gone = [], 0, 0, 0
    for name in sorted(titles):
        mine = [group for group in groups if group.hardware_model == name]
        found = _model(name, titles[name], mine, newest.get(name), withdrawn)
        models.append(found)
        gone += sum(share.boxes for share in found.shares if share.kind == "withdrawn")
        if found.newest is not None:
            known = sum(share.boxes for share in found.shares if share.kind != "unknown")
            judged += known
            behind += known - found.on_newest
    boxes = sum(group.boxes for group in groups)
    heard = sum(group.heard for group in groups)
    never = sum(group.never for group in groups)
    return Fleet(boxes, heard, boxes - heard - never, never, behind, gone, judged, models)


def sentence(found: Fleet, open_rollouts: int, needs: int) -> Markup:
    """Return what there is to say about the fleet, in words."""
    if not found.boxes:
        return say("No box is enrolled yet.")
    heard = say_n(
        "<b>%(n)s of %(fleet)s boxes</b> was heard lately.",
        "<b>%(n)s of %(fleet)s boxes</b> were heard lately.",
        found.heard,
        fleet=words.number(found.boxes),
    )
    running = say_n("%(n)s rollout is open.", "%(n)s rollouts are open.", open_rollouts)
    if not needs:
        return Markup(" ").join((heard, running, say("Nothing waits for you.")))
    waits = say_n("%(n)s thing waits for you.", "%(n)s things wait for you.", needs)
    return Markup(" ").join((heard, running, waits))


def needs(found: Fleet, rollouts: Iterable[Rollout], now: datetime) -> list[Need]:
    """Return what waits for a person, decisions first."""
    waiting = [need for rollout in rollouts if (need := _of_rollout(rollout, now))]
    waiting.sort(key=lambda need: need.kind != "wait")
    if found.withdrawn:
        waiting.append(
            Need(
                "bad",
                say_n(
                    "%(n)s box runs withdrawn firmware",
                    "%(n)s boxes run withdrawn firmware",
                    found.withdrawn,
                ),
                gettext("A withdrawn release is never installed again; plan a way off it."),
                url_for("firmware_pages.index"),
                gettext("Open"),
            )
        )
    if found.silent:
        waiting.append(
            Need(
                "warn",
                say_n("%(n)s box is silent", "%(n)s boxes are silent", found.silent),
                gettext("Heard before, but not lately. Off, unplugged, or in trouble."),
                url_for("device_pages.index", contact=Contact.SILENT),
                gettext("Open"),
            )
        )
    return waiting


def _of_rollout(rollout: Rollout, now: datetime) -> Need | None:
    ref = f"R-{rollout.id}"
    href = url_for("rollout_pages.show", rollout_id=rollout.id)
    what = gettext(
        "%(version)s to %(model)s",
        version=rollout.release.version,
        model=rollout.release.hardware_model,
    )
    why = f"{what} · {rollout.state_reason}" if rollout.state_reason else what
    match RolloutState(rollout.state):
        case RolloutState.AWAITING_APPROVAL:
            return Need("wait", say("%(ref)s waits for approval", ref=ref), what, href,
                        gettext("Review"))  # fmt: skip
        case RolloutState.PAUSED:
            return Need("wait", say("%(ref)s is paused", ref=ref), why, href, gettext("Review"))
        case RolloutState.DRAFT:
            return Need("wait", say("%(ref)s is planned, not begun", ref=ref), what, href,
                        gettext("Review"))  # fmt: skip
        case RolloutState.RUNNING if held := _held(rollout):
            return Need("wait", say("Wave %(n)s of %(ref)s is held", n=held, ref=ref), what, href,
                        gettext("Review"))  # fmt: skip
        case RolloutState.HALTED if rollout.ended_at and now - rollout.ended_at < HALT_IS_NEWS_FOR:
            return Need("bad", say("%(ref)s halted itself", ref=ref), why, href, gettext("Read"))
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Next:
    """What comes next for a rollout: a word, and a moment with its *note* beneath."""

    text: str
    is_decision: bool = False
    at: datetime | None = None
    note: str = ""


def next_of(found: Figures) -> Next:
    """Return what comes next for a rollout, or when it ended."""
    rollout, wave = found.rollout, found.at_work
    state = RolloutState(rollout.state)
    if state in _DECIDED_BY_PEOPLE or (wave.state is WaveState.HELD and state in OPEN_ROLLOUTS):
        return Next(gettext("Review"), is_decision=True)
    if state is RolloutState.SCHEDULED:
        return _at(gettext("Begins"), rollout.start_at, "")
    if state in {RolloutState.HALTED, RolloutState.STOPPED, RolloutState.FINISHED}:
        return _at(gettext("Ended"), rollout.ended_at, "")
    if state is RolloutState.DRAFT:
        return Next(gettext("Not begun"))
    soaks = wave.wave.soak_from
    if wave.state is WaveState.SOAKING and soaks is not None:
        until = soaks + timedelta(seconds=wave.wave.soak_s)
        return _at(gettext("Gate %(n)s", n=found.now_index + 1), until, gettext("at the earliest"))
    return _at(gettext("Gate %(n)s", n=found.now_index + 1), rollout.started_at, gettext("begun"))


def _at(text: str, at: datetime | None, word: str) -> Next:
    """Return *text* with the moment, which stands alone where there is no *word* for it."""
    if at is None:
        return Next(text)
    return Next(text, at=at, note=f"{word} {words.moment(at)}".strip())


def at_work(found: Figures) -> int:
    """Return how many boxes of a rollout download, install or restart now."""
    return sum(wave.states[state] for wave in found.waves for state in IN_FLIGHT)


def _held(rollout: Rollout) -> int:
    return next((wave.position for wave in rollout.waves if wave.state == WaveState.HELD), 0)


def _newest(releases: Iterable[Release]) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """Return the newest published version of each model, and what was withdrawn."""
    newest: dict[str, str] = {}
    withdrawn: set[tuple[str, str]] = set()
    for release in releases:
        model, version = release.hardware_model, release.version
        if release.state == ReleaseState.WITHDRAWN:
            withdrawn.add((model, version))
        elif model not in newest or version_key(version) > version_key(newest[model]):
            newest[model] = version
    return newest, withdrawn


def _model(
    name: str,
    title: str,
    groups: Sequence[Group],
    newest: str | None,
    withdrawn: set[tuple[str, str]],
) -> ModelFirmware:
    spread = sorted(groups, key=lambda group: order(group.version), reverse=True)
    shares, usual = [], ""
    for group in spread:
        kind = _kind(group, newest, withdrawn, usual)
        usual = usual or (group.version or "" if kind == "current" else "")
        shares.append(Share(group.version, group.boxes, kind))
    return ModelFirmware(name, title, sum(group.boxes for group in groups), newest, shares)


def _kind(group: Group, newest: str | None, withdrawn: set[tuple[str, str]], usual: str) -> str:
    """Return how a version is shown; the highest version behind the newest is *current*."""
    if group.version is None:
        return "unknown"
    if (group.hardware_model, group.version) in withdrawn:
        return "withdrawn"
    if newest is not None and order(group.version) >= order(newest):
        return "new"
    return "older" if usual else "current"


def order(version: str | None) -> tuple[int, ...]:
    """Return a key that orders versions; what is none comes first."""
    return version_key(version) if version and is_version(version) else ()
