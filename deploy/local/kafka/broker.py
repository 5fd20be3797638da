"""The broker: its settings, its format, its start."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.kafka.jars import archive, jars, java, locked
from deploy.local.program import Program, ProgramError, free_port, listens

_PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # For a quick start, above all after kill -9: the port is open after 4 to 7 s instead of 20 to 26.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "600",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.backoff.max.ms": "100",
    "log.initial.task.delay.ms": "5000",
    # With nothing to do it would write a record twice a second: a quarter of what an idle broker takes.
    "metadata.max.idle.interval.ms": "5000",
    # Each of them looks up three times a second, and one machine's traffic does not fill two of either.
    "num.network.threads": "2",
    "num.io.threads": "2",
}

_OPTIONS = (
    "-Xms128m",
    "-Xmx256m",
    "-XX:MaxMetaspaceSize=128m",
    "-XX:ReservedCodeCacheSize=64m",
    "-Xss512k",
    # At 20 records a second a fifth less (docs/decisions/0053).
    "-XX:+UseTransparentHugePages",
    # Figures for jstat, which nobody asks: a sixteenth of what an idle broker takes.
    "-XX:-UsePerfData",
)


class KafkaBroker(Program):
    """A broker and controller in one process, on free ports of the loopback that stay the same from start to
    start. ``folder`` has all of it; formatted at the first start.

    ``cache`` has or gets the jars. ``properties`` are added to those of the broker, or replace them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        log: Path | None = None,
        cache: Path | None = None,
        properties: Mapping[str, str] | None = None,
        name: str = "kafka",
    ) -> None:
        super().__init__(name, log or folder / "kafka.log")
        self.folder = folder
        self.port = port or free_port()
        self._controller_port = free_port()
        self._cache = cache
        self._properties = dict(properties or {})
        self._jars: Path | None = None
        self._archiving: Path | None = None

    @property
    def address(self) -> str:
        """For ``kafka.bootstrap_servers``."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        self._jars = jars(self._cache)
        if self._archiving is None:
            make_archive(self._jars)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._properties_file.write_text("".join(f"{k}={v}\n" for k, v in self._all_properties().items()))
        if not (self._data / "meta.properties").exists():
            self._format(self._jars)

    def command(self) -> Sequence[str]:
        assert self._jars is not None
        options = list(_OPTIONS)
        if self._archiving is not None:
            options.append(f"-XX:ArchiveClassesAtExit={self._archiving}")
        return java(self._jars, "kafka.Kafka", str(self._properties_file), options=options)

    def is_ready(self) -> bool:
        return listens(self.port)

    def restart(self, patience: float = 60) -> float:
        """Stop if it runs, and start again on the same ports; the seconds that the start took."""
        self.stop()
        return self.start(patience)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    def _all_properties(self) -> dict[str, str]:
        plain, controller = f"PLAINTEXT://{self.address}", f"CONTROLLER://127.0.0.1:{self._controller_port}"
        return {
            **_PROPERTIES,
            "log.dirs": str(self._data),
            "listeners": f"{plain},{controller}",
            "advertised.listeners": plain,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            **self._properties,
        }

    def _format(self, libs: Path) -> None:
        # What `StorageTool random-uuid` prints, without a second JVM; it never begins with a hyphen.
        cluster = base64.urlsafe_b64encode(b"\x00" + os.urandom(15)).decode().rstrip("=")
        arguments = ("format", "-t", cluster, "-c", str(self._properties_file))
        done = subprocess.run(
            java(libs, "kafka.tools.StorageTool", *arguments), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ProgramError(f"Kafka's folder was not formatted:\n{(done.stdout + done.stderr)[-2_000:]}")


def make_archive(libs: Path) -> None:
    """Archive the classes of a broker that has started once, unless that is done. Takes some seconds."""
    made = archive(libs)
    if made.exists():
        return
    with locked(libs.parent):
        if made.exists():
            return
        with tempfile.TemporaryDirectory(dir=libs.parent, prefix="archiving-") as aside:
            broker = KafkaBroker(Path(aside) / "broker", cache=libs.parent, name="kafka (first start)")
            broker._archiving = Path(aside) / made.name
            with broker:
                pass
            if not broker._archiving.exists():
                raise ProgramError(f"no archive of Kafka's classes was made:\n{broker.tail()}")
            broker._archiving.rename(made)
