"""Messages that tell what became of a command, and what a box writes in its log."""

from dataclasses import dataclass, field

from oleada_wire.parts import FileInfo, Header
from oleada_wire.words import ResultStatus


@dataclass(frozen=True, slots=True)
class Result:
    """Box to server: how a command ended.

    What follows *output* is told of actions only, and None of other commands.

    Attributes:
        output: For people, or the last lines of what it found.
        values: By name as the action's ``results`` say, without what came in progress.
        progress: How many progress messages came before.
        is_truncated: More was found than an action may tell.
        files: That were uploaded.
        error: A word of ``Refusal`` when the status alone does not say why.
        began_ms: By the box's clock; UTC milliseconds.
    """

    header: Header
    cmd_id: str
    status: ResultStatus
    output: str = ""
    values: dict[str, bool | int | str] | None = None
    progress: int | None = None
    is_truncated: bool | None = None
    files: tuple[FileInfo, ...] | None = None
    error: str | None = None
    began_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Box to server: what an action has found so far; never what was told before.

    Attributes:
        number: From 1; rises by one with each of the action.
        done_parts: Ten-thousandths of the action that are done; None when it can not say.
        output: More of the text; all of it is that of every progress and of the result.
        values: More of the values.
    """

    header: Header
    cmd_id: str
    number: int
    done_parts: int | None = None
    output: str = ""
    values: dict[str, bool | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Log:
    """Box to server: lines of its log, newest last."""

    header: Header
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gone:
    """A box's last will, which the broker publishes: its connection ended, and it took no leave.

    A hint: a broker that is killed publishes none, and one that waits for a dead router does
    so late.
    """

    header: Header


@dataclass(frozen=True, slots=True)
class Crash:
    """Box to server: a process ended that should not have (TR-181 ProcessFaults)."""

    header: Header
    process_name: str
    reason: str
    firmware_version: str
