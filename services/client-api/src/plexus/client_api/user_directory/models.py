"""What is asked of the user directory.

Client-Server API, ``POST /_matrix/client/v3/user_directory/search``.
"""

from __future__ import annotations

from typing import Annotated

from plexus.platform.http import Body
from pydantic import Field

MAX_PAGE = 100
MAX_TERM = 255


class UserSearch(Body):
    search_term: Annotated[str, Field(max_length=MAX_TERM)]
    limit: Annotated[int, Field(ge=0, le=2**53 - 1)] = 10
