"""A process of Plexus in the cluster: `plexus serve SERVICE`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.asking import ask
from deploy.local.haproxy import Replica
from deploy.local.program import Program

PLEXUS = Path(sys.executable).with_name("plexus")


class ServiceProcess(Program):
    """``service`` as `plexus serve` takes it; ``settings`` are environment variables over the ``config``
    file.

    ``plexus`` is the command: another version's may be put there before a start.
    """

    def __init__(
        self,
        name: str,
        service: str,
        *,
        config: Path,
        log: Path,
        port: int,
        internal_port: int,
        calls_port: int,
        settings: Mapping[str, str],
        plexus: Path = PLEXUS,
    ) -> None:
        super().__init__(name, log)
        self.service = service
        self.port = port
        self.internal_port = internal_port
        self.calls_port = calls_port
        self.plexus = plexus
        self.settings = dict(settings)
        self._config = config

    @property
    def base_url(self) -> str:
        """Straight to this process, past the gateway."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal_url(self) -> str:
        return f"http://127.0.0.1:{self.internal_port}"

    @property
    def replica(self) -> Replica:
        return Replica(self.name, self.port, self.internal_port, self.calls_port)

    def command(self) -> Sequence[str]:
        return [str(self.plexus), "serve", self.service]

    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            **self.settings,
            "PLEXUS_CONFIG": str(self._config),
            "PLEXUS_LISTENERS__CLIENT__PORT": str(self.port),
            "PLEXUS_LISTENERS__INTERNAL__PORT": str(self.internal_port),
            "PLEXUS_CALLS__LISTENER__ENABLED": "true",
            "PLEXUS_CALLS__LISTENER__PORT": str(self.calls_port),
        }

    def is_ready(self) -> bool:
        answer = ask(self.internal_port, "/health/ready")
        return answer is not None and answer[0] == 200
