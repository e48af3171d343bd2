"""What identities cost: certificates a second, whole enrolments, and how soon a revoked box is out.

The device CA's work is measured by itself on one core. Enrolments go over HTTPS to a real
server on PostgreSQL, whose processor time is told apart from the door's. A revocation goes
by REST, and is over when the broker takes no word of the box any more.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from oleada_server.enrolment import pki
from oleada_wire import topics
from oleada_wire.topics import Up
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from oleada_lab.bench.identities import Identity
from oleada_lab.clock import monotonic_s, now_utc, sleep_s
from oleada_lab.errors import LabError
from oleada_lab.storm import enrolling
from oleada_lab.storm.enrolling import Door, Tally
from oleada_lab.storm.ground import Ground, ground

CERTIFICATES: Final = 1_000
ENROLMENTS: Final = 300
REVOCATIONS: Final = 3
LIMIT_S: Final = 60.0
SAY_S: Final = 0.02
GOAL_PER_S, GOAL_REFUSED_S = 500, 5.0


def measure(home: Path, seed: int, enrolments: int = ENROLMENTS) -> dict[str, Any]:
    """Return the figures; *seed* is of the pauses of boxes.

    Raises:
        LabError: A box that was revoked is heard for longer than a minute.
    """
    found: dict[str, Any] = {"issuing": issuing(home / "ca", CERTIFICATES)}
    with ground(home, "postgresql", {}) as there:
        figures, identities = _enrol(there, enrolments, random.Random(f"{seed}/identity"))
        found["enrolling"] = figures
        found["revoking"] = _revoke(there, identities[:REVOCATIONS])
    issued = found["issuing"]["certificates_per_core_s"]
    found["met"] = issued >= GOAL_PER_S and found["revoking"]["refused_s_max"] <= GOAL_REFUSED_S
    return found


def issuing(directory: Path, number: int) -> dict[str, Any]:
    """Return how many requests one core checks and signs in a second of processor time."""
    now = now_utc()
    pki.make_authority(directory, "device-ca", now)
    authority = pki.load_authority(directory, "device-ca")
    request = _request()
    began_s = time.process_time()
    for _ in range(number):
        issued = pki.issue_device(
            authority, "VX410000BENC", pki.read_request(request), now, days=90
        )
        issued.public_bytes(Encoding.PEM)
    cpu_s = time.process_time() - began_s
    return {
        "certificates": number,
        "cpu_s": round(cpu_s, 3),
        "certificates_per_core_s": round(number / cpu_s),
        "goal_per_core_s": GOAL_PER_S,
    }


def _request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whoever")])
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def _enrol(
    there: Ground, number: int, dice: random.Random
) -> tuple[dict[str, Any], list[Identity]]:
    """Return what *number* enrolments at once cost, and who was enrolled."""
    applicants = enrolling.make_applicants(there, number, "BENCH")
    tally = Tally()
    before, began_s = _cpu_s(there), monotonic_s()
    answers = asyncio.run(enrolling.all_at_once(Door(there, dice), applicants, tally))
    wall_s, after = monotonic_s() - began_s, _cpu_s(there)
    spent = {name: after[name] - before[name] for name in after}
    pairs = zip(applicants, answers, strict=True)
    identities = [
        enrolling.keep(there.home / "identities", applicant, answer)
        for applicant, answer in pairs
        if answer is not None
    ]
    return {
        "enrolments": len(identities),
        "errors": number - len(identities),
        "wall_s": round(wall_s, 3),
        "enrolments_per_s": round(len(identities) / wall_s, 1),
        "door_cpu_ms_each": round(spent["door"] / number * 1000, 2),
        "database_cpu_ms_each": round(spent["database"] / number * 1000, 2),
    }, identities


def _cpu_s(there: Ground) -> dict[str, float]:
    """Return the processor time that the device door and the database have used."""
    children = psutil.Process(there.operator.server.pid).children()
    door = next(one for one in children if "door" in one.cmdline())
    database = next(one for one in psutil.Process().children() if one.name() == "postgres")
    return {"door": _of_tree(door), "database": _of_tree(database)}


def _of_tree(process: psutil.Process) -> float:
    """Return the time of *process*, of its children, and of those that have ended."""
    found = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # one that has just ended is its parent's
            times = one.cpu_times()
            found += times.user + times.system
    times = process.cpu_times()
    return float(found + times.children_user + times.children_system)


def _revoke(there: Ground, identities: list[Identity]) -> dict[str, Any]:
    """Revoke boxes while they talk; return how long the broker still listened."""
    refused, ended = [], []
    for identity in identities:
        box = _Box(there, identity)
        try:
            _wait(box.is_heard, "the box is heard")
            path = f"/api/v1/devices/{identity.device_id}/revoke"
            there.operator.server.client.post(path, {"reason": "a measurement"})
            began_s = monotonic_s()
            _wait(lambda box=box: not box.is_heard(), "the box is refused")  # type: ignore[misc]
            refused.append(monotonic_s() - began_s)
            _wait(lambda box=box: box.is_lost, "its session is ended")  # type: ignore[misc]
            ended.append(monotonic_s() - began_s)
        finally:
            box.close()
    return {
        "boxes": len(identities),
        "refused_s_max": round(max(refused), 2),
        "session_ended_s_max": round(max(ended), 2),
        "goal_s": GOAL_REFUSED_S,
    }


class _Box:
    """A box that talks."""

    def __init__(self, there: Ground, identity: Identity) -> None:
        config = there.config
        context = ssl.create_default_context(cafile=str(there.ca_file))
        context.load_cert_chain(identity.certificate_file, identity.key_file)
        self.is_lost = False
        self._taken = False
        self._topic = topics.up(identity.device_id, Up.LOG)
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=identity.device_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.tls_set_context(context)
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        self._client.connect(config.broker_host, config.broker_port)
        self._client.loop_start()

    def is_heard(self) -> bool:
        """Say a word; return whether the broker takes it."""
        self._taken = False
        if self.is_lost:
            return False
        self._client.publish(self._topic, b"{}", qos=1).wait_for_publish(LIMIT_S)
        return self._taken

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_publish(self, _client: Any, _data: Any, _mid: int, reason: Any, _more: Any) -> None:
        self._taken = not reason.is_failure

    def _on_disconnect(self, *_: Any) -> None:
        self.is_lost = True


def _wait(holds: Callable[[], bool], what: str) -> None:
    until_s = monotonic_s() + LIMIT_S
    while not holds():
        if monotonic_s() > until_s:
            raise LabError(f"After {LIMIT_S:.0f} s it is still not so that {what}.")
        sleep_s(SAY_S)
