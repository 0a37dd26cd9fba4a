from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from unsmear.data import (
    ValidationSplit,
    training_library,
    validation_library,
    validation_samples,
)
from unsmear.errors import InputError

SHIPPED = Path(__file__).parents[2] / "configs" / "validation_split.yaml"


@pytest.fixture
def split() -> ValidationSplit:
    return ValidationSplit(stills=("b.png",), objects=("disc.png",))


def test_shipped_split_loads_and_names_each_file_once() -> None:
    split = ValidationSplit.from_yaml(SHIPPED)
    assert (len(split.stills), len(split.objects), len(split.clips)) == (14, 7, 2)
    assert len(split.names) == 23


def test_parts_are_disjoint_and_complete(material: Path, split: ValidationSplit) -> None:
    def names(library) -> set[str]:
        return {name for name, _ in library.fingerprint}

    trained = names(training_library(material, split))
    held_out = names(validation_library(material, split))
    assert held_out == {"b.png", "disc.png"}
    assert not trained & held_out
    assert trained | held_out == {"a.png", "b.png", "c.png", "disc.png", "square.png"}


def test_validation_samples_are_fixed(material: Path, split: ValidationSplit) -> None:
    samples = validation_samples(material, split, count=20, size=64)
    assert Counter(samples.kinds) == {"cutout": 12, "segment": 3, "shake": 2, "sharp": 3}
    again = validation_samples(material, split, count=20, size=64)
    index = samples.kinds.index("sharp")
    assert torch.equal(samples[index].sharp, again[index].sharp)
    assert not samples[index].blur_mask.any()
    assert len(samples[:2]) == 2
    assert torch.equal(samples[-1].blurred, samples[19].blurred)
    with pytest.raises(IndexError):
        samples[20]


def test_missing_files_are_named(material: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png"):
        validation_library(material, ValidationSplit(stills=("a.png", "gone.png")))


def test_a_tenth_of_ones_own_material_is_held_out_by_name(material: Path, tmp_path: Path) -> None:
    split = ValidationSplit.named("tenth", material)
    assert len(split.stills) == 1
    assert split == ValidationSplit.tenth_of(material)
    assert len(validation_samples(material, "tenth", count=2, size=64)) == 2

    (tmp_path / "stills").mkdir()
    for number in range(200):
        (tmp_path / "stills" / f"{number}.png").touch()
    assert 10 <= len(ValidationSplit.tenth_of(tmp_path).stills) <= 30
    for number in range(1, 200):
        (tmp_path / "stills" / f"{number}.png").unlink()
    with pytest.raises(InputError, match="one photo"):
        ValidationSplit.tenth_of(tmp_path)


@pytest.mark.parametrize("text", ["- just a list", "pictures: []", "stills: [a", None])
def test_bad_split_files_are_errors(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "split.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"split\.yaml"):
        ValidationSplit.from_yaml(path)
