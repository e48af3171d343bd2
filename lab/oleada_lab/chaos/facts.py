"""What is looked at after a rollout: the server's rows, the boxes' disks, the broker. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What the database says became of one box.

    Attributes:
        assignment_id: Such as ``AS-2041``.
        is_waited_for: A deadline, a lease or a retained assignment is left.
        version: Which the server believes the box runs.
    """

    device_id: str
    assignment_id: str
    state: str
    reason: str | None
    attempt: int
    step: int
    is_waited_for: bool
    version: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """One report as the server counted it."""

    device_id: str
    attempt: int
    step: int
    phase: str
    reason: str | None
    message_id: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The last verdict in a box's journal."""

    assignment_id: str
    attempt: int
    step: int
    phase: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class BoxFacts:
    """What lies on one box.

    Attributes:
        stage: Of the agent's machine, by the name of its class.
        version: Which the boot program says it booted.
        slot_sha256: Of the image in the slot that runs; empty when it has none.
        is_committed: Boot control calls that slot successful.
        kept_reports: Ids of reports that wait for the server's acknowledgement.
        installs: How often the box changed from another version to that of the rollout.
    """

    device_id: str
    stage: str
    verdict: Verdict | None
    version: str
    slot_sha256: str
    is_committed: bool
    kept_reports: tuple[str, ...]
    installs: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about one rollout, read when it should be over.

    Attributes:
        rollout: Such as ``R-7``.
        rollouts_of_release: How many rollouts of this release there are.
        sha256: Of the image that was assigned, as the database has it.
        images: SHA-256 of every image as it was built, by version.
        planned: By device id, how its attempt must end: ``updated`` or ``rolled_back``.
        counts: Boxes by state, as the pages count them.
        boxes: By device id.
        people: What a person did to the rollout after its start.
        outbox_left: Messages that the broker does not have, retained ones included.
        held: SHA-256 of what the broker must hold, by topic, and
        broker: of what it does hold.
        first_broken_audit: The first entry that does not fit the chain; None when all do.
    """

    rollout: str
    state: str
    rollouts_of_release: int
    version: str
    sha256: str
    images: Mapping[str, str]
    planned: Mapping[str, str]
    rows: tuple[Row, ...]
    reports: tuple[Told, ...]
    counts: Mapping[str, int]
    boxes: Mapping[str, BoxFacts]
    people: tuple[str, ...]
    outbox_left: int
    held: Mapping[str, str]
    broker: Mapping[str, str]
    first_broken_audit: int | None
