"""Rollouts, their waves, the boxes in them, and every report that counted.

Shares are 0 to 1; ``_s`` is seconds, ``_min`` in a window minutes after midnight in the
box's zone. A box's *state* is derived from reports alone; a report counts once,
because (assignment, attempt, step) is unique.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from oleada_server.db import Base, JsonOrNull
from oleada_server.releases.models import Release
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState

__all__ = [
    "BoxInWave",
    "BoxState",
    "GoneBack",
    "LeftAlone",
    "ReportRow",
    "Rollout",
    "RolloutState",
    "Wave",
    "WaveState",
]


class Rollout(Base):
    """One release on its way to boxes of its model; people call it ``R-<id>``.

    *needs_approval* is decided when it is planned; *asked_* and *ask_remark* say who
    asked a second person for approval, *approved_* who gave it. *rules* is JSON that
    ``rules.read`` reads; *newcomers_at* is when boxes that came later were last looked for.
    *is_forced* says that a person lets it disturb boxes that are else left alone; boxes whose
    assignment expires before *reissue_before* have not been told so yet, or not that it ended.
    *preparing* says how far its boxes are written down; None when they all are (freezing.py).
    """

    __tablename__ = "rollout"
    __table_args__ = ({"sqlite_autoincrement": True},)  # a restore raises the next number
    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"))
    name: Mapped[str] = mapped_column(String(120))
    state: Mapped[RolloutState] = mapped_column(String(20), index=True)
    state_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    start_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    salt: Mapped[str] = mapped_column(String(32))
    window_start_min: Mapped[int | None]
    window_end_min: Mapped[int | None]
    silent_after_s: Mapped[int]
    attempts_max: Mapped[int]
    in_flight_max: Mapped[int]
    spread_s: Mapped[int]
    lease_s: Mapped[int]
    rules: Mapped[dict[str, Any] | None]
    newcomers_at: Mapped[datetime | None]
    preparing: Mapped[dict[str, Any] | None] = mapped_column(JsonOrNull)
    is_forced: Mapped[bool] = mapped_column(default=False, server_default=false())
    reissue_before: Mapped[datetime | None]
    needs_approval: Mapped[bool] = mapped_column(default=False, server_default=false())
    asked_at: Mapped[datetime | None]
    asked_by: Mapped[str | None] = mapped_column(String(120))
    ask_remark: Mapped[str | None] = mapped_column(Text)
    approved_at: Mapped[datetime | None]
    approved_by: Mapped[str | None] = mapped_column(String(120))
    release: Mapped[Release] = relationship()
    waves: Mapped[list["Wave"]] = relationship(order_by="Wave.position", back_populates="rollout")


class Wave(Base):
    """One group of boxes that gets the release at one time.

    Covers boxes whose place lies under *share_until* (of 0 to 1, cumulative), that are on
    an explicit list, or that *box_filter* (JSON that ``cover.where_from`` reads) and
    *box_count* choose; *success_share_min* and *failed_share_max* are judged from
    *sample_min* outcomes on. *authorised_until* is when the signed wave runs out.
    *sign_request* is the envelope that approvers are asked to sign, with the signatures so
    far, *authorisation* the one that enough of them have signed; a wave that has neither is
    signed by the server itself (signatures.py).
    *silent_accepted* and *good_accepted* are what a person who lifted a hold took
    responsibility for: at most so many silent, no more than so many good needed.
    """

    __tablename__ = "wave"
    __table_args__ = (
        UniqueConstraint("rollout_id", "position"),
        {"sqlite_autoincrement": True},  # as of a rollout
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(80))
    share_until: Mapped[float | None]
    device_ids: Mapped[list[str] | None]
    box_count: Mapped[int | None]
    box_filter: Mapped[dict[str, Any] | None]
    merkle_root: Mapped[str | None] = mapped_column(String(64))
    boxes: Mapped[int] = mapped_column(default=0)
    success_share_min: Mapped[float]
    failed_share_max: Mapped[float]
    silent_share_max: Mapped[float]
    sample_min: Mapped[int]
    soak_s: Mapped[int]
    state: Mapped[WaveState] = mapped_column(String(20))
    state_reason: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[datetime | None]
    soak_from: Mapped[datetime | None]
    passed_at: Mapped[datetime | None]
    authorised_until: Mapped[datetime | None]
    sign_request: Mapped[str | None] = mapped_column(Text)
    authorisation: Mapped[str | None] = mapped_column(Text)
    silent_accepted: Mapped[int | None]
    good_accepted: Mapped[int | None]
    rollout: Mapped[Rollout] = relationship(back_populates="waves")


def _of_those_with(column: str, name: str, *columns: str) -> Index:
    """Return an index of boxes in waves that have a value in *column*."""
    has_one = text(f"{column} IS NOT NULL")
    return Index(f"ix_box_in_wave_{name}", *columns, postgresql_where=has_one, sqlite_where=has_one)


class BoxInWave(Base):
    """One box in one wave: its assignment, its lease and what it last reported.

    *assignment_id* is ``AS-<id>``; *attempt* rises with each retry; *step* is the
    highest report counted in this attempt; *deadline_at* is when silence counts. *leased_at* is
    when it was given its place; None once it has lost that, even if it works on.
    *counted* is what this attempt stands for in the evidence so far (evidence/models.py);
    *armed_at* is when it was let into its trial, *ripe_at* when that is old enough to count.
    """

    __tablename__ = "box_in_wave"
    __table_args__ = (
        UniqueConstraint("rollout_id", "device_id"),
        Index("ix_box_in_wave_wave_state", "wave_id", "state", "id"),
        Index("ix_box_in_wave_device", "device_id"),
        # A row that waits has none of these, so writing a wave costs it no place in them.
        _of_those_with("deadline_at", "deadline", "rollout_id", "deadline_at"),
        _of_those_with("counted", "counted", "rollout_id", "counted"),
        _of_those_with("ripe_at", "ripe", "rollout_id", "ripe_at"),
        _of_those_with("ended_at", "ended", "rollout_id", "ended_at", "id"),
        _of_those_with(
            "assignment_expires_at", "assigned", "rollout_id", "state", "assignment_expires_at"
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"))
    wave_id: Mapped[int] = mapped_column(ForeignKey("wave.id"))
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"))
    state: Mapped[BoxState] = mapped_column(String(20))
    attempt: Mapped[int] = mapped_column(default=0)
    step: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str | None] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(Text)
    version_before: Mapped[str | None] = mapped_column(String(40))
    done_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    assigned_at: Mapped[datetime | None]
    assignment_expires_at: Mapped[datetime | None]
    leased_at: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    counted: Mapped[str | None] = mapped_column(String(10))
    armed_at: Mapped[datetime | None]
    ripe_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    changed_at: Mapped[datetime]


class ReportRow(Base):
    """A report that counted, kept for ever: every number can be recomputed from these."""

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("box_id", "attempt", "step"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("box_in_wave.id"))
    attempt: Mapped[int]
    step: Mapped[int]
    phase: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(Text)
    version: Mapped[str] = mapped_column(String(40))
    running_slot: Mapped[str] = mapped_column(String(1))
    message_id: Mapped[str] = mapped_column(String(32))
    box_at: Mapped[datetime]
    received_at: Mapped[datetime]


class LeftAlone(Base):
    """A box that is left alone until then, and why (left_alone.py); a time past counts not."""

    __tablename__ = "device_left_alone"
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    ref: Mapped[str] = mapped_column(String(80))
    until: Mapped[datetime]
    noted_at: Mapped[datetime]
    noted_by: Mapped[str] = mapped_column(String(120))


class GoneBack(Base):
    """What became of the boxes of an ended rollout that were to go back to one version.

    *version* is what they ran before; empty where there was none such. *back_id* is the
    rollout that takes them back, or *refused* says why none does.
    """

    __tablename__ = "rollout_gone_back"
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    version: Mapped[str] = mapped_column(String(40), primary_key=True)
    boxes: Mapped[int]
    back_id: Mapped[int | None] = mapped_column(ForeignKey("rollout.id"))
    refused: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime]


class DoneOnce(Base):
    """A deed that a program asked for under an idempotency key; asked again, it is not redone."""

    __tablename__ = "rollout_done_once"
    actor: Mapped[str] = mapped_column(String(120), primary_key=True)
    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"))
    at: Mapped[datetime]
