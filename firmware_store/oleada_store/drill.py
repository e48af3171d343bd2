"""The drill: offline keys are lost, and everything goes on. Played with keys made for it.

The keys of the first ceremony are files; those that replace them are made where the real
ones would be, in a security token too.

Each step is done with the functions that the real commands use, and judged by python-tuf's
client workflow, starting from the first root as a box would that was off all the time.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oleada_store import ceremony, keys, succession, token_keys, trust_files
from oleada_store.errors import BadMetadataError, KeyTokenError, StoreError
from oleada_store.keys import SigningKey
from oleada_store.succession import Change
from oleada_store.token_uri import TokenUri
from oleada_store.trust_files import TrustFiles

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
    """

    home: Path
    now: datetime
    make: Callable[[], SigningKey] = Ed25519PrivateKey.generate
    _files: TrustFiles = field(init=False)

    def play(self) -> Iterator[str]:
        """Do every step; yield what was done, in words.

        Raises:
            DrillFailedError: a step did not end as it must.
        """
        word = secrets.token_hex(16).encode()
        online = keys.make_online_keys(self.home / "online")
        out = self.home / "ceremony"
        folder = ceremony.make(out, online, [MODEL], lambda _: word, now=self.now)
        self._files = trust_files.read_directory(folder)
        held: dict[str, SigningKey] = {
            name: keys.read_encrypted(out / f"{name}.pem", word)
            for name in (*ceremony.ROOT_KEYS, *ceremony.TARGETS_KEYS, *ceremony.MODEL_KEYS)
        }
        yield "A ceremony: three root keys, of which two sign."
        yield from self._root(held)
        yield from self._targets(held)
        self._follows()
        yield "A box that knows only root 1 walks to root 4 and believes what is signed below it."

    def _root(self, held: dict[str, SigningKey]) -> Iterator[str]:
        lost = held.pop("root-1")
        fresh = self.make()
        yield "root-1 is lost. root-2 and root-3 name a new key, root-4, in its place."
        self._alone(held["root-2"], fresh, [lost, fresh])
        yield "root-1 alone, in the hands of a thief, replaces nobody."
        self._replace(lost, fresh, [held["root-2"], held["root-3"]])
        yield "Root 2 is signed by two keys that root 1 names: boxes follow."
        held["root-4"] = fresh
        self._replace(held.pop("root-2"), self.make(), [held["root-3"], fresh])
        yield "A year later root-2 is replaced, signed by root-3 and root-4: the new key counts."

    def _targets(self, held: dict[str, SigningKey]) -> Iterator[str]:
        roots = [held["root-3"], held["root-4"]]
        stolen, fresh = held.pop("targets-1"), self.make()
        self._alone(held["targets-2"], fresh, [stolen, fresh])
        yield "targets-1 is stolen. Alone it replaces nobody."
        self._replace(stolen, fresh, [*roots, held["targets-2"]])
        yield "Two root keys name targets-4 in its place, which signs targets with targets-2."
        gone, fresh = held.pop("approver"), self.make()
        left = [held[name] for name in ("targets-2", "targets-3", "release-signer")]
        self._replace(gone, fresh, left)
        yield "approver is lost. Two of targets name a new one, who signs the releases again."

    def _alone(self, victim: SigningKey, fresh: SigningKey, thieves: Sequence[SigningKey]) -> None:
        if all(change.is_complete() for change in self._signed(victim, fresh, thieves)):
            raise DrillFailedError("One stolen key was enough to replace another.")

    def _replace(self, lost: SigningKey, fresh: SigningKey, signers: Sequence[SigningKey]) -> None:
        changes = self._signed(lost, fresh, [*signers, fresh])
        for change in changes:
            if not change.is_complete():
                raise DrillFailedError(f"The remaining keys were not enough for {change.role}.")
        self._files = after(self._files, changes)

    def _signed(
        self, lost: SigningKey, fresh: SigningKey, signers: Sequence[SigningKey]
    ) -> list[Change]:
        changes = succession.replaced_key(
            self._files, lost.public_key(), fresh.public_key(), self.now
        )
        for change in changes:
            for key in signers:
                if change.counts(key.public_key()):
                    change.sign(key)
        return changes

    def _follows(self) -> None:
        try:
            trust_files.trusted_model(self._files, MODEL, self.now)
        except BadMetadataError as error:
            raise DrillFailedError(f"The chain of roots does not hold: {error}") from error


def after(files: TrustFiles, changes: Sequence[Change]) -> TrustFiles:
    """Return *files* with *changes* in them."""
    for change in changes:
        match change.role:
            case "root":
                files = replace(files, roots=(*files.roots, change.written()))
            case "targets":
                files = replace(files, targets=change.written())
            case model:
                files = replace(files, models={**files.models, model: change.written()})
    return files
