"""A real Apache Kafka and a schema registry on this machine, from pinned artifacts, for development, demo and tests."""
