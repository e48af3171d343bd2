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
from oleada_server.devices import counts, history
from oleada_server.live import service as live
from oleada_server.releases import service as releases
from oleada_server.rollouts import progress
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState
from oleada_server.web import fleet_chart, fleet_view, rollout_page, rollout_view, words
from oleada_server.web.parts import Parts
from oleada_server.web.words import gettext

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
    """Return everything the templates of the fleet need; a part that is not read says so."""
    now = now_utc()
    silent_after = timedelta(seconds=config.current().silent_after_s)
    parts = Parts("fleet/parts", titles())
    page: dict[str, Any] = {"reading": parts, "view": rollout_view, "now": now}
    page |= {"next_of": lambda line: fleet_view.next_of(line.figures)}
    page |= {"silent_after": silent_after}
    page |= parts.read(("figures", "firmware"), lambda: _boxes(now - silent_after))
    page |= parts.read(("figures", "rollouts"), _rollouts)
    page |= parts.read(("needs",), lambda: _needs(page, now), after=("figures",))
    page |= parts.read(("states",), lambda: {"chart": _chart(now)})
    page |= parts.read(("days",), lambda: {"days": _days(now)})
    return page


def titles() -> dict[str, str]:
    """Return what the parts are called."""
    return {
        "figures": gettext("Key figures"),
        "states": gettext("Boxes by state"),
        "days": gettext("Updates by day"),
        "rollouts": gettext("Rollouts"),
        "needs": gettext("Needs you"),
        "firmware": gettext("Firmware by model"),
    }


def _boxes(silent_before: datetime) -> dict[str, Any]:
    groups = counts.fleet(silent_before)
    return {"found": fleet_view.fleet(groups, releases.list_releases(), counts.titles())}


def _rollouts() -> dict[str, Any]:
    latest = rollouts.list_rollouts(limit=ROLLOUTS_LOOKED_AT)
    opened = [one for one in latest if RolloutState(one.state) in OPEN_ROLLOUTS]
    rest = [one for one in latest if one not in opened]
    busy = [rollout_page.line(one) for one in opened]
    lines = busy + [rollout_page.line(one) for one in rest[: max(0, ROLLOUTS_SHOWN - len(busy))]]
    return {
        "latest": latest,
        "lines": lines[:ROLLOUTS_SHOWN],
        "open_count": len(opened),
        "at_work": sum(fleet_view.at_work(line.figures) for line in busy),
        "failed": sum(line.figures.failed for line in busy),
    }


def _needs(page: dict[str, Any], now: datetime) -> dict[str, Any]:
    waiting = fleet_view.needs(page["found"], page["latest"], now)
    return {
        "needs": waiting,
        "lede": fleet_view.sentence(page["found"], page["open_count"], len(waiting)),
    }


def _chart(now: datetime) -> fleet_chart.StateChart | None:
    """Return the chart of the last day; the axis ends with the quarter of an hour of now."""
    end = history.slot(now) + history.EVERY
    start, week = end - timedelta(days=1), timedelta(weeks=1)
    counted = history.between(start, end)
    before = history.between(start - week, end - week)
    since = history.kept_since() or end
    return fleet_chart.chart(counted, before, since, end, spell=words.tick, midnight=words.midnight)


def _days(now: datetime) -> list[fleet_view.Day]:
    """Return the last days as the reader counts them, oldest first."""
    first = words.midnight(now - timedelta(days=DAYS_SHOWN - 1))
    return fleet_view.days(first, progress.ended_by_day(first, DAYS_SHOWN))
