"""Waves, and files that ask approvers for their signatures on them."""

from dataclasses import replace

from oleada_store import waves
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.messages import Cohort, Header, Wave


def a_wave(**changed: object) -> Wave:
    """Return a wave with *changed* fields."""
    wave = Wave(
        header=Header("0" * 32, 1_795_000_000_000, BootId(1, "0badcafe"), 1),
        wave_id=11,
        rollout_id="R-7",
        hardware_model="VX-410",
        target_path="VX-410/5.8.2.img",
        sha256="ab" * 32,
        size_bytes=1000,
        security_version=3,
        cohort=Cohort(salt="salt", share_parts=500),
        not_before_ms=1_795_000_000_000,
        not_after_ms=1_798_000_000_000,
    )
    return replace(wave, **changed)  # type: ignore[arg-type]


def a_request(*found: Wave, listed: tuple[str, ...] | None = None) -> waves.Request:
    """Return a file that asks for signatures on each wave of *found*."""
    asked = tuple(
        waves.WaveToSign(position, "canary", 20, messages.seal(wave, []).decode(), listed)
        for position, wave in enumerate(found, start=1)
    )
    return waves.Request("R-7", 2, (), asked)
