from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unsmear.data import (
    BlurSynthesizer,
    BlurTriple,
    MediaLibrary,
    SamplePool,
    SynthesisConfig,
)
from unsmear.errors import InputError


def equal(one: BlurTriple, other: BlurTriple) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_pool_gives_what_the_synthesizer_makes(
    tmp_path: Path, synthesizer: BlurSynthesizer
) -> None:
    pool = SamplePool(tmp_path, synthesizer, 3)
    for _ in range(2):  # made, then read
        for made, stored in zip(synthesizer.sample(1), pool[1], strict=True):
            torch.testing.assert_close(stored, made, atol=1e-6, rtol=0)
    assert len(pool) == 3
    assert pool.bytes_of(1).blurred.dtype == torch.uint8
    with pytest.raises(IndexError):
        pool[3]


def test_samples_are_made_once(
    tmp_path: Path, synthesizer: BlurSynthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = SamplePool(tmp_path, synthesizer, 2)[0]
    monkeypatch.setattr(synthesizer, "sample", None)
    assert equal(SamplePool(tmp_path, synthesizer, 2)[0], first)


@pytest.mark.parametrize("damage", [b"", b"half a file", None])
def test_broken_files_are_made_again(
    tmp_path: Path, synthesizer: BlurSynthesizer, damage: bytes | None
) -> None:
    pool = SamplePool(tmp_path, synthesizer, 2)
    whole = BlurTriple(*(picture.clone() for picture in pool[0]))
    path = pool.folder / "0000000.npy"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage is None else damage)
    assert equal(pool[0], whole)
    assert path.read_bytes() == content
    assert not [each for each in pool.folder.iterdir() if each.name.startswith(".")]


def test_another_configuration_has_other_files(tmp_path: Path, library: MediaLibrary) -> None:
    folders = {
        SamplePool(tmp_path, BlurSynthesizer(library, config, seed, size), 1).folder
        for config in (SynthesisConfig(clip=0), SynthesisConfig(clip=0, jpeg_share=0.1))
        for seed in (0, 1)
        for size in (64, 96)
    }
    assert len(folders) == 8


def test_an_empty_pool_is_an_error(tmp_path: Path, synthesizer: BlurSynthesizer) -> None:
    with pytest.raises(InputError, match="count"):
        SamplePool(tmp_path, synthesizer, 0)
