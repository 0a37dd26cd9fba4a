"""What the worker process does, done in this one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unsmear.images import read_picture
from unsmear.inference import Deblurrer, Steering
from unsmear.web.messages import Answer, Task, Wish
from unsmear.web.together import BatchDeblurrer
from unsmear.web.worker import answer

from .makers import photo, pixels

SIZES = [(130, 100), (200, 128), (129, 1), (256, 90)]  # all are padded to 256 x 128


@pytest.fixture
def engine(small_network) -> BatchDeblurrer:
    return BatchDeblurrer(small_network, device="cpu", dtype="float32")


def ask(engine: BatchDeblurrer, *tasks: Task) -> list[Answer | str]:
    return answer(engine, list(tasks), 10_000_000, lambda share: None)


def task(data: bytes | None = None, **wish: object) -> Task:
    return Task(photo() if data is None else data, Wish(**{"model": "m", **wish}))


@pytest.mark.filterwarnings("ignore:the network's output was not sane")
@pytest.mark.parametrize("wishes", [{}, {"threshold": 0.45}, {"dense": True}], ids=str)
def test_a_batch_of_several_sizes_equals_single_runs(engine, wishes):
    pictures = [read_picture(photo(size, seed=n)) for n, size in enumerate(SIZES)]
    steerings = [Steering(strength=1 - n / 4, **wishes) for n in range(len(SIZES))]
    together = engine.deblur_together(pictures, steerings)
    alone = Deblurrer(engine.network, device="cpu", dtype="float32")
    for picture, steering, result in zip(pictures, steerings, together, strict=True):
        single = alone.deblur(picture, steering)
        assert result.report.kept_windows == single.report.kept_windows
        assert result.report.touched_fraction == pytest.approx(
            single.report.touched_fraction, abs=1e-3
        )
        np.testing.assert_allclose(result.blur_map, single.blur_map, atol=1e-5)
        levels = result.picture.rgb.astype(int) - single.picture.rgb
        assert abs(levels).max() <= 1  # where 1e-7 falls on the other side of a rounding
        assert (levels != 0).mean() < 1e-3


def test_windows_differ_between_the_pictures_of_that_batch(engine):
    pictures = [read_picture(photo(size, seed=n)) for n, size in enumerate(SIZES)]
    results = engine.deblur_together(pictures, [Steering()] * len(SIZES))
    assert len({result.report.kept_windows for result in results}) > 1


def test_tasks_of_one_padded_size_run_the_network_once(engine, monkeypatch):
    runs = []
    forward = engine.network.forward

    def counted(blurred: torch.Tensor, **wishes: object) -> object:
        runs.append(tuple(blurred.shape))
        return forward(blurred, **wishes)

    monkeypatch.setattr(engine.network, "forward", counted)
    answers = ask(engine, *(task(photo(size)) for size in [*SIZES, (300, 300)]))
    assert all(isinstance(each, Answer) for each in answers)
    assert sorted(runs) == [(1, 3, 300, 300), (len(SIZES), 3, 128, 256)]


def test_a_bad_file_spoils_nobody_else_s(engine):
    good, bad, last = ask(engine, task(), task(photo(format="JPEG")[:300]), task())
    assert isinstance(bad, str)
    assert bad.startswith("The data")
    assert isinstance(good, Answer)
    assert isinstance(last, Answer)


def test_the_answer_is_what_the_engine_makes(engine):
    (made,) = ask(engine, task(threshold=0.0))
    wanted = engine.deblur(read_picture(photo()), Steering(threshold=0.0))
    assert made.changed
    assert made.media_type == "image/png"
    assert np.array_equal(pixels(made.data), wanted.picture.rgb)
    assert np.array_equal(made.blur_map, np.rint(wanted.blur_map * 255))
    assert made.report["model"] == "m"
    assert made.report["touched_fraction"] == wanted.report.touched_fraction


def test_an_unchanged_picture_is_the_same_bytes(engine):
    (made,) = ask(engine, task(strength=0.0))
    assert not made.changed
    assert made.data == photo()


def test_another_format_may_be_asked_for(engine):
    (made,) = ask(engine, task(format="JPEG"))
    assert made.media_type == "image/jpeg"
    assert Image.open(io.BytesIO(made.data)).format == "JPEG"


def test_masks_mark_where(engine):
    mask = np.zeros((56, 72), bool)
    mask[:, :20] = True
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    array, drawn = ask(engine, task(mask=mask)) + ask(engine, task(mask=file.getvalue()))
    assert array.data == drawn.data
    assert (pixels(array.data) != pixels(photo())).any(axis=2)[:, :20].any()
    assert np.array_equal(pixels(array.data)[:, 20:], pixels(photo())[:, 20:])


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"mask": np.ones((5, 5), bool)}, "resize the mask"),
        ({"mask": b"nothing"}, "not a picture"),
        ({"boxes": ((500, 500, 9, 9),)}, "outside the picture"),
        ({"strength": 2.0}, "strength lies in"),
    ],
    ids=["mask's size", "mask", "box", "strength"],
)
def test_wishes_that_do_not_fit_are_told_in_a_sentence(engine, wish, why):
    (reason,) = ask(engine, task(**wish))
    assert isinstance(reason, str)
    assert why in reason
    assert reason[0].isupper()


def test_the_limit_of_pixels_holds_whatever_a_header_said(engine):
    (reason,) = answer(engine, [task()], 100, lambda share: None)
    assert "more than the limit" in reason


def test_remarks_about_a_file_are_in_its_figures(engine):
    file = io.BytesIO()
    pages = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    (made,) = ask(engine, task(file.getvalue()))
    assert any("first" in remark for remark in made.report["warnings"])


def test_progress_can_end_it(engine):
    told = []

    def stop(share: float) -> None:
        told.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(engine, [task()], 10_000_000, stop)
    assert len(told) == 1
    assert 0 < told[0] < 1
