import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.drawn import at_least

from convnotes.geometry import output_size, pair, resolve_padding


def test_an_int_stands_for_both_axes_and_two_ints_for_vertical_and_horizontal():
    assert pair(3) == (3, 3)
    assert pair([2, 5]) == (2, 5)


@pytest.mark.parametrize(
    ("value", "problem", "says"),
    [
        ((1, 2, 3), ValueError, r"two ints .* got 3"),
        (1.5, TypeError, r"stride must be an int .* got 1\.5"),
        ((1, 2.0), TypeError, r"stride must hold ints, got \(1, 2\.0\)"),
        ("2", TypeError, r"got '2'"),
        (True, TypeError, r"got True"),
        (0, ValueError, r"stride must be at least 1, got 0"),
        ((1, -2), ValueError, r"stride must be at least 1, got \(1, -2\)"),
    ],
)
def test_a_bad_size_is_refused_by_name(value, problem, says):
    with pytest.raises(problem, match=says):
        pair(value, "stride", 1)


sizes = st.integers(1, 17)
small = st.integers(1, 4)


@at_least(200)
@given(
    st.tuples(sizes, sizes),
    st.tuples(small, small),
    st.tuples(small, small),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(small, small),
)
def test_output_size_is_what_torch_gives_and_refuses_what_torch_refuses(size, kernel, stride, padding, dilation):
    conv = torch.nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    image = torch.zeros(1, 1, *size)  # not on meta, where torch 2.6 refuses nothing
    try:
        expected = tuple(conv(image).shape[2:])
    except RuntimeError:
        with pytest.raises(ValueError, match="does not fit"):
            output_size(size, kernel, stride, padding, dilation)
    else:
        assert output_size(size, kernel, stride, padding, dilation) == expected


@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (4, 5)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
def test_same_padding_keeps_the_size_as_in_torch(kernel, dilation):
    conv = torch.nn.Conv2d(1, 1, kernel, padding="same", dilation=dilation)
    assert output_size((11, 7), kernel, 1, "same", dilation) == (11, 7)
    (top, bottom), (left, right) = resolve_padding("same", kernel, dilation, (1, 1))
    assert [left, right, top, bottom] == conv._reversed_padding_repeated_twice


def test_same_padding_with_a_stride_is_refused():
    with pytest.raises(ValueError, match=r"needs stride 1, got stride \(2, 2\)"):
        output_size(8, 3, 2, "same")


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="'reflect'"):
        output_size(8, 3, 1, "reflect")


def test_a_dilation_that_is_not_given_is_one():
    assert output_size(9, 3) == output_size(9, 3, dilation=1) == (7, 7)


@pytest.mark.parametrize("value", [(), (1,), (1, 2, 3)])
def test_a_pair_of_another_length_than_two_says_how_many_came(value):
    with pytest.raises(ValueError, match=f"must be an int or two ints .*, got {len(value)}"):
        pair(value, "stride", 1)
