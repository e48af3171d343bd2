"""The agent's side of actions, without an agent."""

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oleada_agent import clock
from oleada_agent.acting import Actions, Around
from oleada_agent.disk import RealDisk
from oleada_agent.said import Said
from oleada_wire.actions import Value
from oleada_wire.ids import BootId
from oleada_wire.messages import Cmd, Header, Progress, Result

WAIT_S = 60
HEADER = Header("0" * 32, 0, BootId(1, "0a1b2c3d"), 1)


@dataclass
class Bench:
    """The agent's side of actions, without an agent."""

    box: Path
    denied: frozenset[str] = frozenset()
    may_restart: bool = True
    now_ms: int = 1_000
    steady_ms: Callable[[], int] = clock.steady_ms
    said: "queue.SimpleQueue[Said]" = field(default_factory=queue.SimpleQueue)
    results: list[Result] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    deeds: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.box / "data").mkdir(parents=True, exist_ok=True)
        (self.box / "run").mkdir(exist_ok=True)
        self.actions = Actions(
            Around(
                self.box, RealDisk(self.box), self, self.denied, post=self.said.put,
                now_ms=lambda: self.now_ms, steady_ms=self._steady,
                may_restart=lambda: self.may_restart, deed=self.deeds.append,
            )
        )  # fmt: skip

    def _steady(self) -> int:
        return self.steady_ms()

    def put_result(self, make: Callable[[Header], Result]) -> None:
        """Keep a result."""
        self.results.append(make(HEADER))

    def put_progress(self, make: Callable[[Header], Progress]) -> None:
        """Keep progress."""
        self.progress.append(make(HEADER))

    def send(self, verb: str, cmd_id: str = "C-1", **more: Any) -> bool:
        """Give one command."""
        timeout_ms = more.pop("timeout_ms", None)
        expires_ms = more.pop("expires_ms", 2_000)
        command = Cmd(HEADER, "VX417Q3K0928", cmd_id, 1, verb, expires_ms, more, timeout_ms)
        return self.actions.begin(command)

    def result_of(self, cmd_id: str = "C-1") -> Result:
        """Return how *cmd_id* ended; a minute at most."""
        while (found := self._result(cmd_id)) is None:
            self.actions.take(self.said.get(timeout=WAIT_S))
        return found

    def _result(self, cmd_id: str) -> Result | None:
        return next((one for one in self.results if one.cmd_id == cmd_id), None)

    def values(self, result: Result) -> dict[str, Any]:
        """Return everything that the action of *result* has found."""
        found: dict[str, Any] = {}
        for one in (one for one in self.progress if one.cmd_id == result.cmd_id):
            found |= one.values
        return found | (result.values or {})


class Told:
    """Keeps what an action tells."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.files: dict[str, bytes] = {}
        self.text = ""

    def say(self, values: Any, *, done_parts: int | None = None) -> None:
        """Keep *values*."""
        self.values |= values

    def write(self, text: str) -> None:
        """Keep *text*."""
        self.text += text

    def upload(self, name: str, data: bytes) -> None:
        """Keep *data*."""
        self.files[name] = data

    def then(self, deed: str) -> None:
        """Do nothing afterwards."""
