"""``python -m deploy.local.kafka``: fetch the jars and make the archive, so that later starts are quick."""

from __future__ import annotations

from deploy.local.kafka.broker import make_archive
from deploy.local.kafka.jars import jars

if __name__ == "__main__":
    folder = jars()
    make_archive(folder)
    print(f"Kafka's jars are in {folder}")
