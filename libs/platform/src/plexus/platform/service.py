"""What a service is to the process that runs it.

Each service package has ``root.build(platform, ...) -> Service``. The process makes the services, starts
them in order, serves their routes through one `plexus.platform.http.Gateway`, and on SIGTERM calls
`Service.drain` of all (wake long polls, finish what was begun), then `Service.stop`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import FastAPI

if TYPE_CHECKING:
    from plexus.platform.http.hot import HotRoute


async def _nothing() -> None:
    return


def _no_reasons() -> list[str]:
    return []


@dataclass(slots=True)
class Service:
    """``name`` as in the address ``/openapi/{name}.json``; ``ready`` gives the reasons why not, in plain
    words.
    """

    name: str
    app: FastAPI
    hot: Sequence[HotRoute] = ()
    start: Callable[[], Awaitable[None]] = field(default=_nothing)
    drain: Callable[[], Awaitable[None]] = field(default=_nothing)
    stop: Callable[[], Awaitable[None]] = field(default=_nothing)
    ready: Callable[[], list[str]] = field(default=_no_reasons)
