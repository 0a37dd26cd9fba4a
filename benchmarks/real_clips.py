"""What a network gains on real motion: held-out clips whose frames are averaged to blur.

    python benchmarks/real_clips.py --data FOLDER [--model NAME] [--samples 20]

The clips are the held-out ones of FOLDER/video, filmed by cameras that stand still. A sample
averages some frames with the motion between them filled in; its sharp picture is the frame in the
middle, with whatever the camera itself blurred. Where little blur was added there is little to
gain: the blurred input's own PSNR stands beside the gain. Pictures are rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from unsmear.data import BlurSynthesizer, BlurTriple, SynthesisConfig
from unsmear.data.split import ValidationSplit, validation_library
from unsmear.evaluation.quality import as_written, measure
from unsmear.models import DEFAULT_MODEL, load_model
from unsmear.runtime import tune_process

SPLIT = Path(__file__).parents[1] / "configs" / "validation_split.yaml"
SEED = 77
TRIES = 8  # for each sample that is wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with stills/ and video/")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--samples", type=int, default=20, help="of each clip")
    parser.add_argument("--size", type=int, default=256, help="side of a sample in pixels")
    options = parser.parse_args()
    tune_process()
    network = load_model(options.model)
    library = validation_library(options.data, ValidationSplit.from_yaml(SPLIT))
    table = Table(title=f"{options.model}, float32, inside the mask, dB")
    for head in ("clip", "blurred", "gain", "least", "most", "blurred share"):
        table.add_column(head, justify="left" if head == "clip" else "right")
    for clip in library.clips:
        synthesizer = BlurSynthesizer(
            replace(library, clips=(clip,)), SynthesisConfig(), SEED, options.size
        )
        filmed = (synthesizer.filmed(index) for index in range(TRIES * options.samples))
        moving = (sample for sample in filmed if sample is not None and sample.blur_mask.any())
        samples = list(itertools.islice(moving, options.samples))
        if not samples:
            table.add_row(clip.name, *["no usable motion"] + [""] * 4)
            continue
        given, restored = zip(*(inside_mask(network, sample) for sample in samples), strict=True)
        gains = [after - before for before, after in zip(given, restored, strict=True)]
        table.add_row(
            clip.name,
            f"{statistics.fmean(given):.2f}",
            f"{statistics.fmean(gains):+.2f}",
            f"{min(gains):+.2f}",
            f"{max(gains):+.2f}",
            f"{statistics.fmean(float(sample.blur_mask.mean()) for sample in samples):.0%}",
        )
    Console().print(table)


def inside_mask(network: torch.nn.Module, sample: BlurTriple) -> tuple[float, float]:
    """PSNR in dB of the blurred and of the restored picture where it is blurred."""
    blurred, sharp, mask = (part[None].float() for part in sample)
    with torch.inference_mode():
        restored = as_written(network(blurred).restored)
    return measure(blurred, sharp, mask).wpsnr, measure(restored, sharp, mask).wpsnr


if __name__ == "__main__":
    main()
