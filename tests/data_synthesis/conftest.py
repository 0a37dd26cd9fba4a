"""Tiny photos, cut-outs and clips that the tests make themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsmear.data import BlurSynthesizer, MediaLibrary, SynthesisConfig

from .makers import textured


@pytest.fixture(autouse=True)
def _few_threads(one_thread: None) -> None:
    pass


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stills/ and objects/."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "stills").mkdir()
    (folder / "objects").mkdir()
    for name, (height, width) in {"a": (220, 300), "b": (260, 240), "c": (300, 300)}.items():
        picture = Image.fromarray(textured(height, width, seed=ord(name)))
        picture.save(folder / "stills" / f"{name}.png")
    y, x = np.mgrid[:120, :90]
    disc = np.clip(40 - np.hypot(y - 60, x - 45), 0, 1) * 255
    square = np.full((120, 90), 255)
    for name, alpha in {"disc": disc, "square": square}.items():
        rgba = np.dstack([textured(120, 90, seed=len(name)), alpha.astype(np.uint8)])
        Image.fromarray(rgba).save(folder / "objects" / f"{name}.png")
    manifest = "file,class,source,width,height,cut_by_photo_edge\nsquare.png,thing,us,90,120,B\n"
    (folder / "objects" / "manifest.csv").write_text(manifest)
    return folder


@pytest.fixture
def library(material: Path) -> MediaLibrary:
    return MediaLibrary.from_folders([material / "stills"], [material / "objects"])


@pytest.fixture
def synthesizer(library: MediaLibrary) -> BlurSynthesizer:
    return BlurSynthesizer(library, SynthesisConfig(clip=0), seed=3, size=96)
