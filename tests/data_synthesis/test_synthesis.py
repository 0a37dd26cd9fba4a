from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unsmear.data import KINDS, BlurSynthesizer, BlurTriple, MediaLibrary, SynthesisConfig
from unsmear.data.layers import LayerMaker
from unsmear.data.trajectory import moved_corners
from unsmear.errors import InputError

from .makers import textured


def equal(one: BlurTriple, other: BlurTriple) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_samples_depend_on_seed_and_index_alone(
    library: MediaLibrary, synthesizer: BlurSynthesizer
) -> None:
    forwards = [synthesizer.sample(i) for i in range(6)]
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (global state must not matter)
    another = BlurSynthesizer(library, synthesizer.config, seed=3, size=96)
    backwards = [another.sample(i) for i in reversed(range(6))][::-1]
    assert all(equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    other_seed = BlurSynthesizer(library, synthesizer.config, seed=4, size=96)
    assert not equal(other_seed.sample(0), forwards[0])
    assert not equal(forwards[0], forwards[1])


def test_global_random_state_is_left_alone(synthesizer: BlurSynthesizer) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    synthesizer.sample(0)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("kind", ["cutout", "segment", "shake", "sharp"])
def test_shapes_and_ranges(synthesizer: BlurSynthesizer, kind: str) -> None:
    for index in range(4):
        blurred, sharp, blur_mask = synthesizer.sample(index, kind)
        assert blurred.shape == sharp.shape == (3, 96, 96)
        assert blur_mask.shape == (1, 96, 96)
        for picture in (blurred, sharp, blur_mask):
            assert picture.dtype == torch.float32
            assert 0 <= picture.min() <= picture.max() <= 1
        assert set(blur_mask.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("trap", ["defocus_share", "enlarged_share", "bystander_share"])
def test_what_only_looks_as_if_it_moved_counts_as_still(library: MediaLibrary, trap: str) -> None:
    plain, still = (
        BlurSynthesizer(
            library,
            SynthesisConfig(clip=0, most_noise=0, jpeg_share=0, **{trap: share}),
            size=64,
        )
        for share in (0.0, 1.0)
    )
    for index in range(3):
        sample = still.sample(index, "sharp")
        assert torch.equal(sample.blurred, sample.sharp)
        assert not sample.blur_mask.any()
        assert sample.sharp.shape == (3, 64, 64)
        assert not torch.equal(sample.sharp, plain.sample(index, "sharp").sharp)


@pytest.mark.parametrize("bystanders", [0.0, 1.0])
def test_clean_samples_differ_inside_the_mask_alone(
    library: MediaLibrary, bystanders: float
) -> None:
    clean = SynthesisConfig(clip=0, most_noise=0, jpeg_share=0, bystander_share=bystanders)
    synthesizer = BlurSynthesizer(library, clean, size=96)
    shares = []
    for index in range(12):
        blurred, sharp, blur_mask = synthesizer.sample(index, "cutout")
        difference = (blurred - sharp).abs().amax(dim=0, keepdim=True)
        # Rounding to bytes adds at most one level to a difference of up to three.
        assert not (difference[blur_mask == 0] > 4.1 / 255).any()
        shares.append(float(blur_mask.mean()))
    assert 0.03 < np.mean(shares) < 0.7


def test_sharp_samples_are_equal_up_to_noise(library: MediaLibrary) -> None:
    synthesizer = BlurSynthesizer(library, SynthesisConfig(clip=0, jpeg_share=0), size=96)
    clean = BlurSynthesizer(library, SynthesisConfig(clip=0, jpeg_share=0, most_noise=0), size=96)
    for index in range(6):
        noisy = synthesizer.sample(index, "sharp")
        assert not noisy.blur_mask.any()
        assert (noisy.blurred - noisy.sharp).abs().mean() < 4 / 255
        still = clean.sample(index, "sharp")
        assert torch.equal(still.blurred, still.sharp)


@pytest.mark.parametrize(
    ("seed", "places"),
    [
        (4, [(75, 35, True), (73, 13, True), (74, 38, False), (43, 37, True)]),
        (5, [(55, 53, True), (79, 11, True), (22, 69, False)]),
    ],
)
def test_a_seed_draws_the_same_things_in_every_version(
    library: MediaLibrary, seed: int, places: list[tuple[int, int, bool]]
) -> None:
    """Published figures are of these samples: numbers drawn in another order would change them."""
    maker = LayerMaker(library, SynthesisConfig(clip=0, occluder_share=1), 96, torch.device("cpu"))
    layers = maker.draw("cutout", np.random.default_rng(seed))
    assert [(layer.top, layer.left, layer.poses is not None) for layer in layers] == places


def test_kinds_follow_their_weights(library: MediaLibrary) -> None:
    config = SynthesisConfig(cutout=3, segment=0, shake=1, sharp=0, clip=0)
    synthesizer = BlurSynthesizer(library, config, size=96)
    kinds = [synthesizer.kind_of(index) for index in range(400)]
    assert set(kinds) == {"cutout", "shake"}
    assert kinds.count("cutout") == pytest.approx(300, abs=30)
    assert set(kinds) <= set(KINDS)


def test_cut_side_stays_outside_the_frame(library: MediaLibrary) -> None:
    config = SynthesisConfig(clip=0, occluder_share=0, most_objects=1)
    only_cut = replace(library, objects=tuple(each for each in library.objects if each.cut_sides))
    maker = LayerMaker(only_cut, config, 96, torch.device("cpu"))
    for seed in range(40):
        (layer,) = maker.draw("cutout", np.random.default_rng(seed))
        height, width = layer.pixels.shape[1:]
        assert layer.poses is not None
        corners = moved_corners(layer.poses, width, height) + layer.centre[::-1]
        assert corners[:, 2:, 1].min() >= 96  # both lower corners, at all times


def test_lengths_are_mostly_usual(library: MediaLibrary) -> None:
    maker = LayerMaker(library, SynthesisConfig(clip=0), 96, torch.device("cpu"))
    rng = np.random.default_rng(0)
    lengths = np.array([maker.draw_length(rng) for _ in range(2000)])
    assert 1 <= lengths.min() < 3
    assert 45 < lengths.max() <= 60
    assert np.mean((lengths >= 3) & (lengths <= 45)) > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cutout": -1.0}, "weights"),
        ({"cutout": math.nan}, "weights"),
        ({"cutout": math.inf}, "weights"),
        (dict.fromkeys(KINDS, 0.0), "weights"),
        ({"usual_length": (5.0, 3.0)}, "usual_length"),
        ({"extreme_length": (1.0, 90.0)}, "60 px"),
        ({"object_area": (0.1, 1.5)}, "object_area"),
        ({"jpeg_share": 1.5}, "jpeg_share"),
        ({"worst_jpeg": 0}, "worst_jpeg"),
        ({"most_objects": 0}, "most_objects"),
        ({"clip_frames": (2, 9)}, "clip_frames"),
        ({"most_noise": -0.1}, "most_noise"),
    ],
)
def test_config_is_checked_at_birth(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SynthesisConfig(**change)


def test_missing_material_is_told_at_once(material, library: MediaLibrary) -> None:
    stills = MediaLibrary.from_folders([material / "stills"])
    with pytest.raises(InputError, match="cut-outs"):
        BlurSynthesizer(stills, SynthesisConfig(clip=0))
    with pytest.raises(InputError, match="clips"):
        BlurSynthesizer(library, SynthesisConfig())
    with pytest.raises(InputError, match="size"):
        BlurSynthesizer(library, SynthesisConfig(clip=0), size=8)
    with pytest.raises(InputError, match="seed=-1"):
        BlurSynthesizer(library, SynthesisConfig(clip=0), seed=-1)
    with pytest.raises(InputError, match="kind"):
        BlurSynthesizer(library, SynthesisConfig(clip=0), size=96).sample(0, "smear")


def test_scenes_may_be_any_piece_of_a_photo(tmp_path: Path) -> None:
    half_dark = textured(200, 800, 0)
    half_dark[:, :400] //= 50
    Image.fromarray(half_dark).save(tmp_path / "half_dark.png")
    library = MediaLibrary.from_folders([tmp_path])
    still = SynthesisConfig(cutout=0, segment=0, shake=0, sharp=1, clip=0, most_noise=0)
    for share, some_dark in ((0.0, False), (1.0, True)):
        made = BlurSynthesizer(library, replace(still, any_scene_share=share), size=64)
        assert some_dark == any(made.sample(i).sharp.mean() < 0.1 for i in range(12))
