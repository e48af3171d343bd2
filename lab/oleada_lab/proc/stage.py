"""One run of a scenario with real processes: set up, faults, then none, and what became of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from oleada_agent.boot.errors import AgentError
from oleada_server.client import NoServerError, RefusedError
from oleada_server.db import db
from oleada_wire.topics import Up
from sqlalchemy.exc import DBAPIError

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.check.safety import Terms as Agreed
from oleada_lab.check.watch import Watch, chosen
from oleada_lab.clock import monotonic_s, now_utc, sleep_s
from oleada_lab.errors import LabError
from oleada_lab.proc import reading
from oleada_lab.proc.dweller import Dweller
from oleada_lab.proc.ending import Ending, accounts, sentences, unexpected
from oleada_lab.proc.history import BoxHistory, ServerHistory
from oleada_lab.proc.home import DiskKind, Home, at_home
from oleada_lab.proc.house import House
from oleada_lab.proc.line import Line, Lines, peak
from oleada_lab.proc.looks import ServerLook
from oleada_lab.proc.people import People
from oleada_lab.proc.plant import Plant
from oleada_lab.proc.reading import BoxReader
from oleada_lab.proc.shrunk import Shrunk
from oleada_lab.proc.strikes import needs_forgetful_disk
from oleada_lab.proc.wrong_door import Certificates
from oleada_lab.scenario import Scenario
from oleada_lab.sim.crash import Kept

LOOK_S: Final = 0.1
ASK_S: Final = 0.5
"""Between two questions to the database."""
ENROL_LIMIT_S: Final = 300.0
ADDRESSES: Final = "127.77.{street}.{number}"
SECRETS: Final = (b"BEGIN PRIVATE KEY", b"BEGIN EC PRIVATE KEY")
Say = Callable[[str], None]


class Stage:
    """One run: the house, its boxes and their lines, and everything that is told of them.

    Args:
        home: An empty folder of its own, which stays as it is afterwards.
        street: Of 0 to 255; runs at the same time need different ones.

    Attributes:
        struck: How often a fault has struck.
        image_bytes: Of the release.
    """

    def __init__(self, scenario: Scenario, seed: int, home: Path, street: int, say: Say) -> None:
        self.run = Shrunk(scenario, seed)
        self.house = House(home, scenario.fleet.model)
        self.lines = Lines()
        self.boxes: list[Dweller] = []
        self.plant = Plant(self)
        self.people: People
        self.struck = 0
        self.image_bytes = 1
        self.story: list[str] = []
        self._home, self._street, self._say = home, street, say
        self._began_s = monotonic_s()
        self._server: ServerHistory
        self._watch: Watch
        self._seen: ServerLook | None = None
        self._asked_s = self._looked_s = 0.0
        self._factory: dict[str, Path] = {}

    @property
    def now_s(self) -> float:
        """Seconds since the first fault may strike."""
        return monotonic_s() - self._began_s

    def tell(self, fact: Fact) -> None:
        """Take *fact*, which is true now."""
        self._watch.see(int(self.now_s * 1000), fact)

    def say(self, line: str) -> None:
        """Add *line* to the story."""
        self.story.append(f"{self.now_s:6.1f} s  {line}")
        self._say(self.story[-1])

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Let *act* happen in *delay_s* seconds, unless faults are over by then."""
        self.plant.later(delay_s, act)

    def again_and_again(self, every_s: float, act: Callable[[], None]) -> Callable[[], None]:
        """Let *act* happen now and every *every_s* seconds; return what ends it."""
        goes_on = True

        def turn() -> None:
            if goes_on:
                act()
                self.later(every_s, turn)

        def stop() -> None:
            nonlocal goes_on
            goes_on = False

        turn()
        return stop

    def cut_in_write(self, box: Dweller, operations: int, kept: Kept, dark_s: float) -> None:
        """Let *box* lose power in the flash write so many from now, for *dark_s* seconds."""
        self.plant.cut_in_write(box, operations, kept, dark_s)

    def play(self) -> Ending:
        """Let the story happen, and return how it ended.

        Raises:
            LabError: This machine can not play it; says what to do.
        """
        with ExitStack() as stack:
            stack.enter_context(self.lines)
            stack.enter_context(self.house.open())
            self._build()
            for number in range(self.run.boxes):
                self._move_in(number, stack)
            self._enrol()
            self._begin()
            self._let_it_happen()
            return self._ending()

    # -- setting up --------------------------------------------------------------------

    def _build(self) -> None:
        release, fleet = self.run.scenario.release, self.run.scenario.fleet
        behaviours = {release.start: "good", release.to: release.behaviour}
        if fleet.old_version:
            behaviours[fleet.old_version] = "good"
        signed = {}
        for version, behaviour in behaviours.items():
            agent_of = fleet.old_agent if version == fleet.old_version else ""
            built = self.house.build(version, behaviour, agent_of)
            signed[built.sha256] = version
            self._factory[version] = built.path
            if version == release.to:
                self.image_bytes = built.size_bytes
            if version == release.to or self.run.scenario.rollout.goes_back:
                self.house.operator.publish(
                    built.path, fleet.model, version, {"en": "What is new."}
                )
        agreed = Agreed(
            signed=signed,
            secrets=SECRETS,
            connects_per_s_max=self.run.scenario.expect.peak_connect_rate_max,
            leaving=release.to if self.run.scenario.rollout.goes_back else "",
        )
        self._watch = Watch(agreed, chosen(self.run.scenario.proc.invariants))
        self._server = ServerHistory(release.to, self.run.in_flight_max)

    def _move_in(self, number: int, stack: ExitStack) -> None:
        run, config = self.run, self.house.operator.server.config
        old = number in run.old()
        version = run.scenario.fleet.old_version if old else run.scenario.release.start
        serial = f"{run.scenario.fleet.model.replace('-', '')}P{number + 1:07d}"
        box = self.house.add_box(serial, self._factory[version], self._settings())
        room = self._home / "rooms" / serial
        room.mkdir(parents=True)
        certificates = Certificates.of(config.pki_dir, room)
        address = ADDRESSES.format(street=self._street, number=number + 1)
        line = Line(
            address,
            (config.broker_port, config.door_port),
            run.line(run.scenario.fleet.profile),
            run.dice(f"line/{number}"),
            certificates,
        )
        self.lines.open(line)
        home = Home(room / "box", room, address, run.scenario.proc.watchdog)
        stack.enter_context(at_home(box, home, disk_kind(self.run.scenario)))
        dweller = Dweller(number, "", home, line, BoxReader(home), BoxHistory(""))
        self.boxes.append(dweller)
        # The last thing that is entered is the first that ends: a box before its disk.
        stack.callback(_switch_off, home)
        home.power_on()

    def _settings(self) -> dict[str, str | int]:
        proc = self.run.scenario.proc
        return {
            "health_s": max(5, round(self.run.seconds(self.run.scenario.fleet.health) / 4)),
            "connect_spread_s": max(
                1, round(self.run.seconds(self.run.scenario.fleet.connect_spread))
            ),
            "keepalive_s": int(proc.keepalive),
            "trial_s": 300,
            "settle_s": 1,
            "player_s": 60,
            "download_bytes_per_s_max": int(proc.rate),
        }

    def _enrol(self) -> None:
        until = monotonic_s() + ENROL_LIMIT_S
        while True:
            ids: dict[str, str] = {}
            with suppress(NoServerError, RefusedError):  # it is busy; it is asked again
                ids = self.house.ids()
            if len(ids) == len(self.boxes):
                break
            if monotonic_s() > until:
                raise LabError(
                    f"Only {len(ids)} of {len(self.boxes)} boxes have said hello in "
                    f"{ENROL_LIMIT_S:.0f} s; read the logs in {self._home}."
                )
            sleep_s(ASK_S)
        for box in self.boxes:
            box.device_id = ids[self._serial(box)]
            box.history = BoxHistory(box.device_id)
            version = (box.home.booted() or {}).get("version", "")
            self.tell(facts.BoxMade(box.device_id, str(version)))

    def _serial(self, box: Dweller) -> str:
        return box.home.room.name

    def _begin(self) -> None:
        self._began_s = monotonic_s()
        self.people = People(self.house.operator.server.client)
        plan = self.run.plan(self.run.scenario.release.to, [box.device_id for box in self.boxes])
        self.plant.plant()
        self.later(self.run.starts_s, lambda: self.people.plan_and_start(plan))
        self.plant.last_s = max(self.plant.last_s, self.run.starts_s)

    # -- while it happens --------------------------------------------------------------

    def _let_it_happen(self) -> None:
        faults_s = float(self.run.scenario.proc.faults)
        while self.now_s < faults_s and not (self._is_over() and self.now_s >= self.plant.last_s):
            self._turn()
        self.plant.mend_all()
        for box in self.boxes:
            box.is_heard = False
        self.say("from now on nothing goes wrong")
        self.tell(facts.FaultsStopped())
        until = self.now_s + self.run.scenario.proc.limit
        while self.now_s < until and not self._is_well():
            self._turn()

    def _turn(self) -> None:
        self.plant.turn()
        self.plant.see_who_is_dark()
        self.people.turn()
        passed_s, self._looked_s = self.now_s - self._looked_s, self.now_s
        for box in self.boxes:
            box.drift(passed_s)
            if box.has_viewer:
                box.home.set_viewer(there=True)
        self._hear()
        if self.now_s - self._asked_s > ASK_S or any(box.waits for box in self.boxes):
            self._asked_s = self.now_s
            self._ask_server()
        else:
            for box in self.boxes:
                self.look_at(box)
        self.plant.look()
        sleep_s(LOOK_S)

    def look_at(self, box: Dweller) -> None:
        """Look at *box*, and tell what has become of it."""
        try:
            box.seen = box.reader.look()
        except (AgentError, OSError):
            return  # its disk has no power, or is being replaced under our eyes
        box.spool_max = max(box.spool_max, len(box.seen.spool))
        for fact in box.history.see(box.seen):
            # Whether it had a lease only the server knows; the rest waits behind it.
            if box.waits or isinstance(fact, facts.InstallBegan):
                box.waits.append(fact)
            else:
                self.tell(fact)

    def _ask_server(self) -> None:
        """Look at the server, then at the boxes; tell what waited for what it says."""
        found = self._look_at_server()
        for fact in self._server.orders(found) if found is not None else ():
            self.tell(fact)
        for box in self.boxes:
            if found is not None:
                for fact in box.waits:
                    self.tell(fact)
                box.waits.clear()
            self.look_at(box)
        if found is not None:
            self._seen = found
            for fact in self._server.shows(found):
                self.tell(fact)

    def _look_at_server(self) -> ServerLook | None:
        if not self.people.rollout:
            return None
        try:
            return reading.look_at_server(int(self.people.rollout.removeprefix("R-")), now_utc())
        except DBAPIError:
            db.session.rollback()  # it is locked for the moment; it is asked again
            return None

    def _hear(self) -> None:
        by_id = {box.device_id: box for box in self.boxes}
        heard = self.house.ear.heard
        while heard:
            device_id, kind, payload = heard.popleft()
            box = by_id.get(device_id)
            if box is None:
                continue
            self.tell(facts.Spoke(device_id, str(kind), payload))
            if kind is Up.HEALTH:
                box.hear_health(payload)
            elif kind is Up.SAMPLES:
                box.hear_looks(payload)
            if not box.is_heard and box.line.is_connected:
                box.is_heard = True
                self.tell(facts.Connected(device_id))
        for box in self.boxes:
            if box.is_heard and not box.line.is_connected:
                box.is_heard = False
                self.tell(facts.Disconnected(box.device_id))

    def _is_over(self) -> bool:
        goes_back = self.run.scenario.rollout.goes_back
        return self._seen is not None and self._seen.is_over(goes_back=goes_back)

    def _is_well(self) -> bool:
        """Whether whatever can become well has."""
        there = [box for box in self.boxes if not box.is_gone]
        is_over = self._is_over() or self.run.scenario.expect.rollout == "running"
        return is_over and all(
            box.is_heard and box.seen.is_at_rest and not box.waits for box in there
        )

    # -- the end -----------------------------------------------------------------------

    def _ending(self) -> Ending:
        self._hear()
        for _ in range(2):  # what the first look finds to wait is told by the second
            self._ask_server()
        seen = self._seen
        for fact in accounts(self.boxes, seen.health if seen else frozenset()):
            self.tell(fact)
        shown = seen.shown if seen else {}
        runs = {
            box.device_id: None if box.seen.dead else (box.seen.running or ("", ""))[1]
            for box in self.boxes
        }
        worst = peak([at_s for box in self.boxes for at_s in box.line.opened_s])
        end = facts.Settled(runs, shown, worst)
        broken = tuple(self._watch.settle(int(self.now_s * 1000), end))
        states: dict[str, int] = {}
        for row in seen.rows if seen else ():
            states[row.state] = states.get(row.state, 0) + 1
        rollout = seen.state if seen else "never planned"
        again = sum(row.attempt > 1 for row in seen.rows) if seen else 0
        self.say(f"ending: {rollout}; {states}; {again} boxes were assigned again")
        return Ending(
            lines=tuple(self.story),
            wrong=(
                *sentences(broken),
                *unexpected(self.run, seen, states, self.people.refused),
                *self._harmless(),
            ),
            broken=broken,
            judged=chosen(self.run.scenario.proc.invariants),
            rollout=rollout,
            states=states,
            strikes=self.struck,
            wall_s=round(self.now_s, 1),
            options={
                "faults": [fault.kind for _, fault in self.run.faults()],
                "boxes": self.run.boxes,
                "disk": str(disk_kind(self.run.scenario)),
                "hour_ms": int(self.run.scenario.proc.hour),
            },
        )

    def _harmless(self) -> Iterator[str]:
        has_faults = self.run.scenario.explore is not None or bool(self.run.faults())
        if has_faults and not self.struck:
            yield "no fault has struck anybody"


def _switch_off(home: Home) -> None:
    """Let nothing of a box run on, also if it sleeps."""
    home.wake()
    home.power_cut()


def disk_kind(scenario: Scenario) -> DiskKind:
    """Return what the boxes of *scenario* lie on."""
    if scenario.explore is not None or needs_forgetful_disk(scenario.fault):
        return DiskKind.FORGETFUL
    if any(fault.kind == "disk_full" for fault in scenario.fault):
        return DiskKind.SMALL
    return DiskKind.PLAIN
