"""One restorer on all pictures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from unsmear.evaluation.meter import Taken, metered
from unsmear.evaluation.quality import (
    Quality,
    as_written,
    mean,
    mean_quality,
    plain,
    plain_dict,
)
from unsmear.evaluation.restorer import Answer, Restorer
from unsmear.evaluation.samples import Sample, Samples
from unsmear.evaluation.settings import Setting
from unsmear.metrics import window_agreement

Watch = Callable[[Sample, Tensor, Answer, "ImageFigures"], None]


class Progress(Protocol):
    """Shows how far a run is."""

    def begin(self, name: str) -> None:
        """Say which picture is next."""
        ...

    def finish(self) -> None:
        """Show that it is done."""
        ...


class Agreement(NamedTuple):
    """Kept windows of one predictor, or of the last stage, against the blur mask.

    For one picture; or the mean over pictures, see :data:`CONVENTIONS`. NaN where there is nothing
    to measure.
    """

    stage: int
    shift: int | None  # None for all blocks of a stage together
    kept: float
    kept_on_sharp: float = math.nan
    accuracy: float = math.nan
    precision: float = math.nan
    recall: float = math.nan
    sharp_kept: float = math.nan


@dataclass(frozen=True)
class ImageFigures:
    """Figures of one picture.

    Attributes:
        name: of the pair.
        height: in pixels.
        width: likewise.
        blurred_share: share of the pixels in the blur mask; NaN without a mask.
        given: of the blurred picture.
        restored: of the restored picture.
        static_change: mean absolute change outside the mask; NaN without a mask.
        multiply_adds_dense: with every window computed.
        multiply_adds_spent: what it took.
        taken: time and memory.
        stages: one a predictor.
        last_stage: of the last pruned stage; None without predictors.
    """

    name: str
    height: int
    width: int
    blurred_share: float
    given: Quality
    restored: Quality
    static_change: float
    multiply_adds_dense: int
    multiply_adds_spent: int
    taken: Taken
    stages: tuple[Agreement, ...]
    last_stage: Agreement | None

    @property
    def gain(self) -> float:
        """DB gained inside the mask, or in all where there is none; NaN where neither is finite."""
        inside = self.restored.wpsnr - self.given.wpsnr
        gain = inside if math.isfinite(inside) else self.restored.psnr - self.given.psnr
        return gain if math.isfinite(gain) else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "blurred_share": plain(self.blurred_share),
            "input": plain_dict(self.given),
            **plain_dict(self.restored),
            "gain": plain(self.gain),
            "static_change": plain(self.static_change),
            "kept": self.last_stage.kept if self.last_stage else None,
            "multiply_adds_dense": self.multiply_adds_dense,
            "multiply_adds_spent": self.multiply_adds_spent,
            "seconds": self.taken.seconds,
        }


class Cost(NamedTuple):
    """What a restorer takes for one picture; see :data:`CONVENTIONS`."""

    parameters: int
    multiply_adds_dense: float
    multiply_adds_spent: float
    seconds: float
    peak_memory: int | None
    device: str
    dtype: str


@dataclass(frozen=True)
class Run:
    """Figures of one restorer.

    Attributes:
        name: of the restorer.
        setting: how the network ran; None for a rival.
        images: figures of each picture, in the source's order.
        mean: of their quality.
        better_share: share of the pictures with a blur mask whose wPSNR rose; NaN without any.
        static_change: mean over the pictures.
        stages: one a predictor.
        last_stage: of the last pruned stage; None without predictors.
        cost: for one picture.
    """

    name: str
    setting: Setting | None
    images: tuple[ImageFigures, ...]
    mean: Quality
    better_share: float
    static_change: float
    stages: tuple[Agreement, ...]
    last_stage: Agreement | None
    cost: Cost

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        last = self.last_stage
        return {
            "model": self.name,
            "setting": None if self.setting is None else asdict(self.setting),
            "mean": plain_dict(self.mean),
            "equal_to_sharp": sum(math.isinf(image.restored.psnr) for image in self.images),
            "better_share": plain(self.better_share),
            "static_change": plain(self.static_change),
            "stages": [plain_dict(stage) for stage in self.stages],
            "last_stage": None if last is None else plain_dict(last),
            "cost": plain_dict(self.cost),
            "per_image": [image.as_dict() for image in self.images],
        }


def evaluate(
    restorer: Restorer,
    samples: Samples,
    *,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Run:
    """Restore every picture and measure.

    Args:
        restorer: a network of ours or a rival.
        samples: the pictures.
        watch: shown every picture, what became of it (rounded to 8 bits), the answer and the
            figures.
        progress: told of each picture.
    """
    images: list[ImageFigures] = []
    warmed: set[tuple[int, ...]] = set()
    for sample in samples:
        if progress:
            progress.begin(sample.name)
        if sample.blurred.shape not in warmed:
            restorer(sample.blurred)
            warmed.add(sample.blurred.shape)
        answer, taken = metered(lambda blurred=sample.blurred: restorer(blurred), restorer.device)
        restored = as_written(answer.restored)
        # Where the network runs: on a GPU measuring takes no time to speak of.
        there = restorer.device
        figures = _judge(sample.to(there), restored.to(there), answer, taken)
        images.append(figures)
        if watch:
            watch(sample, restored, answer, figures)
        if progress:
            progress.finish()
    return _summary(restorer, images)


def _judge(sample: Sample, restored: Tensor, answer: Answer, taken: Taken) -> ImageFigures:
    height, width = sample.blurred.shape[-2:]
    stages = tuple(_agreements(sample, answer))
    last = None
    if answer.last_kept is not None:
        kept, deepest = answer.last_kept, answer.decisions[-1]
        found = deepest.stage, None, float(kept.float().mean())
        last = _agreement(sample, *found, kept, deepest.side)
    mask = sample.blur_mask
    return ImageFigures(
        name=sample.name,
        height=height,
        width=width,
        blurred_share=math.nan if mask is None else float(mask.mean()),
        given=sample.given,
        restored=sample.quality(restored),
        static_change=math.nan if mask is None else _change(restored - sample.blurred, 1 - mask),
        multiply_adds_dense=answer.multiply_adds_dense,
        multiply_adds_spent=answer.multiply_adds_spent,
        taken=taken,
        stages=stages,
        last_stage=last,
    )


def _agreements(sample: Sample, answer: Answer) -> Iterator[Agreement]:
    height, width = sample.blurred.shape[-2:]
    for decision in answer.decisions:
        found = decision.stage, decision.shift, decision.kept
        yield _agreement(sample, *found, decision.pixels(height, width), decision.side)


def _agreement(
    sample: Sample, stage: int, shift: int | None, share: float, pixels: Tensor, side: int
) -> Agreement:
    """Share of the windows kept, and how the kept pixels fit a mask with something in it."""
    empty = sample.blur_mask is not None and not sample.is_blurred
    found = Agreement(stage, shift, share, share if empty else math.nan)
    if sample.blur_mask is None or not sample.is_blurred:
        return found
    there = pixels.to(sample.blur_mask.device)
    return found._replace(**window_agreement(there, sample.blur_mask, side)._asdict())


def _change(change: Tensor, outside: Tensor) -> float:
    """Mean absolute [1, 3, H, W] over a mask [1, 1, H, W]; NaN where that is empty."""
    return float((change.abs().mean(dim=1, keepdim=True) * outside).sum() / outside.sum())


def _summary(restorer: Restorer, images: list[ImageFigures]) -> Run:
    gains = [image.restored.wpsnr - image.given.wpsnr for image in images]
    gains = [gain for gain in gains if not math.isnan(gain)]
    lasts = [image.last_stage for image in images if image.last_stage]
    peaks = [image.taken.peak_memory for image in images]
    return Run(
        name=restorer.name,
        setting=restorer.setting,
        images=tuple(images),
        mean=mean_quality(image.restored for image in images),
        better_share=mean(float(gain > 0) for gain in gains),
        static_change=mean(image.static_change for image in images),
        stages=tuple(map(_mean_agreement, zip(*(image.stages for image in images), strict=True))),
        last_stage=_mean_agreement(lasts) if lasts else None,
        cost=Cost(
            restorer.parameters,
            statistics.fmean(image.multiply_adds_dense for image in images),
            statistics.fmean(image.multiply_adds_spent for image in images),
            statistics.median(image.taken.seconds for image in images),
            max((peak for peak in peaks if peak is not None), default=None),
            str(restorer.device),
            str(restorer.dtype).removeprefix("torch."),
        ),
    )


def _mean_agreement(rows: Sequence[Agreement]) -> Agreement:
    columns = list(zip(*rows, strict=True))[2:]
    return Agreement(rows[0].stage, rows[0].shift, *(mean(column) for column in columns))
