"""Pages without a subject of their own: the start, settings, help."""

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import load_identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.web import no_right
from oleada_server.zones import zone_names

blueprint = Blueprint("web", __name__)
blueprint.add_app_template_global(no_right.lacking, "no_right")


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Lead to where the work of this person's role begins; a stranger is asked to sign in.

    Who answers people looks for boxes, who approves looks at what waits for approval, who
    runs the fleet begins with the fleet, and so on.
    """
    starts = {
        Role.VIEWER: "device_pages.index",
        Role.SUPPORT: "device_pages.index",
        Role.AUDITOR: "audit_pages.index",
        Role.RELEASE_SIGNER: "firmware_pages.index",
        Role.OPERATOR: "fleet_pages.index",
        Role.APPROVER: "rollout_pages.index",
        Role.DEVICE_CA_ADMIN: "device_pages.index",
        Role.USER_ADMIN: "people_pages.index",
        Role.ADMIN: "fleet_pages.index",
    }
    found = load_identity()
    return redirect(url_for(starts[found.role] if found else "fleet_pages.index"))


def zones() -> list[str]:
    """Return the zones that a person chooses from, UTC first."""
    named = sorted(zone for zone in zone_names() if "/" in zone)
    odd = ("Etc/", "posix/", "right/", "US/")
    return ["UTC", *(zone for zone in named if not zone.startswith(odd))]


@blueprint.get("/help")
@require_role(Role.VIEWER)
def help_page() -> ResponseReturnValue:
    """Show the keys and the vocabulary of states."""
    return render_template("help.html", nav="help")


@blueprint.get("/settings")
@require_role(Role.VIEWER)
def settings() -> ResponseReturnValue:
    """Show look, language, zone, keys and how this person signs in."""
    return render_template("settings.html", nav="settings", zones=zones())
