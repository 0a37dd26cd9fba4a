"""What a model does on the held-out samples: the figures of the model card.

    python benchmarks/quality.py --data FOLDER [--model NAME_OR_PATH] [--json FILE]

FOLDER holds ``stills/`` and ``objects/`` with the files that ``configs/validation_split.yaml``
names. Every picture is the synthesizer's, from material that no network was trained on. Windows are
pruned as in use; "unpruned" is the same network with every window computed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from unsmear.data import validation_samples
from unsmear.inference.restoration import last_kept
from unsmear.metrics import kept_pixels, psnr, weighted_psnr, window_agreement
from unsmear.models import DEFAULT_MODEL, LMDViT, load_model
from unsmear.runtime import tune_process

SPLIT = Path(__file__).parents[1] / "configs" / "validation_split.yaml"


def as_written(picture: Tensor) -> Tensor:
    """What an 8-bit file would hold."""
    return (picture.float().clamp(0, 1) * 255).round() / 255


def judge(network: LMDViT, blurred: Tensor, sharp: Tensor, mask: Tensor) -> dict[str, float]:
    """Figures of one sample, [1, 3, H, W] twice and [1, 1, H, W]."""
    with torch.inference_mode():
        pruned, dense = network(blurred), network(blurred, decisions="all")
    height, width = mask.shape[-2:]
    restored = as_written(pruned.restored)
    outside = (1 - mask).expand_as(blurred)
    figures = {
        "blurred_share": float(mask.mean()),
        "psnr_input": float(psnr(blurred, sharp)),
        "psnr": float(psnr(restored, sharp)),
        "inside_input": float(weighted_psnr(blurred, sharp, mask)),
        "inside": float(weighted_psnr(restored, sharp, mask)),
        "inside_unpruned": float(weighted_psnr(as_written(dense.restored), sharp, mask)),
        "outside_change": float(((restored - blurred).abs() * outside).sum() / outside.sum()),
    }
    kept = last_kept(network, pruned, height, width)
    side = network.config.window_size
    figures |= {f"final_{k}": v for k, v in window_agreement(kept, mask, side)._asdict().items()}
    places = network.predictor_places
    for number, (keep, (stage, shift)) in enumerate(zip(pruned.keep, places, strict=True)):
        scale = network.scale_of(stage)
        pixels = kept_pixels(keep, side * scale, shift * scale, height, width)
        share = window_agreement(pixels, mask, side * scale)
        figures |= {f"p{number}_recall": share.recall, f"p{number}_sharp_kept": share.sharp_kept}
    return figures


def mean(rows: list[dict[str, float]], key: str) -> float:
    """Mean over the samples that have the figure."""
    values = torch.tensor([row[key] for row in rows])
    return float(values[values.isfinite()].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    tune_process()
    network = load_model(options.model)
    samples = validation_samples(options.data, SPLIT, options.count)
    rows = [
        judge(network, *(picture[None] for picture in samples[index]))
        for index in range(len(samples))
    ]
    blurred = [row for row in rows if row["blurred_share"] > 0]
    still = [row for row in rows if row["blurred_share"] == 0]
    gains = [row["inside"] - row["inside_input"] for row in blurred]
    found = {
        "samples": len(rows),
        "inside_mask_input_db": mean(blurred, "inside_input"),
        "inside_mask_db": mean(blurred, "inside"),
        "inside_mask_gain_db": sum(gains) / len(gains),
        "inside_mask_gain_unpruned_db": mean(blurred, "inside_unpruned")
        - mean(blurred, "inside_input"),
        "pictures_better_share": sum(gain > 0 for gain in gains) / len(gains),
        "outside_mask_change": mean(rows, "outside_change"),
        "blurred_pixels_kept_share": mean(blurred, "final_recall"),
        "sharp_windows_kept_share": mean(blurred, "final_sharp_kept"),
        "sharp_pictures_windows_kept_share": mean(still, "final_sharp_kept"),
    }
    for name, value in found.items():
        print(f"{name:36} {value:8.4f}")
    for number, (stage, shift) in enumerate(network.predictor_places):
        recall = mean(blurred, f"p{number}_recall")
        kept = mean(blurred, f"p{number}_sharp_kept")
        print(
            f"stage {stage} shift {shift} keeps {recall:.3f} of blur, {kept:.3f} of sharp windows"
        )
    if options.json:
        options.json.write_text(json.dumps({"mean": found, "samples": rows}, indent=1))


if __name__ == "__main__":
    main()
