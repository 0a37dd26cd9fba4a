from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unsmear.data import SourceConfig, SynthesisConfig
from unsmear.errors import InputError
from unsmear.training.config import Phase, PoolConfig, ValidationConfig
from unsmear.training.data import LocalBlur

CLIPS_AND_CUT_OUTS = SynthesisConfig(cutout=0.5, segment=0.4, clip=0.1)


def make_pairs(folder, count):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        for kind in ("blur", "sharp"):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}_{kind}.png")
    return str(folder)


@pytest.mark.parametrize(("named", "count", "out"), [(True, 11, 2), (False, 11, 2), (False, 3, 1)])
def test_pairs_that_are_validated_on_are_not_trained_on(tmp_path, named, count, out):
    source = SourceConfig(path=make_pairs(tmp_path / "mine", count), masks="all")
    validation = ValidationConfig(source=source if named else None, samples=8, size=32)
    data = LocalBlur([source], validation=validation)
    data.setup("fit")
    (part,) = data._parts
    trained = {
        part.samples.bytes_of(index).sharp.sum().item() for index in range(len(part.samples))
    }
    held_out = {
        data._held_out.samples.bytes_of(number).sharp.sum().item()
        for number in data._held_out.numbers
    }
    assert (len(trained), len(held_out)) == (count - out, out)
    assert not trained & held_out


def test_another_set_to_validate_on_leaves_all_pairs_to_train_on(tmp_path):
    own, other = (SourceConfig(path=make_pairs(tmp_path / name, 3)) for name in ("own", "other"))
    data = LocalBlur([own], validation=ValidationConfig(source=other))
    data.setup("fit")
    assert len(data._parts[0].samples) == len(data._held_out) == 3


def test_pairs_of_a_split_that_is_validated_on_are_left_out_of_the_whole_set(tmp_path):
    for split, count in (("train", 9), ("test", 3)):
        make_pairs(tmp_path / "mine" / split, count)
    whole = SourceConfig(path=str(tmp_path / "mine"))
    judged = SourceConfig(path=str(tmp_path / "mine"), split="test")
    data = LocalBlur([whole], validation=ValidationConfig(source=judged, samples=2))
    data.setup("fit")
    left = data._parts[0].samples
    names = [left.samples.source.names[number] for number in left.numbers]
    assert (len(names), len(data._held_out)) == (10, 2)
    assert [name for name in names if name.startswith("test")] == ["test/1"]


def test_a_single_pair_cannot_be_left_out(tmp_path):
    data = LocalBlur([SourceConfig(path=make_pairs(tmp_path / "mine", 1))])
    with pytest.raises(InputError, match=r"single pair.*data\.validation\.source"):
        data.setup("fit")


def test_ones_own_photos_are_enough(tmp_path):
    stills = tmp_path / "photos" / "stills"
    stills.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in "abcdef":
        pixels = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stills / f"{name}.png")
    pool = PoolConfig(
        str(tmp_path / "photos"),
        "tenth",
        str(tmp_path / "pool"),
        samples=2,
        size=64,
        synthesis=CLIPS_AND_CUT_OUTS,
    )
    data = LocalBlur(pool=pool, validation=ValidationConfig(samples=2, size=64))
    data.setup("fit")
    trained = data._parts[0].samples.synthesizer.library.stills
    held_out = data._held_out.synthesizer.library.stills
    assert len(held_out) == 1
    assert len(trained) == 5
    assert not set(trained) & set(held_out)
    assert data._held_out[0].sharp.shape == (3, 64, 64)
    assert data._parts[0].samples.bytes_of(0).sharp.shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("epoch_size", "ranks", "batches"), [(12, 3, 2), (10, 4, 2), (400, 3, 133)]
)
def test_every_process_gets_as_many_batches(tmp_path, epoch_size, ranks, batches):
    source = SourceConfig(path=make_pairs(tmp_path / "mine", 5), masks="all")
    data = LocalBlur([source], [Phase(patch_size=32, batch_size=4)], epoch_size=epoch_size)
    data.setup("fit")
    counts = []
    for rank in range(ranks):
        data.trainer = SimpleNamespace(
            current_epoch=0,
            world_size=ranks,
            global_rank=rank,
            lightning_module=SimpleNamespace(progress=0.0),
        )
        counts.append(len(data.train_dataloader()))
    assert len(set(counts)) == 1
    if ranks == 4:
        assert counts[0] == batches


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"epoch_size": 5}, "epoch of 5 patches holds no step of 6"),
        ({"workers": -1}, r"data\.workers"),
    ],
)
def test_loaders_that_could_give_nothing_are_refused(values, says):
    phases = [Phase(0.5, batch_size=2), Phase(batch_size=6)]
    with pytest.raises(InputError, match=says):
        LocalBlur(phases=phases, **values)


@pytest.mark.parametrize(
    ("progress", "number"), [(0.0, 0), (0.29, 0), (0.3, 1), (0.99, 1), (1.0, 1)]
)
def test_patches_follow_the_phase_in_force(tmp_path, progress, number):
    source = SourceConfig(path=make_pairs(tmp_path / "mine", 5), masks="all")
    phases = [Phase(0.3, patch_size=16, batch_size=4), Phase(patch_size=32, batch_size=2)]
    data = LocalBlur([source], phases, epoch_size=8, workers=0)
    data.setup("fit")
    data.trainer = SimpleNamespace(
        current_epoch=3,
        world_size=1,
        global_rank=0,
        lightning_module=SimpleNamespace(progress=progress),
    )
    batches = list(data.train_dataloader())
    phase = phases[number]
    assert data.phase is phase
    assert {tuple(batch.blurred.shape) for batch in batches} == {
        (phase.batch_size, 3, phase.patch_size, phase.patch_size)
    }
    assert len(batches) == 8 // phase.batch_size
