"""The machine's state as JSON and back, for the journal.

``SCHEMA`` rises only when an older agent could not read what a newer one wrote. Until
then fields are only added, with defaults: after a rollback the old agent reads the
journal that the new one wrote in its trial.
"""

from dataclasses import replace
from typing import Any, Final

from oleada_wire import codec
from oleada_wire.errors import MalformedMessageError

from oleada_agent.errors import JournalError
from oleada_agent.machine_states import (
    STAGES,
    Assigned,
    Downloading,
    Gate,
    Limits,
    Offer,
    ReportDraft,
    Running,
    Stage,
    State,
    Trial,
    Written,
)

SCHEMA: Final = 1
_BY_NAME: Final[dict[str, Any]] = {stage.__name__: stage for stage in STAGES}


def durable(state: State) -> State:
    """Return what of *state* must survive: a restart passes every gate again.

    Two states with the same durable part need no store between them, so a box that
    waits for months for its lease wears nothing out.
    """
    match state.stage:
        case Assigned() as stage:
            return replace(state, stage=replace(stage, gate=Gate.AUTHORITY))
        case Downloading() as stage:
            return replace(state, stage=replace(stage, gate=Gate.CONDITIONS))
        case Written() as stage:
            return replace(state, stage=replace(stage, gate=Gate.READ_BACK))
        case Trial() as stage:
            return replace(state, stage=replace(stage, contacted=False))
        case _:
            return state


def to_json(state: State) -> dict[str, Any]:
    """Return the durable part of *state* as a JSON object, without floats."""
    found: dict[str, Any] = codec.to_json(durable(state))
    found["stage"] = {"name": type(state.stage).__name__, **found["stage"]}
    return found


def from_json(value: Any) -> State:
    """Return the state that *value* spells; fields this agent does not know are left out.

    Raises:
        JournalError: *value* is not a state; says which field and why.
    """
    if not isinstance(value, dict):
        raise JournalError("The journal holds no state; a JSON object was expected.")
    try:
        return State(
            stage=_stage(value.get("stage")),
            running=codec.from_json(Running, value.get("running"), "journal.running"),
            limits=codec.from_json(Limits, value.get("limits"), "journal.limits"),
            assignment_seq=_number(value, "assignment_seq"),
            security_floor=_number(value, "security_floor"),
            quarantined=_digests(value),
            waiting=_optional(Offer, value, "waiting"),
            last=_optional(ReportDraft, value, "last"),
            first_step=_number({"first_step": 0, **value}, "first_step"),
        )
    except MalformedMessageError as error:
        raise JournalError(f"The journal is not one of this agent: {error}") from error


def _stage(value: Any) -> Stage:
    name = value.get("name") if isinstance(value, dict) else None
    shape = _BY_NAME.get(str(name))
    if shape is None:
        raise JournalError(
            f"The journal is in stage {str(name)[:40]!r}; this agent knows {', '.join(_BY_NAME)}."
        )
    found: Stage = codec.from_json(shape, value, f"journal.{name}")
    return found


def _number(value: dict[str, Any], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise JournalError(f"journal.{name} is {found!r}; a number from 0 was expected.")
    return found


def _digests(value: dict[str, Any]) -> tuple[str, ...]:
    found = value.get("quarantined")
    if not isinstance(found, list) or not all(isinstance(digest, str) for digest in found):
        raise JournalError("journal.quarantined is not a list of digests.")
    return tuple(found)


def _optional(shape: type[Any], value: dict[str, Any], name: str) -> Any:
    found = value.get(name)
    return None if found is None else codec.from_json(shape, found, f"journal.{name}")
