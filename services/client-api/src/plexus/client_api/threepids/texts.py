"""What the emails and the page say."""

from __future__ import annotations

from html import escape

from plexus.users.threepids import Purpose

_ASKED: dict[Purpose, str] = {
    "register": "make an account on",
    "password": "set a new password on",
    "add": "add this address to an account on",
}


def validation(server_name: str, purpose: Purpose, link: str) -> tuple[str, str]:
    """Subject and text of the email with the link."""
    return (
        f"Confirm your email address for {server_name}",
        f"Somebody, hopefully you, wants to {_ASKED[purpose]} {server_name}.\n\n"
        f"If that was you, open this link and confirm:\n\n{link}\n\n"
        "If not, do nothing: without this link nothing happens. It is good for a day.\n",
    )


def no_account(server_name: str) -> tuple[str, str]:
    """For who wants a new password, and has no account by this address."""
    return (
        f"No account on {server_name}",
        f"Somebody, hopefully you, wants to set a new password on {server_name}. No account there has this\n"
        "address: perhaps you have used another. If it was not you, do nothing.\n",
    )


def has_account(server_name: str) -> tuple[str, str]:
    """For who wants to use an address that an account has."""
    return (
        f"You have an account on {server_name}",
        f"Somebody, hopefully you, wants to use this address on {server_name}. It belongs to an account\n"
        "there already. If you have forgotten its password, ask your client for a new one. If it was not\n"
        "you, do nothing.\n",
    )


def page(title: str, body: str) -> bytes:
    """A page without anything from elsewhere; ``body`` is HTML."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    ).encode()
