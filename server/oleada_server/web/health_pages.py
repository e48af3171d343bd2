"""The health of the fleet and of each model, with the same figures."""

from datetime import datetime, timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.devices import service as devices
from oleada_server.diagnosis import figures, habits, reading
from oleada_server.diagnosis.darkness import Dark
from oleada_server.diagnosis.figures import Figure
from oleada_server.errors import NotFoundError
from oleada_server.web.device_series import GAP_OF_HOURS, Line, limits, line_of, value_in_words
from oleada_server.web.words import gettext

ODD_SHARE: Final = 0.05
"""A sign that so many boxes show is looked at first."""

blueprint = Blueprint("health_pages", __name__)


@blueprint.get("/health")
@require_role(Role.VIEWER)
def show() -> ResponseReturnValue:
    """Show how many boxes of the fleet show each sign."""
    asked = request.args.get("model", "")
    if asked:  # its former address
        return redirect(url_for("health_pages.of_model", model=asked), 301)
    read_only()
    return _page(None, sorted(devices.model_counts()))


@blueprint.get("/health/<model>")
@require_role(Role.VIEWER)
def of_model(model: str) -> ResponseReturnValue:
    """Show how many boxes of one model show each sign."""
    read_only()
    models = sorted(devices.model_counts())
    if model not in models:
        raise NotFoundError(gettext("There is no box of the model %(model)s.", model=model[:40]))
    return _page(model, models)


def _page(model: str | None, models: list[str]) -> str:
    now = now_utc()
    found = figures.of_model(reading.library(), model, now)
    told = [one for one in found.figures if one.share is not None]
    shown: dict[str, Any] = {
        "model": model, "models": models, "health": found, "boxes_max": figures.BOXES_MAX,
        "seen": [one for one in told if one.shows],
        "unseen": [one for one in told if not one.shows],
        "untold": [one for one in found.figures if one.share is None],
        "odd_share": ODD_SHARE, "limit_of": limit_of,
        "silent": habits.of_model(model, now), "missed": Dark.MISSED, "usual": Dark.USUAL,
        "curve_of": lambda figure: curve_of(figure, now),
    }  # fmt: skip
    return render_template("diagnosis/health.html", nav="health", **shown)


def limit_of(figure: Figure) -> str:
    """Return the limit of a figure's sign in words; empty where it is a word that is looked for."""
    limit = limits().get(figure.sign.fact)
    if limit is None:
        return ""
    value = value_in_words(figure.sign.fact, limit.value, limit.unit)
    if limit.is_lowest:
        return gettext("under %(limit)s", limit=value)
    return gettext("over %(limit)s", limit=value)


def curve_of(figure: Figure, now: datetime) -> Line | None:
    """Return the share of a figure over the last week as a curve; None before there are two."""
    start = now - figures.OVER
    points = list(figure.history)
    return line_of(points, start, now - timedelta(minutes=1), None, GAP_OF_HOURS)
