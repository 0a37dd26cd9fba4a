"""The tables, as text in cells: for the terminal, the report and the spreadsheet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

from unsmear.evaluation.comparison import Evaluation
from unsmear.evaluation.gallery import badness
from unsmear.evaluation.quality import Quality
from unsmear.evaluation.run import Agreement, ImageFigures, Run
from unsmear.evaluation.settings import stages_in_words

NOTHING = "-"


class Sheet(NamedTuple):
    """A table.

    Attributes:
        title: what it shows.
        head: a title for each column; the first column is text, the others are figures.
        rows: as many cells each.
    """

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def sheets(evaluation: Evaluation) -> list[Sheet]:
    """All tables but those of single pictures."""
    if evaluation.is_sweep:
        return [_ablation(evaluation)]
    stages = [_stages(run) for run in evaluation.runs if run.stages]
    return [_quality(evaluation), _cost(evaluation), *stages]


def _quality(evaluation: Evaluation) -> Sheet:
    """The paper's table of methods, first half."""
    head = ("", "PSNR", "SSIM", "wPSNR", "wSSIM", "better", "static change")
    rows = [("input", *_four(evaluation.given), NOTHING, NOTHING)]
    rows += [
        (run.name, *_four(run.mean), _share(run.better_share), _number(run.static_change, 5))
        for run in evaluation.runs
    ]
    skipped = evaluation.skipped
    title = (
        f"{len(evaluation.runs[0].images)} pictures; {skipped['empty_masks']} with an empty mask, "
        f"{skipped['without_mask']} without one"
    )
    return Sheet(title, head, rows)


def _cost(evaluation: Evaluation) -> Sheet:
    """Its second half."""
    head = ("", "params", "multiply-adds", "dense", "time", "memory", "on")
    rows = [
        (
            run.name,
            _units(run.cost.parameters),
            _units(run.cost.multiply_adds_spent),
            _units(run.cost.multiply_adds_dense),
            f"{run.cost.seconds:.3f} s",
            NOTHING if run.cost.peak_memory is None else f"{_units(run.cost.peak_memory)}B",
            f"{run.cost.device} {run.cost.dtype}",
        )
        for run in evaluation.runs
    ]
    return Sheet("Cost of one picture", head, rows)


def _stages(run: Run) -> Sheet:
    head = ("stage", "kept", "accuracy", "precision", "recall", "sharp kept", "on sharp pictures")
    rows = [_agreement(f"{a.stage}{' shifted' if a.shift else ''}", a) for a in run.stages]
    if run.last_stage:
        rows.append(_agreement("last", run.last_stage))
    return Sheet(f"Kept windows of {run.name}", head, rows)


def _agreement(label: str, found: Agreement) -> tuple[str, ...]:
    shares = (
        found.kept,
        found.accuracy,
        found.precision,
        found.recall,
        found.sharp_kept,
        found.kept_on_sharp,
    )
    return (label, *map(_share, shares))


def _ablation(evaluation: Evaluation) -> Sheet:
    """The paper's ablation table, a line a setting; the input stands before them."""
    head = ("No.", "model", "pruned stages", "threshold", "budget")
    head += ("PSNR", "SSIM", "wPSNR", "wSSIM", "time", "params", "multiply-adds")
    given = ("", "input", *[NOTHING] * 3, *_four(evaluation.given), *[NOTHING] * 3)
    rows: list[tuple[str, ...]] = [given]
    for number, run in enumerate(evaluation.runs, start=1):
        cost = (
            f"{run.cost.seconds:.3f} s",
            _units(run.cost.parameters),
            _units(run.cost.multiply_adds_spent),
        )
        rows.append((str(number), run.name, *_setting(run), *_four(run.mean), *cost))
    return Sheet(f"{len(evaluation.runs[0].images)} pictures", head, rows)


def _setting(run: Run) -> tuple[str, str, str]:
    """Pruned stages, threshold and budget of a run, each where it means something."""
    setting = run.setting
    if setting is None:
        return NOTHING, NOTHING, NOTHING
    stages = () if setting.dense else setting.pruned_stages or ()
    threshold = f"{setting.threshold:g}" if stages else NOTHING
    budget = NOTHING if setting.budget is None else f"{setting.budget:+.0%}"
    return stages_in_words(stages), threshold, budget


def pictures_sheet(run: Run) -> Sheet:
    """A line a picture, the worst first."""
    head = ("picture", "gain", "PSNR", "SSIM", "wPSNR", "wSSIM", "blurred", "kept", "time")
    rows = [_picture(image) for image in sorted(run.images, key=badness)]
    return Sheet(f"All pictures, {run.name}", head, rows)


def _picture(image: ImageFigures) -> tuple[str, ...]:
    kept = NOTHING if image.last_stage is None else _share(image.last_stage.kept)
    gain = NOTHING if math.isnan(image.gain) else f"{image.gain:+.2f}"
    blurred = _share(image.blurred_share)
    return (image.name, gain, *_four(image.restored), blurred, kept, f"{image.taken.seconds:.3f} s")


def as_csv(evaluation: Evaluation) -> str:
    """A line a picture and run, with the figures in full."""
    file = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for run in evaluation.runs:
        settings = dict(zip(("pruned_stages", "threshold", "budget"), _setting(run), strict=True))
        for image in run.images:
            figures = image.as_dict()
            given = figures.pop("input")
            row = {"model": run.name, **settings, **figures}
            row |= {f"input_{name}": value for name, value in given.items()}
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
    return file.getvalue()


def _four(quality: Quality) -> tuple[str, str, str, str]:
    """The paper's digits: two of a PSNR, four of an SSIM."""
    return (
        _number(quality.psnr, 2),
        _number(quality.ssim, 4),
        _number(quality.wpsnr, 2),
        _number(quality.wssim, 4),
    )


def _number(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}"


def _share(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.1%}"


def _units(count: float) -> str:
    """A large number with four digits, such as 54.55M or 1.485T."""
    for unit, value in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= value:
            return f"{count / value:#.4g}{unit}"
    return f"{count:.0f}"
