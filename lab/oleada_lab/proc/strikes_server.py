"""What strikes a real broker, a real server and a rollout; what it returns mends it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from oleada_lab.chaos.schedule import Kill, Moment, Victim
from oleada_lab.check import facts
from oleada_lab.proc.strikes import Mend
from oleada_lab.scenario import Fault

if TYPE_CHECKING:
    from oleada_lab.proc.stage import Stage

OURS: Final = (Victim.WEB, Victim.DOOR, Victim.WORKER, Victim.SCHEDULER)
WITH_CHILDREN: Final = 0.5
"""As a draw of chaos: gunicorn's master dies together with its children."""
STOPPED_S: Final = 0.5
RUNNING_S: Final = 0.7
"""A worker that gives no sign of life for long is killed by its supervisor; this one gives some."""
PEOPLE: Final = frozenset({"pause", "resume", "stop", "retry"})


def strike_service(stage: "Stage", fault: Fault) -> Mend | None:
    """Let *fault* strike the broker or the server; return what mends it."""
    match fault.kind:
        case "broker_restart":
            return _keep_down(stage, "broker", [Victim.BROKER], forgets=not fault.keeps_store)
        case "server_kill":
            return _keep_down(stage, "server", OURS)
        case "server_slow":
            return _slow(stage)
        case "replay":
            stage.house.ear.say_again(stage.house.ear.orders())
        case _:
            stage.people.do(fault.kind)
    return None


def _keep_down(
    stage: "Stage",
    what: str,
    victims: Sequence[Victim],
    *,
    forgets: bool = False,
) -> Mend:
    """Kill *victims*, and whatever their supervisor starts again, until it is mended."""
    stage.tell(facts.ServiceDown(what))

    def kill() -> None:
        for victim in victims:
            stage.house.lab.kill(
                Kill(0, victim, Moment.PLAN, 0, 0, 0, forgets, WITH_CHILDREN), None
            )

    stop = stage.again_and_again(STOPPED_S, kill)

    def mend() -> None:
        stop()
        stage.tell(facts.ServiceUp(what))

    return mend


def _slow(stage: "Stage") -> Mend:
    """Let the worker stand still half of the time."""
    turns: list[Callable[[], None]] = [stage.house.stop_worker, stage.house.let_worker_go]

    def turn() -> None:
        turns.reverse()
        turns[1]()

    stop = stage.again_and_again(RUNNING_S, turn)

    def mend() -> None:
        stop()
        stage.house.let_worker_go()

    return mend
