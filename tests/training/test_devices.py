"""Several processes compute what one does."""

import os
import subprocess
import sys

import pytest
import torch

CAPTURE = """
import os, sys, torch
from unsmear.training.module import Deblurring
from unsmear.training.run import train
def keep(self, optimizer):
    if self.global_rank == 0 and self.global_step == 0:
        gradients = {n: p.grad for n, p in self.named_parameters() if p.grad is not None}
        torch.save(gradients, os.environ["INTO"])
Deblurring.on_before_optimizer_step = keep
train(sys.argv[1:])
"""


def gradients(folder, words, devices):
    into = folder / f"{devices}.pt"
    script = folder / "capture.py"
    script.write_text(CAPTURE)
    options = [f"--trainer.devices={devices}", f"--output={folder / str(devices)}"]
    # Not an argument: Lightning starts the second process with the first one's.
    env = os.environ | {"INTO": str(into)}
    run = subprocess.run([sys.executable, script, *words, *options], capture_output=True, env=env)
    assert run.returncode == 0, run.stderr.decode()[-3000:]
    return torch.load(into, weights_only=True)


@pytest.mark.filterwarnings("ignore")
def test_two_processes_have_the_gradients_of_one(folder, recipe, arguments):
    recipe["trainer"] |= {"max_steps": 1, "precision": "64-true", "logger": False}
    recipe["model"]["overrides"]["drop_path"] = 0.0
    recipe["model"]["loss"] = {"inside": 0.5, "psnr": 0.1}
    recipe["data"]["phases"] = [{"patch_size": 64, "batch_size": 4, "decisions": "all"}]
    one, two = (gradients(folder, arguments(), devices) for devices in (1, 2))
    assert one.keys() == two.keys()
    assert max(float(g.abs().max()) for g in one.values()) > 1e-3
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, atol=1e-6, rtol=1e-5)
