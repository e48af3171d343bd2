"""The drill: a root key is lost, and everything goes on. Played with keys made for it.

The keys of the first ceremony are files; those that replace them are made where the real
ones would be, in a security token too.

Each step is done with the functions that the real commands use, and judged by python-tuf's
client workflow, starting from the first root as a box would that was off all the time.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tuf.api.metadata import Metadata, Root

from oleada_store import ceremony, keys, repository, succession, token_keys
from oleada_store.errors import BadMetadataError, KeyTokenError, StoreError
from oleada_store.keys import SigningKey
from oleada_store.token_uri import TokenUri

MODEL = "VX-410"


class DrillFailedError(StoreError):
    """A step of the drill did not end as it must."""


class KeyMaker:
    """Makes the keys of a drill, in memory; throws them away at its end."""

    def make(self) -> SigningKey:
        """Return a new key."""
        return Ed25519PrivateKey.generate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Throw away the keys that were made."""


class TokenKeyMaker(KeyMaker):
    """Makes them in the token of *uri*, under names of their own, and removes them again."""

    def __init__(self, uri: TokenUri, pin: str) -> None:
        self._uri, self._pin = uri, pin
        self._made: list[TokenUri] = []

    def make(self) -> SigningKey:
        """Return a new key in the token.

        Raises:
            KeyTokenError: none can be made there.
        """
        name = f"oleada-drill-{secrets.token_hex(8)}"
        uri = replace(self._uri, object=name, id=None, text=f"{self._uri};object={name}")
        self._made.append(uri)
        return token_keys.make_or_open(uri, self._pin)[0]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the keys from the token; if it is gone, that has been said already."""
        while self._made:
            with suppress(KeyTokenError) if error is not None else nullcontext():
                token_keys.destroy(self._made.pop(), self._pin)


@dataclass
class Drill:
    """One rehearsal in directory *home*, which is the drill's own.

    Attributes:
        make: Makes the keys that replace lost ones.
        roots: The chain so far, oldest first.
    """

    home: Path
    now: datetime
    make: Callable[[], SigningKey] = Ed25519PrivateKey.generate
    roots: list[bytes] = field(default_factory=list)

    def play(self) -> Iterator[str]:
        """Do every step; yield what was done, in words.

        Raises:
            DrillFailedError: a step did not end as it must.
        """
        word = secrets.token_hex(16).encode()
        online = keys.make_online_keys(self.home / "online")
        out = self.home / "ceremony"
        folder = ceremony.make(out, online, [MODEL], lambda _: word, now=self.now)
        self.roots.append((folder / "1.root.json").read_bytes())
        held: dict[str, SigningKey] = {
            name: keys.read_encrypted(out / f"{name}.pem", word) for name in ceremony.ROOT_KEYS
        }
        yield "A ceremony: three root keys, of which two sign."
        lost = held.pop("root-1")
        fresh = self.make()
        yield "root-1 is lost. root-2 and root-3 name a new key, root-4, in its place."
        self._alone(lost, fresh)
        yield "root-1 alone, in the hands of a thief, replaces nobody."
        self._replace(lost, fresh, [held["root-2"], held["root-3"]])
        yield "Root 2 is signed by two keys that root 1 names: boxes follow."
        held["root-4"] = fresh
        self._replace(held.pop("root-2"), self.make(), [held["root-3"], fresh])
        yield "A year later root-2 is replaced, signed by root-3 and root-4: the new key counts."
        self._follows()
        yield "A box that knows only root 1 walks to root 3."

    def _alone(self, thief: SigningKey, fresh: SigningKey) -> None:
        before = repository.read(Root, self.roots[-1], "root")
        mine = keys.tuf_signer(thief).public_key.keyid
        other = next(one for one in before.signed.roles["root"].keyids if one != mine)
        named = before.signed.keys[other]
        victim = keys.public_key(
            {"keytype": named.keytype, "scheme": named.scheme, "keyval": named.keyval}
        )
        forged = succession.replaced_root_key(self.roots[-1], victim, fresh.public_key(), self.now)
        for key in (thief, fresh):
            succession.add_signature(forged, key, before)
        if succession.is_complete(forged, before):
            raise DrillFailedError("One stolen root key was enough to replace another.")

    def _replace(self, lost: SigningKey, fresh: SigningKey, signers: list[SigningKey]) -> None:
        before = repository.read(Root, self.roots[-1], "root")
        after: Metadata[Root] = succession.replaced_root_key(
            self.roots[-1], lost.public_key(), fresh.public_key(), self.now
        )
        for key in signers:
            succession.add_signature(after, key, before)
        if not succession.is_complete(after, before):
            raise DrillFailedError("Two of the remaining keys were not enough.")
        self.roots.append(repository.write(after))

    def _follows(self) -> None:
        try:
            repository.verify_roots(self.roots, self.now)
        except BadMetadataError as error:
            raise DrillFailedError(f"The chain of roots does not hold: {error}") from error
