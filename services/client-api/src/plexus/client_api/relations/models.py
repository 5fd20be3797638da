"""Parameters of the relations and of the threads list, and the tokens of the latter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Path, Query
from plexus.client_api.params import check_name
from plexus.protocol.errors import InvalidParam
from plexus.rooms import Place
from pydantic import AfterValidator

MAX_PAGE = 1000
DEFAULT_PAGE = 20

RelType = Annotated[
    str, Path(alias="relType", description="The relationship type."), AfterValidator(check_name)
]
Start = Annotated[str | None, Query(alias="from", description="Where to begin: a token.")]
Direction = Annotated[Literal["b", "f"], Query(alias="dir", description="Backwards or forwards.")]
Recurse = Annotated[bool | None, Query(description="Whether events that relate indirectly are wanted too.")]
Include = Annotated[
    Literal["all", "participated"], Query(description="All threads, or those the requester took part in.")
]
ThreadsLimit = Annotated[
    int, Query(ge=1, le=2**53 - 1, description="At most so many roots; 1,000 at the most.")
]

_TOKEN = re.compile(r"h(\d{1,18})_(\d{1,18})_(0|-\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ThreadsToken:
    """The rest of a list of threads: the list is that of the ordinal ``upto``, and goes on at ``place``."""

    upto: int
    place: Place

    def encode(self) -> str:
        return f"h{self.upto}_{self.place.ordinal}_{self.place.sub}"

    @classmethod
    def decode(cls, token: str) -> ThreadsToken:
        """`InvalidParam` for what is no such token."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise InvalidParam("Unknown pagination token")
        return cls(int(match[1]), Place(int(match[2]), int(match[3])))
