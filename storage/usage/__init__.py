"""Usage events: taken in once, kept for good, summed by day and month."""
