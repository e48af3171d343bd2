"""One rollout and the kills that meet it: wait for the moment, kill, start again, read, compare."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from oleada_server.db import db
from sqlalchemy.exc import DBAPIError

from oleada_lab.boxes import Box
from oleada_lab.chaos import reading, retained
from oleada_lab.chaos.check import disagreements
from oleada_lab.chaos.facts import Facts
from oleada_lab.chaos.fleet import MODEL, Fleet
from oleada_lab.chaos.person import Person, plan
from oleada_lab.chaos.progress import Progress
from oleada_lab.chaos.schedule import OF_A_BOX, Kill, Moment, Victim, has_come
from oleada_lab.clock import monotonic_s, now_utc, sleep_s
from oleada_lab.errors import LabError

LOOK_S: Final = 0.1
READ_S: Final = 1.0
RUNS: Final = "the rollout is not over"
Say = Callable[[str], None]


@dataclass(slots=True)
class Story:
    """What has happened so far.

    Attributes:
        done: The kills that hit, as JSON shows them.
        wrong: Every disagreement.
        facts: What each rollout came to, by its number.
        answers: What a person was answered by REST.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    facts: dict[int, Facts] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)


class Round:
    """One rollout and the kills that meet it."""

    def __init__(
        self,
        fleet: Fleet,
        number: int,
        kills: Sequence[Kill],
        story: Story,
        *,
        seed: int,
        limit_s: float,
    ) -> None:
        lab = self._lab = fleet.lab
        self._images = fleet.images
        self._story = story
        self._waiting = list(kills)
        self._due: dict[int, float] = {}
        self._starts_s: list[float] = []
        self._is_over = False
        self._limit_s = limit_s
        self._version = f"1.{number}.0"
        fleet.publish(self._version)
        self._planned = fleet.make_fail(self._version, Random(f"{seed}/{number}"))
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
            self._kill_who_is_due(now_s, began_s)
            is_late = now_s > end_s
            if is_late or now_s > read_at_s:
                read_at_s = now_s + READ_S
                wrong = self._look_at(person, at_last=is_late)
                self._is_over = wrong != [RUNS]
                if is_late or (not wrong and not self._waiting and not self._starts_s):
                    return wrong
            sleep_s(LOOK_S)

    def _kill_who_is_due(self, now_s: float, began_s: float) -> None:
        """Kill whoever's moment has come; when the rollout is over, whoever is left."""
        reached = self._progress.reached()
        for kill in list(self._waiting):
            if kill.number not in self._due:
                if not self._is_over and not has_come(kill, reached, len(self._lab.boxes)):
                    continue
                self._due[kill.number] = now_s + kill.delay_ms / 1000
            box = self._box_of(kill)
            if now_s < self._due[kill.number] or not self._lab.kill(kill, box):
                continue
            self._waiting.remove(kill)
            if kill.victim in {Victim.POSTGRESQL, Victim.BOX}:
                self._starts_s.append(now_s + kill.down_ms / 1000)
            self._story.done.append(self._told(kill, box, reached, now_s - began_s))

    def _told(
        self, kill: Kill, box: Box | None, reached: Mapping[Moment, int], after_s: float
    ) -> dict[str, Any]:
        """Return what JSON shows of *kill*."""
        found: dict[str, Any] = {
            "kill": kill.number,
            "victim": kill.victim,
            "moment": kill.moment,
            "rollout": self._version,
            "after_s": round(after_s, 1),
            "boxes_reached": dict(reached),
        }
        if box is not None:
            found |= {"box": box.name, "box_was_at": self._progress.now[box.directory]}
        return {**found, "forgets": True} if kill.forgets else found

    def _box_of(self, kill: Kill) -> Box | None:
        """Return the box that *kill* meets: one at its moment, if there is any."""
        if kill.victim not in OF_A_BOX:
            return None
        there = [box for box in self._progress.at(kill.moment) if box.is_on] or self._lab.boxes
        return there[min(int(kill.draw * len(there)), len(there) - 1)]

    def _revive(self, now_s: float) -> None:
        if self._starts_s and min(self._starts_s) <= now_s:
            self._starts_s = [at_s for at_s in self._starts_s if at_s > now_s]
            self._lab.revive()

    def _look_at(self, person: Person, *, at_last: bool) -> list[str]:
        """Return what does not agree now; a rollout that runs is not read before time is over."""
        if person.refused:
            return [f"{self._version} could not be started: {person.refused}"]
        if person.number is None:
            return [f"{self._version} could not be started in time" if at_last else RUNS]
        try:
            if not at_last and reading.state_of(person.number) == "running":
                return [RUNS]
            broker = retained.held_by_broker(self._lab.operator.server.config)
            built = reading.Built(self._planned, self._images)
            facts = reading.read(person.number, built, self._lab.boxes, broker, now_utc())
        except (DBAPIError, LabError, OSError) as error:
            db.session.rollback()
            return [f"R-{person.number}: can not be read: {error}" if at_last else RUNS]
        self._story.facts[person.number] = facts
        return disagreements(facts)
