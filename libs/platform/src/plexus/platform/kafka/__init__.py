"""Kafka: the lane fan-out of a cluster. It may lose, repeat and reorder: PostgreSQL has the facts.

1. `KafkaFanout.publish` hands a committed group to this process's own followers, puts its record into a
   bounded buffer and returns. The publisher sends what has gathered, one request a broker at a time.
2. The reader asks each broker for what is new on all partitions, from the end on, and hands on what others
   published. There is no consumer group and no committed offset: every process reads everything.
3. Whatever goes wrong ends the publisher's or the reader's session; another begins a moment later. Meanwhile
   followers poll PostgreSQL.

Both speak to the brokers by aiokafka's client and not by its producer and consumer, which cost twice the CPU
and cannot be told to give up: see ``docs/decisions/0012-kafka-by-requests.md``.
"""

from plexus.platform.kafka.fanout import KafkaFanout
from plexus.platform.kafka.topics import (
    MOST_BYTES,
    KafkaReport,
    TopicReport,
    ensure_topics,
    inspect,
    topic_names,
)

__all__ = [
    "MOST_BYTES",
    "KafkaFanout",
    "KafkaReport",
    "TopicReport",
    "ensure_topics",
    "inspect",
    "topic_names",
]
