"""Whether sampled pixels pay, and where they fall: a short training with sampling and one without.

    python benchmarks/sampling_learns.py --data FOLDER [--output runs/saphn-short]
                                         [-- --trainer.max_steps 200]

Both networks have the same seed, samples, steps and, to a few hundredths, operations. They are
judged on the held-out samples: gain inside the mask, and how much of what is sampled lies inside it
against its share of the picture, as a mean over the pictures. What follows -- goes to both.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
import torch.nn.functional as F

from unsmear.evaluation.samples import SyntheticSource
from unsmear.metrics import weighted_psnr
from unsmear.models import DeblurringNetwork, load_model
from unsmear.models.cost import network_cost
from unsmear.training.run import train

CONFIG = Path(__file__).parents[1] / "configs" / "saphn-short.yaml"
KINDS = {"uniform": "false", "sampled": "true"}
LEAST_BLUR, MOST_BLUR = 0.02, 0.5  # of a picture: with more, nothing could be twice as dense


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with stills/ and objects/")
    parser.add_argument("--output", type=Path, default=Path("runs/saphn-short"))
    parser.add_argument("more", nargs="*", help="further words of the training's command line")
    options = parser.parse_args()
    for kind, sampling in KINDS.items():
        arguments = [
            f"--config={CONFIG}",
            f"--data.pool.folder={options.data}",
            f"--model.overrides.sampling={sampling}",
            f"--output={options.output / kind}",
            *options.more,
        ]
        network = load_model(train(arguments))
        cost = network_cost(network, 256, 256).dense / 1e9
        print(f"{kind}: {cost:.2f} G multiply-adds at 256x256", flush=True)
        judge(network, options.data)


@torch.inference_mode()
def judge(network: DeblurringNetwork, folder: str) -> None:
    """Print the gain, and the density of the samples on the blur."""
    gains: list[float] = []
    density: dict[tuple[int, int], list[float]] = {}
    for pair in SyntheticSource(folder):
        blurred, sharp = (each[None].float() / 255 for each in (pair.blurred, pair.sharp))
        assert pair.blur_mask is not None, "synthesized samples have masks"
        mask = pair.blur_mask[None].float()
        if not LEAST_BLUR < mask.mean() < MOST_BLUR:
            continue
        out = network(blurred)
        before, after = (weighted_psnr(x, sharp, mask) for x in (blurred, out.restored))
        gains.append(float(after - before))
        for one in out.sampling:
            area = F.adaptive_avg_pool2d(mask, one.drawn.shape[-2:])
            inside = (one.drawn * area).sum() / one.drawn.sum()
            density.setdefault((one.stage, one.ratio), []).append(float(inside / area.mean()))
    better = sum(gain > 0 for gain in gains)
    print(
        f"  {statistics.fmean(gains):+.3f} dB inside the mask, {better} of {len(gains)} pictures "
        "better",
        flush=True,
    )
    for (stage, ratio), shares in density.items():
        print(
            f"  stage {stage}, r = {ratio}: {statistics.fmean(shares):.2f} times as dense",
            flush=True,
        )


if __name__ == "__main__":
    main()
