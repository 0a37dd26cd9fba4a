"""One training run from its configuration to a checkpoint that the command can use."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import TensorBoardLogger

from unsmear.models import create_model, save_model
from unsmear.runtime import tune_process
from unsmear.training.config import TrainConfig
from unsmear.training.data import SynthesizedBlur
from unsmear.training.module import Deblurring


class StopAtEnd(Callback):
    """Ends the run when its steps or minutes are over, after a last validation."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: object
    ) -> None:
        """Look at the clock."""
        if pl_module.progress >= 1:  # pyright: ignore
            trainer.should_stop = True


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
    module = Deblurring(create_model(config.model, **config.overrides).train(), config)
    checkpoints = ModelCheckpoint(
        output,
        filename="best",
        monitor="val/gain",
        mode="max",
        save_last=True,
        enable_version_counter=False,
    )
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
            EMAWeightAveraging(decay=config.ema),
            checkpoints,
            LearningRateMonitor("step"),
            RichProgressBar(),
            StopAtEnd(),
        ],
    )
    last = output / "last.ckpt"
    trainer.fit(
        module, SynthesizedBlur(config), ckpt_path=last if resume and last.is_file() else None
    )
    trainer.save_checkpoint(last)
    return export(module, config, output / f"{config.model}.safetensors")


def export(module: Deblurring, config: TrainConfig, path: Path) -> Path:
    """Write the network in half precision with the run's settings beside its own."""
    recipe = json.dumps(dataclasses.asdict(config))
    about = {"unsmear.recipe": recipe, "unsmear.steps": str(module.global_step)}
    return save_model(module.network, path, dtype=torch.float16, metadata=about)
