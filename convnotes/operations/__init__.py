"""Part 3 of the source: another operation in the place of multiplying and adding."""
