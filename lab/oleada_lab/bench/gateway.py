"""How many messages one worker stores and acknowledges, beside the bare parts it is made of.

Four runs with the same clients and messages: paho alone, the bulk insert alone, both
together with nothing of ours, and our worker (TLS, parsing, identity, deduplication, real
tables, acknowledgement by the server). Each receiver is held (SIGSTOP) until the broker
has every message, and then drains it. The four take turns for some rounds and medians are
told: on a machine with other work, CPU time is steadier than messages a second. Only
ratios travel to other machines. ``OLEADA_DATABASE_URL`` chooses the database of all four.
"""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
from oleada_server import broker, gate
from oleada_server.clock import to_ms
from oleada_server.config import Config
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Health, SlotInfo
from sqlalchemy import make_url

from oleada_lab.bench import bare, raw_mqtt
from oleada_lab.bench.identities import Identity, issue
from oleada_lab.clock import now_utc
from oleada_lab.operator import Server, oleada_command, wait_until

MESSAGES: Final = 40_000
CLIENTS: Final = 32
ROUNDS: Final = 3
LOOPBACK: Final = "127.0.0.1"
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


def measure(home: Path, seed: int, count: int = MESSAGES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the median rates and their ratio; everything it starts is gone afterwards.

    Args:
        home: An empty folder for a server's data directory.
        seed: Of the numbers in the messages.
        count: Messages in each run.
        rounds: Of which the medians are taken.

    Raises:
        LabError: A part did not start, or not every message came through.
    """
    count -= count % CLIENTS  # each client sends as many as the others
    ports = {"broker_port": _free_port(), "broker_services_port": _free_port()}
    server = Server(home / "oleada", ports)  # another server may hold the usual ones
    server.run("init")
    config = server.config
    database = config.database_url or f"sqlite:///{home.resolve() / 'bare.db'}"
    boxes = issue(config, home / "identities", "VX-410", CLIENTS)
    load = Load(config, boxes, random.Random(seed), count)
    with _plain_broker(home) as port, _broker(config), _worker(server) as worker:
        load.run_for_server(lambda: None)  # statements are compiled, pages are in the cache
        found = [
            {
                "insert": _bare("insert", database, count),
                "subscribe": _bare("subscribe", database, count, port, load),
                "both": _bare("both", database, count, port, load),
                "worker": _measure_worker(worker, load),
            }
            for _ in range(rounds)
        ]
    return _summary(found, make_url(config.database).get_backend_name())


def _summary(rounds: list[dict[str, Rate]], database: str) -> dict[str, Any]:
    """Return the median of each run over *rounds*, and of the ratios within a round."""
    pairs = [(one["both"], one["worker"]) for one in rounds]
    share = median(bare.elapsed_s / worker.elapsed_s for bare, worker in pairs)
    cpu_share = median(bare.cpu_s / worker.cpu_s for bare, worker in pairs)
    return {
        "database": database,
        "rounds": len(rounds),
        **{mode: _middle([one[mode] for one in rounds]).shown() for mode in rounds[0]},
        "share_of_bare": round(share, 3),
        "cpu_share_of_bare": round(cpu_share, 3),
        "goal": SHARE_GOAL,
        "met": share >= SHARE_GOAL,
    }


def _middle(rates: list[Rate]) -> Rate:
    return Rate(
        rates[0].messages,
        median(one.elapsed_s for one in rates),
        median(one.cpu_s for one in rates),
    )


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

    def fill_plain(self, port: int, when_taken: Callable[[], None]) -> None:
        """Send all to a broker without TLS; return when it has taken over every one."""
        asyncio.run(
            raw_mqtt.publish_all(
                self._work(),
                LOOPBACK,
                port,
                None,
                when_taken=when_taken,
                await_server=False,
                limit_s=LIMIT_S,
            )
        )

    def run_for_server(self, when_taken: Callable[[], None]) -> raw_mqtt.Load:
        """Send all; return when the server has acknowledged every one."""
        return asyncio.run(
            raw_mqtt.publish_all(
                self._work(),
                self._config.broker_host,
                self._config.broker_port,
                self._config.pki_dir / "service-ca.pem",
                when_taken=when_taken,
                await_server=True,
                limit_s=LIMIT_S,
            )
        )

    def _work(self) -> list[tuple[Identity, list[bytes]]]:
        self._boots += 1
        numbers = range(1, self._each + 1)
        return [(box, [self._health(seq) for seq in numbers]) for box in self._boxes]

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


def _bare(mode: str, database: str, count: int, port: int = 0, load: Load | None = None) -> Rate:
    """Run one bare part as a child; with a *load*, let it drain that from the broker."""
    command = [
        *(sys.executable, "-m", "oleada_lab.bench.bare", mode, "--count", str(count)),
        *("--database", database, "--port", str(port)),
        *("--limit-s", str(LIMIT_S)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None, "asked for"  # noqa: S101
        if load is not None:
            child.stdout.readline()  # bare.READY
            child.send_signal(signal.SIGSTOP)
            load.fill_plain(port, lambda: child.send_signal(signal.SIGCONT))
        found = json.loads(child.stdout.readline())
    return Rate(found["messages"], found["elapsed_s"], found["cpu_s"])


def _measure_worker(worker: psutil.Process, load: Load) -> Rate:
    before = worker.cpu_times()
    worker.suspend()
    done = load.run_for_server(worker.resume)
    after = worker.cpu_times()
    cpu_s = (after.user + after.system) - (before.user + before.system)
    return Rate(done.acknowledged, done.last_ack_s - done.taken_s, cpu_s)


@contextmanager
def _broker(config: Config) -> Iterator[None]:
    """Run Mosquitto with the configuration that ``oleada up`` would give it."""
    path = gate.prepare(config)
    with _running(["mosquitto", "-c", str(path)], config.data_dir / "mosquitto.log", {}) as pid:
        wait_until(lambda: config.broker_port in _listens(pid), 20, "the broker listens for boxes")
        yield


@contextmanager
def _plain_broker(home: Path) -> Iterator[int]:
    """Run Mosquitto without TLS, users or rules; yield its port on loopback."""
    port = _free_port()
    path = home / "plain.conf"
    path.write_text(
        f"listener {port} {LOOPBACK}\nallow_anonymous true\n"
        f"max_inflight_messages {bare.BATCH}\nmax_queued_messages {broker.QUEUED_MESSAGES_MAX}\n"
    )
    with _running(["mosquitto", "-c", str(path)], home / "plain.log", {}) as pid:
        wait_until(lambda: port in _listens(pid), 20, "the plain broker listens")
        yield port


@contextmanager
def _worker(server: Server) -> Iterator[psutil.Process]:
    config = server.config
    environment = {
        "OLEADA_DATA_DIR": str(server.data_dir),
        "OLEADA_BROKER_PORT": str(config.broker_port),
        "OLEADA_BROKER_SERVICES_PORT": str(config.broker_services_port),
        # Few boxes stand for a fleet here, so each may say what a thousand would.
        "OLEADA_BOX_MESSAGES_PER_MINUTE": "10000000",
        "OLEADA_BOX_MESSAGES_BURST": "10000000",
    }
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


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port: int = found.getsockname()[1]
    return port


def _listens(pid: int) -> set[int]:
    found = psutil.Process(pid).net_connections(kind="inet")
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
