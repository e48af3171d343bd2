"""Looks at real boxes in their folders, and at a real server in its database. Changes nothing."""

import hashlib
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from oleada_agent.boot.control import FileBootControl
from oleada_agent.boot.disk import RealDisk
from oleada_agent.boot.errors import AgentError
from oleada_agent.boot.image import HEADER_BYTES, parse_header
from oleada_agent.errors import StorageError
from oleada_agent.journal import FILES, Journal
from oleada_agent.machine_states import (
    Armed,
    Assigned,
    Downloading,
    Idle,
    Rebooting,
    SlotBad,
    State,
    Trial,
    Written,
)
from oleada_agent.outbox import DIRECTORY
from oleada_server.db import db, read_only
from oleada_server.devices.models import Device
from oleada_server.rollouts import going_back
from oleada_server.rollouts.models import BoxInWave, GoneBack, Rollout, Wave
from oleada_server.rollouts.states import IN_FLIGHT, WaveState
from oleada_server.telemetry.models import HealthSample
from oleada_wire.words import Phase
from sqlalchemy import select

from oleada_lab.proc.home import Home
from oleada_lab.proc.looks import Boot, BoxLook, RowLook, ServerLook, WayLook, Working

SLOTS: Final = ("A", "B")
READ_BYTES: Final = 1 << 20
BOOTED: Final = re.compile(
    r"^oleada-boot: slot ([AB]): (\S+), boot (\d{8}-[0-9a-f]{8}), (\w+)$", re.MULTILINE
)
DEAD: Final = re.compile(r"^oleada-boot: this box can not boot: (.*)$", re.MULTILINE)
PHASES: Final[dict[type, str]] = {
    SlotBad: Phase.DOWNLOADING,
    Downloading: Phase.DOWNLOADING,
    Written: Phase.INSTALLING,
    Armed: Phase.INSTALLING,
    Rebooting: Phase.RESTARTING,
    Trial: Phase.CHECKING,
}
ARMED: Final = (Armed, Rebooting, Trial)


class BoxReader:
    """Looks at one box again and again; what has not changed is not read again."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._said = 0
        self._journal_stamp: tuple[int, ...] = ()
        self._state: State | None = None
        self._slot_stamps: dict[str, int] = {}
        self._running = ""
        self._booted_stamp = 0

    def look(self) -> BoxLook:
        """Return what is to be seen of the box now."""
        boots, dead = self._console()
        state = self._journal()
        told = self._home.booted() or {}
        running = (str(told["slot"]), str(told["version"])) if "slot" in told else None
        work = None if state is None else _working(state)
        spool = self._spool()
        return BoxLook(
            boots=boots,
            dead=dead,
            working=work,
            phase="" if state is None else PHASES.get(type(state.stage), ""),
            verdict=None if state is None else state.last,
            is_at_rest=state is not None
            and isinstance(state.stage, Idle)
            and not any("-report-" in name for name in spool),
            proven=self._proven(),
            running=running,
            digests={work.target: self.digest(work.target)} if work and work.is_armed else None,
            was_overwritten=self._was_overwritten(),
            spool=spool,
        )

    def forget_stamp(self) -> None:
        """Take it that the lab itself has changed the slots."""
        if self._running:
            self._booted_stamp = self._stamp(self._home.slot_path(self._running))

    def digest(self, slot: str) -> str:
        """Return the SHA-256 of the image in *slot*; empty when there is none."""
        digest = hashlib.sha256()
        with suppress(AgentError, OSError), self._home.slot_path(slot).open("rb") as file:
            left = parse_header(file.read(HEADER_BYTES)).image_bytes
            file.seek(0)
            while left and (part := file.read(min(left, READ_BYTES))):
                digest.update(part)
                left -= len(part)
            return digest.hexdigest()
        return ""

    # -- inside ------------------------------------------------------------------------

    def _console(self) -> tuple[tuple[Boot, ...], str]:
        """Return the boots since the last look, and why it boots nothing if it does not."""
        text = self._home.console()
        new = text[self._said :]
        end = new.rfind("\n") + 1
        self._said += end
        found = [self._boot(*one) for one in BOOTED.findall(new[:end])]
        dead = DEAD.findall(new[:end])
        return tuple(found), str(dead[-1]) if dead else ""

    def _boot(self, slot: str, version: str, boot_id: str, reason: str) -> Boot:
        told = self._home.booted() or {}
        mine = told if told.get("boot_id") == boot_id else {}
        self._running = slot
        self._booted_stamp = self._stamp(self._home.slot_path(slot))
        return Boot(
            slot,
            version,
            boot_id,
            reason,
            self.digest(slot),
            bool(mine.get("successful", reason != "update")),
            bool(mine.get("after_watchdog", reason == "watchdog")),
        )

    def _journal(self) -> State | None:
        stamp = tuple(self._stamp(self._home.directory / name) for name in FILES)
        if stamp != self._journal_stamp or not any(stamp):  # a medium under FUSE has no times
            with suppress(StorageError, OSError):  # replaced under our eyes: the next look
                self._state = Journal(RealDisk(self._home.directory)).peek()
                self._journal_stamp = stamp
        return self._state

    def _proven(self) -> frozenset[str]:
        with suppress(AgentError, OSError):
            control = FileBootControl(RealDisk(self._home.directory)).load()
            if control is not None:
                return frozenset(slot for slot in SLOTS if control.of(slot).successful)
        return frozenset()

    def _was_overwritten(self) -> bool:
        if not self._running:
            return False
        stamp = self._stamp(self._home.slot_path(self._running))
        was = bool(stamp and self._booted_stamp and stamp != self._booted_stamp)
        self._booted_stamp = stamp or self._booted_stamp
        return was

    def _spool(self) -> tuple[str, ...]:
        with suppress(OSError):
            folder = self._home.directory / DIRECTORY
            return tuple(path.name for path in folder.glob("*-*") if path.suffix != ".tmp")
        return ()

    def _stamp(self, path: Path) -> int:
        with suppress(OSError):
            return path.stat().st_mtime_ns
        return 0


def _working(state: State) -> Working | None:
    stage = state.stage
    match stage:
        case Assigned(work) | SlotBad(work) | Downloading(work) | Written(work) | Armed(work):
            found = work
        case Rebooting(work) | Trial(work):
            found = work
        case _:
            return None
    return Working(
        type(stage).__name__,
        found.assignment.assignment_id,
        found.assignment.attempt,
        found.target,
        has_begun=not isinstance(stage, Assigned),
        is_armed=isinstance(stage, ARMED),
        version=found.assignment.version,
    )


def look_at_server(rollout_id: int, now: datetime) -> ServerLook:
    """Return the rollout as the database has it *now*; needs an app context."""
    read_only()
    rollout = db.session.get_one(Rollout, rollout_id)
    waves = db.session.scalars(select(Wave).where(Wave.rollout_id == rollout_id)).all()
    position = {wave.id: wave.position for wave in waves}
    query = (
        select(BoxInWave, Device.version)
        .join(Device, Device.id == BoxInWave.device_id)
        .where(BoxInWave.rollout_id == rollout_id)
        .order_by(BoxInWave.device_id)
    )
    rows = tuple(
        RowLook(
            device_id=row.device_id,
            wave=position[row.wave_id],
            state=str(row.state),
            reason=row.reason or "",
            attempt=row.attempt,
            leased=str(row.leased_at or ""),
            is_leased=row.state in IN_FLIGHT
            and row.lease_expires_at is not None
            and row.lease_expires_at > now,
            version=version or "",
        )
        for row, version in db.session.execute(query)
    )
    kept = select(HealthSample.device_id, HealthSample.boot, HealthSample.seq)
    found = ServerLook(
        state=str(rollout.state),
        reason=rollout.state_reason or "",
        waves={
            one.position: one.boxes if one.device_ids is None else len(one.device_ids)
            for one in waves
            if one.state is not WaveState.WAITING
        },
        rows=rows,
        health=frozenset((one, boot, seq) for one, boot, seq in db.session.execute(kept)),
        ways=tuple(_way(one, now) for one in going_back.of(rollout_id)),
    )
    db.session.rollback()
    return found


def _way(said: GoneBack, now: datetime) -> WayLook:
    refused, back_id = said.refused or "", said.back_id or 0
    look = None if refused or not back_id else look_at_server(back_id, now)
    return WayLook(said.version, said.boxes, refused, back_id, look)
