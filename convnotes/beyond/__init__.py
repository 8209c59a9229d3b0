"""Part 4: after the source."""
