"""The owner of a browser knows it again by its name, not by what it sends."""

import pytest
from oleada_server.web.browser_names import browser_name

LIKE = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {LIKE} Chrome/142.0.0.0 Safari/537.36",
         "Chrome 142, Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {LIKE} Chrome/142.0.0.0 Safari/537.36 "
         "Edg/142.0.0.0", "Edge 142, Windows"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
         "Firefox 145, Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
         " Version/19.1 Safari/605.1.15", "Safari 19, macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 "
         "(KHTML, like Gecko) CriOS/142.0.1 Mobile/15E148 Safari/604.1", "Chrome 142, iPhone"),
        (f"Mozilla/5.0 (Linux; Android 16; K) {LIKE} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile",
         "Samsung Internet 29, Android"),
        ("curl/8.17.0", "curl/8.17.0"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_browser_is_called_as_its_owner_calls_it(sent: str, name: str) -> None:
    assert browser_name(sent) == name
