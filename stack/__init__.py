"""The embedded stack: PostgreSQL, the Temporal server and a mailbox on this machine's loopback."""
