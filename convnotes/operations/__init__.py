"""Part 3 of the source: another operation instead of multiplying and adding."""
