"""Parts agree with whole frames, and only what was kept changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unsmear.errors import InputError
from unsmear.inference import Deblurrer, Steering
from unsmear.models import create_model
from unsmear.video.clip import Clip, Frame
from unsmear.video.colours import Box, planes_of, to_rgb
from unsmear.video.motion import cells_of, pixels_of
from unsmear.video.restorer import REFRESH, Restorer

from .makers import moving_square, write_clip

HEIGHT, WIDTH = 288, 384


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "large.mkv"
    return write_clip(path, moving_square(2, HEIGHT, WIDTH), codec="ffv1")


def frame_of(path: Path, number: int = 0) -> Frame:
    with Clip(path) as clip:
        frames = [frame for packet in clip.packets() for frame in clip.decode(packet)]
    return frames[number]


def cells(*boxes: Box) -> torch.Tensor:
    pixels = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    for box in boxes:
        pixels[box.top : box.bottom, box.left : box.right] = True
    return cells_of(pixels)


EVERYWHERE = Box(0, 0, HEIGHT, WIDTH)
MOVING = Box(140, 140, 180, 190)


def test_a_part_agrees_with_the_whole_frame(large: Path) -> None:
    """With the bundled model: 95 % of the decisions, and half a level on average."""
    frame, restorer = frame_of(large), Restorer(Deblurrer(), Steering(), (HEIGHT, WIDTH))
    whole = restorer.see(frame, cells(EVERYWHERE))
    part = restorer.see(frame, cells(MOVING))
    assert part.pixels < 0.7 * whole.pixels
    moving = part.verdict.moving
    differing = (part.verdict.likely ^ whole.verdict.likely) & moving
    assert differing.sum() <= 0.05 * moving.sum()
    box = part.parts[0].box
    inside = pixels_of(moving, box)
    theirs = whole.parts[0].restored[:, box.top : box.bottom, box.left : box.right]
    assert (part.parts[0].restored - theirs).abs()[:, inside].mean() < 0.5 / 255


def test_whole_frames_are_seen_now_and_then(deblurrer: Deblurrer, large: Path) -> None:
    restorer, frame = Restorer(deblurrer, Steering(), (HEIGHT, WIDTH)), frame_of(large)
    seen = []
    for number in (0, 1, REFRESH - 1, REFRESH, REFRESH + 1):
        again = Frame(number, frame.pts, 0, frame.picture, frame.coding)
        seen.append(restorer.see(again, cells(MOVING)).pixels == HEIGHT * WIDTH)
    assert seen == [True, False, False, True, False]


def test_what_stands_still_is_not_seen(deblurrer: Deblurrer, large: Path) -> None:
    restorer = Restorer(deblurrer, Steering(threshold=0.0), (HEIGHT, WIDTH))
    seen = restorer.see(frame_of(large), torch.zeros(HEIGHT // 4, WIDTH // 4, dtype=torch.bool))
    assert seen.pixels == 0
    assert not seen.parts
    nothing = seen.verdict.sure
    assert restorer.apply(seen, (nothing, nothing, nothing)).touched == 0


def test_only_what_is_kept_changes(deblurrer: Deblurrer, large: Path) -> None:
    frame = frame_of(large)
    before = [plane.copy() for plane in planes_of(frame.picture)]
    restorer = Restorer(deblurrer, Steering(threshold=0.0), (HEIGHT, WIDTH))
    seen = restorer.see(frame, cells(MOVING))
    own = seen.verdict.sure
    assert own.any()
    change = restorer.apply(seen, (own, own, own))
    assert change.touched > 0
    reach = 10  # px that the mask is grown and feathered by, and chroma's reach
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[
        MOVING.top - reach : MOVING.bottom + reach, MOVING.left - reach : MOVING.right + reach
    ] = 0
    after = planes_of(frame.picture)
    assert np.array_equal(before[0][outside], after[0][outside])
    assert np.array_equal(before[1][outside[::2, ::2]], after[1][outside[::2, ::2]])
    assert not np.array_equal(before[0], after[0])


def test_a_whole_frame_is_what_the_engine_makes_of_a_photo(
    deblurrer: Deblurrer, large: Path
) -> None:
    frame, box = frame_of(large), Box(0, 0, HEIGHT, WIDTH)
    rgb = to_rgb(planes_of(frame.picture), frame.coding, box)
    photo = deblurrer.deblur(rgb, Steering(threshold=0.0)).picture.rgb.astype(int)
    restorer = Restorer(deblurrer, Steering(threshold=0.0), (HEIGHT, WIDTH))
    seen = restorer.see(frame, cells(EVERYWHERE))
    own = seen.verdict.sure
    restorer.apply(seen, (own, own, own))
    made = to_rgb(planes_of(frame.picture), frame.coding, box).astype(int)
    # What is between is 8 bits of samples, and colour shared by four pixels.
    assert abs(made - photo).mean() / 257 < 1.0
    assert abs(made - photo).mean() < 0.5 * abs(rgb.astype(int) - photo).mean() + 257


def test_a_change_fades_over_a_frame(deblurrer: Deblurrer, large: Path) -> None:
    changes = []
    for kept in ("own", "after", "neither"):
        frame = frame_of(large)
        before = planes_of(frame.picture)[0].astype(int)
        restorer = Restorer(deblurrer, Steering(threshold=0.0), (HEIGHT, WIDTH))
        seen = restorer.see(frame, cells(MOVING))
        own, nothing = seen.verdict.sure, torch.zeros_like(seen.verdict.sure)
        masks = {
            "own": (nothing, own, nothing),
            "after": (nothing, nothing, own),
            "neither": (nothing,) * 3,
        }[kept]
        restorer.apply(seen, masks)
        changes.append(abs(planes_of(frame.picture)[0] - before).sum())
    assert changes[2] == 0
    assert 0.3 * changes[0] < changes[1] < 0.7 * changes[0]


@pytest.mark.parametrize("turn", [0, 90, 180, -90])
def test_a_box_belongs_to_the_picture_as_it_is_shown(deblurrer: Deblurrer, turn: int) -> None:
    shown = (64, 96) if turn % 180 == 0 else (96, 64)
    region = np.zeros(shown, bool)
    region[4:8, 10:30] = True
    restorer = Restorer(deblurrer, Steering(boxes=((10, 4, 20, 4),)), (64, 96), turn)
    assert restorer.region is not None
    assert restorer.region.shape == (64, 96)
    assert np.array_equal(np.rot90(restorer.region.numpy(), turn // 90), region)


def test_a_box_is_deblurred_whatever_moves(deblurrer: Deblurrer, large: Path) -> None:
    frame = frame_of(large)
    before = planes_of(frame.picture)[0].copy()
    restorer = Restorer(deblurrer, Steering(boxes=((20, 20, 60, 40),)), (HEIGHT, WIDTH))
    still = torch.zeros(HEIGHT // 4, WIDTH // 4, dtype=torch.bool)
    seen = restorer.see(frame, still)
    assert 0 < seen.pixels < HEIGHT * WIDTH
    own = seen.verdict.sure
    assert restorer.apply(seen, (own, own, own)).touched
    changed = planes_of(frame.picture)[0] != before
    assert changed[20:60, 20:80].any()
    changed[20:60, 20:80] = False
    assert not changed.any()


def test_networks_that_judge_nothing_change_what_moves(large: Path) -> None:
    torch.manual_seed(0)
    srn = Deblurrer(create_model("srn", embed_dim=4, blocks=1), device="cpu", dtype="float32")
    restorer = Restorer(srn, Steering(), (HEIGHT, WIDTH))
    seen = restorer.see(frame_of(large), cells(Box(0, 0, 20, 20)))
    assert torch.equal(seen.verdict.sure, seen.verdict.moving)


def test_frames_that_do_not_fit_into_memory_are_refused(deblurrer: Deblurrer) -> None:
    with pytest.raises(InputError, match="GiB"):
        Restorer(deblurrer, Steering(), (1 << 20, 1 << 20))
