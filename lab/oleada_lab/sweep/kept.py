"""What the disk of a box has of its trust, whether the box can read it by now or not."""

import json
from base64 import b64decode
from contextlib import suppress

from oleada_agent import enrol
from oleada_agent.trust.store import MetadataStore

from oleada_lab.sim.disk import SimDisk


def version(disk: SimDisk, role: str) -> int:
    """Return the highest version of *role* in its copies; 0 without a readable one."""
    found = 0
    for data in MetadataStore(disk, enrol.TRUST).read(role):
        with suppress(ValueError):
            found = max(found, json.loads(data)["signed"]["version"])
    return found


def denied(disk: SimDisk) -> int:
    """Return how many digests the stored deny list names."""
    found = 0
    for data in MetadataStore(disk, f"{enrol.TRUST}/denied").read("list"):
        with suppress(ValueError):
            deny = json.loads(b64decode(json.loads(data)["payload"]))
            found = max(found, len(deny["digests"]))
    return found


def audited(disk: SimDisk) -> int:
    """Return of how many entries the highest stored head of the audit trail is."""
    found = 0
    for data in MetadataStore(disk, f"{enrol.TRUST}/audit").read("head"):
        with suppress(ValueError):
            found = max(found, json.loads(b64decode(json.loads(data)["payload"]))["size"])
    return found
