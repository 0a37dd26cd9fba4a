import itertools

import torch

from unsmear.speed import peak


def test_a_product_that_takes_longer_than_the_measurement_is_measured(monkeypatch):
    clock = itertools.count(0, 100)
    monkeypatch.setattr(peak.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(peak, "SIDES", {"cpu": (10, 20, 30)})
    found = peak.matrix_peak(torch.device("cpu"), torch.float32)
    assert found == 2 * 10 * 20 * 30 / 100
