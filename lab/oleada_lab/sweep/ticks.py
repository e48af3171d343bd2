"""Stories in which the server is killed at each commit, beside the same ones undisturbed.

What a kill leaves is compared at once, row by row (``sim/killing.py``). The story goes on from
a killed server each time, so that at its end there is one that was killed hundreds of times:
its boxes, its evidence and its halts are those of the one that never was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from oleada_lab import stories
from oleada_lab.errors import LabError
from oleada_lab.scenario import SERVICES, Explore, Scenario, load
from oleada_lab.scenario_shapes import SERVER_COMMIT, TICK_COMMIT
from oleada_lab.sim.killing import MODES, Tally
from oleada_lab.sim.services import Services

STORIES: Final = "evidence_*.toml"
CPU_S_MAX: Final = 3600
"""Each tick is played a dozen times; a story's own limit is for playing it once."""
BOXES: Final = "SELECT device_id, state, attempt, reason, counted FROM box_in_wave ORDER BY 1"
OUTCOMES: Final = (
    "SELECT box.device_id, log.attempt, log.was, log.now FROM box_outcome AS log "
    "JOIN box_in_wave AS box ON box.id = log.box_id ORDER BY log.id"
)
INCIDENTS: Final = "SELECT begun, bad, silent, good, reason FROM incident ORDER BY id"
STATES: Final = (
    "SELECT state, state_reason FROM rollout UNION ALL SELECT state, state_reason FROM wave"
)
ENDS: Final = {"boxes": BOXES, "outcomes": OUTCOMES, "incidents": INCIDENTS, "states": STATES}
"""What must be the same in the end; not when it was, because each start is heard anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one story.

    Attributes:
        wrong: What differs from the undisturbed story or from how it should end.
        started: Boxes that were let begin.
        outcomes: Rows of the log of outcomes.
    """

    scenario: str
    seed: int
    tally: Tally
    wrong: tuple[str, ...]
    started: int
    outcomes: int
    rollout: str
    cpu_s: float

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            **{f"{name}_played": many for name, many in sorted(self.tally.deeds.items())},
            "commits": self.tally.commits,
            "kills": self.tally.kills,
            "started": self.started,
            "outcomes": self.outcomes,
            "rollout": self.rollout,
            "wrong": list(self.wrong),
            "cpu_s": round(self.cpu_s, 1),
        }


def run_ticks(
    files: Sequence[Path],
    seed: int | None,
    *,
    batches: bool,
    said: Callable[[Found], None],
) -> list[Found]:
    """Play each story of *files*, killed everywhere and not at all; *said* hears of each.

    Args:
        files: Stories; their real services are played with, whatever they say.
        seed: Instead of a story's own.
        batches: Kill at the commits of batches of messages too.
        said: Called as soon as a story has ended.

    Raises:
        LabError: No commit was come to, so that nothing is proved.
    """
    found = []
    for path in files:
        story = load(path)
        one = run_killed(story, story.seeds[0] if seed is None else seed, batches=batches)
        said(one)
        found.append(one)
    return found


def run_killed(story: Scenario, seed: int, *, batches: bool, once: bool = False) -> Found:
    """Play *story* undisturbed and killed; with *once* each kind of tick is killed once.

    Raises:
        LabError: No commit was come to, so that nothing is proved.
    """
    axis = SERVER_COMMIT if batches else TICK_COMMIT
    limits = replace(story.limits, cpu_s=CPU_S_MAX)
    alone = replace(story, server=SERVICES, explore=None, limits=limits)
    explore = Explore(axis, tuple(map(str, MODES)), once)
    undisturbed, _, _ = _played(alone, seed)
    ends, ending, tally = _played(replace(alone, explore=explore), seed)
    if not tally.kills:
        raise LabError(f"{story.name} comes to no commit, so no kill proves a thing.")
    wrong = [
        f"{what} at the end are {ends[what]} after kills, and {undisturbed[what]} without"
        for what in ENDS
        if ends[what] != undisturbed[what]
    ]
    return Found(
        scenario=story.name,
        seed=seed,
        tally=tally,
        wrong=(*ending.wrong, *wrong),
        started=len({box for box, *_ in ends["outcomes"]}),
        outcomes=len(ends["outcomes"]),
        rollout=str(ending.rollout),
        cpu_s=ending.cpu_s,
    )


def _played(story: Scenario, seed: int) -> tuple[dict[str, Any], stories.Ending, Tally]:
    with stories.Stage(story, seed) as stage:
        stage.play()
        server = stage.server
        assert isinstance(server, Services), "it was asked for"  # noqa: S101
        return (
            {what: server.read(query) for what, query in ENDS.items()},
            stage.ending(),
            (server.killer.tally),
        )
