"""``unsmear demo``: a photo whose subject moves, deblurred before your eyes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsmear.cli.console import say
from unsmear.cli.options import DEFAULT_MODEL, Model
from unsmear.cli.page import page
from unsmear.errors import InputError

if TYPE_CHECKING:
    import numpy as np

PAGE = page("[-o FOLDER] [--model MODEL]")


def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pictures go.")
    ] = Path("unsmear-demo"),
    model: Model = DEFAULT_MODEL,
) -> None:
    """Blur a part of a well-known photo as if it had moved, deblur it, and show both.

    Writes blurred.png, blur_map.png, restored.png, and demo.png with all of them side by side.
    The photo is the motorcycle that scikit-image ships (Middlebury stereo 2014, CC0); no network
    was trained on it.
    """
    try:
        from skimage import data
    except ModuleNotFoundError:
        raise InputError("The demo needs scikit-image's photos: pip install scikit-image") from None
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file: -o needs a folder.")

    import numpy as np

    from unsmear.cli.demo_panel import panel
    from unsmear.cli.demo_scene import MOTORCYCLE, motorcycle_cover, move_a_part
    from unsmear.images import Picture, write_picture
    from unsmear.inference import Deblurrer
    from unsmear.runtime import tune_process

    tune_process()
    sharp, _, disparity = data.stereo_motorcycle()
    blurred, moved = move_a_part(sharp, motorcycle_cover(disparity), MOTORCYCLE)
    result = Deblurrer(model).deblur(Picture.from_array(blurred))
    restored = result.picture.rgb
    blur_map = np.rint(result.blur_map * 255).astype(np.uint8)
    output.mkdir(parents=True, exist_ok=True)
    pictures = {
        "blurred.png": blurred,
        "blur_map.png": blur_map,
        "restored.png": restored,
        "demo.png": panel(blurred, blur_map, restored, sharp, MOTORCYCLE.detail),
    }
    for name, pixels in pictures.items():
        write_picture(Picture.from_array(pixels), output / name, overwrite=True)
        say(output / name)
    still = ~result.touched
    assert np.array_equal(restored[still], blurred[still]), "untouched pixels are the input's"
    before, after = _psnr(blurred, sharp, moved), _psnr(restored, sharp, moved)
    say(
        f"{result.touched.mean():.1%} of the picture touched in {result.report.seconds:.1f} s; "
        f"where it moved: {before:.1f} dB before, {after:.1f} dB after"
    )


def _psnr(picture: np.ndarray, sharp: np.ndarray, where: np.ndarray) -> float:
    """PSNR in decibels of (H, W, 3) uint8 pictures inside a (H, W) bool mask."""
    import torch

    from unsmear.metrics import weighted_psnr

    def as_batch(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array.astype("float32")).permute(2, 0, 1)[None]

    mask = as_batch(where[..., None])
    return float(weighted_psnr(as_batch(picture) / 255, as_batch(sharp) / 255, mask))
