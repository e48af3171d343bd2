"""What the console's pages take on the server, with ten thousand boxes, and how fast news come.

The app answers in this process, so that the numbers are the server's alone: the query, the
template and the words. News is measured on a real socket, from before the write until the
stream of an open page has brought the pieces of HTML that replace what is on the screen.
``OLEADA_DATABASE_URL`` chooses the database; without it SQLite in the folder.
"""

import http.client
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from flask import Flask
from flask.testing import FlaskClient
from oleada_server import config, schema
from oleada_server.accounts import service as accounts
from oleada_server.accounts.access import SESSION_COOKIE
from oleada_server.accounts.models import Role
from oleada_server.app import create_app
from oleada_server.db import chunks, db
from oleada_server.devices.models import Device
from oleada_server.devices.service import record_model
from oleada_server.live import service as live
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from sqlalchemy import insert, select
from werkzeug.serving import WSGIRequestHandler, make_server

from oleada_lab.bench.report import quantile
from oleada_lab.clock import monotonic_s, now_utc, sleep_s
from oleada_lab.errors import LabError

BOXES: Final = 10_000
ASKED: Final = 100
NEWS: Final = 20
LIST_P50_MS: Final = 20.0
ROLLOUT_P95_MS: Final = 150.0
NEWS_P95_S: Final = 1.0
MODEL: Final = "VX-410"
STATES: Final = (
    [BoxState.UPDATED] * 80 + [BoxState.ASSIGNED] * 12 + [BoxState.DOWNLOADING] * 4
    + [BoxState.FAILED, BoxState.ROLLED_BACK, BoxState.SILENT, BoxState.DECLINED]
)  # fmt: skip


def measure(home: Path, seed: int, boxes: int = BOXES, asked: int = ASKED) -> dict[str, Any]:
    """Return times of the list, the rollout's page, the fleet and news, and the goals.

    Raises:
        LabError: A page did not answer with 200, or no news came.
    """
    app = create_app(config.load(home / "oleada", dict(os.environ)))
    with app.app_context():
        schema.upgrade()
        rollout_id = fill(boxes, Random(seed), now_utc())
        secret = sign_in()
        db.session.remove()
    client = app.test_client()
    client.set_cookie(SESSION_COOKIE, secret)
    listed = _times_ms(client, "/devices", asked)
    rollout = _times_ms(client, f"/rollouts/R-{rollout_id}", asked)
    fleet = _times_ms(client, "/fleet", asked)
    news = _news_s(app, secret, rollout_id)
    with app.app_context():
        db.engine.dispose()
    goals = {
        "list_of_50_p50_ms": LIST_P50_MS,
        "rollout_p95_ms": ROLLOUT_P95_MS,
        "news_p95_s": NEWS_P95_S,
    }
    found: dict[str, float] = {
        "boxes": boxes,
        "list_of_50_p50_ms": round(quantile(listed, 0.5), 1),
        "list_of_50_p95_ms": round(quantile(listed, 0.95), 1),
        "rollout_p50_ms": round(quantile(rollout, 0.5), 1),
        "rollout_p95_ms": round(quantile(rollout, 0.95), 1),
        "fleet_p95_ms": round(quantile(fleet, 0.95), 1),
        "news_p50_s": round(quantile(news, 0.5), 3),
        "news_p95_s": round(quantile(news, 0.95), 3),
    }
    is_met = all(found[name] <= goal for name, goal in goals.items())
    return {**found, "goals": goals, "met": is_met}


def _times_ms(client: FlaskClient, path: str, asked: int) -> list[float]:
    """Return how long *path* took, each time, after a first one that fills caches."""
    times = []
    for _ in range(asked + 1):
        begun_s = monotonic_s()
        answer = client.get(path)
        times.append((monotonic_s() - begun_s) * 1000)
        if answer.status_code != 200:
            raise LabError(f"{path} answered {answer.status_code}; 200 was expected.")
    return times[1:]


def _news_s(app: Flask, secret: str, rollout_id: int) -> list[float]:
    """Return how long each change of a box took to reach an open page's socket."""
    times = []
    with served(app) as port:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        after = _latest(app)
        line.request(
            "GET",
            f"/live/rollouts/R-{rollout_id}?after={after}",
            headers={"Cookie": f"{SESSION_COOKIE}={secret}"},
        )
        answer = line.getresponse()
        for _ in range(NEWS):
            begun_s = monotonic_s()
            _move_one(app, rollout_id)
            while "<hx-partial" not in _event(answer):
                pass  # a heartbeat
            times.append(monotonic_s() - begun_s)
            sleep_s(0.6)  # a page is told at most twice a second
        line.close()
    return times


def _event(answer: http.client.HTTPResponse) -> str:
    """Return the next whole event of the stream in *answer*."""
    lines: list[bytes] = []
    while line := answer.readline():
        if not line.strip():
            return b"".join(lines).decode()
        lines.append(line)
    raise LabError("The stream of the rollout's page ended without news.")


class _Quiet(WSGIRequestHandler):
    """Serves without a line of log for each request."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """Serve *app* on loopback with threads of this process; yield the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def _in_app(app: Flask, what: Callable[[], Any]) -> Any:
    with app.app_context():
        found = what()
        db.session.remove()
    return found


def _latest(app: Flask) -> int:
    return int(_in_app(app, live.latest_id))


def _move_one(app: Flask, rollout_id: int) -> None:
    def move() -> None:
        waiting = select(BoxInWave).where(BoxInWave.state == BoxState.ASSIGNED).limit(1)
        box = db.session.scalars(waiting).one()
        box.state, box.changed_at = BoxState.UPDATED, now_utc()
        live.touch(f"R-{rollout_id}", now_utc())
        db.session.commit()

    _in_app(app, move)


def sign_in() -> str:
    """Add an operator and return the secret of a session of theirs."""
    name = "bench"
    accounts.add_user(name, full_name="Bench", role=Role.OPERATOR, actor="system:bench",
                      now=now_utc())  # fmt: skip
    link = accounts.create_link(name, actor="system:bench", now=now_utc())
    return accounts.sign_in_by_link(link, now=now_utc())[0]


def fill(boxes: int, dice: Random, now: datetime) -> int:
    """Store *boxes* devices and a running rollout in its third wave; return its number."""
    record_model(MODEL)
    ids = [f"VX41{number:08d}" for number in range(boxes)]
    for chunk in chunks([_device(device_id, dice, now) for device_id in ids]):
        db.session.execute(insert(Device), chunk)
    release = Release(
        hardware_model=MODEL, version="5.8.2", security_version=1, min_version=None,
        target_path=f"{MODEL}/5.8.2.img", sha256="5a" * 32, size_bytes=200_000_000, provides=[],
        fixes=[], notes={"en": "For a measurement."}, signed_by=["00" * 32],
        state=ReleaseState.PUBLISHED, published_at=now, published_by="user:bench",
    )  # fmt: skip
    db.session.add(release)
    db.session.flush()
    rollout = Rollout(
        release_id=release.id, name="bench", state=RolloutState.RUNNING, created_at=now,
        created_by="user:bench", started_at=now, salt="salt", silent_after_s=86_400,
        attempts_max=3, in_flight_max=500, spread_s=30, lease_s=3600,
    )  # fmt: skip
    db.session.add(rollout)
    db.session.flush()
    for position, (first, last) in enumerate(((0, 0.01), (0.01, 0.1), (0.1, 1.0)), start=1):
        mine = ids[int(first * boxes) : int(last * boxes)]
        _wave(rollout.id, position, last, mine, dice=dice, now=now)
    db.session.commit()
    return rollout.id


def _wave(
    rollout_id: int, position: int, share: float, ids: list[str], *, dice: Random, now: datetime
) -> None:
    is_last = share == 1.0
    wave = Wave(
        rollout_id=rollout_id, position=position, name=f"Wave {position}", share_until=share,
        boxes=len(ids), success_share_min=0.9, failed_share_max=0.05, silent_share_max=0.1,
        sample_min=10, soak_s=3600, state=WaveState.OPEN if is_last else WaveState.PASSED,
        opened_at=now - timedelta(hours=20),
    )  # fmt: skip
    db.session.add(wave)
    db.session.flush()
    rows = [_box(wave, device_id, is_last, dice, now) for device_id in ids]
    for chunk in chunks(rows):
        db.session.execute(insert(BoxInWave), chunk)


def _box(wave: Wave, device_id: str, is_last: bool, dice: Random, now: datetime) -> dict[str, Any]:
    state = dice.choice(STATES) if is_last else BoxState.UPDATED
    at = now - timedelta(minutes=dice.randint(1, 1100))
    bad = state in {BoxState.FAILED, BoxState.ROLLED_BACK, BoxState.DECLINED}
    return {
        "rollout_id": wave.rollout_id,
        "wave_id": wave.id,
        "device_id": device_id,
        "state": state,
        "attempt": 1,
        "reason": "health-check" if bad else None,
        "ended_at": at if state is BoxState.UPDATED or bad else None,
        "changed_at": at,
    }


def _device(device_id: str, dice: Random, now: datetime) -> dict[str, Any]:
    seen = now - timedelta(seconds=dice.randint(1, 4000))
    return {
        "id": device_id,
        "serial": f"SN{device_id}",
        "mac": ":".join(f"{dice.randint(0, 255):02X}" for _ in range(6)),
        "hardware_model": MODEL,
        "region": dice.choice(("Brno", "Praha", "Valencia")),
        "enrolled_at": now - timedelta(days=90),
        "first_seen_at": now - timedelta(days=90),
        "last_seen_at": seen,
        "version": dice.choice(("5.8.0", "5.8.1", "5.8.2")),
        "running_slot": dice.choice("AB"),
        "health": {
            "Device.DeviceInfo.UpTime": dice.randint(300, 900_000),
            "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Value": dice.randint(44, 92),
            "X_OLEADA_FreeBytes": dice.randint(2, 9) * 100_000_000,
        },
        "health_at": seen,
    }
