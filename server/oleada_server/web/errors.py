"""Errors as pages: what happened, and the way on."""

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts import forgery
from oleada_server.web import kept_forms, parts
from oleada_server.web.words import gettext


def error_page(status: int, code: str, detail: str) -> ResponseReturnValue:
    """Return the page for an error; who is not signed in is sent to sign in.

    Args:
        status: Of the answer.
        code: Stable, for the support desk; see docs/reference/errors.md.
        detail: A sentence, in English.
    """
    if request.path.startswith("/live/"):  # a stream wants no page, and must not follow one
        return Response(f"{detail}\n", status, content_type="text/plain; charset=utf-8")
    if status == 401 and request.method == "GET":
        return redirect(url_for("account_pages.sign_in_page", next=request.full_path.rstrip("?")))
    if status == 401 and request.method == "POST":
        return kept_forms.sign_in_on_top()
    if code in kept_forms.PROVE_FIRST:
        return kept_forms.prove_on_top(code)
    if forgery.is_refused() and (way := kept_forms.back_to_form()) is not None:
        return way
    page = render_template(
        "error.html",
        http_status=status,
        code=code,
        title=_title(status, code),
        detail=detail,
        log_code=parts.error_code() if status == 500 else "",
    )
    return page, status


def _title(status: int, code: str) -> str:
    if code == "link-not-valid":
        return gettext("This sign-in link does not work any more")
    known = {
        401: gettext("Your session has ended"),
        403: gettext("You do not have the right to do this"),
        404: gettext("There is nothing here"),
        409: gettext("That is not possible in this state"),
        429: gettext("Too many attempts"),
        503: gettext("The database does not answer"),
        507: gettext("A disk of the server is full"),
    }
    if status in known:
        return known[status]
    if status < 500:
        return gettext("That could not be understood")
    return gettext("Something went wrong on our side")
