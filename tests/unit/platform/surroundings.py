"""What a gateway stands on, without a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plexus.platform.calls import DirectCalls
from plexus.platform.drain import DrainSignal
from plexus.platform.ports import InternalCalls
from plexus.platform.settings import Settings
from plexus.platform.telemetry import Telemetry


@dataclass
class Surroundings:
    settings: Settings = field(default_factory=Settings)
    drain: DrainSignal = field(default_factory=DrainSignal)
    calls: InternalCalls = field(default_factory=DirectCalls)
    telemetry: Telemetry = field(init=False)
    reason: str | None = None

    def __post_init__(self) -> None:
        self.telemetry = Telemetry(self.settings.telemetry, "test")

    def why_not_ready(self) -> str | None:
        return self.reason

    def metric(self, name: str, **labels: str) -> float:
        """The value of one series in Prometheus's text; 0 if there is none."""
        for line in self.telemetry.prometheus().decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                return float(value)
        return 0.0


def surroundings(**settings: Any) -> Surroundings:
    """With these settings: ``http={"max_url_bytes": 2048}``."""
    return Surroundings(Settings(**settings))
