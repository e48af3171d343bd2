"""What is known for and against the release of a rollout, in rows that are only added to.

Every count, every E and every decision can be recomputed from ``box_outcome`` and
``control_look``: outcomes are a log of integers, never a counter (docs/explanation/evidence.md).
"""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class EvidenceTerms(Base):
    """What a plan says of evidence; a rollout without a row goes by its limits alone.

    Shares and chances are 0 to 1, ages in seconds. *ripe_after_s* is how old a trial is
    when it counts. *room* is how many boxes may be at work, as it was last decided;
    *looked_at* is when somebody last looked who could also hear boxes. *owes_denial* says
    that the digest goes on the deny list once no box is in its trial any more. *folded_to* is
    the last row of the log that ``outcome_fold`` holds. *watches_hours* is whether hours after
    the update are judged beside those of boxes that wait: as planned, and decided when the
    rollout begins where the plan leaves it open; *hours_to* is up to when they are counted.
    """

    __tablename__ = "evidence_terms"
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    accepted_share: Mapped[float] = mapped_column(Float)
    alpha: Mapped[float] = mapped_column(Float)
    bad_share_max: Mapped[float] = mapped_column(Float)
    doubt: Mapped[float] = mapped_column(Float)
    start_boxes: Mapped[int]
    ripe_after_s: Mapped[int]
    rolls_back_trials: Mapped[bool]
    room: Mapped[int]
    looked_at: Mapped[datetime | None]
    owes_denial: Mapped[bool] = mapped_column(default=False, server_default=false())
    folded_to: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    watches_hours: Mapped[bool | None]
    hours_to: Mapped[datetime | None]


class StratumRow(Base):
    """The boxes of a rollout that ran one version before; fixed when it starts."""

    __tablename__ = "stratum"
    __table_args__ = (UniqueConstraint("rollout_id", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"))
    version: Mapped[str] = mapped_column(String(40))
    boxes: Mapped[int]
    halted_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)


class BoxOutcome(Base):
    """One change of what one attempt of a box stands for; never changed, never deleted.

    *look_id* is the look in which it was judged; who was taken for silent and speaks after
    all is taken out of the look in which he was counted.
    """

    __tablename__ = "box_outcome"
    __table_args__ = (
        Index("ix_box_outcome_stratum", "stratum_id"),
        Index("ix_box_outcome_rollout_now", "rollout_id", "now", "id"),
        Index("ix_box_outcome_rollout", "rollout_id", "id"),
        Index("ix_box_outcome_box", "box_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"))
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"))
    box_id: Mapped[int] = mapped_column(ForeignKey("box_in_wave.id"))
    attempt: Mapped[int]
    was: Mapped[str | None] = mapped_column(String(10))
    now: Mapped[str] = mapped_column(String(10))
    look_id: Mapped[int | None] = mapped_column(ForeignKey("control_look.id"))
    at: Mapped[datetime]


class OutcomeFold(Base):
    """The older rows of the log as one sum: what a tick would else count anew each second.

    How many rows lead to *state* less how many lead away; *look_id* is 0 where there was no
    look. Nothing but a saving: the log has it all, and ``folding.is_whole`` compares the two.
    """

    __tablename__ = "outcome_fold"
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), primary_key=True)
    look_id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(10), primary_key=True)
    boxes: Mapped[int]


class OutcomeCurve(Base):
    """The same sum by time, for the curve of a page: its rows change with those of the sum.

    *at* is the beginning of ``folding.WIDTH_S`` seconds in which the rows came.
    """

    __tablename__ = "outcome_curve"
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), primary_key=True)
    look_id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(10), primary_key=True)
    boxes: Mapped[int]


class ControlLook(Base):
    """How many boxes went dark that were not updated, over the age of one trial.

    *watched* are the device ids, until the look ends; *dark* of *boxes* have gone dark
    so far. A look without *dark* is void: the server was away, or too few were left.
    """

    __tablename__ = "control_look"
    __table_args__ = (Index("ix_control_look_rollout", "rollout_id", "began_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"))
    began_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    boxes: Mapped[int]
    dark: Mapped[int | None]
    watched: Mapped[list[str] | None]


class HoursBeside(Base):
    """One hour of a rollout, of one kind and stratum: boxes that were updated, and that wait.

    Device-hours from 0, the bad ones among them; an hour is written once, when it is closed,
    and never changed. *late* troubles were heard of since the hour before was closed, too late
    for the hours in which they happened.
    """

    __tablename__ = "hours_beside"
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    updated: Mapped[int]
    updated_bad: Mapped[int]
    control: Mapped[int]
    control_bad: Mapped[int]
    late: Mapped[int]


class Incident(Base):
    """A rollout that halted, or a part of it: the numbers of that moment, and the top fault.

    People call it ``I-<id>``. *stratum_id* is None when everything halted; *log_e* is the
    natural logarithm of E.
    """

    __tablename__ = "incident"
    __table_args__ = (Index("ix_incident_rollout", "rollout_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"))
    stratum_id: Mapped[int | None] = mapped_column(ForeignKey("stratum.id"))
    opened_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    begun: Mapped[int]
    bad: Mapped[int]
    silent: Mapped[int]
    good: Mapped[int]
    log_e: Mapped[float] = mapped_column(Float)
    top_fault: Mapped[str | None] = mapped_column(String(40))
    top_fault_boxes: Mapped[int]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(String(120))
    finding: Mapped[str | None] = mapped_column(Text)
