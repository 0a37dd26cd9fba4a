"""One training run, from its YAML files to a checkpoint that the command can use."""

from __future__ import annotations

import json
import logging
import re
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from unsmear.errors import InputError, UnsmearError
from unsmear.models import save_model
from unsmear.runtime import resolve_device, resolve_dtype, tune_process
from unsmear.training.calibration import calibrate
from unsmear.training.callbacks import (
    AveragedWeights,
    LastCheckpoint,
    ProgressBar,
    RandomStates,
    StopWhenAsked,
)
from unsmear.training.data import LocalBlur
from unsmear.training.module import Deblurring

KEPT = 2  # newest checkpoints: the last but one is for when the last is broken
WHOLE = "trained.safetensors"
# What is wrong with a part of a list, among all that the parser says about what a list may be.
_WRONG_PART = re.compile(
    r"""Parser key "([\w.]+)": .* given class_path \S+: (.*?) - Expected a <class 'NoneType'>"""
)


class StoppedError(UnsmearError):
    """The run was asked to stop, and has saved how far it was.

    Attributes:
        signal: number of the signal that asked.
    """

    def __init__(self, sentence: str, signal: int) -> None:
        super().__init__(sentence)
        self.signal = signal


class TrainingCLI(LightningCLI):
    """Lightning's command line with this project's defaults and callbacks."""

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__(
            Deblurring,
            LocalBlur,
            run=False,
            args=list(arguments),
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"exit_on_error": False},
            trainer_defaults={
                "max_epochs": -1,
                "gradient_clip_val": 1.0,
                "num_sanity_val_steps": 0,
                "log_every_n_steps": 20,
                # Each process takes its own part of an epoch, whose patches change with the phase.
                "use_distributed_sampler": False,
                "reload_dataloaders_every_n_epochs": 1,
            },
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is neither the trainer's nor the network's nor the data's."""
        parser.add_argument(
            "--output", default="runs/mine", help="folder for checkpoints, logs and final weights"
        )
        parser.add_argument(
            "--checkpoint_every", type=int, default=500, help="steps from checkpoint to checkpoint"
        )
        parser.add_argument(
            "--recall",
            type=float | None,
            default=None,
            help="share of the blur that every predictor's windows must hold, (0, 1]; in the end "
            "the predictors are shifted to it. null leaves them as they were trained",
        )
        parser.link_arguments("seed_everything", "data.seed", compute_fn=_seed)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Complete what the YAML leaves open."""
        output = Path(self.config["output"])
        every = self.config["checkpoint_every"]
        self.stop = StopWhenAsked()
        self.last = LastCheckpoint(output / "checkpoints")
        latest = ModelCheckpoint(
            output / "checkpoints",
            filename="{step:08d}",
            monitor="step",
            mode="max",
            save_top_k=KEPT,
            every_n_train_steps=every,
            enable_version_counter=False,
        )
        best = ModelCheckpoint(
            output, filename="best", monitor="val/gain", mode="max", enable_version_counter=False
        )
        own = [
            AveragedWeights(self.config["model"]["optimizer"]["ema"]),
            RandomStates(),
            best,
            latest,
            self.last,
            self.stop,
        ]
        trainer = self.config["trainer"]
        if trainer["logger"] is not False:
            own.append(LearningRateMonitor("step"))
        if trainer["enable_progress_bar"] is not False:
            own.append(ProgressBar())
        if trainer["logger"] in (None, True):
            kwargs["logger"] = TensorBoardLogger(output, name="logs", version="")
        kwargs.setdefault("default_root_dir", str(output))
        if trainer["precision"] is None:
            kwargs["precision"] = _fitting_precision(trainer["accelerator"])
        if trainer["strategy"] == "auto" and _several_devices(trainer):
            # With every window kept, predictors have no say and get no gradient.
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
        return super().instantiate_trainer(callbacks=own, **kwargs)


def train(arguments: Sequence[str], *, resume: bool = True) -> Path:
    """Train, and write the averaged weights as ``<output>/trained.safetensors``.

    Args:
        arguments: of Lightning's command line: ``--config FILE`` as often as wanted, the later
            over the earlier, then ``--trainer.max_steps 100`` and the like.
        resume: go on from the newest checkpoint in ``<output>/checkpoints`` that can be read.

    Returns:
        The weights' path. The best by validation is beside it as ``best.ckpt``.

    Raises:
        InputError: a file or value that is wrong.
        StoppedError: the run was asked to stop before its end.
    """
    tune_process()
    torch.set_float32_matmul_precision("high")
    _quiet_lightning()
    try:
        cli = TrainingCLI(arguments)
    except (ArgumentError, ValueError, MisconfigurationException) as error:
        raise InputError(_sentence(error)) from None
    trainer = cli.trainer
    if trainer.max_steps < 0 and not _timed(cli.config):
        raise InputError(
            "Give the run's length as trainer.max_steps, or as trainer.max_time (DD:HH:MM:SS)."
        )
    if trainer.accumulate_grad_batches < 1:
        raise InputError(
            f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}: give 1 or more."
        )
    recall = cli.config["recall"]
    if recall is not None:
        _check_recall(recall, cli.model)
    output = Path(cli.config["output"])
    checkpoints = output / "checkpoints"
    start = newest_checkpoint(checkpoints) if resume else None
    if start is not None:
        _check_start(start, cli.model)
    try:
        trainer.fit(cli.model, cli.datamodule, ckpt_path=start, weights_only=False)
    except UnsmearError as error:
        raise type(error)(_own_words(error)) from None
    if trainer.global_step:
        cli.last.save(trainer)  # where it was the epochs that ran out
    if cli.stop.asked:
        raise StoppedError(
            f"stopped at step {trainer.global_step}; the same command goes on from there",
            cli.stop.asked,
        )
    if recall is not None and trainer.is_global_zero:
        calibrate(cli.model.network, cli.datamodule.for_calibration(), recall)
    return export(cli.model, cli.config, trainer.global_step, output / WHOLE)


def _quiet_lightning() -> None:
    """Leave out what Lightning says that is no news to a user, or not true of this project."""
    for not_the_users_doing in (
        "LightningCLI's args parameter",  # the command has read its own words already
        "Checkpoint directory .* exists and is not empty",  # as meant: a run goes on from there
        r"`isinstance\(treespec, LeafSpec\)`",  # Lightning's use of torch
        "Precision .* is not supported by the model summary",  # the weights are float32
        r"It is recommended to use `self\.log",  # every process judges all held-out samples
        "You're resuming from a checkpoint that ended before the epoch",  # where our data go on
    ):
        warnings.filterwarnings("ignore", not_the_users_doing)
    told = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    told.addFilter(_is_no_advertisement)
    # That checkpoints hold more than weights is meant.
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(
        logging.WARNING
    )


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage()


def _check_recall(recall: float, module: Deblurring) -> None:
    if not 0 < recall <= 1:
        raise InputError(f"--recall is a share in (0, 1], got {recall:g}.")
    if not module.network.predictor_places:
        raise InputError("This network has no predictors to set by --recall: leave it out.")


def newest_checkpoint(folder: Path) -> Path | None:
    """Find the newest checkpoint that can be read; warn of those that cannot."""
    # By time: a run that began anew is behind the steps of the one before it.
    paths = sorted(folder.glob("step=*.ckpt"), key=lambda path: (path.stat().st_mtime_ns, path))
    for path in reversed(paths):
        if _read(path) is not None:
            return path
        warnings.warn(f"{path} cannot be read; trying the one before", stacklevel=2)
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """A checkpoint without its numbers; None where it is broken, or no run's."""
    try:
        saved = torch.load(path, map_location="meta", weights_only=False)
    except Exception:  # whatever a broken file makes of the unpickler
        return None
    parts = {"state_dict", "optimizer_states"}
    return saved if isinstance(saved, dict) and parts <= saved.keys() else None


def _check_start(path: Path, module: Deblurring) -> None:
    """Refuse to go on from what another network, or another optimizer, has left."""
    saved = _read(path)
    assert saved is not None, "found by reading it"
    ours, theirs = (
        {name: value.shape for name, value in state.items()}
        for state in (module.state_dict(), saved["state_dict"])
    )
    (optimizer,) = saved["optimizer_states"]
    groups, others = (
        [len(group["params"]) for group in some]
        for some in (
            module.configure_optimizers()["optimizer"].param_groups,
            optimizer["param_groups"],
        )
    )
    if ours != theirs or groups != others:
        raise InputError(
            f"{path} is of a run with another network or optimizer: name another --output, or "
            "begin anew with --fresh."
        )


def export(module: Deblurring, config: Namespace, steps: int, path: Path) -> Path:
    """Write the network in half precision with the run's settings beside its own."""
    recipe = {
        name: config[name] for name in ("seed_everything", "trainer", "model", "data", "recall")
    }
    plain = json.dumps(Namespace(recipe).as_dict(), default=str)
    about = {"unsmear.recipe": plain, "unsmear.steps": str(steps)}
    return save_model(module.network, path, dtype=torch.float16, metadata=about)


def _sentence(error: BaseException) -> str:
    """What is wrong with a setting; our own words where the parser has wrapped them."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, UnsmearError):
            return str(inner)
        inner = inner.__cause__ or inner.__context__
    sentence = " ".join(str(error).split())
    part = _WRONG_PART.search(sentence)
    return f"{part[1]}: {part[2]}" if part else sentence


def _own_words(error: UnsmearError) -> str:
    """What an error says, without the loader's traceback that PyTorch puts before it."""
    kind = type(error)
    return str(error).rpartition(f"\n{kind.__module__}.{kind.__qualname__}: ")[2].strip()


def _seed(seed: Any) -> int:
    """Lightning takes true and false for a seed, too."""
    return int(seed)


def _timed(config: Namespace) -> bool:
    return config["trainer"]["max_time"] is not None


def _fitting_precision(accelerator: str) -> str:
    """Mixed bfloat16 where products in it are fast; elsewhere it takes several times as long."""
    device = torch.device("cpu") if accelerator == "cpu" else resolve_device("auto")
    fast = resolve_dtype("auto", device) == torch.bfloat16
    return "bf16-mixed" if fast else "32-true"


def _several_devices(trainer: Any) -> bool:
    devices, nodes = trainer["devices"], trainer["num_nodes"]
    if nodes > 1:
        return True
    if trainer["accelerator"] != "cpu" and devices in ("auto", -1, "-1"):
        return torch.cuda.device_count() > 1
    return str(devices) not in ("auto", "1")
