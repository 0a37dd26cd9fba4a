"""Fingerprints: of all that a result depends on, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unsmear.batch.fingerprint import Settings, hash_bytes, hash_file
from unsmear.batch.wishes import Wishes
from unsmear.errors import ModelError

from .makers import make_file


@pytest.fixture
def wishes() -> Wishes:
    make_file("model.safetensors", b"weights")
    make_file("mask.png", b"mask")
    return Wishes("model.safetensors", mask=Path("mask.png"))


def test_a_file_and_its_bytes_hash_alike() -> None:
    content = bytes(range(256)) * 5000
    assert hash_file(make_file("x", content)) == hash_bytes(content)
    # As `b2sum -l 160` prints it.
    assert hash_bytes(b"abc") == "384264f676f39536840523f284921cdc68b6846b"


@pytest.mark.parametrize(
    "change",
    [{"threshold": 0.4}, {"boxes": ((0, 0, 1, 1),)}, {"dtype": "float32"}, {"mask": None}],
)
def test_wishes_count(change: dict[str, Any], wishes: Wishes) -> None:
    assert Settings.of(replace(wishes, **change)).fingerprint != Settings.of(wishes).fingerprint


@pytest.mark.parametrize("name", ["model.safetensors", "mask.png"])
def test_contents_of_files_count_and_their_names_do_not(name: str, wishes: Wishes) -> None:
    before = Settings.of(wishes).fingerprint
    renamed = make_file("other.safetensors", b"weights")
    assert Settings.of(replace(wishes, model=str(renamed))).fingerprint == before
    make_file(name, b"others")
    assert Settings.of(wishes).fingerprint != before


@pytest.mark.parametrize("change", [{"device": "cpu"}, {"max_pixels": 9}])
def test_where_it_runs_does_not_count(change: dict[str, Any], wishes: Wishes) -> None:
    assert Settings.of(replace(wishes, **change)) == Settings.of(wishes)


def test_a_folder_of_weights_is_all_of_its_files() -> None:
    for name in ("b.pkl", "a.pkl"):
        make_file(f"released/{name}", name.encode())
    before = Settings.of(Wishes("released"))
    make_file("released/a.pkl", b"new")
    assert Settings.of(Wishes("released")) != before


def test_bundled_weights_have_a_name_and_others_need_a_file() -> None:
    assert Settings.of(Wishes("lmdvit-tiny")).weights
    with pytest.raises(ModelError, match="No weights of lmdvit come"):
        Settings.of(Wishes("lmdvit"))
