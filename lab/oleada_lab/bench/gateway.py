"""How many messages one worker stores and acknowledges, beside the bare parts it is made of.

Four runs over the same broker, clients and messages: paho alone, the bulk insert alone,
both together with nothing of ours, and our worker (parsing, identity, deduplication,
real tables, acknowledgement by the server). Only ratios travel to other machines.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from oleada_server import broker
from oleada_server.clock import to_ms
from oleada_server.config import Config
from oleada_server.enrolment.pki import SERVER_NAME
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Health, SlotInfo

from oleada_lab.bench import raw_mqtt
from oleada_lab.bench.identities import Identity, issue
from oleada_lab.clock import now_utc
from oleada_lab.operator import Server, oleada_command, wait_until

MESSAGES: Final = 40_000
CLIENTS: Final = 32
LIMIT_S: Final = 180.0
SHARE_GOAL: Final = 0.4
"""Of the bare end-to-end rate of the same run; the goal of docs/explanation/architecture.md."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One run: messages, wall time and CPU time of the one process that is measured."""

    messages: int
    elapsed_s: float
    cpu_s: float

    def shown(self) -> dict[str, Any]:
        """Return the numbers with the two that are compared."""
        return {
            "messages": self.messages,
            "elapsed_s": round(self.elapsed_s, 3),
            "per_s": round(self.messages / self.elapsed_s),
            "cpu_us_per_message": round(1e6 * self.cpu_s / self.messages, 1),
        }


def measure(home: Path, seed: int, count: int = MESSAGES) -> dict[str, Any]:
    """Return the four rates and their ratio; everything it starts is gone afterwards.

    Args:
        home: An empty folder for a server's data directory.
        seed: Of the numbers in the messages.
        count: Messages in each run.

    Raises:
        LabError: A part did not start, or not every message came through.
    """
    count -= count % CLIENTS  # each client sends as many as the others
    server = Server(home / "oleada")
    server.run("init")
    config = server.config
    boxes = issue(config, home / "identities", "VX-410", CLIENTS)
    load = Load(config, boxes, random.Random(seed), count)
    found = {"insert": _bare("insert", config, home, count)}
    with _broker(config):
        for mode in ("subscribe", "both"):
            found[mode] = _bare(mode, config, home, count, load.run_for_broker)
        with _worker(server) as worker:
            found["worker"] = _measure_worker(worker, load)
    rates = {mode: rate.shown() for mode, rate in found.items()}
    share = rates["worker"]["per_s"] / rates["both"]["per_s"]
    return {
        **rates,
        "share_of_bare": round(share, 3),
        "goal": SHARE_GOAL,
        "met": share >= SHARE_GOAL,
    }


class Load:
    """The same messages for each run, new ids each time so that none is a duplicate."""

    def __init__(
        self, config: Config, boxes: list[Identity], dice: random.Random, count: int
    ) -> None:
        self._config = config
        self._boxes = boxes
        self._dice = dice
        self._each = count // len(boxes)
        self._boots = 0

    def run_for_broker(self) -> raw_mqtt.Load:
        """Send all; return when the broker has taken over every one."""
        return self._run(await_server=False)

    def run_for_server(self) -> raw_mqtt.Load:
        """Send all; return when the server has acknowledged every one."""
        return self._run(await_server=True)

    def _run(self, *, await_server: bool) -> raw_mqtt.Load:
        self._boots += 1
        work = [
            (box, [self._health(seq) for seq in range(1, self._each + 1)]) for box in self._boxes
        ]
        pki = self._config.pki_dir
        return asyncio.run(
            raw_mqtt.publish_all(
                work,
                self._config.broker_host,
                self._config.broker_port,
                str(pki / "service-ca.pem"),
                await_server=await_server,
                limit_s=LIMIT_S,
            )
        )

    def _health(self, seq: int) -> bytes:
        header = Header(
            id=f"{self._dice.getrandbits(128):032x}",
            at_ms=to_ms(now_utc()),
            boot=BootId(self._boots, "0badcafe"),
            seq=seq,
        )
        parameters: dict[str, bool | int | str] = {
            "Device.DeviceInfo.UpTime": 3600 + seq,
            "Device.DeviceInfo.MemoryStatus.Free": self._dice.randrange(100_000, 900_000),
            "Device.DeviceInfo.MemoryStatus.Total": 2_000_000,
            "Device.DeviceInfo.ProcessStatus.CPUUsage": self._dice.randrange(100),
            "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Value": 47,
            "Device.StorageService.1.PhysicalMedium.1.FreeBytes": self._dice.randrange(1 << 32),
        }
        slots = (SlotInfo("A", "Active", "5.8.1"), SlotInfo("B", "Available", "5.8.2"))
        return messages.encode(Health(header, "5.8.1", "A", slots, parameters))


def _bare(
    mode: str,
    config: Config,
    home: Path,
    count: int,
    publish: Callable[[], raw_mqtt.Load] | None = None,
) -> Rate:
    """Run one bare part as a child, and *publish* once it listens."""
    pki = config.pki_dir
    command = [
        *(sys.executable, "-m", "oleada_lab.bench.bare", mode, "--count", str(count)),
        *("--database", str(home / f"bare-{mode}.db"), "--port", str(config.broker_services_port)),
        *("--ca", str(pki / "service-ca.pem"), "--certificate", str(pki / f"{SERVER_NAME}.pem")),
        *("--key", str(pki / f"{SERVER_NAME}.key"), "--limit-s", str(LIMIT_S)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None, "asked for"  # noqa: S101
        if publish is not None:
            child.stdout.readline()  # bare.READY
            publish()
        found = json.loads(child.stdout.readline())
    return Rate(found["messages"], found["elapsed_s"], found["cpu_s"])


def _measure_worker(worker: psutil.Process, load: Load) -> Rate:
    load.run_for_server()  # once to warm up: statements are compiled, pages are in the cache
    before = worker.cpu_times()
    done = load.run_for_server()
    after = worker.cpu_times()
    cpu_s = (after.user + after.system) - (before.user + before.system)
    return Rate(done.acknowledged, done.last_ack_s - done.started_s, cpu_s)


@contextmanager
def _broker(config: Config) -> Iterator[None]:
    """Run Mosquitto with the configuration that ``oleada up`` would give it."""
    path = broker.write_configuration(config)
    with _running(["mosquitto", "-c", str(path)], config.data_dir / "mosquitto.log", {}) as pid:
        wait_until(lambda: config.broker_port in _listens(pid), 20, "the broker listens for boxes")
        yield


@contextmanager
def _worker(server: Server) -> Iterator[psutil.Process]:
    environment = {"OLEADA_DATA_DIR": str(server.data_dir)}
    command = oleada_command("worker")
    with _running(command, server.data_dir / "worker.log", environment) as pid:
        ready = server.data_dir / "run"
        wait_until(lambda: any(ready.glob("worker-*.ready")), 30, "the worker has subscribed")
        yield psutil.Process(pid)


@contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[int]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _listens(pid: int) -> set[int]:
    found = psutil.Process(pid).net_connections(kind="inet")
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
