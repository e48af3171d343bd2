"""Filling a form of a page again: exactly what was typed, and nothing that is secret."""

import pytest
from oleada_server.web.refill import after_main, refill

PAGE = """<!doctype html>
<main id="main">
<form method="post" action="/elsewhere"><input name="reason" value="untouched"></form>
<form method="get" action="/stop"><input name="reason" value="a search"></form>
<form method="post" action="/stop?why=1" class="dlg">
 <input type="hidden" name="csrf_token" value="fresh"><input type="hidden" name="seen" value="9">
 <input id="r" name="reason" required value="">
 <textarea name="listed" rows="4">
old &amp; gone</textarea>
 <select name="zone"><option>UTC</option><option selected>Europe/Prague</option></select>
 <select name="role"><option value="viewer" selected>V</option>
 <option value="admin">A</option></select>
 <label><input type="radio" name="scope" value="rollout" checked>one</label>
 <label><input type="radio" name="scope" value="release">all</label>
 <input type="checkbox" name="sure" value="yes" checked>
 <input type="password" name="password" value=""><input type="file" name="bundle">
 <button name="do" value="stop">Stop</button>
</form>
</main>"""


def filled(*fields: tuple[str, str]) -> str:
    found = refill(PAGE, "/stop", "/stop", fields)
    assert found is not None
    return found.html


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (("reason", "see F-123"), '<input id="r" name="reason" required value="see F-123">'),
        (("listed", "a\nb"), '<textarea name="listed" rows="4">\na\nb</textarea>'),
        (("zone", "UTC"), "<option selected>UTC</option><option>Europe/Prague</option>"),
        (("role", "admin"), '<option value="admin" selected>A</option>'),
        (("scope", "release"), '<input type="radio" name="scope" value="release" checked>'),
        (("sure", "yes"), '<input type="checkbox" name="sure" value="yes" checked>'),
        (("seen", "4"), '<input type="hidden" name="seen" value="4">'),
    ],
)  # fmt: skip
def test_each_kind_of_field_shows_what_was_typed(field: tuple[str, str], shown: str) -> None:
    assert shown in filled(field)


def test_what_was_not_ticked_comes_back_unticked() -> None:
    assert '<input type="checkbox" name="sure" value="yes">' in filled(("reason", "x"))


def test_the_token_passwords_files_and_buttons_stay_as_the_page_has_them() -> None:
    html = filled(
        ("csrf_token", "stale"), ("password", "secret"), ("bundle", "C:\\a"), ("do", "other")
    )

    assert 'name="csrf_token" value="fresh"' in html
    assert (
        '<input type="password" name="password" value=""><input type="file" name="bundle">' in html
    )
    assert '<button name="do" value="stop">' in html
    assert "secret" not in html


def test_typed_text_never_becomes_markup() -> None:
    evil = '"><script>alert(1)</script></textarea><b>'

    html = filled(("reason", evil), ("listed", evil))

    assert "<script>" not in html
    assert html.count("<b>") == 0


def test_other_forms_of_the_page_stay_as_they_are() -> None:
    html = filled(("reason", "see F-123"))

    assert '<input name="reason" value="untouched">' in html
    assert '<input name="reason" value="a search">' in html


def test_among_forms_for_one_action_the_one_with_the_same_hidden_values_is_filled() -> None:
    form = ('<form method="post" action="/retry"><input type="hidden" name="for" value="{0}">'
            '<input name="note" value=""></form>')  # fmt: skip
    page = f"<main>{form.format('download')}{form.format('storage')}</main>"

    found = refill(page, "/", "/retry", [("for", "storage"), ("note", "again")])

    assert found is not None
    first, second = found.html.split("</form>")[:2]
    assert 'value="again"' not in first
    assert 'value="again"' in second


def test_a_form_without_an_action_is_sent_to_its_own_page() -> None:
    page = '<main><form method="post"><input name="a" value=""></form></main>'

    found = refill(page, "/here", "/here", [("a", "b")])

    assert found is not None
    assert 'value="b"' in found.html


def test_a_page_without_the_form_is_not_filled() -> None:
    assert refill(PAGE, "/stop", "/pause", [("reason", "x")]) is None


def test_the_form_can_be_linked_to_and_says_what_has_to_be_given_again() -> None:
    found = refill(PAGE, "/stop", "/stop", [("reason", "x")])

    assert found is not None
    assert (
        f'<form method="post" action="/stop?why=1" class="dlg" id="{found.form_id}">' in found.html
    )
    assert (found.asks_password, found.asks_file) == (True, True)


def test_the_notice_stands_first_in_the_main_part() -> None:
    assert '<main id="main"><p>note</p>\n<form' in after_main(PAGE, "<p>note</p>")
