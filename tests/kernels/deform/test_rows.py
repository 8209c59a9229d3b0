import pytest
import torch
from support.close import assert_close

from convnotes.kernels.deform.rows import weighted_rows


def naive(table, weights, index):
    return (table[index] * weights.unsqueeze(-1)).sum(1)


@pytest.fixture
def factors():
    table = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([[0, 0, 1, 6], [3, 2, 2, 2], [6, 6, 6, 6], [1, 3, 0, 3], [5, 1, 6, 0]])  # row 4 is never read
    return table, weights, index


def test_it_is_the_weighted_sum_and_has_its_gradient(factors):
    table, weights, _ = factors
    ours, expected = weighted_rows(*factors), naive(*factors)
    assert_close(ours, expected)
    g = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (table, weights), g), torch.autograd.grad(expected, (table, weights), g), strict=True
    ):
        assert_close(a, b)


def test_derivatives_of_both_modes_and_of_second_order_are_the_numerical_ones(factors):
    table, weights, index = factors
    call = lambda t, w: weighted_rows(t, w, index)  # noqa: E731
    assert torch.autograd.gradcheck(call, (table, weights), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, (table, weights), check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize("order", ["forward over reverse", "reverse over reverse", "reverse over forward"])
def test_second_derivatives_compose_in_torch_func(factors, order):
    table, weights, index = factors

    def hessian(rows):
        outer, inner = {
            "forward over reverse": (torch.func.jacfwd, torch.func.jacrev),
            "reverse over reverse": (torch.func.jacrev, torch.func.jacrev),
            "reverse over forward": (torch.func.jacrev, torch.func.jacfwd),
        }[order]
        return outer(inner(lambda t, w: rows(t, w, index).pow(3).sum(), (0, 1)), (0, 1))(table, weights)

    for ours, expected in zip(
        torch.utils._pytree.tree_leaves(hessian(weighted_rows)),
        torch.utils._pytree.tree_leaves(hessian(naive)),
        strict=True,
    ):
        assert_close(ours, expected)


@pytest.mark.parametrize("dims", [(0, None, None), (None, 0, None), (0, 1, 0), (2, 0, 1)], ids=str)
def test_vmap_is_a_loop_over_whatever_is_batched(factors, dims):
    many = [
        f.detach() if d is None else torch.stack([f, f.flip(0), f]).detach() for f, d in zip(factors, dims, strict=True)
    ]
    loop = [naive(*(m if d is None else m[n] for m, d in zip(many, dims, strict=True))) for n in range(3)]
    moved = [m if d is None else m.movedim(0, d) for m, d in zip(many, dims, strict=True)]
    assert_close(torch.vmap(weighted_rows, dims)(*moved), torch.stack(loop))


def test_compiled_it_is_the_same_forward_and_gradient(factors):
    table, weights, _ = factors
    torch.compiler.reset()
    compiled = torch.compile(weighted_rows, fullgraph=True, backend="aot_eager")(*factors)
    expected = naive(*factors)
    assert_close(compiled, expected)
    for a, b in zip(
        torch.autograd.grad(compiled.square().sum(), (table, weights)),
        torch.autograd.grad(expected.square().sum(), (table, weights)),
        strict=True,
    ):
        assert_close(a, b)


def test_nothing_read_gives_nothing_and_zero_gradients():
    table = torch.randn(3, 2, requires_grad=True)
    weights = torch.zeros(0, 4, requires_grad=True)
    y = weighted_rows(table, weights, torch.zeros(0, 4, dtype=torch.int64))
    assert y.shape == (0, 2)
    y.sum().backward()
    assert torch.equal(table.grad, torch.zeros(3, 2))
    assert weights.grad.shape == (0, 4)


def test_a_weight_of_zero_does_not_hide_nan_and_a_row_that_is_not_read_does_no_harm():
    table = torch.tensor([[1.0], [torch.nan]])
    weights = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert weighted_rows(table, weights, torch.tensor([[0, 0, 0, 0]])).item() == 1
    assert weighted_rows(table, weights, torch.tensor([[0, 1, 0, 0]])).isnan()
