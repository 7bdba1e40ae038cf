"""The durable processes. Each `run` reads like the description of its process."""
