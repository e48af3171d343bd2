"""What an action asks of the agent in the end: a restart of the box, or changed settings."""

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from oleada_agent.deeds import Deeds
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError
from oleada_agent.said import Said
from oleada_agent.timers import Timers
from oleada_wire.messages import Cmd, Header, Result

from tests.agent.actions.bench import HEADER, WAIT_S

CONFIG = 'serial = "S"\nhardware_model = "VX-410"\nenrol_url = "https://127.0.0.1:1"\n'


@dataclass
class Ground:
    """An agent's deeds: what was put, and how often settings were taken up."""

    box: Path
    needs_start: bool = True
    is_updating: bool = False
    renewed: int = 0
    said: "queue.SimpleQueue[Said]" = field(default_factory=queue.SimpleQueue)
    results: list[Result] = field(default_factory=list)
    denied_actions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("data", "run"):
            (self.box / name).mkdir()
        (self.box / "data/config.toml").write_text(CONFIG)
        me = cast(Any, self)
        self.deeds = Deeds(
            self.box, RealDisk(self.box), me, me, Timers(), post=self.said.put,
            now_ms=lambda: 1_000, may_restart=lambda: not self.is_updating, private=list,
            renew=self.renew, reboot=lambda: None,
        )  # fmt: skip

    def renew(self) -> bool:
        """Take note that settings are taken up."""
        self.renewed += 1
        return self.needs_start

    def put_result(self, make: Callable[[Header], Result]) -> None:
        """Keep a result."""
        self.results.append(make(HEADER))

    def put_progress(self, make: Callable[[Header], object]) -> None:
        """As an outbox does."""

    def change(self, name: str, value: str) -> None:
        """Let a setting be changed from afar, and wait for the result."""
        known = len(self.results)
        arguments: dict[str, bool | int | str] = {"name": name, "value": value}
        self.deeds.act(Cmd(HEADER, "BOX", f"C-{known}", 1, "config_set", 2_000, arguments, 60_000))
        while len(self.results) == known:
            self.deeds.take(self.said.get(timeout=WAIT_S))
        assert self.results[-1].status == "Complete", self.results[-1].output


def test_a_setting_changed_after_one_that_an_update_held_back_counts_at_once(
    tmp_path: Path,
) -> None:
    ground = Ground(tmp_path, is_updating=True)
    ground.change("download_bytes_per_s_max", "1000000")
    ground.deeds.do_deed()  # its time has come, and an update goes on

    ground.needs_start = False
    ground.change("health_s", "600")

    assert ground.renewed == 2
    ground.is_updating = False
    ground.deeds.do_deed()


def test_a_setting_changed_while_a_start_is_on_its_way_is_taken_up_too(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.change("download_bytes_per_s_max", "1000000")
    ground.change("health_s", "600")

    assert ground.renewed == 2, "the start may not come: an update may begin before it"
    with pytest.raises(AgentError, match="begins anew"):
        ground.deeds.do_deed()
