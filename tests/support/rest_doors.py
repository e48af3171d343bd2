"""The doors for machines, as the app describes them, and one good request for each.

Routes come from the app and fields from the schema that a view names. What is written
here is a good body or query for each schema, and a good value for each place in an
address; the tests fail for a door that has none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask
from marshmallow import Schema, fields

MACHINES = ("/api/", "/device/", "/.well-known/est/", "/artifacts/", "/tuf/")
WAVE = {
    "name": "Everyone", "share_until": 1.0, "success_share_min": 0.9, "failed_share_max": 0.02,
    "silent_share_max": 0.1, "sample_min": 5, "soak_s": 60,
}  # fmt: skip
WHERE: dict[str, Any] = {
    "region": ["Brno"], "version": ["5.7.8"], "zone": ["Europe/Prague"], "group": ["staff"],
    "provides": ["codec:h264"], "version_min": "5.0", "version_max": "6.0",
}  # fmt: skip
CHOSEN = {"name": "South", "count": 20, "where": WHERE}
RULES: dict[str, Any] = {
    "blackouts": [{"first": "2098-12-24", "last": "2098-12-26"}],
    "rate": {"kind": "exponential", "base_per_minute": 50, "factor": 2.0, "every": 1000,
             "on": "succeeded", "max_per_minute": 1000},
    "in_flight_max_per_region": 40, "bandwidth_max_bytes_s": 10_000_000,
    "bandwidth_max_per_region_bytes_s": 2_000_000, "box_bytes_s": 500_000,
    "retry_for": ["download"], "newcomers": True, "goes_back": True, "back_from": "6.0.0",
    "abort": [{"on": "any", "share_max": 0.05, "sample_min": 20, "last": 100}],
}  # fmt: skip
EVIDENCE: dict[str, Any] = {
    "accepted_share": 0.01, "alpha": 0.01, "bad_share_max": 0.05, "doubt": 0.05,
    "start_boxes": 20, "ripe_after_s": 900, "rolls_back_trials": True,
    "watches_hours": None,
}  # fmt: skip
LIST = {"name": "Staff", "device_ids": ["VX41ZZZZ0001"]}
PLAN = {
    "hardware_model": "VX-240", "version": "5.7.9", "waves": [LIST, CHOSEN, WAVE], "name": "a plan",
    "start_at": "2099-01-01T00:00:00+00:00", "window": {"start": "01:00", "end": "05:00"},
    "silent_after_s": 3600, "attempts_max": 3, "in_flight_max": 100, "spread_s": 30,
    "lease_s": 3600, "salt": "a-salt", "rules": RULES, "evidence": EVIDENCE,
    "hold_back_share": 0.05,
}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "OrderRequest": {
        "action": "ip_ping",
        "arguments": {"host": "a.example"},
        "reason": "a reason",
        "consent": "none",
        "timeout_ms": 5000,
    },
    "CheckRequest": {
        "symptom": "no-picture",
        "channel": "Uno",
        "asked": ["charges-active:yes"],
    },
    "ComplaintRequest": {"symptom": "no-picture", "channel": "Uno"},
    "ClaimRequest": {"serial": "SN-9", "hardware_model": "VX-410", "zone": "UTC", "region": "Brno"},
    "Finding": {"finding": "a cable"},
    "GivenReason": {"reason": "a reason"},
    "NewApp": {"key": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "code": "123456", "name": "a phone"},
    "NewRole": {"role": "operator", "reason": "a reason"},
    "NewToken": {"label": "ci", "scopes": ["devices:read"], "days": 7},
    "GroupBoxes": {"add": [], "remove": ["AAAA00000000"]},
    "Force": {"reason": "a reason", "boxes": 7},
    "Lift": {"because": "recording"},
    "Note": {"because": "critical-case", "until": "2099-01-01T00:00:00+00:00", "ref": "C-9"},
    "OpenEarly": {"reason": "a reason", "boxes": 7},
    "NewGroup": {"name": "new-group", "note": "a note", "rule": {**WHERE, "group": []}},
    "Reason": {"reason": "a reason"},
    "RetryPlan": {"reason": "a reason", "device_ids": ["AAAA00000000"], "ended_for": "too-large"},
    "RevokeManyRequest": {"device_ids": ["AAAA00000000"], "reason": "a reason"},
    "RevokeRequest": {"reason": "a reason"},
    "RolloutPlan": PLAN,
    "Settlement": {"reason": "a reason"},
    "SignedWaves": {
        "format": "oleada.waves/1",
        "rollout": "R-2",
        "threshold": 2,
        "may_sign": ["a" * 64],
        "waves": [],
    },
    "Why": {"reason": "a reason"},
    "WithdrawSchema": {"reason": "a reason"},
}
"""By the name of a schema: a body in which every field of it is good."""
QUERIES: dict[str, dict[str, str]] = {
    "AuditQuery": {"object": "R-2", "actor": "m.novak", "action": "rollout.", "before": "9",
                   "limit": "5"},
    "BoxesQuery": {"wave": "1", "state": "updated", "reason": "too-large", "after": "A",
                   "limit": "5"},
    "DeviceQuery": {"model": "VX-410", "version": "5.8.1", "contact": "seen", "text": "VX",
                    "region": "Brno", "rollout": "R-2", "wave": "1", "state": "updated",
                    "sort": "id", "limit": "5"},
    "OrdersQuery": {"after": "2026-01-01T00:00:00+00:00", "limit": "5"},
    "DiagnosisQuery": {"symptom": "no-picture", "channel": "Uno", "asked": "led-on:no"},
    "ExportQuery": {"after": "3"},
    "WhyQuery": {"device_id": "AAAA00000000", "version": "5.8.2", "rollout": "R-2"},
    "MembersQuery": {"after": "A", "limit": "5"},
    "ListQuery": {"before": "R-3", "limit": "5"},
    "ReleasesQuery": {"hardware_model": "VX-410"},
}  # fmt: skip
"""By the name of a schema: a query in which every field of it is good."""
PLACES = {
    "deed_id": "999",
    "device_id": "AAAA00000000",
    "factor_id": "999",
    "group_name": "staff",
    "hardware_model": "VX-410",
    "incident_ref": "I-7",
    "name": "timestamp.json",
    "number": "999",
    "order_id": "0" * 32,
    "position": "3",
    "ref": "0123456789ab",
    "rollout_ref": "R-2",
    "sha256": "0" * 64,
    "version": "5.8.2",
}
"""By the name of a place in an address: what may stand there."""


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one route, and the schemas that its view names."""

    method: str
    rule: str
    body: type[Schema] | None
    query: type[Schema] | None

    @property
    def places(self) -> list[str]:
        """The names of the places in its address."""
        return [part.rpartition(":")[2] for part in _places_of(self.rule)]

    def path(self, **changed: str) -> str:
        """Return its address with good values, or those in *changed*, already quoted."""
        path = self.rule
        for part in _places_of(self.rule):
            name = part.rpartition(":")[2]
            path = path.replace(f"<{part}>", changed.get(name, PLACES[name]))
        return path


def _places_of(rule: str) -> list[str]:
    return [part.partition(">")[0] for part in rule.split("<")[1:]]


def doors_of(app: Flask) -> list[Door]:
    """Return every door for machines, as the app and its views describe them."""
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith(MACHINES):
            continue
        view = app.view_functions[rule.endpoint]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            shaped = getattr(getattr(view, "view_class", None), method.lower(), view)
            named = getattr(shaped, "_apidoc", {}).get("arguments", {}).get("parameters", [])
            schemas = {one["in"]: one["schema"] for one in named}
            schemas = {k: v if isinstance(v, type) else type(v) for k, v in schemas.items()}
            found.append(Door(method, rule.rule, schemas.get("json"), schemas.get("query")))
    return found


def leaves_of(
    schema: Schema, body: Any, before: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], fields.Field[Any]]]:
    """Yield the path and the shape of every field of *schema*, nested ones too."""
    for name, one in schema.fields.items():
        path = (*before, name)
        yield path, one
        if name not in body:
            continue
        if not isinstance(one, fields.List):
            found = [(path, one, body[name])]
        else:
            found = [((*path, n), one.inner, item) for n, item in enumerate(body[name])]
            yield from ((inner_path, inner) for inner_path, inner, _ in found)
        for inner_path, inner, value in found:
            if isinstance(inner, fields.Nested):
                yield from leaves_of(inner.schema, value, inner_path)


NEVER = {
    fields.String: ("null", "true", "zero", "negative", "fraction", "2^63", "NaN", "empty list",
                    "list of null", "empty object", "object", "half a character", "NUL"),
    fields.Integer: ("null", "true", "fraction", "NaN", "Infinity", "beyond any float", "word",
                     "empty text", "empty list", "object", "2^64", "5000 digits"),
    fields.Float: ("null", "true", "NaN", "Infinity", "-Infinity", "beyond any float", "word",
                   "empty text", "empty list", "object", "negative", "2^31"),
    fields.List: ("null", "true", "zero", "word", "object", "list of null", "list of lists"),
    fields.Nested: ("null", "true", "zero", "word", "empty list", "empty object", "object"),
    fields.AwareDateTime: ("null", "true", "zero", "word", "empty text", "empty list", "object"),
}  # fmt: skip
"""By the shape of a field: what no field of that shape may ever accept."""


ONLY_TEXTS = frozenset(
    ("blanks", "control characters", "right to left", "combining", "markup", "quotes", "template",
     "path", "10 000 characters")
)  # fmt: skip
"""Names of texts that differ from any other word only for a field that takes texts."""


def worth_asking(shape: fields.Field[Any], names: Iterable[str]) -> list[str]:
    """Return those of *names* of values that can mean something to a field of *shape*."""
    if isinstance(shape, fields.String):
        return list(names)
    return [name for name in names if name not in ONLY_TEXTS]


def must_refuse(shape: fields.Field[Any], name: str) -> bool:
    """Return whether a field of *shape* may not take the value called *name*."""
    if name == "null" and shape.allow_none:
        return False
    return any(name in never for kind, never in NEVER.items() if isinstance(shape, kind))
