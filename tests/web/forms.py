"""Forms as a browser would send them: with the token that the page carried."""

import re
from html import unescape

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


def plan_fields(html: str) -> dict[str, str]:
    """Return what a browser would send of the form of a plan, as it stands."""
    form = html[html.index('id="plan"') : html.index("</form>", html.index('id="plan"'))]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        named = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if named.get("type") in {"radio", "checkbox"} and " checked" not in tag:
            continue
        if "name" in named:
            found[named["name"]] = unescape(named.get("value", ""))
    for name, body in re.findall(r'<textarea[^>]*name="(\w+)"[^>]*>([^<]*)</textarea>', form):
        found[name] = body
    for name, body in re.findall(r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', body)
        found[name] = unescape(chosen[1]) if chosen else ""
    return found
