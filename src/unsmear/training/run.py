"""One training run from its configuration to a checkpoint that the command can use."""

from __future__ import annotations

import dataclasses
import json
import os
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from unsmear.models import create_model, load_model, save_model
from unsmear.runtime import tune_process
from unsmear.training.config import TrainConfig
from unsmear.training.data import SynthesizedBlur
from unsmear.training.module import Deblurring


def train(config: TrainConfig, *, resume: bool = True) -> Path:
    """Train, and write the averaged weights as ``<output>/<model>.safetensors``.

    Args:
        config: the run.
        resume: go on from ``<output>/last.ckpt`` where there is one.

    Returns:
        The checkpoint's path. The best by validation is beside it as ``best.ckpt``.
    """
    tune_process()
    L.seed_everything(config.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    if config.init is None:
        network = create_model(config.model, **config.overrides)
    else:
        network = load_model(config.init, fresh_predictors=True, **config.overrides)
    module = Deblurring(network.train(), config)
    # Two callbacks: one alone would write its "last" only when it has a new best.
    best = ModelCheckpoint(
        output, filename="best", monitor="val/gain", mode="max", enable_version_counter=False
    )
    latest = ModelCheckpoint(output, filename="last", enable_version_counter=False)
    devices = config.devices
    if config.device == "cpu":
        devices = 1 if devices == "auto" else int(devices)
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices))
    trainer = L.Trainer(
        accelerator=config.device,
        devices=devices,
        strategy="auto" if devices in (1, "auto") else "ddp_find_unused_parameters_true",
        use_distributed_sampler=False,
        precision=config.precision,  # pyright: ignore[reportArgumentType]
        max_epochs=-1,
        gradient_clip_val=config.clip,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        default_root_dir=output,
        logger=TensorBoardLogger(output, name="logs", version=""),
        callbacks=[
            WeightAveraging(use_buffers=False, avg_fn=partial(_average, config.ema)),
            best,
            latest,
            LearningRateMonitor("step"),
            RichProgressBar(),
        ],
    )
    last = output / "last.ckpt"
    trainer.fit(
        module, SynthesizedBlur(config), ckpt_path=last if resume and last.is_file() else None
    )
    trainer.save_checkpoint(last)
    return export(module, config, output / f"{config.model}.safetensors")


def _average(decay: float, averaged: Tensor, current: Tensor, steps: Tensor) -> Tensor:
    """One step of an exponential mean whose memory grows with the run up to ``decay``."""
    share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
    return torch.lerp(averaged, current.to(averaged.dtype), share)


def export(module: Deblurring, config: TrainConfig, path: Path) -> Path:
    """Write the network in half precision with the run's settings beside its own."""
    recipe = json.dumps(dataclasses.asdict(config))
    about = {"unsmear.recipe": recipe, "unsmear.steps": str(module.global_step)}
    return save_model(module.network, path, dtype=torch.float16, metadata=about)
