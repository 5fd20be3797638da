"""What the pages look like. Nothing comes from elsewhere; the one script is known by its hash."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import Final

from plexus.platform.settings import TermsPolicy
from plexus.users.uia import DUMMY, PASSWORD, REGISTRATION_TOKEN, TERMS

_DONE: Final = (
    "if (window.onAuthDone) { window.onAuthDone(); }"
    ' else if (window.opener && window.opener.postMessage) { window.opener.postMessage("authDone", "*"); }'
)
"""As Client-Server API, "Fallback", gives it."""

_HASH: Final = b64encode(sha256(_DONE.encode()).digest()).decode()

HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; script-src 'sha256-{_HASH}';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

_FIELDS: Final = {
    DUMMY: "",
    PASSWORD: '<p><label>User name <input name="user" autocomplete="username" required></label></p>'
    '<p><label>Password <input name="password" type="password" autocomplete="current-password" required>'
    "</label></p>",
    REGISTRATION_TOKEN: '<p><label>Registration token <input name="token" required></label></p>',
}
_TITLES: Final = {
    DUMMY: "Go on",
    PASSWORD: "Confirm that it is you",
    REGISTRATION_TOKEN: "You need a token to register",
    TERMS: "Please accept these terms",
}


def form(stage: str, terms: Sequence[TermsPolicy], failure: str | None = None) -> bytes:
    """The page of a stage; it is sent to where it came from."""
    fields = _terms(terms) if stage == TERMS else _FIELDS[stage]
    failed = "" if failure is None else f'<p role="alert">{escape(failure)}</p>'
    button = "Accept" if stage == TERMS else "Continue"
    return _page(
        _TITLES[stage], f'{failed}<form method="post">{fields}<p><button>{button}</button></p></form>'
    )


def done() -> bytes:
    return _page("Thank you", f"<p>Go on in your client.</p><script>{_DONE}</script>")


def _terms(terms: Sequence[TermsPolicy]) -> str:
    links = (
        f'<li><a href="{escape(text.url)}" lang="{escape(language)}" rel="noopener">'
        f"{escape(text.name)}</a></li>"
        for policy in terms
        for language, text in policy.languages.items()
    )
    return f"<ul>{''.join(links)}</ul>"


def _page(title: str, body: str) -> bytes:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    ).encode()
