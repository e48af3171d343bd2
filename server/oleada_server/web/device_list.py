"""The filters of the device list: an address in, filters and chips out, and back.

The address is the whole state, so that it can be sent to a colleague. What can not be
read in it is left out and said, never guessed.
"""

from dataclasses import dataclass, field, replace

from flask import url_for
from werkzeug.datastructures import MultiDict

from oleada_server.devices.search import Contact, Filters, Sort
from oleada_server.rollouts.states import BoxState
from oleada_server.web import status
from oleada_server.web.words import gettext

TEXT_CHARS_MAX = 80


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is set: what it says, and the address without it."""

    name: str
    text: str
    without: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for. *unread* are the parts of it that make no sense.

    *rollout* and *wave* are the numbers that people see: 107 of ``R-107``, 3 of wave 3.
    """

    q: str = ""
    model: str = ""
    version: str = ""
    contact: Contact | None = None
    region: str = ""
    rollout: int | None = None
    wave: int | None = None
    box: tuple[BoxState, ...] = ()
    why: str = ""
    sort: Sort = Sort.ID
    after: str | None = None
    unread: tuple[str, ...] = field(default=())

    def filters(self, wave_id: int | None) -> Filters:
        """Return the filters for the search; *wave_id* is the row of *wave*."""
        return Filters(
            models=(self.model,) if self.model else (),
            versions=(self.version,) if self.version else (),
            contact=self.contact,
            text=self.q,
            region=self.region or None,
            rollout_id=self.rollout,
            wave_id=wave_id,
            box_states=tuple(str(state) for state in self.box),
            box_reason=self.why or None,
        )

    def address(self, **changes: object) -> str:
        """Return the address of the list with *changes*; any change leads to its first page."""
        asked = replace(self, after=None, **changes)  # type: ignore[arg-type]  # names of fields
        return url_for(
            "device_pages.index",
            q=asked.q or None,
            model=asked.model or None,
            version=asked.version or None,
            contact=asked.contact,
            region=asked.region or None,
            rollout=f"R-{asked.rollout}" if asked.rollout is not None else None,
            wave=asked.wave,
            box=",".join(asked.box) or None,
            why=asked.why or None,
            sort=asked.sort if asked.sort is not Sort.ID else None,
        )

    def page_address(self, after: str | None) -> str:
        """Return the address of the page after key *after*, with the same filters."""
        first = self.address()
        if after is None:
            return first
        return f"{first}{'&' if '?' in first else '?'}after={after}"

    def sort_address(self, up: Sort, down: Sort) -> str:
        """Return the address of the list sorted by *up*, or turned round if it is already."""
        return self.address(sort=down if self.sort is up else up)

    def chips(self) -> list[Chip]:
        """Return the chips of the filters that are set, in the order of the form."""
        found: list[Chip] = []
        if self.q:
            found.append(Chip(gettext("search"), self.q, self.address(q="")))
        if self.model:
            found.append(Chip(gettext("model"), self.model, self.address(model="")))
        if self.version:
            found.append(Chip(gettext("firmware"), self.version, self.address(version="")))
        if self.contact is not None:
            word = contact_word(self.contact)
            found.append(Chip(gettext("contact"), word, self.address(contact=None)))
        if self.region:
            found.append(Chip(gettext("region"), self.region, self.address(region="")))
        return found + self._rollout_chips()

    def _rollout_chips(self) -> list[Chip]:
        if self.rollout is None:
            return []
        whole = self.address(rollout=None, wave=None, box=(), why="")
        found = [Chip(gettext("rollout"), f"R-{self.rollout}", whole)]
        if self.wave is not None:
            found.append(Chip(gettext("wave"), str(self.wave), self.address(wave=None)))
        if self.box:
            words = ", ".join(status.box(state).word for state in self.box)
            found.append(Chip(gettext("state"), words, self.address(box=())))
        if self.why:
            found.append(Chip(gettext("reason"), status.reason(self.why), self.address(why="")))
        return found

    def without_last(self) -> "Asked | None":
        """Return this without the last chip's filter; None when there is no filter."""
        if self.rollout is not None:
            nothing = {"why": "", "box": (), "wave": None, "rollout": None}
            last = next(name for name, empty in nothing.items() if getattr(self, name) != empty)
            return replace(self, after=None, **{last: nothing[last]})  # type: ignore[arg-type]  # names of fields
        if self.region:
            return replace(self, region="", after=None)
        if self.contact is not None:
            return replace(self, contact=None, after=None)
        for name in ("version", "model", "q"):
            if getattr(self, name):
                return replace(self, after=None, **{name: ""})  # type: ignore[arg-type]  # a name
        return None


def contact_word(contact: Contact) -> str:
    """Return the word for when a box was last heard."""
    match contact:
        case Contact.SEEN:
            return gettext("heard lately")
        case Contact.SILENT:
            return gettext("silent")
        case Contact.NEVER:
            return gettext("never heard")


def read(args: "MultiDict[str, str]") -> Asked:
    """Return what the query string *args* asks for."""
    unread: list[str] = []
    boxes = [word for word in args.get("box", "").split(",") if word]
    known = [BoxState(word) for word in boxes if word in set(BoxState)]
    rollout = number_in(args.get("rollout", "").removeprefix("R-"))
    for name, readable in (
        ("contact", args.get("contact", "") in {"", *Contact}),
        ("box", len(known) == len(boxes)),
        ("rollout", rollout is not None or not args.get("rollout")),
        ("wave", number_in(args.get("wave", "")) is not None or not args.get("wave")),
        ("sort", args.get("sort", "") in {"", *Sort}),
    ):
        if not readable:
            unread.append(f"{name}={args.get(name, '')[:40]}")
    return Asked(
        q=args.get("q", "").strip()[:TEXT_CHARS_MAX],
        model=args.get("model", "")[:TEXT_CHARS_MAX],
        version=args.get("version", "")[:TEXT_CHARS_MAX],
        contact=Contact(args["contact"]) if args.get("contact") in set(Contact) else None,
        region=args.get("region", "")[:TEXT_CHARS_MAX],
        rollout=rollout,
        wave=number_in(args.get("wave", "")) if rollout is not None else None,
        box=tuple(known) if rollout is not None else (),
        why=args.get("why", "")[:40] if rollout is not None else "",
        sort=Sort(args["sort"]) if args.get("sort") in set(Sort) else Sort.ID,
        after=args.get("after") or None,
        unread=tuple(unread),
    )


def number_in(text: str) -> int | None:
    """Return the number in *text*, None if it is none that a row can have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
