"""Rollout after rollout on a real server with real boxes, while everything is killed in turn.

The schedule is drawn before, the check is pure; here is what lies between: waiting for the
moment, killing, starting again, and reading the facts until they agree or time is over.
"""

import resource
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db
from sqlalchemy.exc import DBAPIError

from oleada_lab.boxes import Box, power_off_all
from oleada_lab.chaos import reading, retained
from oleada_lab.chaos.check import disagreements
from oleada_lab.chaos.facts import Facts, Row
from oleada_lab.chaos.person import Person, first_wave, plan
from oleada_lab.chaos.progress import Progress
from oleada_lab.chaos.schedule import OF_A_BOX, Kill, Victim, by_rollout, draw, has_come, victims_of
from oleada_lab.chaos.victims import Lab
from oleada_lab.clock import monotonic_s, now_utc, sleep_s
from oleada_lab.errors import LabError
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until
from oleada_lab.postgres import Cluster

MODEL: Final = "VX-240"
FACTORY: Final = "1.0.0"
SYSTEM_BYTES: Final = 256 * 1024
FAILING_SHARE: Final = 0.1
"""Of the boxes of each rollout, those whose media player does not take the new version."""
BOX_SETTINGS: Final[Mapping[str, int]] = {
    "health_s": 10,
    "connect_spread_s": 1,
    "trial_s": 120,
    "settle_s": 1,
    "player_s": 4,
    "download_bytes_per_s_max": 1024 * 1024,
}
LOOK_S: Final = 0.1
READ_S: Final = 1.0
ENROL_LIMIT_S: Final = 240.0
LOST_MEMORY: Final = "the broker has lost its memory"
Say = Callable[[str], None]


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
    limit_s: float = 300.0
    settings: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(slots=True)
class Story:
    """What has happened so far.

    Attributes:
        done: The kills that hit, as JSON shows them.
        wrong: Every disagreement.
        rows: What each rollout came to, to be compared once more at the end.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    rows: dict[int, tuple[Row, ...]] = field(default_factory=dict)
    planned: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)


def run(home: Path, plan: Plan, say: Say) -> dict[str, Any]:
    """Run *plan* in the folder *home*, and return what became of it.

    Raises:
        LabError: The server, a box or PostgreSQL can not be set up.
    """
    began_s, story = monotonic_s(), Story()
    kills = draw(plan.seed, plan.kills, victims_of(plan.database, plan.only))
    with ExitStack() as stack:
        lab = _lab(home, plan, stack)
        boxes = _Fleet(lab, home, plan.boxes)
        stack.callback(lambda: power_off_all(list(lab.boxes)))
        boxes.enrol()
        config = lab.operator.server.config
        app = create_app(config, WITHOUT_PAGES)
        stack.enter_context(app.app_context())
        stack.callback(_let_go)
        for number, group in enumerate(by_rollout(kills, plan.kills_per_rollout), start=1):
            _Round(boxes, plan, number, group, story).play(say)
            if story.wrong:
                break  # the boxes of a rollout that is not over can not begin another one
        _compare_again(story)
        refilled = (config.logs_dir / "worker.log").read_text(errors="replace").count(LOST_MEMORY)
    return _result(story, len(kills), refilled, monotonic_s() - began_s)


def _lab(home: Path, plan: Plan, stack: ExitStack) -> Lab:
    settings, cluster = dict(plan.settings), None
    if plan.database == "postgresql":
        cluster = Cluster(home / "postgresql")
        stack.callback(cluster.stop)
        cluster.make()
        settings["database_url"] = cluster.url
    operator = Operator(Places.under(home), settings)
    stack.enter_context(operator.server)
    operator.establish([MODEL])
    return Lab(operator, [], cluster)


class _Fleet:
    """The boxes of *lab*, what their media players do not take, and the images they get."""

    def __init__(self, lab: Lab, home: Path, boxes: int) -> None:
        self.lab = lab
        self._images = home / "images"
        self._images.mkdir(exist_ok=True)
        factory = self.publish(FACTORY)
        lab.boxes = [
            lab.operator.add_box(f"240C{number:07d}", MODEL, factory, settings=BOX_SETTINGS)
            for number in range(1, boxes + 1)
        ]

    def publish(self, version: str) -> Path:
        """Build, sign and publish *version*; return its image."""
        image = self._images / f"{version}.img"
        build_small_image(ImageSpec(MODEL, version), image, system_bytes=SYSTEM_BYTES)
        self.lab.operator.publish(image, MODEL, version, {"en": f"What {version} brings."})
        return image

    def enrol(self) -> None:
        """Switch every box on and wait until the server has heard them all.

        Raises:
            OperatorError: It has not in time.
        """
        for box in self.lab.boxes:
            box.power_on()
        wait_until(self._are_heard, ENROL_LIMIT_S, "all boxes have said hello")

    def make_fail(self, version: str, dice: Random) -> dict[str, str]:
        """Return by device id how each box must end; some are made to refuse *version*."""
        boxes = sorted(self.lab.boxes, key=lambda box: str(reading.device_id_of(box)))
        starts = {0, first_wave(len(boxes))}  # a wave without one good box never passes
        others = [at for at in range(len(boxes)) if at not in starts]
        failing = dice.sample(others, min(len(others), round(len(boxes) * FAILING_SHARE) or 1))
        planned = {}
        for at, box in enumerate(boxes):
            fails = [version] if at in failing else []
            (box.directory / "boot" / "hardware.toml").write_text(f"player_fails_on = {fails}\n")
            planned[str(reading.device_id_of(box))] = "rolled_back" if fails else "updated"
        return planned

    def _are_heard(self) -> bool:
        return sum(bool(row["version"]) for row in self.lab.operator.devices()) == len(
            self.lab.boxes
        )


class _Round:
    """One rollout and the kills that meet it."""

    def __init__(
        self,
        fleet: _Fleet,
        plan: Plan,
        number: int,
        kills: Sequence[Kill],
        story: Story,
    ) -> None:
        lab = self._lab = fleet.lab
        self._story = story
        self._waiting = list(kills)
        self._due: dict[int, float] = {}
        self._starts_s: list[float] = []
        self._limit_s = plan.limit_s
        self._version = f"1.{number}.0"
        fleet.publish(self._version)
        self._planned = fleet.make_fail(self._version, Random(f"{plan.seed}/{number}"))
        self._progress = Progress(lab.boxes, self._version)

    def play(self, say: Say) -> None:
        """Start the rollout, kill, and look until everything agrees or time is over."""
        began_s = monotonic_s()
        body = plan(MODEL, self._version, sorted(self._planned))
        person = Person(self._lab.operator.server.client, body, self._version)
        person.start()
        try:
            wrong = self._until_it_agrees(person, began_s + self._limit_s, began_s)
        finally:
            person.stop()
            self._lab.revive()
        self._story.answers += person.answers
        self._story.wrong += wrong
        if server_errors := person.answers["500"]:
            self._story.wrong.append(f"{server_errors} answers of REST were a 500")
        say(
            f"{self._version}: {len(self._story.done)} kills so far, "
            f"{monotonic_s() - began_s:.0f} s, {len(wrong)} disagreements"
        )

    def _until_it_agrees(self, person: Person, end_s: float, began_s: float) -> list[str]:
        read_at_s = 0.0
        while True:
            now_s = monotonic_s()
            self._revive(now_s)
            self._progress.look()
            self._kill_who_is_due(now_s, began_s, is_over=now_s > end_s - self._limit_s / 2)
            is_late = now_s > end_s
            if is_late or (not self._waiting and not self._starts_s and now_s > read_at_s):
                read_at_s = now_s + READ_S
                wrong = self._look_at(person)
                if is_late or not wrong:
                    return wrong
            sleep_s(LOOK_S)

    def _kill_who_is_due(self, now_s: float, began_s: float, *, is_over: bool) -> None:
        reached = self._progress.reached()
        for kill in list(self._waiting):
            if kill.number not in self._due:
                if not is_over and not has_come(kill, reached, len(self._lab.boxes)):
                    continue
                self._due[kill.number] = now_s + kill.delay_ms / 1000
            if now_s < self._due[kill.number] or not self._lab.kill(kill, self._among(kill)):
                continue
            self._waiting.remove(kill)
            if kill.victim in {Victim.POSTGRESQL, Victim.BOX}:
                self._starts_s.append(now_s + kill.down_ms / 1000)
            self._story.done.append(
                {
                    **{"kill": kill.number, "victim": kill.victim, "moment": kill.moment},
                    **{"forgets": kill.forgets, "rollout": self._version},
                    **{"after_s": round(now_s - began_s, 1)},
                    "reached": {str(moment): boxes for moment, boxes in reached.items()},
                }
            )

    def _among(self, kill: Kill) -> Sequence[Box]:
        """Return the boxes of which *kill* takes one: those at its moment, if there are any."""
        if kill.victim not in OF_A_BOX:
            return ()
        return [box for box in self._progress.at(kill.moment) if box.is_on] or self._lab.boxes

    def _revive(self, now_s: float) -> None:
        if self._starts_s and min(self._starts_s) <= now_s:
            self._starts_s = [at_s for at_s in self._starts_s if at_s > now_s]
            self._lab.revive()

    def _look_at(self, person: Person) -> list[str]:
        """Return what does not agree now; what can not be read yet does not agree either."""
        if person.refused or person.number is None:
            return [f"{self._version} could not be started: {person.refused or 'no answer'}"]
        try:
            if reading.state_of(person.number) == "running":
                return [f"R-{person.number}: is running, not finished"]
            broker = retained.held_by_broker(self._lab.operator.server.config)
            facts = reading.read(person.number, self._planned, self._lab.boxes, broker, now_utc())
        except (DBAPIError, LabError, OSError) as error:
            db.session.rollback()
            return [f"R-{person.number}: can not be read: {error}"]
        wrong = disagreements(facts)
        self._note(person.number, facts)
        return wrong

    def _note(self, number: int, facts: Facts) -> None:
        if number not in self._story.rows:
            self._story.planned.update(facts.planned.values())
        else:
            before = self._story.rows[number]
            self._story.counted.subtract(row.state for row in before)
            self._story.attempts.subtract(row.attempt for row in before)
        self._story.rows[number] = facts.rows
        self._story.counted.update(row.state for row in facts.rows)
        self._story.attempts.update(row.attempt for row in facts.rows)


def _compare_again(story: Story) -> None:
    """Look whether later kills have changed what an earlier rollout came to."""
    for number, before in story.rows.items():
        now = {row.device_id: row for row in reading.rows_of(number)}
        for row in before:
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
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "kills_drawn": drawn,
        "kills": len(story.done),
        "kills_by_process": dict(Counter(str(one["victim"]) for one in story.done)),
        "kills_by_moment": dict(Counter(str(one["moment"]) for one in story.done)),
        "rollouts": len(story.rows),
        "verdicts_expected": dict(story.planned),
        "verdicts_counted": {state: boxes for state, boxes in story.counted.items() if boxes},
        "attempts": {str(number): boxes for number, boxes in story.attempts.items() if boxes},
        "broker": {
            "forgot": sum(bool(one["forgets"]) for one in story.done),
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
