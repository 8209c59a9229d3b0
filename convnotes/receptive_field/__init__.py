"""Part 2 of the source: a kernel that sees further, or elsewhere."""
