"""Files that come in: all validated before any is written, all written or none."""
