"""Waves to sign: the file that goes from the server to the approvers' machines and back.

    format, rollout      "oleada.waves/1", "R-7"
    threshold, may_sign  how many of which key ids must sign, as the server says
    waves                position, name, boxes, envelope; device_ids of a list

What counts is in each envelope. The rest comes from the server, which may lie: nothing of
it is shown as if it were signed, and a list of boxes must have the root that is signed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from oleada_wire import codec, messages
from oleada_wire.cohort import SHARE_PARTS, merkle_root
from oleada_wire.envelope import Signer
from oleada_wire.errors import WireError
from oleada_wire.messages import Wave
from oleada_wire.release import ReleaseInfo

from oleada_store import sealing
from oleada_store.errors import BadRequestFileError, SignatureRefusedError
from oleada_store.files import write_whole
from oleada_store.repository import describe
from oleada_store.text import printable
from oleada_store.trust_files import TrustedModel

FORMAT: Final = "oleada.waves/1"
FILE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Room for a list of a million boxes."""
KIND: Final = messages.KINDS[Wave]
LISTED_MAX: Final = 20
"""So many boxes of a list are shown by name; a longer list is in the file."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WaveToSign:
    """One wave of the file.

    Attributes:
        envelope: With the signatures that it has by now.
        device_ids: The boxes of a list; None for a share.
    """

    position: int
    name: str
    boxes: int
    envelope: str
    device_ids: tuple[str, ...] | None = None

    @property
    def wave(self) -> Wave:
        """What the envelope says; not verified.

        Raises:
            BadRequestFileError: it is not a wave.
        """
        payload = sealing.payload_of(KIND, self.envelope)
        try:
            return codec.from_json(Wave, {**payload, "header": payload}, KIND)
        except WireError as error:
            raise BadRequestFileError(f"Wave {self.position} is unreadable: {error}") from error

    @property
    def signed_by(self) -> tuple[str, ...]:
        """The key ids that stand in the envelope; their signatures are not verified."""
        return sealing.claimed(KIND, self.envelope)


@dataclass(frozen=True, slots=True)
class Request:
    """The file as a whole."""

    rollout: str
    threshold: int
    may_sign: tuple[str, ...]
    waves: tuple[WaveToSign, ...]

    def until(self, position: int | None) -> "Request":
        """Return the request with the waves up to *position* alone; None for all."""
        if position is None:
            return self
        return replace(self, waves=tuple(one for one in self.waves if one.position <= position))


def read(path: Path) -> Request:
    """Return the request in *path*.

    Raises:
        BadRequestFileError: it can not be read, or is not one.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise BadRequestFileError(f"{path} has more than {FILE_BYTES_MAX} bytes.")
        return from_json(json.loads(data))
    except (OSError, ValueError, RecursionError) as error:
        raise BadRequestFileError(f"{path} is not a file of waves to sign: {error}") from error


def write(path: Path, request: Request) -> None:
    """Write *request* to *path*, whole or not at all."""
    write_whole(path, json.dumps(to_json(request), indent=1).encode() + b"\n")


def to_json(request: Request) -> dict[str, Any]:
    """Return *request* as the file and the REST API spell it."""
    return {"format": FORMAT, **codec.to_json(request)}


def from_json(found: Any) -> Request:
    """Return the request that *found* spells.

    Raises:
        BadRequestFileError: it is not one, or a list has not the root that is signed.
    """
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BadRequestFileError(
            f"This is not a file of waves to sign ({FORMAT}); fetch one with: oleada rollout waves"
        )
    waves = tuple(_wave(one) for one in _get(found, "waves", list))
    request = Request(
        _get(found, "rollout", str),
        _get(found, "threshold", int),
        _texts(found, "may_sign"),
        waves,
    )
    for one in request.waves:
        _check(one, request.rollout)
    return request


def lines(one: WaveToSign) -> Iterator[str]:
    """Yield, in words, what whoever signs *one* says yes to; only what is in the envelope."""
    wave = one.wave
    yield f"Wave {one.position} of {wave.rollout_id} (number {wave.wave_id} of the server)"
    yield f"  Release           {printable(wave.target_path)}"
    yield f"  Security version  {wave.security_version} (boxes never go below it again)"
    yield f"  Image             {wave.size_bytes} bytes, SHA-256 {printable(wave.sha256)}"
    yield f"  May go to         {_whom(one, wave)}"
    yield from (f"                    {name}" for name in _named(one))
    yield f"  From              {_day(wave.not_before_ms)}"
    yield f"  Until             {_day(wave.not_after_ms)}"


def check_release(one: WaveToSign, trusted: TrustedModel) -> ReleaseInfo:
    """Return what the release says of itself that *one* opens, as its two signers signed it.

    Raises:
        BadRequestFileError: no such release is published, or it is another image.
    """
    wave = one.wave
    target = trusted.role.signed.targets.get(wave.target_path)
    if target is None:
        raise BadRequestFileError(
            f"Wave {one.position} opens {printable(wave.target_path)}, which is not among the "
            "signed releases of the model."
        )
    release = describe(wave.hardware_model, target)
    said = (wave.sha256, wave.size_bytes, wave.security_version)
    if said != (release.sha256, release.size_bytes, release.info.security_version):
        raise BadRequestFileError(
            f"Wave {one.position} names another image than the signed release "
            f"{wave.target_path}; boxes would refuse it. Do not sign."
        )
    return release.info


def sign(request: Request, signer: Signer) -> Request:
    """Return *request* with the signature of *signer* on each of its waves.

    Raises:
        SignatureRefusedError: the key may not sign waves.
    """
    if request.may_sign and signer.keyid not in request.may_sign:
        raise SignatureRefusedError(
            f"This key (id {signer.keyid[:16]}…) is not one of those that sign waves here; use "
            "that of a wave approver."
        )
    signed = tuple(
        replace(one, envelope=sealing.with_signature(KIND, one.envelope, signer))
        for one in request.waves
    )
    return replace(request, waves=signed)


def _whom(one: WaveToSign, wave: Wave) -> str:
    if one.device_ids is not None:
        return f"{len(set(one.device_ids))} boxes of {wave.hardware_model}, by name:"
    parts = wave.cohort.share_parts or 0
    return (
        f"{parts * 100 / SHARE_PARTS:g} % of every {printable(wave.hardware_model)}, at random "
        f"under {printable(wave.cohort.salt or '')} (this server counts {one.boxes} boxes now)"
    )


def _named(one: WaveToSign) -> list[str]:
    names = sorted(set(one.device_ids or ()))
    if len(names) <= LISTED_MAX:
        return [printable(name) for name in names]
    return [*map(printable, names[:LISTED_MAX]), f"… and {len(names) - LISTED_MAX} more, see FILE"]


def _day(at_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms after 1970, which is no date: do not sign"


def _check(one: WaveToSign, rollout: str) -> None:
    wave = one.wave
    if wave.rollout_id != rollout:
        raise BadRequestFileError(
            f"Wave {one.position} belongs to {wave.rollout_id}, not to {rollout}."
        )
    root = wave.cohort.merkle_root
    if (root is None) != (one.device_ids is None) or (
        one.device_ids is not None and (not one.device_ids or merkle_root(one.device_ids) != root)
    ):
        raise BadRequestFileError(
            f"The boxes listed for wave {one.position} are not those that would be signed. "
            "Do not sign; find out who changed the list."
        )


def _wave(found: Any) -> WaveToSign:
    if not isinstance(found, dict):
        raise BadRequestFileError("Each wave to sign is an object.")
    listed = _texts(found, "device_ids") if found.get("device_ids") is not None else None
    return WaveToSign(
        _get(found, "position", int),
        _get(found, "name", str),
        _get(found, "boxes", int),
        _get(found, "envelope", str),
        listed,
    )


def _texts(found: dict[str, Any], name: str) -> tuple[str, ...]:
    items = _get(found, name, list)
    if not all(isinstance(item, str) for item in items):
        raise BadRequestFileError(f"{name}: texts expected.")
    return tuple(items)


def _get(found: dict[str, Any], name: str, kind: type[T]) -> T:
    value = found.get(name)
    if type(value) is not kind:
        raise BadRequestFileError(f"{name}: {kind.__name__} expected.")
    return value
