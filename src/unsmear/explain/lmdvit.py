"""What LMD-ViT did: where it found blur, and which windows each stage kept."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unsmear.explain.colours import heat, outlined, spread
from unsmear.explain.figure import Figure, before_and_after
from unsmear.metrics import kept_pixels
from unsmear.models.lmdvit import LMDViT
from unsmear.models.outputs import Restored


def draw(network: LMDViT, photo: Tensor, options: Mapping[str, float]) -> list[Figure]:
    """Run the network on [1, 3, H, W] and draw the result."""
    out = network(photo, **options)
    return [*before_and_after(photo, out.restored), *decision_figures(network, photo, out)]


def decision_figures(network: LMDViT, photo: Tensor, out: Restored) -> list[Figure]:
    """The blur map, and of each predictor its confidence and the windows it kept.

    A network that prunes nothing has none.
    """
    if not out.scores:
        return []
    blur_map = Figure(
        "blur-map",
        "Blur map",
        "Confidence that a pixel is blurred, by the last stage that prunes. Dark is 0, light 1.",
        heat(out.blur_map, photo),
        "Photo",
    )
    places = zip(out.scores, out.keep, network.predictor_places, strict=True)
    figures = (
        figure
        for scores, keep, (stage, shift) in places
        for figure in _of_predictor(network, photo, scores, keep, stage, shift)
    )
    return [blur_map, *figures]


def _of_predictor(
    network: LMDViT, photo: Tensor, scores: Tensor, keep: Tensor, stage: int, shift: int
) -> tuple[Figure, Figure]:
    scale = network.scale_of(stage)
    side = network.config.window_size * scale
    confidence = spread(scores.softmax(dim=-1)[None, ..., 0], scale, photo)
    kept = kept_pixels(keep, side, shift * scale, *photo.shape[-2:])
    section = f"Stage {stage}"
    part, words = ("-shifted", "shifted windows") if shift else ("", "windows")
    count, windows = int(keep.sum()), keep.numel()
    return (
        Figure(
            f"stage{stage}{part}-confidence",
            f"Confidence for the {words}",
            f"How sure a token ({scale} x {scale} pixels) is of blur. Dark is 0, light 1.",
            heat(confidence, photo),
            section,
        ),
        Figure(
            f"stage{stage}{part}-kept",
            f"Kept {words}",
            f"{count} of {windows} windows ({count / windows:.1%}) of {side} x {side} pixels were "
            f"kept, padding included: {kept.float().mean():.1%} of the photo. The dark rest was "
            "skipped.",
            outlined(kept, photo),
            section,
        ),
    )
