"""Part 1 of the source: fewer parameters for the same map."""
