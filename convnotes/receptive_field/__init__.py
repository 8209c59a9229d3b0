"""Part 2 of the source: a larger or freer field of view."""
