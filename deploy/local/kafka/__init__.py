"""A Kafka of one node (KRaft), from the jars that Maven fetches by ``pom.xml``.

The jars and an archive of their classes, which makes a start much quicker, are made once and kept in a cache
folder: ``build/kafka`` below the repository, or ``PLEXUS_TEST_KAFKA_LIBS``.
"""

from deploy.local.kafka.broker import KafkaBroker
from deploy.local.kafka.jars import jars

__all__ = ["KafkaBroker", "jars"]
