"""Messages on Kafka and of internal calls, generated from proto/."""
