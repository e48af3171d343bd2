"""What the page of one box shows, worked out from its rows; no SQL here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flask import url_for
from markupsafe import Markup

from oleada_server.devices.models import Device
from oleada_server.diagnosis.darkness import Dark
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts.of_device import Place
from oleada_server.rollouts.states import BoxState, RolloutState
from oleada_server.web import status, words
from oleada_server.web.fleet_view import order
from oleada_server.web.status import Status
from oleada_server.web.words import gettext, say


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of the box as it reported it."""

    letter: str
    version: str
    state: Status
    sha256: str
    is_running: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first thing to know about a box, and where that leads."""

    kind: str
    title: Markup
    text: Markup
    href: str = ""
    button: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a box should run: *version* is None where nothing else is planned for it."""

    version: str | None
    place: Place | None
    newest: Release | None


def contact(
    device: Device, silent_after: timedelta, now: datetime, dark: Dark = Dark.UNKNOWN
) -> Status:
    """Return how long ago a box was heard, as a state; *dark* is what its silence means."""
    if device.last_seen_at is None:
        return Status("off", gettext("Never heard"), "skip")
    if now - device.last_seen_at > silent_after:
        if dark is Dark.USUAL:
            return Status("off", gettext("Usually off at this hour"), "skip")
        return Status("warn", gettext("Silent"), "warn")
    return Status("ok", gettext("Heard"), "ok")


def wanted(places: Sequence[Place], releases: Sequence[Release]) -> Wanted:
    """Return what the box of *places* should run, and the newest of its model's *releases*."""
    published = [one for one in releases if one.state == ReleaseState.PUBLISHED]
    newest = max(published, key=lambda one: order(one.version), default=None)
    place = next((place for place in places if place.is_open), None)
    return Wanted(place.rollout.release.version if place else None, place, newest)


def verdict(
    device: Device,
    found: Wanted,
    last: Place | None,
    silent_after: timedelta,
    now: datetime,
    *,
    dark: Dark = Dark.UNKNOWN,
) -> Verdict:
    """Return what to know first: out of reach, at work, failed, behind, or as it should be."""
    if device.last_seen_at is None:
        return Verdict(
            "off",
            say("This box has never been heard"),
            say("It was enrolled %(when)s and has not said hello since.",
                when=words.moment(device.enrolled_at)),
        )  # fmt: skip
    if now - device.last_seen_at > silent_after:
        return _silent(device, found, dark)
    if found.place is not None:
        return _on_its_way(found.place)
    if last is not None and BoxState(last.box.state) in _ENDED_BADLY:
        return _ended_badly(last)
    return _at_rest(device, found)


_ENDED_BADLY: Final = {BoxState.FAILED, BoxState.ROLLED_BACK, BoxState.SILENT, BoxState.DECLINED}


def _silent(device: Device, found: Wanted, dark: Dark) -> Verdict:
    assert device.last_seen_at is not None  # noqa: S101 - whoever calls has looked
    title = say("Silent since %(when)s", when=words.moment(device.last_seen_at))
    kind = "off" if dark is Dark.USUAL else "warn"
    habit = _joined(_habit(dark), _connection(device))
    if found.place is None:
        text = say("Nothing waits for it.")
        return Verdict(kind, title, _joined(habit, text))
    waits = say(
        "%(version)s of %(ref)s waits for it and stays valid until %(until)s.",
        version=found.version or "",
        ref=f"R-{found.place.rollout.id}",
        until=_until(found.place.box.assignment_expires_at),
    )
    waits = _joined(habit, waits)
    return Verdict(kind, title, waits, _href(found.place), gettext("Open the rollout"))


def _habit(dark: Dark) -> Markup:
    """Return what a box usually does at this hour, as far as that is known."""
    if dark is Dark.USUAL:
        return say("It is usually off at this hour of its week.")
    return (
        say("By its habit it should have been heard by now.") if dark is Dark.MISSED else Markup()
    )


def _connection(device: Device) -> Markup:
    """Return what the broker says of its connection: a hint that may come late or never."""
    if device.connected:
        return say("The broker has not seen its connection end.")
    return say("The broker has seen its connection end.")


def _joined(*sentences: Markup) -> Markup:
    return Markup(" ").join(one for one in sentences if one)


def _on_its_way(place: Place) -> Verdict:
    shown = status.box(place.box.state)
    title = say(
        "%(state)s: %(version)s is on its way here",
        state=shown.word,
        version=place.rollout.release.version,
    )
    text = say(
        "Wave %(wave)s of %(ref)s covers this box.",
        wave=place.wave.position,
        ref=f"R-{place.rollout.id}",
    )
    kind = "wait" if RolloutState(place.rollout.state) is RolloutState.PAUSED else "live"
    return Verdict(kind, title, text, _href(place), gettext("Open the rollout"))


def _ended_badly(place: Place) -> Verdict:
    shown = status.box(place.box.state)
    title = say("The last update ended: %(state)s", state=shown.word.lower())
    text = say(
        "%(reason)s. %(ref)s, attempt %(attempt)s, %(when)s.",
        reason=status.reason(place.box.reason),
        ref=f"R-{place.rollout.id}",
        attempt=place.box.attempt,
        when=words.moment(place.box.changed_at),
    )
    kind = "bad" if shown.kind == "bad" else "warn"
    return Verdict(kind, title, text, _href(place), gettext("Open the rollout"))


def _at_rest(device: Device, found: Wanted) -> Verdict:
    newest = found.newest
    if newest is None or order(device.version) >= order(newest.version):
        return Verdict(
            "ok",
            say("This box is as it should be"),
            say("It runs the newest firmware for its model and was heard lately."),
        )
    return Verdict(
        "off",
        say("Behind: %(newest)s is published, this box runs %(version)s",
            newest=newest.version, version=device.version or gettext("not reported")),
        say("No rollout is bringing it here now."),
        url_for("firmware_pages.show", hardware_model=newest.hardware_model,
                version=newest.version),
        gettext("Open the firmware"),
    )  # fmt: skip


def _href(place: Place) -> str:
    return url_for("rollout_pages.show", rollout_id=place.rollout.id)


def _until(at: datetime | None) -> str:
    return words.moment(at) if at is not None else gettext("further notice")


def slots(device: Device) -> list[Slot]:
    """Return the slots that the box reported, A first; none if it reported none."""
    found = []
    for letter, told in sorted((device.slots or {}).items()):
        facts = told if isinstance(told, dict) else {}
        running = letter == device.running_slot
        found.append(
            Slot(
                str(letter),
                str(facts.get("version") or ""),
                _slot_state(str(facts.get("status") or ""), running),
                str(facts.get("sha256") or ""),
                running,
            )
        )
    return found


def _slot_state(told: str, is_running: bool) -> Status:
    """Return the TR-181 FirmwareImage.Status word *told* in the reader's words."""
    if is_running:
        return Status("ok", gettext("Running"), "ok")
    spelt = {
        "NoImage": Status("off", gettext("Empty"), "skip"),
        "Available": Status("off", gettext("Ready"), "off"),
        "Active": Status("off", gettext("Ready"), "off"),
        "Downloading": Status("live", gettext("Downloading"), "live"),
        "Validating": Status("live", gettext("Checking"), "live"),
        "ValidationFailed": Status("bad", gettext("Check failed"), "bad"),
        "DownloadFailed": Status("bad", gettext("Download failed"), "bad"),
        "InstallationFailed": Status("bad", gettext("Installation failed"), "bad"),
        "ActivationFailed": Status("bad", gettext("Would not start"), "bad"),
    }
    return spelt.get(told) or Status("off", told or gettext("not reported"), "off")


def not_yet(device: Device) -> str:
    """Return since when a box could have told what it has not: its first start, or enrolment."""
    since = device.first_seen_at or device.enrolled_at
    return gettext("not reported yet, since %(when)s", when=words.moment(since))
