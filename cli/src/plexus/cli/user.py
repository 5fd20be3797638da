"""`plexus user`: accounts, beside a running server or on a stopped one."""

from __future__ import annotations

import getpass
import secrets
import string
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from plexus.cli.options import DEFAULT_DATA, Data
from plexus.cli.progress import say

if TYPE_CHECKING:
    from plexus.users import Users

T = TypeVar("T")
DAY_MS = 86_400_000
commands = typer.Typer(help="Accounts: add, token, reset-password, deactivate.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name before the colon, or the whole user id.", metavar="USER")]


@commands.command("add")
def add(
    name: Name,
    data: Data = DEFAULT_DATA,
    admin: Annotated[bool, typer.Option("--admin", help="May administer the server.")] = False,
) -> None:
    """Make an account. The password is asked for, or is the first line of standard input."""
    password = read_password()
    user_id, _ = on_users(data, lambda users: users.register(localpart(users, name), password, admin=admin))
    say(f"{user_id} can log in now")


@commands.command("token")
def token(
    data: Data = DEFAULT_DATA,
    uses: Annotated[
        int | None,
        typer.Option("--uses", help="Accounts it is good for.  [default: any number]", min=1, max=2**31 - 1),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option("--days", help="Days it is good for.  [default: for ever]", min=1, max=36_500),
    ] = None,
) -> None:
    """Make a registration token: who has it may make an account while registration.mode is "token"."""
    made = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))

    async def make(users: Users) -> str:
        expires = None if days is None else users.clock.now_ms() + days * DAY_MS
        if not await users.make_registration_token(made, uses_allowed=uses, expires_ts=expires):
            raise RuntimeError("twenty random characters were there before")
        return users.settings.registration.mode

    mode = on_users(data, make)
    say(made)
    if mode != "token":
        print(f'registration.mode is "{mode}": the token is asked for when it is "token"', file=sys.stderr)


@commands.command("reset-password")
def reset_password(
    name: Name,
    data: Data = DEFAULT_DATA,
    keep_devices: Annotated[bool, typer.Option("--keep-devices", help="Log nobody out.")] = False,
) -> None:
    """Set a new password and log out all devices."""
    password = read_password()
    changed = on_users(
        data,
        lambda users: users.change_password(user_id(users, name), password, logout_devices=not keep_devices),
    )
    if not changed:
        sys.exit(f"there is no account {name}")
    say("the new password works now" + ("" if keep_devices else "; all devices are logged out"))


@commands.command("deactivate")
def deactivate(
    name: Name,
    data: Data = DEFAULT_DATA,
    erase: Annotated[bool, typer.Option("--erase", help="Also forget what can be forgotten.")] = False,
) -> None:
    """Close an account for good; its user id stays taken."""
    if not on_users(data, lambda users: users.deactivate(user_id(users, name), erase=erase)):
        sys.exit(f"there is no open account {name}")
    say(f"{name} is deactivated")


def on_users(data: Data, work: Callable[[Users], Awaitable[T]]) -> T:
    """Run `work` on the accounts of the server in `data`, whether it runs or not."""
    # Only now: whoever asks for help should not wait for it.
    from plexus.cli.store import on_platform
    from plexus.users import Users

    return on_platform(data, lambda platform: work(Users(platform)))


def localpart(users: Users, name: str) -> str:
    """`alice` of `alice`, `@alice` and `@alice:this.server`; a user of another server ends the command."""
    if not name.startswith("@"):
        return name
    local, colon, server = name[1:].partition(":")
    if colon and server != users.settings.server_name:
        sys.exit(f"{name} is not of this server, which is {users.settings.server_name}")
    return local


def user_id(users: Users, name: str) -> str:
    return users.user_id_for(localpart(users, name))


def read_password() -> str:
    """Asked for twice at a terminal, else the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        sys.exit("these were not the same")
    return password
