"""Which slot boots: the boot control's order, and the images' own bytes."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from oleada_agent.boot import control, image
from oleada_agent.boot.errors import ImageError, StorageError


class Ended(StrEnum):
    """How a boot ended."""

    POWER = "power"
    REBOOT = "reboot"
    WATCHDOG = "watchdog"


class Behaviour(StrEnum):
    """What the rest of the system of an image is like; from inside the image."""

    GOOD = "good"
    UNHEALTHY = "unhealthy"
    NO_NETWORK = "no_network"
    HANG = "hang"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """What ``/oleada/release.json`` inside an image says."""

    version: str
    hardware_model: str
    security_version: int
    behaviour: Behaviour = Behaviour.GOOD
    provides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A slot that boots.

    Attributes:
        control: As it is stored now, one try less if the slot is on trial.
        was_successful: The slot had proven itself before this boot.
        took_try: This boot cost a try.
        fell_back: A slot that should have come first could not boot.
        before: How the boot before this one ended.
        passed_over: A sentence for each slot that could not boot.
        put_back: One of them was sound, but its try could not be counted.
    """

    slot: str
    release: ReleaseFile
    agent: bytes
    control: control.Control
    was_successful: bool
    took_try: bool
    fell_back: bool
    before: Ended
    passed_over: tuple[str, ...]
    put_back: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a slot holds, every byte of it checked."""

    release: ReleaseFile
    agent: bytes


Look = Callable[[str], Found]
"""Takes a slot; raises ImageError when what it holds may not boot."""


def choose(look: Look, store: control.FileBootControl, before: Ended) -> Choice:
    """Return the slot to boot; its try is stored as used before this returns.

    A slot whose try can not be stored would be tried for ever, so the other one comes
    first; where there is no other, it boots all the same.

    Raises:
        ImageError: no slot holds an image that may boot.
    """
    passed_over: list[str] = []
    said = store.load() or _safe_control(look, store, passed_over)
    uncounted: Choice | None = None
    for slot in said.in_order():
        found = _found(look, slot, passed_over)
        if found is None:
            continue
        chosen = _chosen(slot, found, said, before)
        try:
            if chosen.took_try:
                store.store(chosen.control)
        except StorageError as error:
            passed_over.append(f"slot {slot} is put back, its try can not be counted: {error}")
            uncounted = uncounted or replace(chosen, control=said, took_try=False)
            continue
        return replace(chosen, passed_over=tuple(passed_over), put_back=uncounted is not None)
    if uncounted is not None:
        return replace(uncounted, passed_over=tuple(passed_over))
    # Where nothing may boot, whatever is whole does: a box that runs can be helped.
    for slot in control.SLOTS:
        if slot not in said.in_order() and (found := _found(look, slot, passed_over)) is not None:
            return replace(_chosen(slot, found, said, before), passed_over=tuple(passed_over))
    raise ImageError("; ".join(passed_over))


def _safe_control(
    look: Look, store: control.FileBootControl, passed_over: list[str]
) -> control.Control:
    """Return, and store where the disk lets us, the record of a box that has lost both."""
    said = control.default(_versions(look))
    passed_over.append("both boot control records were broken; a safe one is used")
    with suppress(StorageError):
        store.store(said)
    return said


def _found(look: Look, slot: str, passed_over: list[str]) -> Found | None:
    """Return what *slot* holds; None, and a sentence in *passed_over*, if it may not boot."""
    try:
        return look(slot)
    except ImageError as error:
        passed_over.append(f"slot {slot} does not boot: {error}")
        return None


def _chosen(slot: str, found: Found, said: control.Control, before: Ended) -> Choice:
    """Return the choice of *slot*, with one try less if it is on trial; stores nothing."""
    took_try = not said.of(slot).successful and said.of(slot).tries > 0
    return Choice(
        slot=slot,
        release=found.release,
        agent=found.agent,
        control=control.with_tries(said, slot, -1) if took_try else said,
        was_successful=said.of(slot).successful,
        took_try=took_try,
        fell_back=slot != said.preferred(),
        before=before,
        passed_over=(),
    )


def look_into(folder: Path) -> Look:
    """Return a ``Look`` at the slots of the box at *folder*."""

    def look(slot: str) -> Found:
        path = slot_path(folder, slot)
        header = image.check_file(path)
        release = parse_release(image.read_inner(path, image.RELEASE_PATH))
        if (release.version, release.hardware_model) != (header.version, header.hardware_model):
            raise ImageError(
                f"The header says {header.hardware_model} {header.version}, "
                f"the inside {release.hardware_model} {release.version}."
            )
        return Found(release, image.read_inner(path, image.AGENT_PATH))

    return look


def slot_path(folder: Path, slot: str) -> Path:
    """Return where *slot* of the box at *folder* lies."""
    return folder / "slots" / f"{slot.lower()}.img"


def _versions(look: Look) -> dict[str, str]:
    """Return the versions of the images that are whole, by slot."""
    found = {}
    for slot in control.SLOTS:
        try:
            found[slot] = look(slot).release.version
        except ImageError:
            continue
    return found


RELEASE_FIELDS: Final = {"version": str, "hardware_model": str, "security_version": int}


def parse_release(data: bytes) -> ReleaseFile:
    """Return what the bytes of a ``release.json`` say.

    Raises:
        ImageError: they are not a release file.
    """
    try:
        value: dict[str, Any] = json.loads(data)
        for name, shape in RELEASE_FIELDS.items():
            if type(value[name]) is not shape:
                raise ValueError(f"{name} is {value[name]!r}; {shape.__name__} was expected")
        return ReleaseFile(
            version=value["version"],
            hardware_model=value["hardware_model"],
            security_version=value["security_version"],
            behaviour=Behaviour(value.get("behaviour", Behaviour.GOOD)),
            provides=tuple(str(item) for item in value.get("provides", ())),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ImageError(f"{image.RELEASE_PATH} is not a release file: {error!r}.") from error
