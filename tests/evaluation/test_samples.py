"""Which pictures --data names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unsmear.data import validation_samples
from unsmear.data.split import VALIDATION_SEED
from unsmear.errors import InputError
from unsmear.evaluation import Samples, open_pairs

from .makers import make_pairs


def test_the_test_part_is_taken_where_there_is_one(tmp_path: Path) -> None:
    make_pairs(tmp_path / "set" / "train", [True])
    make_pairs(tmp_path / "set" / "test", [True, False])
    assert len(open_pairs(str(tmp_path / "set"))) == 2
    assert len(open_pairs(str(tmp_path / "set"), split="train")) == 1
    assert len(open_pairs(str(tmp_path / "set" / "train"))) == 1
    with pytest.raises(InputError, match="nowhere"):
        open_pairs(str(tmp_path / "nowhere"))


def test_options_reach_the_layout(tmp_path: Path) -> None:
    make_pairs(tmp_path / "set", [True, False])
    for path in (tmp_path / "set").glob("*_blur.png"):
        path.rename(path.with_name(path.name.replace("_blur", "_moved")))
    patterns = {"blurred": "{name}_moved", "sharp": "{name}_sharp"}
    assert len(open_pairs(str(tmp_path / "set"), options=patterns)) == 2
    with pytest.raises(InputError, match="no option 'variant'"):
        open_pairs(str(tmp_path / "set"), options={"variant": "R"})
    with pytest.raises(InputError, match="no option 'masks': they have count, seed, size"):
        open_pairs(f"synthetic:{tmp_path}", options={"masks": "none"})
    with pytest.raises(InputError, match="seed='-1': give a whole number"):
        open_pairs(f"synthetic:{tmp_path}", options={"seed": "-1"})


def test_held_out_samples_come_as_pairs(tmp_path: Path) -> None:
    (tmp_path / "stills").mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (450, 450, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "stills" / "kept.png")
    split = tmp_path / "split.yaml"
    split.write_text("stills: [kept.png]\n")
    source = open_pairs(f"synthetic:{tmp_path}", split=str(split))
    assert len(source) == 60
    wanted = validation_samples(tmp_path, split)
    sharp = wanted.kinds.index("sharp")
    pair = source[sharp]
    assert pair.name == f"{sharp:02d}-sharp"
    assert torch.equal(pair.blurred.float() / 255, wanted[sharp].blurred)
    assert pair.blur_mask is not None
    assert not pair.blur_mask.any()
    asked = {"count": "7", "size": "64", "seed": "5"}
    others, usual = (
        open_pairs(f"synthetic:{tmp_path}", split=str(split), options=options)
        for options in (asked, asked | {"seed": str(VALIDATION_SEED)})
    )
    assert len(others) == 7
    assert others[0].sharp.shape == (3, 64, 64)
    assert not torch.equal(others[0].sharp, usual[0].sharp)


def test_a_missing_split_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.yaml \(No such file or directory\): .* 'tenth'"):
        open_pairs(f"synthetic:{tmp_path}", split=str(tmp_path / "no.yaml"))
    (tmp_path / "photo.yaml").write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match=r"photo\.yaml is no YAML file"):
        open_pairs(f"synthetic:{tmp_path}", split=str(tmp_path / "photo.yaml"))


def test_missing_files_are_found_before_the_work(tmp_path: Path) -> None:
    source = open_pairs(str(make_pairs(tmp_path)))
    (tmp_path / "p2_sharp.png").unlink()
    with pytest.raises(InputError, match=r"p2_sharp\.png is not there: 'unsmear data check'"):
        Samples(source)
    assert len(Samples(source, limit=2)) == 2
    (tmp_path / "p1_sharp.png").unlink()
    with pytest.raises(InputError, match=r"p1_sharp\.png and 1 more are not there"):
        Samples(source)


def test_a_picture_too_small_for_ssim_is_named(tmp_path: Path) -> None:
    for part in ("blur", "sharp"):
        Image.new("RGB", (30, 9)).save(tmp_path / f"small_{part}.png")
    with pytest.raises(InputError, match="small has 30x9 pixels, and SSIM needs 11 a side"):
        list(Samples(open_pairs(str(tmp_path))))


def test_the_input_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unsmear.evaluation import samples as module

    calls = []
    measure = module.measure
    monkeypatch.setattr(module, "measure", lambda *x: calls.append(1) or measure(*x))
    samples = Samples(open_pairs(str(make_pairs(tmp_path / "pairs"))))
    first, second = list(samples), list(samples)
    assert len(calls) == 3
    assert [each.given for each in first[:2]] == [each.given for each in second[:2]]


def test_pictures_of_two_cameras_are_aligned_before_they_are_compared(tmp_path: Path) -> None:
    coarse = np.random.default_rng(0).integers(30, 200, (12, 14, 3), dtype=np.uint8)
    scene = Image.fromarray(coarse).resize((168, 144), Image.Resampling.BICUBIC)
    darker = scene.transform(
        (144, 120), Image.Transform.AFFINE, (1, 0, 13.3, 0, 1, 11.4), Image.Resampling.BICUBIC
    ).point(lambda value: round(value * 0.9))
    for name, picture in (("gt", scene.crop((12, 12, 156, 132))), ("blur", darker)):
        picture.save(tmp_path / f"{name}.png")
    (tmp_path / "RealBlur_J_test_list.txt").write_text("gt.png blur.png\n")
    (sample,) = Samples(open_pairs(str(tmp_path)))
    as_it_is = sample._replace(two_cameras=False).quality(sample.blurred)
    assert sample.given.psnr > as_it_is.psnr + 10
    assert sample.given.ssim > as_it_is.ssim
