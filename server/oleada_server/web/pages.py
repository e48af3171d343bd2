"""Pages without a subject of their own: the start, settings, help."""

import zoneinfo

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role

blueprint = Blueprint("web", __name__)


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Lead to the rollouts; who is not signed in is asked to."""
    return redirect(url_for("rollout_pages.index"))


@blueprint.get("/help")
@require_role(Role.VIEWER)
def help_page() -> ResponseReturnValue:
    """Show the keys and the vocabulary of states."""
    return render_template("help.html", nav="help")


@blueprint.get("/settings")
@require_role(Role.VIEWER)
def settings() -> ResponseReturnValue:
    """Show look, language, zone, keys and how this person signs in."""
    zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone)
    zones = [zone for zone in zones if not zone.startswith(("Etc/", "posix/", "right/", "US/"))]
    return render_template("settings.html", nav="settings", zones=["UTC", *zones])
