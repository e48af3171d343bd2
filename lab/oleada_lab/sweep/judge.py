"""What must be true of a box when the faults have stopped and it rests."""

from typing import Final

from oleada_agent.boot import control
from oleada_agent.machine_states import Idle, State
from oleada_agent.outbox import DIRECTORY
from oleada_wire.words import Phase

from oleada_lab.sweep import renewing
from oleada_lab.sweep.finding import Finding, Kind
from oleada_lab.sweep.story import Story
from oleada_lab.sweep.world import World

LEFTOVERS: Final = (".tmp", ".new", ".broken")


def judge(story: Story, world: World, state: State | None) -> list[Finding]:
    """Return everything that is wrong, the worst first; nothing when all is well.

    Args:
        state: Of the machine at rest; None when the agent never ran.
    """
    lies = [Finding(Kind.LIE, sentence) for sentence in (*world.desk.lies, *world.lies)]
    if state is None:
        return [Finding(Kind.STUCK, "the agent never ran"), *lies]
    told = (*_place(story, world, state), *_verdict(story, world))
    return [*told, *renewing.judge(world, story.renewals), *_rest(world), *lies]


def _place(story: Story, world: World, state: State) -> list[Finding]:
    """Return what is wrong about what runs."""
    slot, version = place = story.release.new if story.is_updated else story.release.old
    found = []
    if not isinstance(state.stage, Idle):
        found.append(f"the box rests in {type(state.stage).__name__}")
    running = state.running
    if (running.slot, running.version) != (slot, version):
        found.append(f"{running.slot} {running.version} runs; {slot} {version} was to")
    said = control.FileBootControl(world.disk).load()
    if said is None or not said.of(running.slot).successful or not running.successful:
        found.append(f"slot {running.slot} runs and is not proven")
    floor = place.security_version
    stuck = [Finding(Kind.STUCK, sentence) for sentence in found]
    if state.security_floor != floor:
        sentence = f"the security floor is {state.security_floor}; {floor} is right"
        stuck.append(Finding(Kind.LIE, sentence))
    is_bad = story.ending is not None and story.ending[0] is Phase.ROLLED_BACK
    if is_bad != bool(state.quarantined):
        stuck.append(Finding(Kind.LIE, f"quarantined is {state.quarantined}"))
    return stuck


def _verdict(story: Story, world: World) -> list[Finding]:
    """Return what is wrong about what the server was told."""
    told = [(one.phase, one.reason) for one in world.desk.verdicts(1)]
    if story.ending is None:
        return [Finding(Kind.LIE, f"a verdict about nothing: {told}")] if told else []
    if not told:
        return [Finding(Kind.STUCK, "the server was told no verdict")]
    found = []
    if world.desk.attempt > 1:
        found.append(Finding(Kind.STUCK, f"it took {world.desk.attempt} attempts: {told}"))
    if told != [story.ending]:
        found.append(Finding(Kind.LIE, f"the verdict is {told}; {story.ending} is right"))
    return found


def _rest(world: World) -> list[Finding]:
    """Return what is wrong about what was left on the disk, or done too often."""
    found = []
    if waiting := world.disk.list(DIRECTORY):
        found.append(Finding(Kind.STUCK, f"{len(waiting)} messages were never acknowledged"))
    left = [path for path in world.disk.files() if path.endswith(LEFTOVERS)]
    if left:
        found.append(Finding(Kind.STUCK, f"never cleared away: {', '.join(left)}"))
    lost = sorted(world.put - world.desk.reports.keys())
    if lost:
        found.append(Finding(Kind.LIE, f"reports that were kept never came: {lost}"))
    if world.has_answered and not world.desk.results:
        found.append(Finding(Kind.LIE, "the answer to the command was kept and never came"))
    if world.pings > 1:
        found.append(Finding(Kind.LIE, f"one command was carried out {world.pings} times"))
    return found
