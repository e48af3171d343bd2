"""The one search box: a box, a release or a rollout; a single hit opens at once."""

import re
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.version import is_version

from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role
from oleada_server.db import read_only
from oleada_server.devices import finding
from oleada_server.releases import service as releases
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.errors import RolloutNotFoundError
from oleada_server.web import firmware_view, rollout_view
from oleada_server.web.serials import group
from oleada_server.web.words import gettext

TEXT_CHARS_MAX: Final = 80
_ROLLOUT: Final = re.compile(r"[Rr][- ]?([0-9]{1,9})")

blueprint = Blueprint("search_pages", __name__)


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found: its name, what it is, and its address."""

    name: str
    kind: str
    more: str
    href: str


@blueprint.get("/search")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """Open what was meant, or show what it may have been."""
    text = request.args.get("q", "").strip()[:TEXT_CHARS_MAX]
    read_only()
    boxes = finding.find(text)
    hits = [*_rollouts(text), *_releases(text), *_boxes(boxes)]
    if len(hits) == 1:
        return redirect(hits[0].href, 303)
    return render_template(
        "search.html",
        nav="",
        text=text,
        hits=hits,
        has_more=boxes.has_more,
        chars_min=finding.CHARS_MIN,
    )


def _rollouts(text: str) -> list[Hit]:
    match = _ROLLOUT.fullmatch(text)
    if match is None:
        return []
    try:
        found = rollouts.get(int(match[1]))
    except RolloutNotFoundError:
        return []
    href = url_for("rollout_pages.show", rollout_id=found.id)
    return [Hit(f"R-{found.id}", gettext("rollout"), rollout_view.title(found), href)]


def _releases(text: str) -> list[Hit]:
    """Return the releases of a version, alone or behind its model: ``VX-410 5.8.2``."""
    *before, version = text.replace("/", " ").split() or [""]
    if not is_version(version) or len(before) > 1:
        return []
    model = before[0].upper() if before else None
    return [
        Hit(one.version, gettext("firmware"), one.hardware_model, firmware_view.address(one))
        for one in releases.list_releases()
        if one.version == version and model in {None, one.hardware_model.upper()}
    ]


def _boxes(found: finding.Found) -> list[Hit]:
    return [
        Hit(
            group(device.id),
            gettext("box"),
            f"{device.hardware_model} · {gettext('serial')} {device.serial}",
            url_for("device_page.show", device_id=device.id),
        )
        for device in found.devices
    ]
