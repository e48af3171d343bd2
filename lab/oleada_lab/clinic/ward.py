"""The ward: the real server, its broker, a few neighbours, and beds for real boxes.

Everything that a desk does goes through REST; what a box says comes over MQTT with its own
certificate. The database is written for two things only: neighbours, who say nothing by
themselves, and the time that passed, which nobody waits for.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from oleada_server.client import Client
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis.models import Complaint, HeardCount
from oleada_server.telemetry.models import DeviceEvent, HealthSample, TroubleHour
from sqlalchemy import delete, func, select

from oleada_lab.boxes import BoxPlan, make_box
from oleada_lab.clinic.bed import Bed
from oleada_lab.clinic.patient import Patient
from oleada_lab.clinic.street import WEB_PORT, Street
from oleada_lab.clinic.surroundings import Surroundings
from oleada_lab.clock import monotonic_s, now_utc, sleep_s
from oleada_lab.errors import LabError
from oleada_lab.firmware.image import BuiltImage
from oleada_lab.proc.home import NAME
from oleada_lab.proc.house import House

MODEL: Final = "VX-410"
VERSIONS: Final = ("1.0.0", "1.0.1")
SETTINGS: Final[dict[str, str | int]] = {
    "health_s": 86_400, "connect_spread_s": 0, "keepalive_s": 60, "settle_s": 1,
}  # fmt: skip
"""A box of the ward speaks when it starts and when it is asked, so that time stands still."""
HOSTS: Final = f"127.0.0.1 localhost {NAME}\n"
POLL_S: Final = 0.1
LIMIT_S: Final = 90.0
NEIGHBOURS: Final = 8
"""Boxes of each region and version, that say nothing by themselves."""


@dataclass(slots=True)
class Ward:
    """A server with beds, under *home*.

    Attributes:
        factory: The image of each version.
    """

    home: Path
    house: House
    street: Street = field(default_factory=Street)
    factory: dict[str, BuiltImage] = field(default_factory=dict)
    _numbers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    @contextmanager
    def open(cls, home: Path) -> Iterator["Ward"]:
        """Start the server and yield the ward; end all of it afterwards.

        Raises:
            OperatorError: The server does not start; says why.
        """
        ward = cls(home, House(home, MODEL))
        with ward.street, ward.house.open():
            for version in VERSIONS:
                ward.factory[version] = ward.house.build(version)
            yield ward

    @property
    def client(self) -> Client:
        """REST with the rights of the desk."""
        return self.house.operator.server.client

    def admit(self, bed: Bed, region: str, seed: str) -> "Guest":
        """Return a new box in *bed*, claimed and made, that never had power.

        Raises:
            LabError: Its room can not be made.
        """
        with self._lock:
            self._numbers += 1
            number = self._numbers
        serial = f"410C{number:08d}"
        config = self.house.operator.server.config
        claim = self.client.post(
            "/api/v1/claims",
            {"serial": serial, "hardware_model": MODEL, "zone": "UTC", "region": region},
        )
        room = Surroundings(self.home / "rooms" / serial, number, bed.facts)
        room.make(HOSTS)
        plan = BoxPlan(
            serial=serial, hardware_model=MODEL, mac=room.mac(1), settings=SETTINGS,
            enrol_url=f"{config.door_url}/device/v1/enrol", claim_token=claim["token"],
            ca_pem=(config.pki_dir / "service-ca.pem").read_text(),
        )  # fmt: skip
        folder = room.room / "box"
        make_box(folder, plan, self.factory[bed.version].path)
        way = self.street.way((config.broker_port, config.door_port), seed)
        way.road = bed.road
        patient = Patient(folder, room, way)
        patient.player = bed.player
        patient.add_settings(
            {"test_hosts": ["127.0.0.1"], "logs": [str(folder / "run" / "player.log")]}
        )
        if bed.small_bytes:
            room.shrink(bed.small_bytes)
        return Guest(self, serial, bed, patient)

    def neighbours(self, prefix: str, count: int, region: str, version: str) -> list[str]:
        """Add *count* boxes that were heard just now, and return their ids."""
        now, made = now_utc(), []
        with self.house.app.app_context():
            for number in range(count):
                box = Device(
                    id=f"{prefix}{number:02d}", serial=f"{prefix}-{number}", hardware_model=MODEL,
                    zone="UTC", region=region, version=version, enrolled_at=now,
                    first_seen_at=now, last_seen_at=now, security_version=1, connected=True,
                )  # fmt: skip
                db.session.add(box)
                made.append(box.id)
            db.session.execute(delete(HeardCount))  # so that they are counted at once
            db.session.commit()
            db.session.remove()
        return made

    def complain(self, device_ids: list[str], symptom: str, channel: str) -> None:
        """Let the households of boxes complain too."""
        for device_id in device_ids:
            body = {"symptom": symptom, "channel": channel}
            self.client.post(f"/api/v1/devices/{device_id}/complaints", body)

    def forget(self, device_ids: list[str]) -> None:
        """Let nobody complain of these boxes any more, and their troubles be over."""
        with self.house.app.app_context():
            for table in (Complaint, TroubleHour):
                db.session.execute(delete(table).where(table.device_id.in_(device_ids)))
            db.session.commit()
            db.session.remove()


@dataclass(slots=True)
class Guest:
    """One box of the ward, and what its desk does with it.

    Attributes:
        device_id: Empty until it is known.
    """

    ward: Ward
    serial: str
    bed: Bed
    patient: Patient
    device_id: str = ""

    def arrive(self) -> None:
        """Switch it on for the first time, and return when its first health is stored.

        Raises:
            LabError: It does not arrive in time.
        """
        self.patient.start()
        self.settle()

    def settle(self) -> None:
        """Return when its first health is stored.

        Raises:
            LabError: It does not come in time.
        """
        self.until(lambda: self._find() and self.samples() > 0, "its first health message")

    def leave(self) -> None:
        """Take it out of the ward; nobody complains of it any more."""
        self.patient.end()
        self.ward.street.leave(self.patient.way)
        self.ward.forget([self.device_id])

    def until(self, done: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        """Return when *done*.

        Raises:
            LabError: It is not done after *limit_s* seconds; says where to read.
        """
        end_s = monotonic_s() + limit_s
        while not done():
            if monotonic_s() > end_s:
                raise LabError(
                    f"{self.serial}: waited {limit_s:.0f} s in vain for {what}; "
                    f"read {self.patient.room.room}/console.log."
                )
            sleep_s(POLL_S)

    def samples(self) -> int:
        """Return how many health messages of it are stored."""
        query = select(func.count(HealthSample.id)).where(HealthSample.device_id == self.device_id)
        return int(self._ask(query) or 0)

    def tell_health(self) -> None:
        """Let it tell how it is now; return when that is stored.

        Raises:
            LabError: It does not.
        """
        before = self.samples()
        self.order("report_health")
        self.until(lambda: self.samples() > before, "another health message")

    def pass_time(self, passed: timedelta, *, box_too: bool = False) -> None:
        """Let all that was heard of it be older by so much; with *box_too* its silence also."""
        mine = self.device_id
        samples = select(HealthSample).where(HealthSample.device_id == mine)
        events = select(DeviceEvent).where(DeviceEvent.device_id == mine)
        with self.ward.house.app.app_context():
            for row in (*db.session.scalars(samples), *db.session.scalars(events)):
                row.received_at, row.box_at = row.received_at - passed, row.box_at - passed
            if box_too:
                found = db.session.get_one(Device, mine)
                found.last_seen_at = _before(found.last_seen_at, passed)
                found.health_at = _before(found.health_at, passed)
            db.session.commit()
            db.session.remove()

    # -- the desk ----------------------------------------------------------------------

    def verdict(self, symptom: str, channel: str = "", asked: tuple[str, ...] = ()) -> Any:
        """Return what the server says is most likely wrong."""
        words = "".join(f"&asked={quote(one)}" for one in asked)
        place = f"{self._place}/diagnosis?symptom={symptom}&channel={quote(channel)}{words}"
        return self.ward.client.get(place)

    def begin_checks(self, symptom: str, channel: str = "") -> Any:
        """Note the complaint, begin the checks that nobody notices; return the verdict."""
        body = {"symptom": symptom, "channel": channel}
        return self.ward.client.post(f"{self._place}/diagnosis", body)

    def order(self, action: str, consent: str = "none", **arguments: Any) -> Any:
        """Order one action and return the order."""
        body = {"action": action, "arguments": arguments, "reason": "a call", "consent": consent}
        return self.ward.client.post(f"{self._place}/actions", body)

    def orders(self) -> list[Any]:
        """Return the newest orders of the box."""
        found: list[Any] = self.ward.client.get(f"{self._place}/actions?limit=50")["actions"]
        return found

    def await_orders(self, limit_s: float) -> bool:
        """Return whether every order has ended within *limit_s* seconds."""
        end_s = monotonic_s() + limit_s
        while any(one["state"] in ("waiting", "running") for one in self.orders()):
            if monotonic_s() > end_s:
                return False
            sleep_s(2 * POLL_S)
        return True

    @property
    def web(self) -> str:
        """Where the box may load from to test its line."""
        return f"http://127.0.0.1:{WEB_PORT}/"

    @property
    def _place(self) -> str:
        return f"/api/v1/devices/{self.device_id}"

    def _find(self) -> bool:
        self.device_id = self._ask(select(Device.id).where(Device.serial == self.serial)) or ""
        return bool(self.device_id)

    def _ask(self, query: Any) -> Any:
        with self.ward.house.app.app_context():
            found = db.session.scalar(query)
            db.session.remove()
        return found


def _before(at: datetime | None, passed: timedelta) -> datetime | None:
    return None if at is None else at - passed
