"""TUF metadata from bytes: strict, bounded, and ambiguous nowhere.

What is read here is *not yet trusted* (metadata.py). Floats, duplicate keys, unknown
types and schemes are refused: two readers that disagree about a signed text are a hole.
Source: TUF specification 1.0, 4 (document formats).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from oleada_wire import canonical
from oleada_wire.errors import WireError

from oleada_agent.trust import keys as tuf_keys
from oleada_agent.trust.errors import MalformedMetadataError
from oleada_agent.trust.keys import Key
from oleada_agent.trust.metadata import (
    TOP_LEVEL,
    Bins,
    Delegation,
    Document,
    FileMeta,
    Role,
    Root,
    Snapshot,
    Target,
    Targets,
    Timestamp,
)

_EXPIRES: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)

T = TypeVar("T")


def root(data: bytes, size_bytes_max: int) -> Root:
    """Return the root metadata in *data*.

    Raises:
        MalformedMetadataError: *data* is not root metadata.
    """
    document = _document("root", data, size_bytes_max)
    signed = document.signed
    roles = {
        name: _role(value, f"root.roles.{name}")
        for name, value in _get(signed, "roles", dict, "root").items()
    }
    if set(roles) != set(TOP_LEVEL):
        raise MalformedMetadataError(f"root.roles: exactly {', '.join(TOP_LEVEL)} expected.")
    consistent = _get(signed, "consistent_snapshot", bool, "root", default=False)
    return Root(document, consistent, _keys(signed, "root"), roles)


def timestamp(data: bytes, size_bytes_max: int) -> Timestamp:
    """Return the timestamp metadata in *data*.

    Raises:
        MalformedMetadataError: *data* is not timestamp metadata.
    """
    document = _document("timestamp", data, size_bytes_max)
    meta = _get(document.signed, "meta", dict, "timestamp")
    if set(meta) != {"snapshot.json"}:
        raise MalformedMetadataError("timestamp.meta: exactly snapshot.json expected.")
    found = _get(meta, "snapshot.json", dict, "timestamp.meta")
    return Timestamp(document, _file_meta(found, "timestamp.meta.snapshot.json"))


def snapshot(data: bytes, size_bytes_max: int) -> Snapshot:
    """Return the snapshot metadata in *data*.

    Raises:
        MalformedMetadataError: *data* is not snapshot metadata.
    """
    document = _document("snapshot", data, size_bytes_max)
    meta = _get(document.signed, "meta", dict, "snapshot")
    return Snapshot(
        document, {name: _file_meta(value, f"snapshot.meta.{name}") for name, value in meta.items()}
    )


def targets(data: bytes, size_bytes_max: int) -> Targets:
    """Return the targets metadata in *data*, of the top level or delegated.

    Raises:
        MalformedMetadataError: *data* is not targets metadata.
    """
    document = _document("targets", data, size_bytes_max)
    targets = {
        path: _target(path, value)
        for path, value in _get(document.signed, "targets", dict, "targets").items()
    }
    if "delegations" not in document.signed:
        return Targets(document, targets, {}, (), None)
    where = "targets.delegations"
    outer = _get(document.signed, "delegations", dict, "targets")
    if ("roles" in outer) == ("succinct_roles" in outer):
        raise MalformedMetadataError(f"{where}: either roles or succinct_roles expected.")
    bins = _bins(outer["succinct_roles"], where) if "succinct_roles" in outer else None
    roles = [_delegation(value, where) for value in _get(outer, "roles", list, where, default=[])]
    names = [role.name for role in roles]
    if len(set(names)) != len(names) or not {"", *TOP_LEVEL}.isdisjoint(names):
        raise MalformedMetadataError(f"{where}: role names are unique and not of the top level.")
    return Targets(document, targets, _keys(outer, where), tuple(roles), bins)


def _document(role_type: str, data: bytes, size_bytes_max: int) -> Document:
    try:
        outer = canonical.loads(data, role_type, size_bytes_max)
        signed = _get(outer, "signed", dict, role_type)
        signed_bytes = tuf_keys.canonical(signed)
    except (WireError, ValueError) as error:
        raise MalformedMetadataError(f"Metadata is unreadable: {error}") from error
    if signed.get("_type") != role_type:
        raise MalformedMetadataError(
            f"Metadata has type {str(signed.get('_type'))[:40]!r}; {role_type!r} was expected."
        )
    spec = _get(signed, "spec_version", str, role_type)
    if not re.fullmatch(r"1(\.\d+){1,2}", spec):
        raise MalformedMetadataError(f"{role_type}.spec_version: {spec[:20]!r} is not 1.x.")
    return Document(
        role_type,
        _positive(signed, "version", role_type),
        _expires(signed, role_type),
        signed,
        signed_bytes,
        _signatures(outer, role_type),
    )


def _signatures(outer: Mapping[str, Any], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in _get(outer, "signatures", list, where):
        keyid = _get(item, "keyid", str, f"{where}.signatures")
        if keyid in found:
            raise MalformedMetadataError(f"{where}.signatures: key {keyid[:16]} stands twice.")
        found[keyid] = _get(item, "sig", str, f"{where}.signatures")
    return found


def _expires(signed: Mapping[str, Any], where: str) -> datetime:
    text = _get(signed, "expires", str, where)
    try:
        if _EXPIRES.fullmatch(text):
            return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise MalformedMetadataError(f"{where}.expires: {text[:40]!r} is not a UTC time to the second.")


def _keys(outer: Mapping[str, Any], where: str) -> dict[str, Key]:
    found = {}
    for keyid, value in _get(outer, "keys", dict, where).items():
        place = f"{where}.keys.{keyid[:16]}"
        keytype = _get(value, "keytype", str, place)
        scheme = _get(value, "scheme", str, place)
        if scheme not in tuf_keys.SCHEMES.get(keytype, ()):
            raise MalformedMetadataError(f"{place}: {keytype[:40]}/{scheme[:40]} is not known.")
        public = _get(_get(value, "keyval", dict, place), "public", str, place)
        found[keyid] = Key(keytype, scheme, public)
    return found


def _role(value: Any, where: str) -> Role:
    keyids = _get(value, "keyids", list, where)
    if not all(isinstance(keyid, str) for keyid in keyids) or len(set(keyids)) != len(keyids):
        raise MalformedMetadataError(f"{where}.keyids: texts, each once, expected.")
    return Role(tuple(keyids), _positive(value, "threshold", where))


def _delegation(value: Any, where: str) -> Delegation:
    name = _get(value, "name", str, where)
    place = f"{where}.{name[:40]}"
    lists = {}
    for kind in ("paths", "path_hash_prefixes"):
        if isinstance(value, dict) and kind in value:
            found = _get(value, kind, list, place)
            if not all(isinstance(item, str) for item in found):
                raise MalformedMetadataError(f"{place}.{kind}: texts expected.")
            lists[kind] = tuple(found)
    if len(lists) != 1:
        raise MalformedMetadataError(f"{place}: either paths or path_hash_prefixes expected.")
    return Delegation(
        name,
        _role(value, place),
        _get(value, "terminating", bool, place),
        lists.get("paths"),
        lists.get("path_hash_prefixes"),
    )


def _bins(value: Any, where: str) -> Bins:
    place = f"{where}.succinct_roles"
    bit_length = _positive(value, "bit_length", place)
    if bit_length > 32:
        raise MalformedMetadataError(f"{place}.bit_length: 1 to 32 expected.")
    return Bins(_role(value, place), bit_length, _get(value, "name_prefix", str, place))


def _file_meta(value: Any, where: str) -> FileMeta:
    version = _positive(value, "version", where)
    length = _get(value, "length", int, where, default=None)
    if length is not None and length < 0:
        raise MalformedMetadataError(f"{where}.length: at least 0 expected.")
    if "hashes" not in value:
        return FileMeta(version, length, {})
    return FileMeta(version, length, _hashes(value, where))


def _target(path: str, value: Any) -> Target:
    where = f"targets.{path[:80]}"
    length = _get(value, "length", int, where)
    if length < 0:
        raise MalformedMetadataError(f"{where}.length: at least 0 expected.")
    return Target(path, length, _hashes(value, where), value.get("custom"))


def _hashes(value: Any, where: str) -> dict[str, str]:
    found = _get(value, "hashes", dict, where)
    if not found or not all(isinstance(digest, str) for digest in found.values()):
        raise MalformedMetadataError(f"{where}.hashes: at least one digest expected.")
    return found


def _positive(value: Any, name: str, where: str) -> int:
    number = _get(value, name, int, where)
    if number < 1:
        raise MalformedMetadataError(f"{where}.{name}: at least 1 expected.")
    return number


_MISSING: Final[Any] = object()


def _get(value: Any, name: str, kind: type[T], where: str, default: Any = _MISSING) -> T:
    """Return field *name* of JSON object *value*, which must be exactly a *kind*."""
    if not isinstance(value, dict):
        raise MalformedMetadataError(f"{where}: an object expected.")
    if name not in value and default is not _MISSING:
        return default  # type: ignore[no-any-return]
    found = value.get(name)
    if type(found) is not kind:
        raise MalformedMetadataError(f"{where}.{name}: {kind.__name__} expected.")
    return found
