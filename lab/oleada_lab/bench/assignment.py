"""From "start" to the assignment in the hands of a thousand boxes, on the real wire.

The boxes are light: real certificates, real TLS, real MQTT, no slots. The clock starts
before the REST request that starts the rollout is sent, and stops for each box when the
signed assignment has reached it.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from oleada_agent.voice import READS
from oleada_server.clock import to_ms
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Hello, SlotInfo
from oleada_wire.words import BootReason

from oleada_lab.bench.identities import Identity, issue
from oleada_lab.bench.light_clients import LightBox, LightFleet
from oleada_lab.bench.report import quantile
from oleada_lab.clock import monotonic_s, now_utc
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places

BOXES: Final = 1000
GOAL_S: Final = 1.0
LIMIT_S: Final = 120.0
MODEL: Final = "VX-410"


def measure(home: Path, boxes: int = BOXES) -> dict[str, Any]:
    """Return p50, p99 and the slowest of *boxes*, in seconds.

    Raises:
        LabError: The server did not start, or not every box got its assignment.
    """
    operator = Operator(Places.under(home))
    with operator.server:
        operator.establish([MODEL])
        for version in ("1.0.0", "1.1.0"):
            image = build_small_image(ImageSpec(MODEL, version), home / f"{version}.img")
            operator.publish(image.path, MODEL, version, {"en": "A release for a measurement."})
        config = operator.server.config
        identities = issue(config, home / "identities", MODEL, boxes)
        fleet = LightFleet(identities, config.pki_dir / "service-ca.pem")
        try:
            fleet.connect(config.broker_host, config.broker_port, LIMIT_S)
            _say_hello(fleet)
            waits = _start_and_wait(operator, fleet)
        finally:
            fleet.close()
    p99 = quantile(waits, 0.99)
    return {
        "boxes": boxes,
        "p50_s": round(quantile(waits, 0.5), 3),
        "p99_s": round(p99, 3),
        "max_s": round(max(waits), 3),
        "goal_p99_s": GOAL_S,
        "met": p99 <= GOAL_S,
    }


def _say_hello(fleet: LightFleet) -> None:
    """Tell the server what each box runs; return when it has acknowledged all of them."""
    for box in fleet.boxes:
        fleet.publish(box, topics.Up.HELLO, messages.encode(_hello(box.identity)))
        fleet.turn(0)
    fleet.run_until(
        lambda: all(_heard_at(box, topics.Down.ACK) for box in fleet.boxes),
        LIMIT_S,
        "have their hello acknowledged",
    )


def _start_and_wait(operator: Operator, fleet: LightFleet) -> list[float]:
    """Start a rollout to everybody; return how long each box waited, in seconds."""
    client = operator.server.client
    plan = {
        "hardware_model": MODEL,
        "version": "1.1.0",
        "waves": [{"name": "Everyone", "share_until": 1.0}],
        "in_flight_max": len(fleet.boxes),
        "evidence": None,
    }
    rollout = client.post("/api/v1/rollouts", plan)["id"]
    with ThreadPoolExecutor(1) as elsewhere:  # the boxes listen while the request is answered
        started_s = monotonic_s()
        answer = elsewhere.submit(client.post, f"/api/v1/rollouts/{rollout}/start")
        fleet.run_until(
            lambda: all(_heard_at(box, topics.Down.ASSIGN) for box in fleet.boxes),
            LIMIT_S,
            "have their assignment",
        )
        answer.result()
    return [_heard_at(box, topics.Down.ASSIGN) - started_s for box in fleet.boxes]


def _heard_at(box: LightBox, kind: topics.Down) -> float:
    """Return when *kind* first reached *box*; 0 when it has not."""
    wanted = topics.down(box.identity.device_id, kind)
    return next((at_s for at_s, topic, payload in box.heard if topic == wanted and payload), 0.0)


def _hello(identity: Identity) -> Hello:
    return Hello(
        header=Header(
            id=hashlib.sha256(identity.serial.encode()).hexdigest()[:32],
            at_ms=to_ms(now_utc()),
            boot=BootId(1, "0badcafe"),
            seq=1,
        ),
        hardware_model=identity.hardware_model,
        serial=identity.serial,
        running_slot="A",
        version="1.0.0",
        security_version=1,
        slots=(SlotInfo("A", "Active", "1.0.0"),),
        agent_version="0",
        zone="UTC",
        boot_reason=BootReason.POWER_ON,
        assignment_seq=0,
        security_floor=0,
        reads=READS,
    )
