"""Brings one file to the device door, with the box's certificate."""

import hashlib
import http.client
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from oleada_wire.words import ResultStatus

from oleada_agent import clock, identity
from oleada_agent.actions.order import ActionError
from oleada_agent.errors import AgentError

TRIES: Final = 3
PAUSE_MS: Final = 1_000
TIMEOUT_S: Final = 15.0


def put(box: Path, settings: dict[str, Any], cmd_id: str, name: str, data: bytes) -> dict[str, Any]:
    """Return name, size and digest of *data* when the door has it.

    Raises:
        ActionError: the door can not be reached, or does not want it.
    """
    found = urlsplit(str(settings.get("enrol_url", "")))
    path = f"/device/v1/uploads/{quote(cmd_id, safe='')}/{quote(name, safe='')}"
    digest = hashlib.sha256(data).hexdigest()
    why = ""
    for number in range(TRIES):
        if number:
            clock.pause_ms(PAUSE_MS)
        try:
            context = identity.tls_context(box)
            door = http.client.HTTPSConnection(
                found.hostname or "", found.port or 443, timeout=TIMEOUT_S, context=context
            )
            status = _send(door, path, data, digest)
        except (OSError, http.client.HTTPException, AgentError) as error:
            why = f"{type(error).__name__}: {error}"
            continue
        # Refused at a second try: the first one has arrived, and only its answer was lost.
        # The server compares the digest of the result with what it has, and says so.
        is_there = status in (403, 409) and number > 0
        if 200 <= status < 300 or is_there:
            return {"name": name, "size_bytes": len(data), "sha256": digest}
        why = f"it answers {status}"
        if status < 500:
            break
    raise ActionError(ResultStatus.TRANSFER, f"The device door did not take {name}: {why}.")


def _send(connection: http.client.HTTPSConnection, path: str, data: bytes, digest: str) -> int:
    try:
        headers = {"Content-Type": "application/octet-stream", "Content-SHA256": digest}
        connection.request("PUT", path, data, headers)
        answer = connection.getresponse()
        answer.read(1024)
        return answer.status
    finally:
        connection.close()
