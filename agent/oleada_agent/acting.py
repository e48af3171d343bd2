"""Actions on this box: begun in turn, bounded in time, told of through the outbox.

Loaded when the first command of the table comes, and forgotten when nothing runs: at rest
a box has none of this in its memory. What is durable before an action begins is its
number (``commands``) and its name under ``data/acting``, so that it is done at most once
and the server learns of one that a power cut has ended.
Source: docs/adr/0031-actions-run-in-children.md.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from oleada_wire import action_table, actions
from oleada_wire.actions import Action, Value
from oleada_wire.codec import STRING_CHARS_MAX
from oleada_wire.errors import BadArgumentError
from oleada_wire.messages import Cmd, FileInfo, Header, Progress, Result
from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import turns
from oleada_agent.errors import StorageError
from oleada_agent.offspring import Child
from oleada_agent.ports import Disk
from oleada_agent.said import Said
from oleada_agent.turns import Turn

FOLDER: Final = "data/acting"
LINGERING_MAX: Final = 2
"""Processes that were ended and are still there: the kernel holds them."""
_CMD_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
DEEDS: Final = {"reboot": ("reboot", "factory_reset"), "anew": ("config_set", "config_undo")}
"""What an action may ask the agent to do afterwards, and which ones may."""


class Outbox(Protocol):
    """Where results wait for the server."""

    def put_result(self, make: Callable[[Header], Result]) -> None:
        """Keep the result of a command."""
        ...

    def put_progress(self, make: Callable[[Header], Progress]) -> None:
        """Keep what an action has found so far."""
        ...


@dataclass(slots=True)
class Around:
    """What actions need of the agent.

    Attributes:
        denied: Names that this box does for nobody; ``*`` is all.
        post: Brings what a process says to the agent's thread.
        may_restart: Whether nothing goes on that a restart would disturb.
        deed: Does ``reboot`` or ``anew`` when the result is kept.
        private: Returns what was watched lately, which no result may say.
    """

    box: Path
    disk: Disk
    outbox: Outbox
    denied: frozenset[str]
    post: Callable[[Said], None]
    now_ms: Callable[[], int]
    steady_ms: Callable[[], int]
    may_restart: Callable[[], bool]
    deed: Callable[[str], None]
    private: Callable[[], list[str]] = list


@dataclass(slots=True)
class _Job:
    """One action that waits or runs."""

    command: Cmd
    action: Action
    arguments: Mapping[str, Value]
    turn: Turn
    timeout_ms: int
    child: Child | None = None
    until_ms: int = 0
    began_ms: int = 0
    count: int = 0
    end: dict[str, Any] | None = None


class _Ending(NamedTuple):
    """How an action ended; *said* is the last line of its process."""

    status: ResultStatus
    sentence: str = ""
    why: Refusal | None = None
    said: Mapping[str, Any] = MappingProxyType({})


_UPDATING: Final = _Ending(ResultStatus.REFUSED, "An update goes on.", Refusal.BUSY)


@dataclass(slots=True)
class Actions:
    """Everything that waits or runs; all methods are called by the agent's thread."""

    around: Around
    _waiting: list[_Job] = field(default_factory=list)
    _running: list[_Job] = field(default_factory=list)
    _lingering: list[Child] = field(default_factory=list)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or runs."""
        return not (self._waiting or self._running)

    def begin(self, command: Cmd) -> bool:
        """Take *command* up, or refuse it; return False if it names nothing of the table."""
        action = actions.find(action_table.TABLE, command.verb)
        if action is None or not _CMD_ID.fullmatch(command.cmd_id):
            return False
        if {"*", command.verb} & self.around.denied:
            self._refuse(command, Refusal.DENIED, "This box's own settings forbid it.")
            return True
        try:
            arguments = actions.arguments_of(action, command.arguments)
        except BadArgumentError as error:
            self._refuse(command, Refusal.BAD_ARGUMENT, str(error))
            return True
        if action.name == actions.CANCEL:
            self._cancel(command, str(arguments["cmd_id"]))
            return True
        turn = Turn(command.cmd_id, action.is_exclusive, command.expires_ms)
        self._lingering = [one for one in self._lingering if not one.is_gone]
        if any(one.turn.cmd_id == command.cmd_id for one in (*self._waiting, *self._running)):
            return True  # its own result is on the way
        is_full = not turns.has_room([one.turn for one in self._waiting])
        if is_full or len(self._lingering) > LINGERING_MAX:
            self._refuse(command, Refusal.BUSY, "Too much waits on this box already.")
            return True
        timeout_ms = actions.timeout_ms_of(action, command.timeout_ms)
        self._remember(command.cmd_id)
        self._waiting.append(_Job(command, action, arguments, turn, timeout_ms))
        self._start_next()
        return True

    def take(self, said: Said) -> None:
        """Take up what a process has said."""
        job = next((one for one in self._running if one.turn.cmd_id == said.cmd_id), None)
        if job is None:
            return  # it was ended, and this crossed it
        if said.line is not None:
            self._hear(job, said.line)
        else:
            self._finish(job, is_flood=said.is_flood)

    def next_due_ms(self) -> int | None:
        """Return in how many milliseconds ``look`` wants to be called; None: not at all."""
        due = [job.until_ms - self.around.steady_ms() for job in self._running]
        return max(0, min(due)) if due else None

    def look(self) -> None:
        """End what has taken too long."""
        now_ms = self.around.steady_ms()
        for job in [one for one in self._running if one.until_ms <= now_ms]:
            sentence = f"It was ended after {job.timeout_ms} ms."
            self._end(job, _Ending(ResultStatus.TIMEOUT, sentence, Refusal.TIMED_OUT))
        self._start_next()

    def stop(self) -> None:
        """End everything; the agent ends."""
        for job in self._running:
            if job.child is not None:
                job.child.kill()

    def tell_interrupted(self) -> None:
        """Tell of what was begun and has no result: the agent or the box has ended meanwhile."""
        sentence = "The box started anew meanwhile."
        for name in self.around.disk.list(FOLDER):
            if _CMD_ID.fullmatch(name):
                self._put(name, _Ending(ResultStatus.INTERNAL, sentence, Refusal.DIED))
            self._forget(name)

    def _start_next(self) -> None:
        now_ms = self.around.now_ms()
        for turn in turns.stale([job.turn for job in self._waiting], now_ms):
            late = _Ending(ResultStatus.REFUSED, "Its time ran out.", Refusal.TOO_LATE)
            self._put_end(self._take_out(turn), late)
        while True:
            running = [job.turn for job in self._running]
            found = turns.next_turn(running, [job.turn for job in self._waiting])
            if found is None:
                return
            self._start(self._take_out(found))

    def _take_out(self, turn: Turn) -> _Job:
        job = next(one for one in self._waiting if one.turn is turn)
        self._waiting.remove(job)
        return job

    def _start(self, job: _Job) -> None:
        if job.action.name in DEEDS["reboot"] and not self.around.may_restart():
            self._put_end(job, _UPDATING)  # before it has done half of what it is for
            return
        order = {
            "action": job.action.name,
            "arguments": dict(job.arguments),
            "cmd_id": job.command.cmd_id,
            "box": str(self.around.box),
            "timeout_ms": job.timeout_ms,
            "private": self.around.private(),
        }
        job.began_ms = self.around.now_ms()
        job.until_ms = self.around.steady_ms() + job.timeout_ms
        try:
            job.child = Child(job.command.cmd_id, order, self.around.post)
        except OSError as error:
            sentence = f"No process can be started: {error}."
            self._put_end(job, _Ending(ResultStatus.INTERNAL, sentence, Refusal.DIED))
            return
        self._running.append(job)

    def _hear(self, job: _Job, line: bytes) -> None:
        found = _read(line)
        if job.end is not None or found is None:
            return
        if "end" in found:
            job.end = found
            return
        if job.count >= actions.PROGRESS_MAX:
            return
        job.count += 1
        number, done = job.count, found.get("done_parts")
        self.around.outbox.put_progress(
            lambda header: Progress(
                header,
                job.command.cmd_id,
                number,
                done if type(done) is int else None,
                _text(found.get("output")),
                _values(found.get("values")),
            )
        )

    def _finish(self, job: _Job, *, is_flood: bool) -> None:
        said = job.end
        if is_flood:
            flood = Refusal.TOO_MUCH_OUTPUT
            ending = _Ending(ResultStatus.INTERNAL, "It said too much.", flood)
        elif said is None:
            ending = _Ending(ResultStatus.INTERNAL, "Its process died.", Refusal.DIED)
        else:
            status = _word(ResultStatus, said["end"]) or ResultStatus.INTERNAL
            why = _word(Refusal, said.get("error"))
            ending = _Ending(status, _text(said.get("output")), why, said)
        self._end(job, ending)
        self._start_next()

    def _end(self, job: _Job, ending: _Ending) -> None:
        self._running.remove(job)
        if job.child is not None and not job.child.is_gone:
            job.child.kill()
            self._lingering.append(job.child)
        deed = str(ending.said.get("then"))
        is_asked = ending.status is ResultStatus.COMPLETE
        is_asked = is_asked and job.action.name in DEEDS.get(deed, ())
        if is_asked and deed == "reboot" and not self.around.may_restart():
            is_asked = False
            ending = _UPDATING._replace(said=ending.said)
        self._put_end(job, ending)
        if is_asked:
            self.around.deed(deed)

    def _cancel(self, command: Cmd, cmd_id: str) -> None:
        every = [*self._waiting, *self._running]
        job = next((one for one in every if one.turn.cmd_id == cmd_id), None)
        if job is None:
            sentence = "Nothing of that name waits or runs here."
            self._refuse(command, Refusal.NOT_RUNNING, sentence)
            return
        if job in self._waiting:
            self._waiting.remove(job)
            self._put_end(job, _Ending(ResultStatus.CANCELED, "It had not begun."))
        else:
            self._end(job, _Ending(ResultStatus.CANCELED, "It was ended."))
        self._put(command.cmd_id, _Ending(ResultStatus.COMPLETE))
        self._start_next()

    def _refuse(self, command: Cmd, why: Refusal, sentence: str) -> None:
        self._put(command.cmd_id, _Ending(ResultStatus.REFUSED, sentence, why))

    def _put_end(self, job: _Job, ending: _Ending) -> None:
        self._put(job.command.cmd_id, ending, job)
        self._forget(job.command.cmd_id)

    def _put(self, cmd_id: str, ending: _Ending, job: _Job | None = None) -> None:
        said = ending.said
        self.around.outbox.put_result(
            lambda header: Result(
                header,
                cmd_id,
                ending.status,
                _text(ending.sentence),
                _values(said.get("values")),
                progress=job.count if job else None,
                is_truncated=bool(said.get("is_truncated")) if said else None,
                files=_files(said.get("files")),
                error=str(ending.why) if ending.why else None,
                began_ms=job.began_ms or None if job else None,
            )
        )

    def _remember(self, cmd_id: str) -> None:
        try:
            self.around.disk.create(f"{FOLDER}/{cmd_id}")
            self.around.disk.fsync_dir(FOLDER)
        except StorageError:
            return  # nobody is told of it after a power cut, and that is all

    def _forget(self, cmd_id: str) -> None:
        try:
            self.around.disk.unlink(f"{FOLDER}/{cmd_id}")
        except StorageError:
            return


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(found: object) -> str:
    if not isinstance(found, str):
        return ""
    kept = "".join(one if one.isprintable() or one in "\n\t" else "?" for one in found)
    return kept[:STRING_CHARS_MAX]


def _values(found: object) -> dict[str, Value]:
    if not isinstance(found, dict):
        return {}
    return {
        str(name)[:200]: _text(value) if isinstance(value, str) else value
        for name, value in found.items()
        if isinstance(value, str) or (type(value) in (bool, int) and abs(value) < 2**63)
    }


def _files(found: object) -> tuple[FileInfo, ...] | None:
    if not isinstance(found, list) or not found:
        return None
    return tuple(
        FileInfo(str(one["name"]), int(one["size_bytes"]), str(one["sha256"]))
        for one in found[: actions.FILES_MAX]
        if isinstance(one, dict) and _FILE_NAME.fullmatch(str(one.get("name")))
    )


def _word(words: Any, found: object) -> Any:
    return found and next((word for word in words if word == found), None)
