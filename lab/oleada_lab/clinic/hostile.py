"""What a thief of the broker, a broken server or a broken box can do to a real agent.

Forged, replayed, expired and unknown commands, a flood of them, results of a hundred
megabytes, and a full disk. Each returns what the server was told of it; the agent has to be
the same process afterwards, and to answer.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging import service as messaging
from oleada_server.telemetry.models import DeviceEvent
from oleada_wire import topics
from oleada_wire.envelope import KeySigner
from oleada_wire.ids import BootId
from oleada_wire.messages import Cmd, Header, seal
from oleada_wire.topics import Down
from sqlalchemy import select, update

from oleada_lab.bench.footprint import agent_of
from oleada_lab.clinic.acting import a_bed, do, ended
from oleada_lab.clinic.ward import Guest, Ward
from oleada_lab.clock import now_utc

FORGED: Final = 300
"""More than an agent keeps messages for, if it told of each."""
REPLAYED: Final = 20
MINUTE: Final = timedelta(minutes=1)
HUGE_BYTES: Final = 100_000_000
REFUSED: Final = "X_OLEADA_RefusedCommands"
RESULT_CHARS_MAX: Final = 256 * 1024
ALIVE_LIMIT_S: Final = 60.0
SMALL_BYTES: Final = 6 * 1024 * 1024


@dataclass(slots=True)
class Attacked:
    """One box, and what somebody does to it.

    Attributes:
        agent: Its agent as it was before.
    """

    guest: Guest
    agent: psutil.Process

    @classmethod
    def of(cls, guest: Guest) -> "Attacked":
        """Return the box of *guest*, which runs."""
        return cls(guest, agent_of(guest.patient))

    def is_up(self) -> bool:
        """Return whether its agent is the one that was there, and answers."""
        return self.agent.is_running() and do(self.guest, "ping").status == "Complete"

    def answer(self) -> str:
        """Return how it answers a ping now: with no room for its number it does nothing."""
        end = do(self.guest, "ping")
        return f"{end.status}: {end.error}"

    def forge(self) -> int:
        """Send it a flood of commands that a stranger has signed; return how many it counts."""
        signer = KeySigner.of(Ed25519PrivateKey.generate())
        self._say(
            [seal(self._command("reboot", number + 10), [signer]) for number in range(FORGED)]
        )
        return self._counts(FORGED)

    def replay(self) -> int:
        """Say every command that it ever got once more; return how many it counts as refused."""
        before = self._refused()
        ear = self.guest.ward.house.ear
        mine = topics.down(self.guest.device_id, Down.CMD)
        old = [one for one in ear.orders() if one[0] == mine][:REPLAYED]
        ear.say_again(old)
        return self._counts(before + len(old)) - before

    def send_late(self) -> tuple[str, str]:
        """Send it a command of the director that is too old; return what it answers."""
        command = self._command("ping", self._next_number(), now_utc() - 2 * MINUTE)
        self._say([seal(command, [messaging.director(self.guest.ward.house.app)])])
        return self._answer(command.cmd_id)

    def send_unknown(self) -> tuple[str, str]:
        """Send it a command of the director that no table has; return what it answers."""
        command = self._command("rm_rf", self._next_number())
        self._say([seal(command, [messaging.director(self.guest.ward.house.app)])])
        return self._answer(command.cmd_id)

    def offer_huge_file(self) -> tuple[str, str]:
        """Let its player offer a screenshot of a hundred megabytes; return how that ends."""
        daemon = self.guest.patient.daemon
        assert daemon is not None, "the player runs"  # noqa: S101
        daemon.lie = "huge-file"
        end = do(self.guest, "screenshot")
        daemon.lie = ""
        return end.status, end.error

    def write_huge_log(self) -> tuple[str, bool, int]:
        """Let its log have a hundred megabytes; return status, whether cut, and characters."""
        with (self.guest.patient.directory / "run/player.log").open("w") as file:
            file.seek(HUGE_BYTES)
            file.writelines(f"line {number} {'z' * 900}\n" for number in range(1_500))
        made = self.guest.order("log_pull", "none", lines=5_000)
        end = ended(self.guest, made["id"])
        said = [value for name, value in end["values"].items() if "Truncated" in name]
        return end["status"], True in said, len(end["output"])

    def fill_disk(self) -> int:
        """Fill the disk of its data to the last byte; return how many bytes are free then."""
        root = Path(f"/proc/{self.agent.pid}/root{self.guest.patient.directory}/data")
        try:
            with (root / "filler").open("wb") as file:
                while True:
                    file.write(bytes(64 * 1024))
                    file.flush()
        except OSError:
            pass  # it is full now
        return psutil.disk_usage(str(root)).free

    def make_room(self) -> None:
        """Take away what fills the disk."""
        root = Path(f"/proc/{self.agent.pid}/root{self.guest.patient.directory}/data")
        (root / "filler").unlink()

    def told(self, word: str) -> bool:
        """Return whether the server has stored an event of it that holds *word*."""
        return any(word in str(body) for body in self._bodies())

    # -- inside ------------------------------------------------------------------------

    def _say(self, sealed: list[bytes]) -> None:
        topic = topics.down(self.guest.device_id, Down.CMD)
        self.guest.ward.house.ear.say_again([(topic, one) for one in sealed])

    def _command(self, verb: str, number: int, expires: Any = None) -> Cmd:
        now = now_utc()
        header = Header(secrets.token_hex(16), _ms(now), BootId(1, secrets.token_hex(4)), number)
        until = _ms(expires or now + MINUTE)
        return Cmd(header, self.guest.device_id, secrets.token_hex(16), number, verb, until)

    def _next_number(self) -> int:
        """Return the number of the next command, as the server gives it."""
        raised = update(Device).where(Device.id == self.guest.device_id)
        with self.guest.ward.house.app.app_context():
            asked = raised.values(cmd_seq=Device.cmd_seq + 1).returning(Device.cmd_seq)
            number = int(db.session.execute(asked).scalar_one())
            db.session.commit()
            db.session.remove()
        return number

    def _refused(self) -> int:
        """Return how many commands it has refused, as it says now."""
        self.guest.tell_health()
        found = self.guest.ward.client.get(f"/api/v1/devices/{self.guest.device_id}")["health"]
        return int(found.get(REFUSED, 0))

    def _counts(self, wanted: int) -> int:
        found = 0

        def is_there() -> bool:
            nonlocal found
            found = self._refused()
            return found >= wanted

        self.guest.until(is_there, f"{wanted} refused commands to be counted", ALIVE_LIMIT_S)
        return found

    def _answer(self, cmd_id: str) -> tuple[str, str]:
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = [one for one in self._bodies() if one.get("cmd_id") == cmd_id]
            return bool(found)

        self.guest.until(is_there, "the answer to a command", ALIVE_LIMIT_S)
        return str(found[0].get("status")), str(found[0].get("error"))

    def _bodies(self) -> list[Any]:
        mine = select(DeviceEvent.body).where(DeviceEvent.device_id == self.guest.device_id)
        with self.guest.ward.house.app.app_context():
            found = list(db.session.scalars(mine))
            db.session.remove()
        return found


def play(ward: Ward) -> dict[str, Any]:
    """Do everything to one box whose disk is small; return what came of each.

    Raises:
        LabError: The box does not answer any more.
    """
    bed = a_bed("hostile")
    bed.small_bytes = SMALL_BYTES
    guest = ward.admit(bed, "Region A", "hostile")
    try:
        guest.arrive()
        return _played(Attacked.of(guest))
    finally:
        guest.leave()


def _played(box: Attacked) -> dict[str, Any]:
    steps: dict[str, Callable[[], Any]] = {
        "forged": box.forge, "replayed": box.replay, "late": box.send_late,
        "unknown": box.send_unknown, "huge_file": box.offer_huge_file,
        "huge_log": box.write_huge_log,
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name, step in steps.items():
        found[name] = step()
        found[f"up after {name}"] = box.is_up()
    found["free_bytes_when_full"] = box.fill_disk()
    found["answer_when_full"] = box.answer()
    found["up when full"] = box.agent.is_running()
    found["forged_told"] = box.told("refused 'cmd'")
    box.guest.until(lambda: box.told("disk"), "word of the full disk", ALIVE_LIMIT_S)
    box.make_room()
    found["up with room again"] = box.is_up()
    return found


def wrong(found: dict[str, Any]) -> list[str]:
    """Return a sentence for each thing in *found* that is not as it must be."""
    status, is_cut, chars = found["huge_log"]
    must = {
        **{name: value is True for name, value in found.items() if name.startswith("up ")},
        "each forged command is counted": found["forged"] >= FORGED,
        "forged commands are told of": found["forged_told"],
        "replayed commands are counted": found["replayed"] > 0,
        "one that is late is told so": found["late"] == ("Refused", "too-late"),
        "an unknown one is told so": found["unknown"][0] == "Refused",
        "a huge file is not taken": found["huge_file"][0] != "Complete",
        "a huge log is cut": status == "Complete" and is_cut and chars <= RESULT_CHARS_MAX,
        "the disk is full": found["free_bytes_when_full"] == 0,
        "a full disk is said": "disk refuses" in found["answer_when_full"],
    }
    return [f"not so: {sentence}" for sentence, is_so in must.items() if not is_so]


def _ms(at: Any) -> int:
    return int(at.timestamp() * 1000)
