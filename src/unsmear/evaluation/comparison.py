"""Several restorers, or several settings of one, on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from unsmear import __version__
from unsmear.evaluation.gallery import Exhibit, Gallery
from unsmear.evaluation.networks import NetworkRestorer
from unsmear.evaluation.quality import CONVENTIONS, Quality, plain_dict
from unsmear.evaluation.restorer import Restorer
from unsmear.evaluation.rivals import load_rival
from unsmear.evaluation.run import Progress, Run, evaluate
from unsmear.evaluation.samples import Samples
from unsmear.evaluation.settings import Setting

Opener = Callable[[], Restorer]


@dataclass(frozen=True)
class Evaluation:
    """All figures.

    Attributes:
        data: what was evaluated on, as the user named it.
        layout: of the data set.
        given: mean quality of the blurred pictures.
        runs: one a restorer and setting, in the order asked for.
        exhibits: of each run the worst pictures; empty where none were wanted.
    """

    data: str
    layout: str
    given: Quality
    runs: tuple[Run, ...]
    exhibits: tuple[tuple[Exhibit, ...], ...]

    @property
    def skipped(self) -> dict[str, int]:
        """Pictures without a weighted figure, by reason."""
        shares = [image.blurred_share for image in self.runs[0].images]
        return {
            "empty_masks": sum(share == 0 for share in shares),
            "without_mask": sum(share != share for share in shares),
        }

    @property
    def is_sweep(self) -> bool:
        """Whether a network ran under several settings."""
        names = [run.name for run in self.runs]
        return len(set(names)) < len(names)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: the first run's figures on top, the others' in a list."""
        first, *others = (run.as_dict() for run in self.runs)
        return {
            "version": __version__,
            "data": self.data,
            "layout": self.layout,
            "images": len(self.runs[0].images),
            "skipped": self.skipped,
            "conventions": CONVENTIONS,
            "input": plain_dict(self.given),
            **first,
            "others": others,
        }


def plan(
    models: Iterable[str],
    settings: Iterable[Setting],
    rivals: Iterable[str] = (),
    *,
    device: str = "auto",
    dtype: str = "auto",
) -> list[Opener]:
    """What to evaluate, as functions that load it, so that one at a time is in memory.

    Each is loaded once here, so that a wrong one is found before hours of work. Settings that come
    to the same for a network are taken once.

    Raises:
        InputError: a setting that a checkpoint cannot take, or a device that is not there.
        ModelError: no such model, or a rival that is none.
    """
    settings = list(settings)
    openers: list[Opener] = [
        partial(NetworkRestorer, model, setting, device=device, dtype=dtype)
        for model in models
        for setting in settings
    ]
    openers += [partial(load_rival, path, device=device, dtype=dtype) for path in rivals]
    distinct: dict[object, Opener] = {}
    for opener in openers:
        restorer = opener()
        distinct.setdefault((restorer.name, restorer.setting), opener)
    return list(distinct.values())


def compare(
    data: str,
    samples: Samples,
    openers: Iterable[Opener],
    *,
    pictures: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate each on all pictures.

    Args:
        data: what the samples are called in tables.
        samples: the pictures.
        openers: see :func:`plan`.
        pictures: keep the worst pictures of each restorer, of a sweep those of its first setting.
        progress: told of each picture.
    """
    runs: list[Run] = []
    exhibits: list[tuple[Exhibit, ...]] = []
    for opener in openers:
        restorer = opener()
        is_first = restorer.name not in [run.name for run in runs]
        gallery = Gallery() if pictures and is_first else None
        runs.append(evaluate(restorer, samples, watch=gallery, progress=progress))
        exhibits.append(tuple(gallery.exhibits) if gallery else ())
    return Evaluation(
        data, samples.source.layout, samples.input_quality(), tuple(runs), tuple(exhibits)
    )
