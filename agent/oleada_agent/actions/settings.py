"""``config_get``, ``config_set`` and ``config_undo``: settings that may be changed from afar."""

from dataclasses import asdict

from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import config, overrides
from oleada_agent.actions.order import ActionError, Order, Teller, refused
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError

UNSAID = frozenset({"claim_token_file", "mac"})


def config_get(order: Order, teller: Teller) -> None:
    """Tell every setting but what is secret."""
    changed = overrides.read(RealDisk(order.box))
    for name, value in sorted(asdict(config.load(order.box)).items()):
        if name in UNSAID:
            continue
        text = ", ".join(value) if isinstance(value, tuple) else str(value)
        teller.say({name: text})
        if name in changed:
            teller.say({f"{name}.X_OLEADA_Changed": True})


def config_set(order: Order, teller: Teller) -> None:
    """Change one setting.

    Raises:
        ActionError: it may not be changed from afar, or not to that.
    """
    name, text = order.arguments["name"], order.arguments["value"]
    if name not in overrides.MAY_CHANGE:
        may = ", ".join(sorted(overrides.MAY_CHANGE))
        raise refused(Refusal.DENIED, f"Only these may be changed from afar: {may}.")
    try:
        value = overrides.value_of(name, text)
        before = getattr(config.load(order.box), name)
        config.check_one(order.box, name, value)
        overrides.change(RealDisk(order.box), name, value)
    except (config.ConfigError, overrides.OverrideError) as error:
        raise refused(Refusal.BAD_ARGUMENT, str(error)) from error
    except AgentError as error:
        raise ActionError(ResultStatus.INTERNAL, str(error)) from error
    teller.say({"X_OLEADA_Before": str(before), "X_OLEADA_After": str(value)})
    teller.then("anew")


def config_undo(order: Order, teller: Teller) -> None:
    """Take back the last change.

    Raises:
        ActionError: nothing was changed, or the disk refuses.
    """
    last = overrides.last(RealDisk(order.box))
    if last is None:
        raise refused(Refusal.BAD_ARGUMENT, "Nothing was changed from afar.")
    before = getattr(config.load(order.box), last)
    try:
        overrides.undo(RealDisk(order.box))
    except AgentError as error:
        raise ActionError(ResultStatus.INTERNAL, str(error)) from error
    after = getattr(config.load(order.box), last)
    teller.say({
        "X_OLEADA_Name": last, "X_OLEADA_Before": str(before), "X_OLEADA_After": str(after),
    })  # fmt: skip
    teller.then("anew")
