"""A claim token becomes an identity once, over TLS to the pinned authority, or not at all."""

import json
import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from oleada_agent import cli, clock, config, enrol, identity
from oleada_agent.config import Config
from oleada_agent.disk import RealDisk
from oleada_agent.enrol import EnrolmentError, ServerAwayError
from oleada_agent.identity import IdentityError
from oleada_agent.trust.floor import TimeFloor
from oleada_agent.trust.store import MetadataStore

from tests.agent.edge.house import DEVICE, Authority, House
from tests.agent.edge.repository import MODEL, Repository

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), Repository()).open() as opened:
        yield opened


@pytest.fixture
def box(tmp_path: Path, house: House) -> Path:
    house.door.answer = house.enrol
    house.door.requests.clear()
    (tmp_path / "data").mkdir(parents=True)
    (tmp_path / "data/server-ca.pem").write_text(house.services.pem)
    (tmp_path / "data/claim-token").write_text("claim-me\n")
    return tmp_path


def settings(house: House) -> Config:
    return settings_of(house.door.url)


def settings_of(url: str) -> Config:
    found = {"serial": "SN-1", "hardware_model": MODEL, "enrol_url": url}
    return config.parse(found, "config.toml")


def test_a_box_gets_an_identity_that_works_and_keeps_its_key_to_itself(
    box: Path, house: House
) -> None:
    found = enrol.enrol(RealDisk(box), settings(house))

    assert found == identity.load(RealDisk(box))
    assert (found.device_id, found.zone, found.broker_port) == (DEVICE, "Europe/Prague", house.port)
    key = box / "data/identity/key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" not in json.dumps(house.door.requests)
    assert house.door.requests[0]["path"] == "/device/v1/enrol"
    assert identity.tls_context(box).get_ca_certs()
    assert next(MetadataStore(RealDisk(box / "data/trust")).read("root"))
    assert TimeFloor(RealDisk(box / "data/trust")).floor_ms > 0


def test_an_enrolled_box_does_not_ask_again(box: Path, house: House) -> None:
    enrol.enrol(RealDisk(box), settings(house))

    enrol.enrol(RealDisk(box), settings(house))

    assert len(house.door.requests) == 1


def test_a_lost_answer_is_asked_for_again_with_the_same_key(box: Path, house: House) -> None:
    house.door.answer = lambda body: (0, None)
    with pytest.raises(ServerAwayError):
        enrol.enrol(RealDisk(box), settings(house))
    key = (box / "data/identity/key.pem").read_bytes()

    house.door.answer = house.enrol
    enrol.enrol(RealDisk(box), settings(house))

    assert (box / "data/identity/key.pem").read_bytes() == key


def test_a_key_that_a_power_cut_tore_is_made_anew(box: Path, house: House) -> None:
    (box / "data/identity").mkdir()
    (box / "data/identity/key.pem").write_bytes(b"-----BEGIN PRI")

    enrol.enrol(RealDisk(box), settings(house))

    assert identity.tls_context(box)


def test_a_refusal_is_told_in_the_servers_words(box: Path, house: House) -> None:
    (box / "data/claim-token").write_text("guessed")

    with pytest.raises(EnrolmentError, match=r"403.*token is not known"):
        enrol.enrol(RealDisk(box), settings(house))
    assert not identity.is_enrolled(RealDisk(box))


def test_a_door_of_another_authority_is_shown_nothing(box: Path, house: House) -> None:
    (box / "data/server-ca.pem").write_text(Authority("somebody").pem)

    with pytest.raises(ServerAwayError, match="CERTIFICATE_VERIFY_FAILED"):
        enrol.enrol(RealDisk(box), settings(house))
    assert house.door.requests == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hardware_model": "VX-500"}, "VX-500"),
        ({"device_id": "../../etc"}, "device_id"),
        ({"artifacts_url": "http://plain/"}, "https"),
        ({"broker": {"host": "x", "port": 0}}, "broker"),
        ({"broker": None}, "broker"),
        ({"zone": "Mars/Olympus"}, "Mars"),
        ({"certificate_pem": "nonsense"}, "certificate"),
        ({"root_json": "{}"}, "root"),
        ({"ca_pem": None}, "ca_pem"),
    ],
)
def test_an_answer_that_makes_no_sense_leaves_the_box_unenrolled(
    box: Path, house: House, change: dict[str, object], said: str
) -> None:
    house.door.answer = lambda body: (200, {**house.enrol(body)[1], **change})

    with pytest.raises(EnrolmentError, match=said):
        enrol.enrol(RealDisk(box), settings(house))
    assert not identity.is_enrolled(RealDisk(box))


def test_a_certificate_for_another_key_is_refused(box: Path, house: House) -> None:
    other = Authority("other").certificate.public_bytes
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    pem = other(Encoding.PEM).decode()
    house.door.answer = lambda body: (200, {**house.enrol(body)[1], "certificate_pem": pem})

    with pytest.raises(EnrolmentError, match="another key"):
        enrol.enrol(RealDisk(box), settings(house))


def test_the_makers_root_is_not_replaced_by_the_servers(box: Path, house: House) -> None:
    makers = Repository().files["1.root.json"]
    MetadataStore(RealDisk(box / "data/trust")).write("root", makers)

    enrol.enrol(RealDisk(box), settings(house))

    assert next(MetadataStore(RealDisk(box / "data/trust")).read("root")) == makers


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_later(box: Path, house: House, status: int) -> None:
    house.door.answer = lambda body: (status, {})

    with pytest.raises(ServerAwayError, match=str(status)):
        enrol.enrol(RealDisk(box), settings(house))


@pytest.mark.parametrize(
    ("asked", "granted"), [("120", 120), ("9" * 30, 0), ("999999999", 3_600), ("\u00b2", 0)]
)
def test_a_server_is_given_time_but_not_for_ever(
    box: Path, monkeypatch: pytest.MonkeyPatch, asked: str, granted: int
) -> None:
    busy = SimpleNamespace(status=503, headers={"Retry-After": asked}, read=lambda _: b"")
    door = SimpleNamespace(request=print, getresponse=lambda: busy, close=print)
    monkeypatch.setattr("http.client.HTTPSConnection", lambda *_, **__: door)

    with pytest.raises(ServerAwayError) as away:
        enrol.enrol(RealDisk(box), settings_of("https://127.0.0.1:1"))
    assert away.value.after_s == granted


def test_a_box_that_is_refused_asks_again_ever_more_rarely(
    box: Path, house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "data/claim-token").write_text("guessed")
    ceilings: list[int] = []

    def below(limit: int) -> int:
        ceilings.append(limit - 1)
        if len(ceilings) == 3:
            (box / "data/claim-token").write_text("claim-me")
        return 1

    monkeypatch.setattr(clock, "below", below)
    cli._enrol_patiently(box, settings(house))

    assert ceilings == [2 * cli.REFUSED_MS, 4 * cli.REFUSED_MS, 8 * cli.REFUSED_MS]
    assert identity.is_enrolled(RealDisk(box))
    assert "token is not known" in capsys.readouterr().err


def test_a_disk_that_refuses_is_told_in_a_sentence(
    box: Path, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "data/identity").touch()  # where the folder belongs
    (box / "data/config.toml").write_text(
        f'serial = "SN-1"\nhardware_model = "{MODEL}"\nenrol_url = "{house.door.url}"\n'
    )

    assert cli.main(["enrol", "--box", str(box)]) == 1
    assert capsys.readouterr().err.startswith("oleada-agent: ")


def test_a_power_cut_before_the_record_leaves_a_box_that_enrols_again(
    box: Path, house: House
) -> None:
    enrol.enrol(RealDisk(box), settings(house))
    os.unlink(box / "data/identity/identity.json")

    with pytest.raises(IdentityError, match="not enrolled"):
        identity.load(RealDisk(box))
    assert enrol.enrol(RealDisk(box), settings(house)).device_id == DEVICE


@pytest.mark.parametrize("days", [-20_000, 30])
def test_a_clock_that_is_known_to_be_wrong_closes_no_door_but_a_strangers(
    box: Path, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, days: int
) -> None:
    enrol.enrol(RealDisk(box), settings(house))
    real_ms = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: real_ms + days * 86_400_000)
    door = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = Authority("service CA of another time")
    door.load_cert_chain(*authority.server_files(tmp_path))
    (box / "data/identity/ca.pem").write_text(authority.pem)
    context = identity.tls_context(box)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"expired|not yet valid"):
        shake_hands(context, door)
    identity.judge_time(context, is_clock_right=False, now_ms=clock.now_ms())
    shake_hands(context, door)

    identity.judge_time(context, is_clock_right=True, now_ms=clock.now_ms())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, door)
    (box / "data/identity/ca.pem").write_text(Authority("somebody").pem)
    stranger = identity.tls_context(box)
    identity.judge_time(stranger, is_clock_right=False, now_ms=clock.now_ms())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(stranger, door)


def shake_hands(here: ssl.SSLContext, there: ssl.SSLContext) -> None:
    """Let two ends of TLS prove each other in memory."""
    to_there, to_here = ssl.MemoryBIO(), ssl.MemoryBIO()
    box = here.wrap_bio(to_here, to_there, server_hostname="127.0.0.1")
    door = there.wrap_bio(to_there, to_here, server_side=True)
    for end in (box, door, box, door):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()


def test_a_clock_is_believed_unless_it_can_not_be_right(box: Path) -> None:
    floor = TimeFloor(RealDisk(box / "data/trust"))
    assert floor.is_likely(0)

    year_ms = 365 * 86_400_000
    floor.raise_to(50 * year_ms)

    assert not floor.is_likely(0)
    assert floor.is_likely(50 * year_ms - 5_000)
    assert floor.is_likely(53 * year_ms)
    assert not floor.is_likely(130 * year_ms)
