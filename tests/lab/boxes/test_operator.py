"""The small operator says why its server did not start, whoever else answers on its ports."""

import socket
from pathlib import Path

import pytest
from oleada_lab.cli import main
from oleada_lab.errors import OperatorError
from oleada_lab.firmware.image import sha256_of
from oleada_lab.operator import Server


@pytest.mark.real
def test_a_port_that_another_program_holds_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = Server(tmp_path / "data", {"web_port": port})

        with pytest.raises(OperatorError, match=f"The server did not start. Port {port} "):
            server.start()


def test_an_image_of_ones_own_is_built_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "one.img"

    status = main(["image", str(out), "--model", "VX-240", "--version", "1.2.0"])

    assert (status, capsys.readouterr().out.split()[0]) == (0, sha256_of(out))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "vx 240", "--version", "1.2.0"), "'vx 240' is not a hardware model"),
        (("--model", "VX-240", "--version", "1.2-rc"), "'1.2-rc' is not dotted numbers"),
    ],
)
def test_an_image_that_nobody_could_publish_is_not_built(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["image", str(tmp_path / "one.img"), *words])

    assert status == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
