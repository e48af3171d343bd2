"""One real update, over and over: a house, a factory box, and a folder in which it runs.

The box enrols, is told of a release, installs, tries and keeps it: boot program, agent,
broker and TLS as they ship. What a box is on is the caller's: a plain folder, or a
medium under FUSE that loses what was not made durable.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from queue import Empty
from typing import Final

from oleada_agent import clock
from oleada_agent.boot import control
from oleada_agent.boot.errors import ImageError
from oleada_agent.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_agent.health import utc
from oleada_wire import messages
from oleada_wire.messages import Hello, Report
from oleada_wire.topics import Up
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from oleada_lab.boxes import Box, BoxPlan, make_box
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.errors import OperatorError
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_lab.real.house import TOKEN, House
from oleada_lab.real.patience import Patience, delays_of
from oleada_lab.real.repository import MODEL, Repository, replace_a_root_key
from oleada_lab.real.server import Server
from oleada_lab.real.steps import stage_of
from oleada_lab.real.tale import UPDATED, Tale
from oleada_lab.real.verdict import IDLE, Fate, Goal, Seen, Verdict, ends_badly, is_done, judge

SPARE, OLD, NEW = "5.8.0", "5.8.1", "5.8.2"
"""What lies in slot B, what runs in slot A, and what is assigned."""
OTHER_DIGEST: Final = "0" * 64
SYSTEM_BYTES: Final = 64 * 1024
"""Of the system in the images: the agent itself is most of what is downloaded."""
SETTINGS: Final = {
    # Nothing here shortens a check; the box only waits for nobody.
    "connect_spread_s": 0,
    "settle_s": 0,
    "health_s": 86_400,
    "player_s": 30,
}
LIMIT_S: Final = 240
"""A box that has had so much time (``patience``) and does not rest is called stuck; it takes five
seconds on a free core."""
BROKER_LIMIT_S: Final = 600
WATCHDOG_S: Final = 900
"""For an agent to begin: a machine that many use may take a minute for the second of work, and
an agent that never begins is known by its end."""
LEFTOVERS: Final = (".tmp", ".new", ".broken")
WAITING: Final = re.compile("-(report|result)-")
"""In the name of a message that the server has not acknowledged; telemetry comes any time."""
POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Known:
    """What a server knows of a box at one moment.

    Attributes:
        device_id: Whom the box becomes when it enrols, or has become.
        reports: Every one that it has had.
        has_result: The command has its result.
    """

    device_id: str
    reports: tuple[Report, ...] = ()
    has_result: bool = False


class Scene:
    """A house with a desk, and what a box leaves the factory with.

    Attributes:
        factory: The folder of a new box, to be copied or loaded.
        goal: What every box is told to become.
        console: Where the box of the moment speaks.
        memory: Its temporary files, which would outlive a killed box elsewhere.
    """

    def __init__(
        self, home: Path, desk: Server, factory: Path, images: dict[str, BuiltImage], tale: Tale
    ) -> None:
        self.console = home / "console.log"
        self.memory = home / "memory"
        self.memory.mkdir()
        self._desk = desk
        self.factory = factory
        ends_with = images[NEW if tale.is_kept else OLD]
        self.goal = Goal(ends_with.spec.version, ends_with.sha256, tale.phase, tale.reason)
        self._image = images[NEW]
        self._devices = 0
        self._attempt = 1
        self._base = Known("")
        self._hellos: list[Hello] = []
        self._reports: list[Report] = []

    def new_box(self, folder: Path) -> Box:
        """Return a box in *folder* that the house has never seen; it is told what to become."""
        self._devices += 1
        self.go_back(Known(f"VX41{self._devices:08d}"))
        self.console.unlink(missing_ok=True)
        return self.box_in(folder)

    def box_in(self, folder: Path) -> Box:
        """Return the box in *folder*, switched off."""
        return Box(folder, self.console, self.memory, watchdog_s=WATCHDOG_S)

    def known(self, until_s: float = inf) -> Known:
        """Return what the server knew of the box at a moment of the steady clock, or knows now."""
        base = self._base
        reports, has_result = list(base.reports), base.has_result
        for kind, data in self._desk.noted(until_s):
            if kind is Up.REPORT:
                reports.append(messages.decode(Report, data))
            has_result = has_result or kind is Up.RESULT
        return Known(base.device_id, tuple(reports), has_result)

    def go_back(self, known: Known) -> None:
        """Let the server know what it knew, and the broker hold nothing else for the box."""
        self._desk.meet(known.device_id)
        _forget_session(self._desk.house.desk_port, known.device_id)
        # What a box said with its last breath is heard now, and not as a word of the next one.
        self._desk.catch_up()
        self._hear()
        self._attempt, self._base = 1, known
        self._hellos, self._reports = [], list(known.reports)
        self._desk.remember(
            has_result=known.has_result,
            has_verdict=self._has_verdict(),
            image=self._image.path.read_bytes(),
        )

    def assign_again(self) -> None:
        """Assign the release a second time, as a server does after a failure of the disk."""
        self._attempt = 2
        self._desk.assign(self._image.path.read_bytes(), seq=3, attempt=self._attempt)

    def look(self, box: Box) -> Seen:
        """Return what can be seen of *box* now, and what the server was told of this attempt."""
        self._hear()
        told = box.booted() or {}
        slot = str(told.get("slot", ""))
        disk = RealDisk(box.directory)
        return Seen(
            hellos=tuple(self._hellos),
            reports=tuple(one for one in self._reports if one.attempt == self._attempt),
            booted=(slot, str(told.get("version", ""))) if slot else None,
            slot_sha256=_slot_sha256(box, slot),
            stage=stage_of(disk),
            is_proven=_is_proven(disk, slot),
            is_on=box.is_on,
            said=box.console()[-600:],
            left=_left(box.directory / "data"),
            before=len(self._base.reports),
        )

    def wait(self, box: Box) -> Seen | None:
        """Return what was seen of *box* when it had come to rest; None if it is off, or late."""
        patience = Patience(LIMIT_S, monotonic_s())
        while box.is_on and not patience.is_out(monotonic_s(), lambda: delays_of(box.pid)):
            if (seen := self.rest(box)) is not None:
                return seen
            sleep_s(POLL_S)
        return None

    def rest(self, box: Box) -> Seen | None:
        """Return what is seen of *box* if nothing more will come of it, else None."""
        self._hear()
        if not self._hellos or not self._has_verdict():
            return None  # it costs less than a look at the whole box
        try:
            seen = self.look(box)
        except (OSError, StorageError):  # its power went just now
            return None
        has_failed = seen.stage == IDLE and any(
            ends_badly(report, self.goal) for report in seen.reports
        )
        return seen if has_failed or is_done(seen, self.goal) else None

    def _has_verdict(self) -> bool:
        return any(report.phase.is_final for report in self._reports)

    def _hear(self) -> None:
        with suppress(Empty):
            while True:
                kind, data = self._desk.heard.get_nowait()
                if kind is Up.HELLO:
                    self._hellos.append(messages.decode(Hello, data))
                elif kind is Up.REPORT:
                    self._reports.append(messages.decode(Report, data))


def until_dark(scene: Scene, box: Box) -> None:
    """Return when the power of *box* has gone; it goes at the goal at the latest."""
    try:
        box.power_on()
        scene.wait(box)
    finally:
        box.power_cut()


def recover(scene: Scene, box: Box) -> tuple[Verdict, str]:
    """Return what becomes of *box* when nothing fails, and its last words if it is not well."""
    try:
        box.power_on()
        seen = scene.wait(box) or scene.look(box)
    finally:
        box.power_cut()
    verdict = judge(seen, scene.goal)
    return verdict, "" if verdict.fate is Fate.WELL else seen.said


@contextmanager
def a_scene(home: Path, tale: Tale = UPDATED) -> Iterator[Scene]:
    """Yield a scene of *tale* over directory *home*, which is made; nothing is left running."""
    home.mkdir(parents=True, exist_ok=True)
    images = {
        version: build_small_image(
            ImageSpec(MODEL, version, security_version=level, behaviour=behaviour),
            home / f"{version}.img",
            system_bytes=SYSTEM_BYTES,
        )
        for version, level, behaviour in (
            (SPARE, 1, "good"),
            (OLD, 2, "good"),
            (NEW, 3, tale.behaviour),
        )
    }
    repository = Repository(now=utc(clock.now_ms()))
    (home / "house").mkdir()
    with House(home / "house", repository).open() as house, Server(house) as desk:
        _publish(desk, images[NEW])
        plan = BoxPlan(
            serial="SN-1",
            hardware_model=MODEL,
            enrol_url=house.door.url,
            ca_pem=house.services.pem,
            claim_token=TOKEN,
            settings={**SETTINGS, **tale.settings},
        )
        yield Scene(home, desk, _make_factory(home, plan, images), images, tale)


def _make_factory(home: Path, plan: BoxPlan, images: dict[str, BuiltImage]) -> Path:
    """Make the folder of a new box, an older image in its spare slot; return it."""
    box = make_box(home / "factory", plan, images[OLD].path)
    shutil.copyfile(images[SPARE].path, box.slot_path("B"))
    for path in control.FILES:  # one record, as the simulated box leaves the factory
        (box.directory / path).unlink(missing_ok=True)
    proven = control.marked_good(control.factory("B"), "A")
    control.FileBootControl(RealDisk(box.directory)).store(proven)
    return box.directory


def _publish(desk: Server, image: BuiltImage) -> None:
    """Publish the release, and with it a root with another key and a deny list."""
    data, repository = image.path.read_bytes(), desk.repository
    replace_a_root_key(repository)
    repository.add_target(f"{MODEL}/{NEW}.img", data)
    repository.publish("root", MODEL)
    desk.house.door.artifacts[image.sha256] = data
    desk.publish_trust(data)
    desk.publish_deny(OTHER_DIGEST)


def _forget_session(port: int, device_id: str) -> None:
    """Take the session of *device_id* over with a clean start: nothing queued is delivered."""
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=device_id, protocol=MQTTProtocolVersion.MQTTv5
    )
    client.connect("127.0.0.1", port, clean_start=True)
    until = monotonic_s() + BROKER_LIMIT_S
    while not client.is_connected():
        if monotonic_s() > until:
            raise OperatorError("The broker of the small house does not answer.")
        client.loop(timeout=0.1)
    client.disconnect()
    client.loop(timeout=0.1)


def _slot_sha256(box: Box, slot: str) -> str:
    try:
        return box.slot_sha256(slot) if slot else ""
    except (ImageError, OSError):
        return ""


def _left(data: Path) -> tuple[str, ...]:
    """Return the files under *data* that should be gone when a box rests."""
    found = (path for path in data.rglob("*") if path.is_file())
    return tuple(
        sorted(
            path.relative_to(data).as_posix()
            for path in found
            if path.suffix in LEFTOVERS or WAITING.search(path.name)
        )
    )


def _is_proven(disk: RealDisk, slot: str) -> bool:
    said = control.FileBootControl(disk).load()
    return said is not None and slot in ("A", "B") and said.of(slot).successful
