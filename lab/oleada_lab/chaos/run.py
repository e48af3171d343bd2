"""Rollout after rollout on a real server with real boxes, while everything is killed in turn.

The schedule is drawn before, the check is pure; here is what lies between: waiting for the
moment, killing, starting again, and reading the facts until they agree or time is over.
"""

import resource
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db, read_only
from sqlalchemy.exc import DBAPIError

from oleada_lab.boxes import power_off_all
from oleada_lab.chaos import reading
from oleada_lab.chaos.facts import Row
from oleada_lab.chaos.fleet import MODEL, Fleet
from oleada_lab.chaos.round import Round, Say, Story
from oleada_lab.chaos.schedule import Victim, by_rollout, draw, victims_of
from oleada_lab.chaos.victims import Lab
from oleada_lab.clock import monotonic_s
from oleada_lab.operator import Operator, Places
from oleada_lab.postgres import Cluster

LOST_MEMORY: Final = "the broker has lost its memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run does.

    Attributes:
        database: ``sqlite`` or ``postgresql``.
        only: Victims; empty for all that the database has.
        limit_s: A rollout that does not agree with itself after so long never will.
        settings: Of the server, such as free ports.
    """

    kills: int
    seed: int
    boxes: int = 20
    database: str = "sqlite"
    only: tuple[str, ...] = ()
    kills_per_rollout: int = 8
    limit_s: float = 900.0
    settings: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def victims(self) -> list[Victim]:
        """Who is killed.

        Raises:
            LabError: *only* names somebody who is not there.
        """
        return victims_of(self.database, self.only)


def run(home: Path, plan: Plan, say: Say) -> dict[str, Any]:
    """Run *plan* in the folder *home*, and return what became of it.

    Raises:
        LabError: The server, a box or PostgreSQL can not be set up.
    """
    began_s, story = monotonic_s(), Story()
    kills = draw(plan.seed, plan.kills, plan.victims)
    with ExitStack() as stack:
        lab = _lab(home, plan, stack)
        fleet = Fleet(lab, home, plan.boxes)
        stack.callback(lambda: power_off_all(list(lab.boxes)))
        fleet.enrol()
        config = lab.operator.server.config
        app = create_app(config, WITHOUT_PAGES)
        stack.enter_context(app.app_context())
        stack.callback(_let_go)
        for number, group in enumerate(by_rollout(kills, plan.kills_per_rollout), start=1):
            one = Round(fleet, number, group, story, seed=plan.seed, limit_s=plan.limit_s)
            one.play(say)
            if story.wrong:
                break  # the boxes of a rollout that is not over can not begin another one
        _compare_again(story)
        refilled = (config.logs_dir / "worker.log").read_text(errors="replace").count(LOST_MEMORY)
    return _result(story, len(kills), refilled, monotonic_s() - began_s)


def _lab(home: Path, plan: Plan, stack: ExitStack) -> Lab:
    settings, cluster = dict(plan.settings), None
    if plan.database == "postgresql":
        cluster = Cluster(home / "postgresql")
        stack.callback(cluster.remove)
        cluster.make()
        settings["database_url"] = cluster.url
    operator = Operator(Places.under(home), settings)
    stack.enter_context(operator.server)
    operator.establish([MODEL])
    return Lab(operator, [], cluster)


def _compare_again(story: Story) -> None:
    """Look whether later kills have changed what an earlier rollout came to."""
    read_only()
    for number, facts in story.facts.items():
        now = {row.device_id: row for row in reading.rows_of(number)}
        for row in facts.rows:
            after = now.get(row.device_id)
            if after is None or _end(after) != _end(row):
                story.wrong.append(f"R-{number}: {row.device_id} has changed since: {after}")


def _end(row: Row) -> tuple[object, ...]:
    return row.state, row.reason, row.attempt, row.step


def _let_go() -> None:
    with suppress(DBAPIError):
        db.session.remove()
    db.engine.dispose()


def _result(story: Story, drawn: int, refilled: int, duration_s: float) -> dict[str, Any]:
    rows = [row for facts in story.facts.values() for row in facts.rows]
    planned = [how for facts in story.facts.values() for how in facts.planned.values()]
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "kills_drawn": drawn,
        "kills": len(story.done),
        "kills_by_process": dict(Counter(str(one["victim"]) for one in story.done)),
        "kills_by_moment": dict(Counter(str(one["moment"]) for one in story.done)),
        "rollouts": len(story.facts),
        "verdicts_expected": dict(Counter(planned)),
        "verdicts_counted": dict(Counter(row.state for row in rows)),
        "attempts": dict(Counter(str(row.attempt) for row in rows)),
        "broker": {
            "forgot": sum("forgets" in one for one in story.done),
            "refilled": refilled,
        },
        "rest_answers": dict(story.answers),
        "disagreements": story.wrong,
        "cpu_s": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
        "duration_s": round(duration_s, 1),
        "moments": story.done,
    }


def described(plan: Plan) -> dict[str, Any]:
    """Return *plan* as JSON shows it."""
    found = asdict(plan)
    return {name: found[name] for name in ("boxes", "database", "kills_per_rollout", "only")}
