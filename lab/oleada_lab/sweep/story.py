"""What happens to a box in a sweep, from where, and how it must end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from oleada_agent import identity, keypairs
from oleada_agent.boot import control
from oleada_agent.boot.choice import Behaviour
from oleada_agent.slots import slot_path
from oleada_wire.words import Phase, Reason

from oleada_lab.errors import LabError
from oleada_lab.sim.disk import SimDisk
from oleada_lab.sweep.box import Box
from oleada_lab.sweep.desk import Desk
from oleada_lab.sweep.kit import (
    CONFIG,
    FIRST,
    RUNNING,
    SECOND,
    SPARE,
    START_MS,
    TOKEN,
    Kit,
    Release,
)
from oleada_lab.sweep.world import World

FRESH_MS: Final = 50 * 60_000
"""So long before the story a box was enrolled; no certificate is due then."""
Ending = tuple[Phase, Reason | None]


@dataclass(frozen=True, slots=True)
class Story:
    """One life of a box.

    Attributes:
        is_enrolled: It begins with a box that has been enrolled; else fresh from the factory.
        behaviour: Of the new image; None when there is no release to install.
        ending: Verdict of the one attempt; None without a release.
        renewals: How often its certificate has been replaced at the end; all but the last
            time before the story begins.
        like: The story that begins in the same way; only what differs is cut here.
        release: Is offered, if one is; those before it were installed before the story begins.
        of_before: It was enrolled by an agent that kept once what is kept twice now.
    """

    name: str
    about: str
    is_enrolled: bool
    behaviour: Behaviour | None
    ending: Ending | None
    like: str = ""
    renewals: int = 0
    release: Release = FIRST
    of_before: bool = False

    @property
    def is_updated(self) -> bool:
        """Whether the new image is to run at the end."""
        return self.ending is not None and self.ending[0] is Phase.UPDATED

    @property
    def behaviours(self) -> Mapping[str, Behaviour]:
        """Return how images behave, by version."""
        return {} if self.behaviour is None else {self.release.new.version: self.behaviour}


ENROLMENT: Final = Story(
    "enrolment", "a factory box gets its identity and its first metadata", False, None, None
)
UPDATE: Final = Story(
    "update",
    "new keys of the root, a release, a command: installed, proven, told",
    True,
    Behaviour.GOOD,
    (Phase.UPDATED, None),
)
AGAIN: Final = Story(
    "again",
    "the next release, back into the first slot, on a box that was updated before",
    True,
    Behaviour.GOOD,
    (Phase.UPDATED, None),
    release=SECOND,
)
UNHEALTHY: Final = Story(
    "unhealthy",
    "the new image never shows a picture and is rolled back",
    True,
    Behaviour.UNHEALTHY,
    (Phase.ROLLED_BACK, Reason.HEALTH_CHECK),
    like="update",
)
UNBOOTABLE: Final = Story(
    "unbootable",
    "the agent of the new image never begins; the boot program falls back",
    True,
    Behaviour.HANG,
    (Phase.ROLLED_BACK, Reason.UNBOOTABLE),
    like="update",
)
DENIED: Final = Story(
    "denied",
    "the deny list names the release; nothing of it is fetched",
    True,
    Behaviour.GOOD,
    (Phase.DECLINED, Reason.DENIED),
    like="update",
)
UNCOVERED: Final = Story(
    "uncovered",
    "no signed wave covers the box, whatever the assignment says",
    True,
    Behaviour.GOOD,
    (Phase.DECLINED, Reason.NOT_COVERED),
    like="update",
)
RENEWAL: Final = Story(
    "renewal", "the first certificate is replaced by the next, of another key; who the box is "
    "is kept twice from now on", True, None, None, renewals=1, of_before=True,
)  # fmt: skip
RENEWAL_AGAIN: Final = Story(
    "renewal-again", "the next one is replaced, where the first one lies", True, None, None,
    renewals=2,
)  # fmt: skip
EVERY: Final = (
    *(ENROLMENT, UPDATE, AGAIN, UNHEALTHY, UNBOOTABLE, DENIED, UNCOVERED),
    *(RENEWAL, RENEWAL_AGAIN),
)
STORIES: Final = {story.name: story for story in EVERY}


def factory(kit: Kit, seed: int) -> World:
    """Return a box as it leaves the factory, with an older image in its spare slot."""
    disk = SimDisk()
    files = {
        slot_path("A"): kit.images[RUNNING].data,
        slot_path("B"): kit.images[SPARE].data,
        f"data/{CONFIG.claim_token_file}": TOKEN.encode(),
    }
    for path, data in files.items():
        disk.create(path)
        disk.pwrite(path, 0, data)
    store = control.FileBootControl(disk)
    store.store(control.marked_good(control.factory("B"), "A"))
    disk.settle()
    disk.changes = 0
    return World(kit, disk, Desk(kit), {}, seed)


def _update(world: World) -> None:
    """Let the first release be installed in *world*.

    Raises:
        LabError: it was not.
    """
    world.desk.offer(FIRST)
    problem = Box(world).live()
    if problem is not None or not world.desk.verdicts(1):
        raise LabError(f"The box was not updated: {problem}")
    world.now_ms = START_MS
    world.put, world.has_answered, world.pings = frozenset(), False, 0
    world.disk.settle()
    world.disk.changes = 0


def _forget_copies(disk: SimDisk) -> None:
    """Leave of the identity on *disk* what an agent of before would have kept."""
    _, second = identity.FOLDERS
    spare = keypairs.FOLDERS[keypairs.spare(disk)]
    for folder, names in (
        (second, (identity.RECORD, identity.AUTHORITY)),
        (spare, (keypairs.KEY, keypairs.CERTIFICATE)),
    ):
        for name in names:
            disk.unlink(f"{folder}/{name}")
    disk.settle()
    disk.changes = 0


def begin(story: Story, kit: Kit, seed: int) -> World:
    """Return the world in which *story* begins, the box switched off.

    Raises:
        LabError: the box did not even enrol undisturbed.
    """
    world = factory(kit, seed)
    world.desk.short_lived = story.renewals
    if story.is_enrolled:
        for time in range(max(1, story.renewals)):
            world.now_ms = START_MS - (FRESH_MS if time == 0 else 0)
            problem = Box(world).live()
            if problem is not None or not identity.is_enrolled(world.disk):
                raise LabError(f"The box did not enrol: {problem}")
        world.now_ms = START_MS
        world.disk.settle()
        world.disk.changes = 0
    if story.of_before:
        _forget_copies(world.disk)
    if story.release is SECOND:
        _update(world)
    if story.behaviour is not None:
        world.desk.offer(story.release)
    world.desk.is_denied = story is DENIED
    world.desk.is_covered = story is not UNCOVERED
    world.behaviours = story.behaviours
    world.boots = 0
    return world
