"""What every compiled layer of training keeps to, beside its plain form.

Results are an output and its gradients, as tuples of tensors.
"""

import contextlib

import torch


@contextlib.contextmanager
def other_defaults():
    """A program that makes its tensors elsewhere and of another number type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(before)


def assert_equal_to(ours, theirs):
    """Float32 results within 1e-4 of exact ones."""
    for one, exact in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.double(), exact, atol=1e-4, rtol=1e-4)


def assert_near(ours, theirs, share):
    """Results whose error's norm is below a share of the exact ones'."""
    for one, exact in zip(ours, theirs, strict=True):
        assert (one - exact).norm() < share * exact.norm()


def assert_more_exact(ours, theirs, exact):
    """Results no farther from the exact ones than others are."""
    for one, other, wanted in zip(ours, theirs, exact, strict=True):
        assert (one - wanted).norm() <= (other - wanted).norm()


def assert_threads_change_nothing(run, monkeypatch):
    """The same bits whatever the number of threads; some 70 windows tell them apart."""
    results = []
    for threads in (1, 2, 5, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(run())
    for result in results:
        assert all(map(torch.equal, result, results[0]))
