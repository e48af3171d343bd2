"""The one place that builds and parses MQTT topics (docs/reference/wire.md).

oleada/v1/d/<device-id>/up/<kind>     that box writes, the worker reads
oleada/v1/d/<device-id>/down/<kind>   the server writes, that box reads
oleada/v1/m/<hardware-model>/<kind>   the server writes, every box of the model reads
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from oleada_wire.errors import UnknownTopicError
from oleada_wire.ids import is_device_id, is_hardware_model

PREFIX: Final = "oleada/v1"
TOPIC_CHARS_MAX: Final = 120


class Up(StrEnum):
    """Kinds a box writes."""

    HELLO = "hello"
    HEALTH = "health"
    SAMPLES = "samples"
    LEASE = "lease"
    REPORT = "report"
    RESULT = "result"
    PROGRESS = "progress"
    LOG = "log"
    CRASH = "crash"
    GONE = "gone"


class Down(StrEnum):
    """Kinds the server writes to one box; only ``assign`` is retained."""

    ASSIGN = "assign"
    LEASE = "lease"
    CMD = "cmd"
    ACK = "ack"


class Model(StrEnum):
    """Kinds the server writes to every box of a model; all retained."""

    META = "meta"
    WAVE = "wave"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class DeviceTopic:
    """A parsed topic of one box."""

    device_id: str
    kind: Up | Down


@dataclass(frozen=True, slots=True)
class ModelTopic:
    """A parsed topic of a hardware model."""

    hardware_model: str
    kind: Model


def up(device_id: str, kind: Up) -> str:
    """Return the topic on which box *device_id* writes *kind*."""
    return f"{PREFIX}/d/{device_id}/up/{kind}"


def down(device_id: str, kind: Down) -> str:
    """Return the topic on which the server writes *kind* to box *device_id*."""
    return f"{PREFIX}/d/{device_id}/down/{kind}"


def down_filter(device_id: str) -> str:
    """Return the filter under which a box hears what is for it alone."""
    return f"{PREFIX}/d/{device_id}/down/+"


def model(hardware_model: str, kind: Model) -> str:
    """Return the topic on which the server writes *kind* to a model."""
    return f"{PREFIX}/m/{hardware_model}/{kind}"


def model_filter(hardware_model: str) -> str:
    """Return the filter under which a box hears what is for its model."""
    return f"{PREFIX}/m/{hardware_model}/+"


_OF_DEVICE: Final[dict[tuple[str, str], Up | Down]] = {
    **{("up", str(kind)): kind for kind in Up},
    **{("down", str(kind)): kind for kind in Down},
}


def parse(topic: str) -> DeviceTopic | ModelTopic:
    """Return what *topic* names.

    Raises:
        UnknownTopicError: *topic* is not in the table, or a name in it is malformed.
    """
    if len(topic) <= TOPIC_CHARS_MAX:
        match topic.split("/"):
            case ["oleada", "v1", "d", device_id, direction, kind] if is_device_id(device_id):
                if (known := _OF_DEVICE.get((direction, kind))) is not None:
                    return DeviceTopic(device_id, known)
            case ["oleada", "v1", "m", name, kind] if is_hardware_model(name):
                if kind in set(Model):
                    return ModelTopic(name, Model(kind))
            case _:
                pass
    raise UnknownTopicError(
        f"Topic {topic[:TOPIC_CHARS_MAX]!r} is not in the table; see docs/reference/wire.md."
    )
