"""The Lightning module: it only wires network, loss and optimiser."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.data import BlurTriple
from unsmear.metrics import kept_pixels, psnr, weighted_psnr, window_agreement
from unsmear.models import LMDViT, Restored
from unsmear.training.config import Phase, TrainConfig
from unsmear.training.losses import pruning_term, reconstruction_terms
from unsmear.training.muon import MuonAdamW

LARGEST_DILATION = 24  # px the mask may grow: a predictor, too, keeps more than the blur
PICTURES = 4  # drawn at each validation


def masked_error(picture: Tensor, sharp: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error inside the masks of a batch: scalar."""
    return ((picture.float() - sharp).square() * mask).sum() / (3 * mask.sum())


class Deblurring(L.LightningModule):
    """Trains an LMD-ViT on :class:`unsmear.data.BlurTriple` batches.

    Args:
        network: what to train.
        config: the run.
    """

    def __init__(self, network: LMDViT, config: TrainConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self._limit_reach(config.loss.pruning_reach)
        self._scales = [network.scale_of(stage) for stage, _ in network.predictor_places]
        self.progress = 0.0  # share of the run that is over, in [0, 1]
        self._seconds_before = 0.0  # of earlier sessions of a resumed run
        self._started = time.monotonic()

    def _limit_reach(self, share: float) -> None:
        """Let only a share of the predictors' gradient through to the features."""

        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            x, *others = args
            return torch.lerp(x.detach(), x, share), *others

        for stage in self.network.stages if share < 1 else ():
            for predictor in stage.predictors:
                predictor.register_forward_pre_hook(before)

    # --- how far the run is ---

    @property
    def seconds(self) -> float:
        """Seconds of training so far, earlier sessions included."""
        return self._seconds_before + time.monotonic() - self._started

    def _measure_progress(self) -> float:
        if self.config.minutes is None:
            return min(1.0, self.global_step / (self.config.steps or 1))
        # All processes follow one clock: their rates must be equal, or their weights drift apart.
        seconds = self.trainer.strategy.broadcast(self.seconds)
        return min(1.0, seconds / (60 * self.config.minutes))

    @property
    def phase(self) -> Phase:
        """The phase in force; it changes between epochs, with the loader."""
        return self.config.phase_at(self.progress)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, outputs: Any, batch: BlurTriple, batch_idx: int) -> None:
        """Look at the clock; the run ends, after a last validation, when its time is over."""
        self.progress = self._measure_progress()
        self.trainer.should_stop = self.progress >= 1

    def on_train_epoch_start(self) -> None:
        """Fix the phase for the epoch."""
        self._decisions = self.trainer.datamodule.phase.decisions  # pyright: ignore

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the clock with the weights."""
        checkpoint["seconds"] = self.seconds
        checkpoint["progress"] = self.progress

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the clock stood."""
        self._seconds_before = checkpoint["seconds"]
        self.progress = checkpoint["progress"]

    # --- steps ---

    def training_step(self, batch: BlurTriple, batch_idx: int) -> Tensor:
        """One step: all losses on one batch."""
        blurred, sharp, mask = batch
        out: Restored = self.network(blurred, decisions=self._steering(mask))
        terms = reconstruction_terms(out.restored, sharp, mask, self.config.loss)
        if out.scores:
            terms["pruning"] = pruning_term(out.scores, mask, self._scales)
        loss = sum(getattr(self.config.loss, name) * term for name, term in terms.items())
        self.log_dict({f"loss/{name}": term.detach() for name, term in terms.items()})
        if mask.any():
            before, after = (masked_error(x.detach(), sharp, mask) for x in (blurred, out.restored))
            self.log("gain", 10 * torch.log10(before / after), prog_bar=True)
        self.log("loss/total", loss, prog_bar=True)
        self.log("rate", self.optimizers().param_groups[0]["lr"])  # pyright: ignore
        self.log("seconds", self.seconds)
        self.log("progress", self.progress, prog_bar=True)
        return loss  # pyright: ignore[reportReturnType]

    def _steering(self, mask: Tensor) -> Tensor | str | None:
        if self._decisions != "mask":
            return None if self._decisions == "sampled" else "all"
        reach = int(torch.randint(0, LARGEST_DILATION + 1, ()))
        grown = F.max_pool2d(mask, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
        return F.max_pool2d(grown, (1, 2 * reach + 1), stride=1, padding=(0, reach))

    def validation_step(self, batch: BlurTriple, batch_idx: int) -> None:
        """Judge the averaged weights on held-out samples, pruning on."""
        blurred, sharp, mask = batch
        out: Restored = self.network(blurred)
        self.log("val/psnr", psnr(out.restored, sharp).clamp(max=80).mean(), batch_size=1)
        if mask.any():
            gain = weighted_psnr(out.restored, sharp, mask) - weighted_psnr(blurred, sharp, mask)
            self.log("val/gain", gain.mean(), prog_bar=True, batch_size=1)
        if out.keep:
            kept = self.final_kept(out, mask)
            share = window_agreement(kept, mask, self.network.config.window_size)
            for name in ("recall", "sharp_kept"):
                value = getattr(share, name)
                if not math.isnan(value):
                    self.log(f"val/{name}", value, batch_size=1)
        if batch_idx < PICTURES and self.logger is not None:
            self._draw(batch_idx, batch, out)

    def final_kept(self, out: Restored, mask: Tensor) -> Tensor:
        """Pixels of the windows that the last predictor kept: bool [B, 1, H, W]."""
        stage, shift = self.network.predictor_places[-1]
        scale = self.network.scale_of(stage)
        side = self.network.config.window_size * scale
        return kept_pixels(out.keep[-1], side, shift * scale, *mask.shape[-2:])

    def _draw(self, index: int, batch: BlurTriple, out: Restored) -> None:
        board = getattr(self.logger, "experiment", None)
        if board is None or not hasattr(board, "add_image"):
            return
        grey = [x.expand(-1, 3, -1, -1) for x in (batch.blur_mask, out.blur_map)]
        row = torch.cat([batch.blurred, out.restored.clamp(0, 1), batch.sharp, *grey], dim=-1)
        board.add_image(f"validation/{index}", row[0].float().cpu(), self.global_step)

    # --- optimiser ---

    def configure_optimizers(self) -> Any:
        """AdamW, or Muon with it, with a linear rise and a cosine fall over the run."""
        config = self.config
        # Gradients of single weights deep inside are near Adam's usual epsilon of 1e-8.
        optimizer = MuonAdamW(
            self._parameter_groups(), lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-10
        )
        floor = config.final_rate / config.learning_rate

        def rate(step: int) -> float:
            rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
            cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
            return rise * (floor + (1 - floor) * cosine)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices that Muon steps, other weights, and biases and norms without decay."""
        config = self.config
        layers = [m.weight for m in self.network.modules() if isinstance(m, nn.Linear)]
        orthogonal = set(layers if config.optimizer == "muon" else ())
        groups: dict[str, list[nn.Parameter]] = {"matrices": [], "weights": [], "vectors": []}
        for p in self.network.parameters():
            kind = "matrices" if p in orthogonal else "weights" if p.ndim > 1 else "vectors"
            groups[kind].append(p)
        rates = config.matrix_rate or 2 * config.learning_rate
        options = {
            "matrices": {"weight_decay": config.weight_decay, "orthogonal": True, "lr": rates},
            "weights": {"weight_decay": config.weight_decay},
            "vectors": {"weight_decay": 0.0},
        }
        return [{"params": own, **options[kind]} for kind, own in groups.items() if own]
