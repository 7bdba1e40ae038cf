"""One retryable effect each: what workflows cause in the world, and its record."""
