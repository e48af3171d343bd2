"""The start of the day: how the fleet is, and what waits for a person."""

from datetime import datetime, timedelta
from typing import Any, Final

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from oleada_server import config
from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.devices import counts
from oleada_server.live import service as live
from oleada_server.releases import service as releases
from oleada_server.rollouts import progress
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState
from oleada_server.web import fleet_view, rollout_page, rollout_view, words

ROLLOUTS_LOOKED_AT: Final = 40
ROLLOUTS_SHOWN: Final = 5
DAYS_SHOWN: Final = 14

blueprint = Blueprint("fleet_pages", __name__)


@blueprint.get("/fleet")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """Show the fleet in a sentence, in figures and in what waits."""
    read_only()
    after = live.latest_id()
    return render_template("fleet/index.html", nav="fleet", after=after, **load())


def load() -> dict[str, Any]:
    """Return everything the templates of the fleet need."""
    now, silent_after_s = now_utc(), config.current().silent_after_s
    groups = counts.fleet(now - timedelta(seconds=silent_after_s))
    found = fleet_view.fleet(groups, releases.list_releases(), counts.titles())
    latest = rollouts.list_rollouts(limit=ROLLOUTS_LOOKED_AT)
    waiting = fleet_view.needs(found, latest, now)
    opened = [one for one in latest if RolloutState(one.state) in OPEN_ROLLOUTS]
    rest = [one for one in latest if one not in opened]
    busy = [rollout_page.line(one) for one in opened]
    lines = busy + [rollout_page.line(one) for one in rest[: max(0, ROLLOUTS_SHOWN - len(busy))]]
    return {
        "found": found,
        "lede": fleet_view.sentence(found, len(opened), len(waiting)),
        "needs": waiting,
        "days": _days(now),
        "lines": lines[:ROLLOUTS_SHOWN],
        "open_count": len(opened),
        "at_work": sum(fleet_view.at_work(line.figures) for line in busy),
        "failed": sum(line.figures.failed for line in busy),
        "silent_after": timedelta(seconds=silent_after_s),
        "view": rollout_view,
        "now": now,
    }


def _days(now: datetime) -> list[fleet_view.Day]:
    """Return the last days as the reader counts them, oldest first."""
    first = words.midnight(now - timedelta(days=DAYS_SHOWN - 1))
    return fleet_view.days(first, progress.ended_by_day(first, DAYS_SHOWN))
