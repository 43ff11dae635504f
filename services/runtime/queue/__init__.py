"""The work queue port: durable lanes of messages, and lossy events."""
