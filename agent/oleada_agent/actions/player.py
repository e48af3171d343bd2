"""Every action that the media player does: asked over its socket, and not believed.

Of what it answers only values are told that the action has, of the right kind.
"""

import re
from typing import Any, Final

from oleada_wire.actions import FILE_BYTES_MAX, Field, Value
from oleada_wire.readings import STB, field_of
from oleada_wire.words import Refusal, ResultStatus

from oleada_agent.actions.order import ActionError, Order, Teller, refused
from oleada_agent.senses.mediasocket import Conversation, MediaError, is_there, talk

LINES_MAX: Final = 200
"""Of one answer; a player that never ends is ended."""
SPARE_MS: Final = 500
"""Kept of the time limit to tell how it ended."""
_NUMBER: Final = re.compile(r"\.\d+(?=\.)")


def ask(order: Order, teller: Teller) -> None:
    """Let the media player do the action of *order*.

    Raises:
        ActionError: there is no player, it refuses, or it does not answer as agreed.
    """
    if not is_there(order.box):
        raise refused(Refusal.NOT_ON_THIS_MODEL, "The media player of this model has no socket.")
    try:
        with talk(order.box, max(500, order.timeout_ms - SPARE_MS)) as player:
            player.ask(order.action.name, dict(order.arguments))
            _hear(player, order, teller)
    except MediaError as error:
        raise ActionError(ResultStatus.NO_RESPONSE, str(error), Refusal.MEDIA) from error


def _hear(player: Conversation, order: Order, teller: Teller) -> None:
    for _ in range(LINES_MAX):
        found = player.line()
        if "error" in found:
            raise ActionError(
                ResultStatus.ERROR,
                f"The media player says: {found['error']} {found.get('detail', '')}"[:300],
                Refusal.MEDIA,
            )
        done = found.get("done_parts")
        values = accepted(found.get("values"), order.action.results)
        teller.say(values, done_parts=done if type(done) is int else None)
        if (file := found.get("file")) is not None:
            _bring(player, order, teller, file)
        if found.get("end") is True:
            return
    raise MediaError("The media player does not come to an end.")


def _bring(player: Conversation, order: Order, teller: Teller, file: Any) -> None:
    size_bytes = file.get("size_bytes") if isinstance(file, dict) else None
    if (
        type(size_bytes) is not int
        or not 0 < size_bytes <= FILE_BYTES_MAX
        or not order.action.files
    ):
        raise MediaError("The media player offers a file that was not agreed.")
    teller.upload(order.action.files[0], player.bytes(size_bytes))


def accepted(found: object, fields: tuple[Field, ...]) -> dict[str, Value]:
    """Return those of *found* that are called as *fields* say and are of their kind."""
    if not isinstance(found, dict):
        return {}
    known = {field.name: field for field in fields}
    is_open = any(name.endswith("{path}") for name in known)
    good: dict[str, Value] = {}
    for name, value in found.items():
        if not isinstance(name, str) or len(name) > 200:
            continue
        field = known.get(name) or known.get(_NUMBER.sub(".{i}", name))
        if field is None and is_open and name.startswith(STB):
            field = field_of(name)
        if field is not None and type(value) is field.kind:
            good[name] = value
    return good
