"""How many random examples a test of hypothesis takes: those of the profile (see `conftest.py`), or more."""

from hypothesis import settings


def at_least(examples: int) -> settings:
    """As many examples as the profile says, but no fewer than `examples`."""
    return settings(max_examples=max(examples, settings.default.max_examples))
