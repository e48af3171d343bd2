"""What a replay of a plan says to people: its end, its load, what it could break."""

from datetime import datetime

from markupsafe import Markup

from oleada_server.rollouts.dryrun import Run
from oleada_server.rollouts.presence import Replay
from oleada_server.rollouts.spec import RolloutSpec
from oleada_server.web import words
from oleada_server.web.words import gettext, say, say_n


def sentences(found: Replay, spec: RolloutSpec) -> list[Markup]:
    """Return what *found*, the replay of *spec*, says; the estimate says what it rests on."""
    return [
        _end(found.good),
        say("At most <b>%(size)s</b> a second is loaded.", size=_size(found.good)),
        *_unreached(found.good),
        *(_damage(share, run) for share, run in found.damage.items()),
        *(_width(width, at) for width, at in found.widths.items() if width != spec.in_flight_max),
        _rests_on(found),
    ]


def _size(run: Run) -> str:
    return words.size(run.peak_bytes_s)


def _end(run: Run) -> Markup:
    if run.ends_at is None:
        return say("<b>It would stop for a person:</b> too few boxes are on while they may begin.")
    return say("<b>Done %(when)s</b>, if no box fails.", when=words.moment(run.ends_at))


def _unreached(run: Run) -> list[Markup]:
    if not run.unreached:
        return []
    return [say_n("%(n)s box is never on while it may begin.",
                  "%(n)s boxes are never on while they may begin.", run.unreached)]  # fmt: skip


def _damage(share: float, run: Run) -> Markup:
    how = {
        "limit": gettext("the limit of its wave stops it"),
        "evidence": gettext("the evidence stops it"),
        "held": gettext("it waits for a person"),
    }.get(run.stopped_by, gettext("nothing stops it"))
    return say_n("If %(share)s fail on it: <b>%(n)s box</b> harmed; %(how)s.",
                 "If %(share)s fail on it: <b>%(n)s boxes</b> harmed; %(how)s.",
                 run.harmed, share=words.percent(share), how=how)  # fmt: skip


def _width(width: int, ends_at: datetime | None) -> Markup:
    when = gettext("not without a person") if ends_at is None else words.moment(ends_at)
    return say("With %(n)s at work at one time: done %(when)s.", n=words.number(width), when=when)


def _rests_on(found: Replay) -> Markup:
    if not found.days:
        return say("<span class=\"dim\">No days of presence are kept yet, so boxes are taken to be "
                   "on all day.</span>")  # fmt: skip
    return say_n("<span class=\"dim\">An estimate: replays the last %(n)s day of %(boxes)s "
                 "boxes.</span>",
                 "<span class=\"dim\">An estimate: replays the last %(n)s days of %(boxes)s "
                 "boxes.</span>", found.days, boxes=words.number(found.boxes))  # fmt: skip
