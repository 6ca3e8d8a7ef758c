"""Streaming real-time inference on Kafka with exactly-once online learning."""
