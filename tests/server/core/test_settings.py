"""Settings: read strictly, documented completely."""

import os
from pathlib import Path

import pytest
from oleada_server import config as settings
from oleada_server.config import BadSettingError, load

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def _page() -> str:
    rows = [
        f"| `{one.name}` | `{one.default!r}` | {one.metadata['says']} |"
        for one in settings.settings()
    ]
    head, _, _ = PAGE.read_text().partition("| Setting |")
    return head + "\n".join(["| Setting | Default | Means |", "|---|---|---|", *rows]) + "\n"


def test_the_page_of_settings_is_complete_and_true() -> None:
    expected = _page()
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(expected)

    assert PAGE.read_text() == expected


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "server"
    place.write_text("")

    with pytest.raises(BadSettingError, match=r"server is a file\. Set OLEADA_DATA_DIR"):
        load(place, {})


def test_a_missing_file_means_every_default(tmp_path: Path) -> None:
    config = load(tmp_path, {})

    assert config.web_port == 8080
    assert config.database == f"sqlite:///{tmp_path}/oleada.db"
    assert (config.console_url, config.door_url) == (
        "http://127.0.0.1:8080",
        "https://127.0.0.1:8443",
    )


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "oleada.toml").write_text('web_port = 9000\nweb_host = "0.0.0.0"\n')

    config = load(tmp_path, {"OLEADA_WEB_PORT": "9001"})

    assert (config.web_port, config.web_host) == (9001, "0.0.0.0")  # noqa: S104 - only read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("web_prot = 1", "web_prot"),
        ('web_port = "8080"', "int was expected"),
        ("web_port = true", "int was expected"),
        ("web_port = 0", "at least 1"),
        ("web_port = 70000", "at most 65535"),
        ("claim_ttl_s = 1", "at least 60"),
        ('log_level = "loud"', "debug, info"),
        ("web_port = = 1", "not TOML"),
        ('database_url = "mysql://ana:hush@host/x"', "begins with 'mysql'; write postgresql"),
        ('database_url = "garbage"', "write postgresql"),
    ],
)
def test_a_setting_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "oleada.toml").write_text(text)

    with pytest.raises(BadSettingError, match=says):
        load(tmp_path, {})


def test_a_word_where_the_environment_should_have_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettingError, match="OLEADA_WEB_PORT"):
        load(tmp_path, {"OLEADA_WEB_PORT": "many"})


def test_what_is_written_is_read_back_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "oleada.toml").write_text('# mine\nweb_host = "127.0.0.1"\n')
    config = load(tmp_path, {"OLEADA_PUBLIC_URL": 'https://a.example/"quoted"'})

    settings.write(config, ["web_port", "public_url"])

    again = load(tmp_path, {})
    assert again.public_url == 'https://a.example/"quoted"'
    assert (tmp_path / "oleada.toml").read_text().startswith("# mine\n")
    assert settings.given(tmp_path, {}) == {"web_host", "web_port", "public_url"}


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "oleada.toml").write_bytes(b"web_port = \xff")

    with pytest.raises(BadSettingError, match="is not TOML"):
        load(tmp_path, {})


def test_what_is_written_begins_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "oleada.toml").write_text('log_level = "debug"')

    settings.write(load(tmp_path, {}), ["web_port"])

    assert load(tmp_path, {}).log_level == "debug"
