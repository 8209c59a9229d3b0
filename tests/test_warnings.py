"""Which warnings fail a test: those said to the package or its tests, not those of a library to itself."""

import warnings

import pytest


def warn_as(module: str) -> None:
    """Warn as code of `module` does."""
    exec("import warnings; warnings.warn('old', FutureWarning)", {"__name__": module})


@pytest.mark.parametrize("module", ["convnotes", "convnotes.kernels.shift", "tests.kernels.test_jobs", __name__])
def test_one_said_to_us_is_an_error(module):
    with pytest.raises(FutureWarning, match="old"):
        warn_as(module)


@pytest.mark.parametrize("module", ["torch", "torch.jit.convnotes", "numba.core.event", "convnotes_of_others"])
def test_one_of_a_library_to_itself_is_none(module):
    with warnings.catch_warnings(record=True) as said:
        warn_as(module)
    assert [str(warning.message) for warning in said] == ["old"]


def test_one_that_a_library_says_of_our_call_is_an_error():
    library, ours = {"__name__": "torch", "warnings": warnings}, {"__name__": "convnotes.geometry"}
    exec("def deprecated(): warnings.warn('call another', DeprecationWarning, stacklevel=2)", library)
    ours["call"] = library["deprecated"]
    with pytest.raises(DeprecationWarning, match="call another"):
        exec("call()", ours)
