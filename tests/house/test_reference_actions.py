"""docs/reference/actions.md is made of the table of actions that box and server share.

``UPDATE_GOLDEN=1`` writes it anew.
"""

import os
from pathlib import Path

from oleada_wire.action_table import BY_ASSIGNMENT, TABLE
from oleada_wire.actions import (
    FILE_BYTES_MAX,
    PROGRESS_MAX,
    RESULT_BYTES_MAX,
    Action,
    Argument,
    Consent,
    Field,
    Needs,
)
from oleada_wire.readings import MEDIA, NETWORK, SYSTEM

PAGE = Path("docs/reference/actions.md")
READINGS_PAGE = Path("docs/reference/readings.md")
# ruff: noqa: E501 - lines of a page
HEAD = f"""\
# Actions
What a box can be told to do from afar.
Made of `agent/oleada_wire/action_table.py` by a test; server and box check arguments by the same table.

Each runs in a process of its own on the box, with less priority, at most 192 MiB of addresses and its time limit, after which it is ended with all it has started.
One action that does more than read runs at a time, and two that read; eight more may wait.
A result has at most {RESULT_BYTES_MAX // 1024} KiB of values and text, in at most {PROGRESS_MAX} messages of progress and the last one, and files of at most {FILE_BYTES_MAX >> 20} MiB.
Secrets, hardware addresses and what somebody watches are taken out on the box.
`denied_actions` in [the settings of a box](agent-settings.md) closes any of them, and no server opens it.

Every action may end with `Complete`, `Canceled`, `Refused`, `Error_Timeout`, `Error_Internal` or `Error_Other`; `error` says why: see `Refusal` in `oleada_wire/words.py`.

| Risk | Means |
|---|---|
| read | nothing changes |
| disturbs | whoever watches may notice it; afterwards all is as before |
| changes | something stays changed |
| destroys | something is gone |

| Consent | Means |
|---|---|
| none | nobody needs to be asked |
| viewer | whoever watches has agreed, or nobody watches |
| two-people-or-pin | two people of the desk, or the customer's own PIN |
"""


def _page() -> str:
    rows = [
        f"| [`{one.name}`](#{one.name}) | {one.risk} | {one.consent} | "
        f"{'yes' if one.is_safe_while_watching else 'no'} | {_needs(one)} |"
        for one in TABLE
    ]
    table = "| Action | Risk | Consent | Safe while watching | Needs |\n|---|---|---|---|---|\n"
    others = [f"| `{name}` | `{standard}` |" for name, standard in BY_ASSIGNMENT.items()]
    return "\n".join([
        HEAD, table + "\n".join(rows), "", "A new release is assigned, and no action brings it:", "",
        "| By assignment | TR-181 |", "|---|---|", *others, "", *map(_section, TABLE),
    ])  # fmt: skip


def _section(action: Action) -> str:
    lines = [f"## {action.name}", action.summary]
    if action.standard:
        lines += [f"Standard: `{action.standard}`."]
    lines += [
        f"Touches: {action.touches}.",
        f"Time: {_seconds(action.timeout_ms)} unless asked otherwise, at most "
        f"{_seconds(action.timeout_ms_max)}; the server lets it wait {_seconds(action.ttl_ms)}.",
    ]
    if action.errors:
        lines += [f"May also end with {', '.join(f'`{one}`' for one in action.errors)}."]
    if action.files:
        lines += [f"Files: {', '.join(f'`{one}`' for one in action.files)}."]
    if action.arguments:
        lines += [
            "",
            "| Argument | Is | Default |",
            "|---|---|---|",
            *map(_argument, action.arguments),
        ]
    if action.results:
        lines += ["", "| Result | Is |", "|---|---|", *map(_field, action.results)]
    return "\n".join([*lines, ""])


def _argument(one: Argument) -> str:
    if one.words:
        said = ", ".join(f"`{word}`" for word in one.words)
    elif one.kind is int:
        said = f"{one.least} to {one.most} {one.unit}".strip()
    elif one.kind is bool:
        said = "yes or no"
    else:
        said = f"{one.least} to {one.most} characters"
        said += f", `{_short(one.pattern)}`" if one.pattern else ""
    default = (
        "needed" if one.default is None else f"`{one.default}`" if one.default != "" else "none"
    )
    return f"| `{one.name}` | {said} | {default} |"


def _field(one: Field) -> str:
    kind = {int: "a number", bool: "yes or no", str: "a text"}[one.kind]
    return f"| `{one.name}` | {kind}{f', {one.unit}' if one.unit else ''} |"


def _short(pattern: str) -> str:
    text = pattern.replace("|", "\\|")
    return text if len(text) <= 80 else f"{text[:60]}…"


def _needs(action: Action) -> str:
    words = {
        Needs.NOTHING: "nothing",
        Needs.MEDIA: "[the media player's socket](media-socket.md)",
        Needs.WIFI: "Wi-Fi",
        Needs.ROOT: "an agent that runs as root",
    }
    return words[action.needs]


def _seconds(ms: int) -> str:
    return f"{ms // 1000} s"


def _readings_page() -> str:
    parts = (("The box itself", SYSTEM), ("Network and storage", NETWORK), ("Media player", MEDIA))
    lines = [
        "# Readings",
        "What a box may tell of its health, under the names of TR-181 and TR-135; `{i}` is 1, 2, 3 ….",
        "Made of `agent/oleada_wire/readings.py` by a test.",
        "A reading that is missing is not reported by this model: it is never a zero.",
        "",
    ]
    for title, fields in parts:
        lines += [f"## {title}", "| Reading | Is |", "|---|---|", *map(_field, fields), ""]
    return "\n".join(lines)


def test_the_page_of_actions_is_what_the_table_says() -> None:
    page = _page()
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)

    assert PAGE.read_text() == page


def test_the_page_of_readings_is_what_the_table_says() -> None:
    page = _readings_page()
    if os.environ.get("UPDATE_GOLDEN"):
        READINGS_PAGE.write_text(page)

    assert READINGS_PAGE.read_text() == page


def test_whatever_asks_the_player_is_called_what_it_needs() -> None:
    asking = {one.name for one in TABLE if one.needs is Needs.MEDIA}
    viewer = {one.name for one in TABLE if one.consent is Consent.VIEWER}

    assert {"screenshot", "keys", "tune"} <= asking & viewer
