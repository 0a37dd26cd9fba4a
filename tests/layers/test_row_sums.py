import pytest
import torch

from unsmear.layers.row_sums import sum_rows


def a_case(rows, sums, each, dtype=torch.float64):
    torch.manual_seed(0)
    index = torch.randint(rows, (sums, each), dtype=torch.int32)
    return torch.randn(rows, 3, dtype=dtype), index, torch.randn(sums, each, dtype=dtype)


def plain(rows, index, share):
    return (share[..., None] * rows[index]).sum(dim=1)


@pytest.mark.parametrize("case", [(1, 1, 1), (5, 40, 4), (40, 5, 1), (9, 0, 4)])
def test_sums_are_the_plain_ones(case):
    for dtype in (torch.float32, torch.float64):
        arguments = a_case(*case, dtype)
        torch.testing.assert_close(sum_rows(*arguments), plain(*arguments))


@pytest.mark.parametrize("case", [(1, 1, 1), (5, 40, 4), (40, 5, 1), (9, 0, 4)])
def test_so_are_the_gradients(case):
    rows, index, share = a_case(*case)
    found, wanted = [], []
    for function, gradients in ((sum_rows, found), (plain, wanted)):
        leaves = [leaf.clone().requires_grad_() for leaf in (rows, share)]
        function(leaves[0], index, leaves[1]).square().sum().backward()
        gradients += [leaf.grad for leaf in leaves]
    torch.testing.assert_close(found, wanted)


def test_gradients_come_where_they_are_asked_for():
    rows, index, share = a_case(6, 8, 4)
    for leaf in (rows, share):
        leaf.requires_grad_()
        sum_rows(rows, index, share).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.any()
        leaf.requires_grad_(False)
    assert not sum_rows(rows, index, share).requires_grad


def test_second_derivatives_are_refused():
    rows, index, share = a_case(6, 8, 4)
    rows.requires_grad_()
    sums = sum_rows(rows, index, share).square().sum()
    with pytest.raises(RuntimeError, match="second derivatives"):
        torch.autograd.grad(sums, rows, create_graph=True)
