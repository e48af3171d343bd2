"""Enrolment as a box does it, many at once: HTTPS with a claim token, patient as the agent is."""

import asyncio
import json
import random
import ssl
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from oleada_agent.cli import BACKOFF_MS
from oleada_agent.enrol import PATH, TIMEOUT_S
from oleada_agent.http_range import retry_after_s
from oleada_server.enrolment import service as enrolment

from oleada_lab.bench.identities import Identity
from oleada_lab.clock import monotonic_s, now_utc
from oleada_lab.storm.ground import MODEL, Ground

TRIES_MAX: Final = 8
ASK_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What the agent takes for "later" (oleada_agent/enrol.py)."""
ACTOR: Final = "system:lab"


@dataclass(frozen=True, slots=True)
class Applicant:
    """A box that may enrol: its claim token, and the key that it has made."""

    serial: str
    token: str
    csr_pem: str
    key_pem: bytes

    @property
    def body(self) -> dict[str, str]:
        """What it sends."""
        return {"token": self.token, "serial": self.serial, "csr_pem": self.csr_pem}


@dataclass(slots=True)
class Tally:
    """What became of requests.

    Attributes:
        statuses: Answers by HTTP status; 0 for a connection that broke.
        waits_s: From the first try to the good answer, of each box that got one.
        retry_after: Answers that said when to ask again.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    retry_after: int = 0


def make_applicants(ground: Ground, count: int, prefix: str = "STORM") -> list[Applicant]:
    """Claim *count* new boxes on the server of *ground* and make their keys."""
    with ground.rows():
        return [_applicant(f"{prefix}{number:06d}") for number in range(count)]


def _applicant(serial: str) -> Applicant:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, serial)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return Applicant(
        serial,
        enrolment.create_claim(serial, MODEL, actor=ACTOR, now=now_utc()),
        request.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


class Door:
    """The server's device door as boxes see it."""

    def __init__(self, ground: Ground, dice: random.Random) -> None:
        parts = urlsplit(ground.config.door_url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._context = ssl.create_default_context(cafile=str(ground.ca_file))
        self._dice = dice

    async def enrol(self, applicant: Applicant, tally: Tally) -> dict[str, Any] | None:
        """Return the answer that *applicant* got in the end; None if it never got one."""
        began_s = monotonic_s()
        for failures in range(TRIES_MAX):
            status, after_s, answer = await self.ask(applicant.body, tally)
            if status == 200:
                tally.waits_s.append(monotonic_s() - began_s)
                return answer
            if status and status not in ASK_AGAIN:
                return None
            ceiling_s = BACKOFF_MS / 1000 * 2**failures
            await asyncio.sleep(after_s + self._dice.uniform(0, ceiling_s))
        return None

    async def ask(self, body: dict[str, str], tally: Tally) -> tuple[int, int, dict[str, Any]]:
        """Ask once; return status (0: the connection broke), seconds to wait, and the answer."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, headers, data = await self._post(json.dumps(body).encode())
            answer = json.loads(data)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            tally.statuses[0] += 1
            return 0, 0, {}
        tally.statuses[status] += 1
        tally.retry_after += "retry-after" in headers
        return status, retry_after_s(headers.get("retry-after", "0")), answer

    async def _post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        try:
            writer.write(
                f"POST {PATH} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
            fields = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in fields}
            data = await reader.readexactly(int(headers["content-length"]))
        finally:
            writer.transport.abort()  # the answer said all; a farewell of TLS may take long
            with suppress(OSError):
                await writer.wait_closed()
        return status, headers, data


def keep(folder: Path, applicant: Applicant, answer: dict[str, Any]) -> Identity:
    """Write what *answer* brought as the files of an identity, and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate_file = folder / f"{applicant.serial}.pem"
    key_file = folder / f"{applicant.serial}.key"
    certificate_file.write_text(answer["certificate_pem"])
    key_file.touch(mode=0o600)
    key_file.write_bytes(applicant.key_pem)
    return Identity(answer["device_id"], applicant.serial, MODEL, certificate_file, key_file)


async def all_at_once(
    door: Door, applicants: Sequence[Applicant], tally: Tally
) -> list[dict[str, Any] | None]:
    """Let every one of *applicants* ask at the same moment; return their answers in order."""
    return list(await asyncio.gather(*(door.enrol(one, tally) for one in applicants)))
