"""An S3 for tests: moto as a child process, with a bucket."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # it has no types

from deploy.local.program import Program, free_port, listens

BUCKET = "our-pictures"


class Moto(Program):
    """``keys``: whether the keys that sign requests are looked at."""

    def __init__(self, folder: Path, *, keys: bool = False) -> None:
        super().__init__("moto", folder / "moto.log")
        self.port = free_port()
        self._keys = keys

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        # The bucket is made before the keys are looked at.
        return {**os.environ, **({"INITIAL_NO_AUTH_ACTION_COUNT": "1"} if self._keys else {})}

    def is_ready(self) -> bool:
        return listens(self.port)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """To look behind the store's back."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def settings(self, **more: Any) -> dict[str, Any]:
        """Of ``media``."""
        return {
            "store_url": f"s3://{BUCKET}/some/where",
            "store_endpoint": self.endpoint,
            "store_region": "us-east-1",
            "store_access_key_id": "test",
            "store_secret_access_key": "test",
            **more,
        }


@contextmanager
def moto(folder: Path, *, keys: bool = False) -> Iterator[Moto]:
    """One with the bucket in it."""
    with Moto(folder, keys=keys) as server:
        server.client().create_bucket(Bucket=BUCKET)
        yield server
