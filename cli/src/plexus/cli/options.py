"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Option("--data", envvar="PLEXUS_DATA_DIR", help="The folder with all state.", file_okay=False),
]
DEFAULT_DATA = Path("data")
Port = Annotated[int | None, typer.Option("--port", help="Where clients connect.  [default: 8008]", min=0)]
