"""Forms as a browser would send them: with the token that the page carried."""

import re

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def csrf_of(html: str) -> str:
    """Return the form token of a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found, "the page has no form"
    return found[1]


def use_link(client: FlaskClient, token: str, base_url: str = "http://localhost") -> TestResponse:
    """Open the sign-in link of *token* and press its button."""
    path = f"/sign-in/link/{token}"
    page = client.get(path, base_url=base_url).text
    return client.post(
        path,
        data={"csrf_token": csrf_of(page)},
        base_url=base_url,
        headers={"Referer": f"{base_url}{path}"},
    )
