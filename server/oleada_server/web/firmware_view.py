"""Firmware in words: signatures, where it runs, and why a bundle was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import url_for

from oleada_server.errors import ServerError
from oleada_server.releases.keys import Rule
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts.models import Rollout
from oleada_server.web import words
from oleada_server.web.fleet_view import order
from oleada_server.web.status import Status
from oleada_server.web.words import gettext


@dataclass(frozen=True, slots=True)
class Row:
    """One release in the list: where it runs, and how that is of its model."""

    release: Release
    boxes: int
    fleet: int
    state: Status
    is_newest: bool

    @property
    def share(self) -> float:
        """Return the share of its model's boxes that run it, 0 to 1."""
        return self.boxes / self.fleet if self.fleet else 0

    @property
    def href(self) -> str:
        """Return the address of its page."""
        return address(self.release)


@dataclass(frozen=True, slots=True)
class Key:
    """One key that signed: its id, and whether its model's rule still names it."""

    key_id: str
    is_trusted: bool | None


def address(release: Release) -> str:
    """Return the address of a release's page."""
    return url_for(
        "firmware_pages.show",
        hardware_model=release.hardware_model,
        version=release.version,
    )


def state_of(release: Release) -> Status:
    """Return how a release's state is shown."""
    if release.state == ReleaseState.WITHDRAWN:
        return Status("bad", gettext("Withdrawn"), "bad")
    return Status("ok", gettext("Published"), "ok")


def rows(releases: Sequence[Release], boxes: Mapping[tuple[str, str | None], int]) -> list[Row]:
    """Return the lines of the list by model, newest version first.

    Args:
        releases: In any order.
        boxes: How many boxes run what, by model and version.
    """
    fleets: dict[str, int] = {}
    for (model, _), count in boxes.items():
        fleets[model] = fleets.get(model, 0) + count
    newest: dict[str, str] = {}
    ordered = sorted(releases, key=lambda one: order(one.version), reverse=True)
    for release in ordered:
        if release.state == ReleaseState.PUBLISHED:
            newest.setdefault(release.hardware_model, release.version)
    found = [
        Row(
            release,
            boxes.get((release.hardware_model, release.version), 0),
            fleets.get(release.hardware_model, 0),
            state_of(release),
            newest.get(release.hardware_model) == release.version,
        )
        for release in ordered
    ]
    return sorted(found, key=lambda row: row.release.hardware_model)


def keys(release: Release, rule: Rule | None) -> list[Key]:
    """Return the keys that signed *release*, each with whether it counts today."""
    return [
        Key(key_id, None if rule is None else key_id in rule.key_ids)
        for key_id in release.signed_by
    ]


def of_release(release: Release, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """Return those of *rollouts* that bring *release*."""
    return [one for one in rollouts if one.release_id == release.id]


def refusal(error: ServerError) -> str:
    """Return in the reader's words why a bundle was refused; an unknown code generally."""
    spelt = {
        "bundle-malformed": gettext("This file is not a release bundle."),
        "bundle-truncated": gettext("The file ends too early: it was cut off on its way."),
        "bundle-metadata": gettext("What should describe the release can not be read."),
        "bundle-unsigned": gettext("Too few of the model's keys have signed it."),
        "metadata-expired": gettext("The signatures have expired; sign it again."),
        "release-misnamed": gettext("Path, model and version do not say the same."),
        "bundle-unexpected-change": gettext("It changes more than one new release may."),
        "model-unknown": gettext("No keys are installed for this hardware model."),
        "image-wrong": gettext("The image is not the one that was signed."),
        "image-too-large": gettext("The image is larger than this server takes."),
        "security-version-low": gettext(
            "Its security version is lower than of what is published; boxes would refuse it."
        ),
        "metadata-too-large": gettext("The model's metadata would become too large for boxes."),
        "bundle-stale-base": gettext(
            "Another release was published meanwhile; build and sign it again on the newest."
        ),
        "version-taken": gettext("This version is published already, with another content."),
        "release-withdrawn": gettext("This version was withdrawn and never comes back."),
        "no-room": gettext("The disk that holds the images is full."),
        "trust-missing": gettext("No signing keys are installed on this server yet."),
    }
    return spelt.get(error.code, gettext("It was refused."))


def note(notes: Mapping[str, object]) -> tuple[str, str]:
    """Return (language, text) of the note in the reader's language, else in English."""
    language = words.choose_language()
    found = language if language in notes else "en"
    return found, str(notes.get(found, ""))
