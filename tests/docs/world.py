"""The files that the documentation's commands speak of, as small as they can be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cli.makers import make_photo
from data_sources.makers import make_folder, make_gopro, make_reloblur
from unsmear.models import convert_checkpoint, create_model, save_model
from video.makers import moving_square, write_clip

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "tests" / "data" / "lmdvit_dim4_official_names.safetensors"


def make_world(folder: Path) -> Path:
    """Fill a folder."""
    size = (128, 96)
    for seed, name in enumerate(("photo.jpg", "in.jpg", "one.jpg", "two.png", "scan.tif")):
        make_photo(folder / name, size, seed)
    for name in ("holiday/a.jpg", "holiday/beach/b.png"):
        make_photo(folder / name, size)
    for model in ("restored", "other", "photos"):
        make_photo(folder / model / "a.png", size)
    Image.fromarray(_disc(size)).save(folder / "subject.png")

    little = {"embed_dim": 4, "depths": (1,) * 9, "num_heads": (1,) * 9}
    for name in ("mine", "lmdvit"):
        save_model(create_model("lmdvit", **little), folder / f"{name}.safetensors")
    save_model(create_model("saphn", widths=(4, 4, 8), maps=2), folder / "saphn.safetensors")
    convert_checkpoint(RELEASED, folder / "released.pth", to="released")

    make_reloblur(folder / "ReLoBlur")
    make_reloblur(folder / "data" / "ReLoBlur")
    make_gopro(folder / "data" / "GoPro")
    for name in ("mine", "SET"):
        make_folder(folder / name)
    for kind in ("blurred", "sharp"):
        shutil.copy(folder / "mine" / f"0_{kind.removesuffix('red')}.png", folder / f"{kind}.png")
    answer = {"person": "ann", "photo": "a", "shown": ["ours", "theirs"], "choice": "ours"}
    (folder / "study.jsonl").write_text(json.dumps(answer) + "\n")
    write_clip(folder / "clip.mp4", moving_square(6, 96, 128))
    (folder / "done.jsonl").write_text('{"manifest": 1, "settings": ""}\n')
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def _disc(size: tuple[int, int]) -> np.ndarray:
    """White inside a circle: (H, W) uint8."""
    x, y = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="xy")
    inside = (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2 < (min(size) / 3) ** 2
    return (inside * 255).to(torch.uint8).numpy()
