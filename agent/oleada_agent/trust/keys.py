"""Public keys of TUF metadata, and the bytes that they sign.

Source: TUF specification 1.0, 4.2 (key types and schemes) and its reference to OLPC
canonical JSON, which escapes only quote and backslash: signed notes may hold raw
newlines, so ``json.dumps`` would spell them differently.
"""

from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SCHEMES: Final = {
    "ed25519": ("ed25519",),
    "ecdsa": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "rsa": (
        "rsassa-pss-sha256",
        "rsassa-pss-sha384",
        "rsassa-pss-sha512",
        "rsa-pkcs1v15-sha256",
        "rsa-pkcs1v15-sha384",
        "rsa-pkcs1v15-sha512",
    ),
}
"""Schemes by key type; metadata that names another is not understood and so refused."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key as metadata spells it.

    Attributes:
        public: 64 hex digits (Ed25519) or PEM (ECDSA, RSA).
    """

    keytype: str
    scheme: str
    public: str

    @property
    def identity(self) -> str:
        """The key, however it is spelt and its type is called: hex in capitals, blanks, lines."""
        spelt = "".join(self.public.split())
        return spelt.lower() if self.keytype == "ed25519" else spelt

    def is_signed(self, signature_hex: str, data: bytes) -> bool:
        """Return whether *signature_hex* is this key's over *data*; false for nonsense."""
        try:
            signature = bytes.fromhex(signature_hex)
            if self.keytype == "ed25519":
                self.ed25519().verify(signature, data)
            else:
                _verify_pem(self.scheme, self.public, signature, data)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            return False
        return True

    def ed25519(self) -> Ed25519PublicKey:
        """Return the Ed25519 key.

        Raises:
            ValueError: this is not an Ed25519 key.
        """
        if self.keytype != "ed25519":
            raise ValueError(f"a key of type {self.keytype} is not an Ed25519 key")
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public))


def _verify_pem(scheme: str, pem: str, signature: bytes, data: bytes) -> None:
    # Imported here: a box whose repository uses Ed25519 never pays for these modules.
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: PLC0415

    key = serialization.load_pem_public_key(pem.encode())
    digests = {"256": hashes.SHA256(), "384": hashes.SHA384(), "521": hashes.SHA512()}
    digest = digests.get(scheme[-3:], hashes.SHA512())
    if isinstance(key, ec.EllipticCurvePublicKey) and scheme.startswith("ecdsa"):
        if key.curve.key_size != int(scheme[-3:]):
            raise ValueError(f"curve {key.curve.name} is not the curve of {scheme}")
        key.verify(signature, data, ec.ECDSA(digest))
    elif isinstance(key, rsa.RSAPublicKey) and scheme.startswith("rsassa-pss"):
        pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=padding.PSS.AUTO)
        key.verify(signature, data, pss, digest)
    elif isinstance(key, rsa.RSAPublicKey) and scheme.startswith("rsa-pkcs1v15"):
        key.verify(signature, data, padding.PKCS1v15(), digest)
    else:
        raise ValueError(f"the key is not one for {scheme}")


def canonical(value: Any) -> bytes:
    """Return *value* in OLPC canonical JSON, UTF-8; the bytes that signatures cover.

    Raises:
        ValueError: *value* holds a float, or text that is not Unicode.
    """
    parts: list[str] = []
    _spell(value, parts)
    return "".join(parts).encode()


def _spell(value: Any, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')
    elif value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, list):
        _spell_all("[]", [(None, child) for child in value], parts)
    elif isinstance(value, dict):
        _spell_all("{}", sorted(value.items()), parts)
    else:
        raise ValueError(f"{type(value).__name__} has no canonical spelling")


def _spell_all(brackets: str, items: list[Any], parts: list[str]) -> None:
    parts.append(brackets[0])
    for index, (name, child) in enumerate(items):
        if index:
            parts.append(",")
        if name is not None:
            _spell(name, parts)
            parts.append(":")
        _spell(child, parts)
    parts.append(brackets[1])
