from types import SimpleNamespace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from unsmear.training.callbacks import AveragedWeights, ProgressBar


def averaged(decay, values):
    """What the mean is after a weight had one value after the other."""
    layer = torch.nn.Linear(1, 1, bias=False)
    mean = AveragedModel(layer, avg_fn=AveragedWeights(decay)._average)
    for value in values:
        torch.nn.init.constant_(layer.weight, value)
        mean.update_parameters(layer)
    return mean.module.weight.item()


def test_the_mean_of_weights_soon_forgets_the_first_ones():
    assert averaged(0.999, [1.0] + [0.0] * 100) < 1e-3


def test_the_memory_grows_up_to_its_decay():
    assert averaged(0.9, [0.0] * 200 + [1.0]) == pytest.approx(0.1)
    assert averaged(0.9, [0.0] * 200 + [1.0] * 2) == pytest.approx(0.19)
    assert averaged(0.999, [0.0] * 200 + [1.0]) == pytest.approx(9 / 210, rel=0.01)


@pytest.mark.parametrize(("epochs", "says"), [(-1, "Epoch 1"), (3, "Epoch 1/2")])
def test_the_progress_bar_names_the_last_epoch_only_where_there_is_one(epochs, says):
    bar = ProgressBar()
    bar._trainer = SimpleNamespace(max_epochs=epochs, sanity_checking=False)
    assert bar._get_train_description(1).strip() == says
