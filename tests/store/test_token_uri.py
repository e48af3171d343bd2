"""URIs of keys in tokens: read whole or refused, and never with a PIN in them."""

from pathlib import Path

import pytest
from oleada_store import token_uri
from oleada_store.errors import KeyTokenError
from oleada_store.token_uri import TokenUri


def test_every_part_of_a_uri_is_read() -> None:
    text = "pkcs11:token=Al%20ice;serial=0a;manufacturer=M;model=N;object=root-1;id=%01%ff"

    found = token_uri.parse(f"{text};type=private?module-path=/l/p11.so&pin-source=file:/run/pin")

    assert found == TokenUri(
        f"{text};type=private", "Al ice", "0a", "M", "N", "root-1", b"\x01\xff", "/l/p11.so",
        Path("/run/pin"),
    )  # fmt: skip
    assert str(found) == f"{text};type=private"


@pytest.mark.parametrize("spelt", ["file:/run/pin", "file:///run/pin", "/run/pin"])
def test_a_pin_file_is_named_by_its_whole_path(spelt: str) -> None:
    assert token_uri.parse(f"pkcs11:token=a?pin-source={spelt}").pin_file == Path("/run/pin")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file:/root-1.pem", "is not a URI such as"),
        ("pkcs11:token=a;token=b", "'token' stands twice"),
        ("pkcs11:tokn=a", "'tokn' is not understood"),
        ("pkcs11:token", "'token' is not understood"),
        ("pkcs11:token=a;module-path=/x", "'module-path' is not understood"),
        ("pkcs11:token=a?pin-value=1234", "A PIN does not belong into a URI"),
        ("pkcs11:token=a;pin-value=1234", "A PIN does not belong into a URI"),
        ("pkcs11:token=a;type=public", "names no private key"),
        ("pkcs11:token=%ff", "is not UTF-8"),
        ("pkcs11:token=a?pin-source=pin", "by its whole path"),
        ("pkcs11:token=a?pin-source=|cat%20/etc/pin", "by its whole path"),
        ("pkcs11:token=" + "a" * 3000, "is not a URI such as"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, says: str) -> None:
    with pytest.raises(KeyTokenError, match=says) as refusal:
        token_uri.parse(text)

    assert "1234" not in str(refusal.value)


def test_the_library_comes_from_the_uri_or_else_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(token_uri.MODULE_VARIABLE, raising=False)
    uri = token_uri.parse("pkcs11:token=a")

    with pytest.raises(KeyTokenError, match="No library is named"):
        uri.module_path()
    monkeypatch.setenv(token_uri.MODULE_VARIABLE, "/from/environment.so")
    assert uri.module_path() == "/from/environment.so"
    assert token_uri.parse("pkcs11:token=a?module-path=/own.so").module_path() == "/own.so"
