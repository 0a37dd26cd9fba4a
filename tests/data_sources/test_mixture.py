"""Mixtures: the right shares, the same patches in every process, a mask for every pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from unsmear.data import BlurTriple, PatchMixture, SourceConfig, build_mixture, open_parts
from unsmear.data.mixture import MaskedPairs, Part
from unsmear.data.sources import open_source
from unsmear.errors import InputError

from .makers import make_folder, make_gopro, make_reloblur


class Flat:
    """Samples whose blurred pictures are their number in all pixels."""

    def __init__(self, values: tuple[int, ...]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def bytes_of(self, index: int) -> BlurTriple:
        flat = torch.full((3, 20, 24), self.values[index], dtype=torch.uint8)
        return BlurTriple(flat, flat, flat[:1] * 0)


def flat_mixture(**options: int) -> PatchMixture:
    parts = (Part(Flat((1, 2)), 3.0), Part(Flat((10,)), 1.0))
    return PatchMixture(parts, **{"patch_size": 4, "epoch_size": 400, **options})


def drawn(mixture: PatchMixture) -> list[int]:
    return [round(float(mixture[i].blurred[0, 0, 0]) * 255) for i in range(len(mixture))]


def test_parts_are_drawn_by_weight_and_their_pairs_evenly() -> None:
    shares = np.bincount(drawn(flat_mixture()), minlength=11) / 400
    assert shares[10] == pytest.approx(0.25, abs=0.07)
    assert shares[1] == pytest.approx(0.375, abs=0.08)
    assert shares[1] + shares[2] + shares[10] == pytest.approx(1)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    mixture = flat_mixture()
    first = drawn(mixture)
    mixture.set_epoch(1)
    second = drawn(mixture)
    mixture.set_epoch(0)
    assert drawn(mixture) == first
    assert first != second
    assert drawn(flat_mixture(seed=1)) not in (first, second)


def test_patches_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    configs = [
        SourceConfig("reloblur", str(make_reloblur(tmp_path / "r")), "train", weight=2),
        SourceConfig("gopro", str(make_gopro(tmp_path / "g")), "train", masks="all"),
    ]
    mixture = build_mixture(configs, patch_size=16, epoch_size=12, seed=5)
    mixture.set_epoch(3)

    def patches(workers: int) -> list[torch.Tensor]:
        loader = DataLoader(mixture, batch_size=4, num_workers=workers)
        return [torch.cat(list(batch), dim=1) for batch in loader]

    alone, together = patches(0), patches(2)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert alone[0].shape == (4, 7, 16, 16)
    masks = torch.cat(alone)[:, 6].flatten(1).mean(dim=1)
    assert (masks == 1).any()  # GoPro's
    assert (masks < 1).any()  # ReLoBlur's


def test_workers_that_live_on_see_the_next_epoch() -> None:
    mixture = flat_mixture(epoch_size=40)
    loader = DataLoader(mixture, batch_size=None, num_workers=1, persistent_workers=True)
    seen = []
    for epoch in (0, 1):
        mixture.set_epoch(epoch)
        seen.append([round(float(patch.blurred[0, 0, 0]) * 255) for patch in loader])
        assert seen[-1] == drawn(mixture)
    assert seen[0] != seen[1]


def test_pairs_keep_their_own_masks_and_get_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(make_folder(tmp_path))
    own = source[0].blur_mask
    (tmp_path / "1_mask.png").unlink()
    source = open_source(tmp_path)
    made = torch.ones_like(source[1].sharp[:1])
    made[:, 5:] = 0
    monkeypatch.setattr("unsmear.data.pair_mask.pair_blur_mask", lambda blurred, sharp: made)
    for rule, mask in (("all", made * 0 + 1), ("none", made * 0), ("computed", made)):
        pairs = MaskedPairs(source, rule)
        assert torch.equal(pairs.bytes_of(0).blur_mask, own)  # pyright: ignore
        assert torch.equal(pairs.bytes_of(1).blur_mask, mask)
        assert pairs.bytes_of(1).blur_mask.dtype == torch.uint8


def test_the_pool_is_a_part(tmp_path: Path) -> None:
    pool = Flat((7,))
    configs = [
        SourceConfig("synthesis", weight=1),
        SourceConfig(path=str(make_folder(tmp_path)), weight=1e-9),
    ]
    parts = open_parts(configs, pool)  # pyright: ignore
    assert [len(part.samples) for part in parts] == [1, 3]
    assert set(drawn(PatchMixture(parts, 8, 10))) == {7}
    with pytest.raises(InputError, match="no pool"):
        open_parts(configs)


def test_options_reach_the_layout(tmp_path: Path) -> None:
    root = str(make_gopro(tmp_path))
    gamma = SourceConfig("gopro", root, "train", masks="none", options={"blur": "blur_gamma"})
    plain = SourceConfig("gopro", root, "train", masks="none")
    patches = [build_mixture([each], 8, 1)[0] for each in (gamma, plain)]
    assert not torch.equal(patches[0].blurred, patches[1].blurred)
    assert torch.equal(patches[0].sharp, patches[1].sharp)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"path": "x", "weight": 0}, "weight=0"),
        ({"path": "x", "weight": float("inf")}, "weight=inf"),
        ({"path": "x", "masks": "some"}, "some"),
        ({"path": "x", "layout": "gropo"}, "gropo"),
        ({}, "no path"),
        ({"layout": "synthesis", "path": "x"}, "path=x"),
    ],
)
def test_configurations_are_checked(values: dict[str, object], part: str) -> None:
    with pytest.raises(InputError, match=part):
        SourceConfig(**values)  # pyright: ignore


def test_mixtures_need_something() -> None:
    for parts in ((), (Part(Flat(()), 1.0),)):
        with pytest.raises(InputError, match="parts"):
            PatchMixture(parts, 4, 4)
    with pytest.raises(InputError, match="epoch_size"):
        flat_mixture(epoch_size=0)
    with pytest.raises(InputError, match="patch_size"):
        flat_mixture(patch_size=0)
    with pytest.raises(IndexError):
        flat_mixture()[400]
