from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unsmear.images.samples import (
    Samples,
    convert,
    orient,
    pack_bits,
    replace_touched,
    to_eight_bit,
    to_rgb,
)

from .makers import alpha, grey, scene

EVERYWHERE = np.ones((37, 53), bool)


def test_cmyk_looks_as_pillow_shows_it() -> None:
    cmyk = np.random.default_rng(2).integers(0, 256, (37, 53, 4), dtype=np.uint8)
    image = Image.frombytes("CMYK", (53, 37), cmyk.tobytes()).convert("RGB")
    np.testing.assert_array_equal(to_rgb(Samples("cmyk", cmyk)), np.asarray(image))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_takes_restored_colours_and_keeps_black(dtype: type) -> None:
    full = np.iinfo(dtype).max
    cmyk = np.random.default_rng(3).integers(0, full + 1, (37, 53, 4)).astype(dtype)
    restored = scene(dtype=dtype)
    new = replace_touched(Samples("cmyk", cmyk), restored, EVERYWHERE)
    shown = to_rgb(new)
    assert np.abs(shown.astype(int) - restored).max() <= 1
    room = full - cmyk[..., 3] >= restored.max(axis=2)
    np.testing.assert_array_equal(new.values[room][:, 3], cmyk[room][:, 3])


def test_restored_grey_is_rounded_luma() -> None:
    restored = scene()
    new = replace_touched(Samples("grey", grey()), restored, EVERYWHERE)
    np.testing.assert_array_equal(new.values, np.asarray(Image.fromarray(restored).convert("L")))
    wide = np.full((37, 53, 3), 65535, np.uint16)
    new = replace_touched(Samples("grey", grey(np.uint16), bit_depth=16), wide, EVERYWHERE)
    assert (new.values == 65535).all()


@pytest.mark.parametrize("bit_depth", [1, 2, 4])
def test_few_bits_mean_few_levels(bit_depth: int) -> None:
    step = 255 // (2**bit_depth - 1)
    old = Samples("grey", grey() // step * step, bit_depth=bit_depth)
    new = replace_touched(old, scene(), EVERYWHERE).values
    assert set(np.unique(new) % step) == {0}
    assert np.abs(new.astype(int) - np.asarray(Image.fromarray(scene()).convert("L"))).max() <= (
        step / 2 + 1
    )


def test_palette_takes_the_nearest_entry_of_the_same_transparency() -> None:
    rng = np.random.default_rng(4)
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    clear = np.where(np.arange(256) < 20, 0, 255).astype(np.uint8)
    indices = rng.integers(0, 256, (37, 53), dtype=np.uint8)
    old = Samples("palette", indices, palette=palette, palette_alpha=clear)
    restored = scene()
    new = replace_touched(old, restored, EVERYWHERE).values
    np.testing.assert_array_equal(clear[new], clear[indices])
    for y, x in ((0, 0), (5, 7), (36, 52)):
        allowed = np.flatnonzero(clear == clear[indices[y, x]])
        distance = ((palette[allowed].astype(int) - restored[y, x]) ** 2).sum(axis=1)
        assert new[y, x] == allowed[distance.argmin()]


def test_a_restored_colour_never_turns_transparent() -> None:
    values = scene()
    values[0] = (9, 9, 9)
    old = Samples("rgb", values, key=(9, 9, 9))
    restored = scene()
    restored[5] = (9, 9, 9)
    new = replace_touched(old, restored, EVERYWHERE).values
    np.testing.assert_array_equal(new[0], values[0])
    np.testing.assert_array_equal(new[5], np.full((53, 3), (9, 9, 8)))


def test_alpha_passes_untouched() -> None:
    old = Samples("rgb", scene(), alpha=alpha())
    assert replace_touched(old, 255 - scene(), EVERYWHERE).alpha is old.alpha


def test_inks_that_a_format_has_not_are_said() -> None:
    samples = Samples("cmyk", np.zeros((37, 53, 4), np.uint8))
    with pytest.warns(UserWarning, match="PNG cannot hold CMYK") as caught:
        assert convert(samples, kinds=("grey", "rgb"), format="PNG").kind == "rgb"
    assert len(caught) == 1


def test_white_shines_through_with_one_warning() -> None:
    old = Samples("rgb", scene(), alpha=alpha())
    with pytest.warns(UserWarning, match="JPEG cannot hold transparency") as caught:
        new = convert(old, kinds=("grey", "rgb", "cmyk"), format="JPEG")
    assert len(caught) == 1
    share = alpha()[..., None] / 255
    wanted = scene() * share + 255 * (1 - share)
    assert np.abs(new.values - wanted).max() <= 0.5 + 1e-9
    assert new.alpha is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_opaque_everywhere_loses_nothing(dtype: type) -> None:
    """As in many screenshots."""
    values = scene(dtype=dtype)
    old = Samples("rgb", values, alpha=np.full_like(values[..., 0], np.iinfo(dtype).max))
    new = convert(old, kinds=("rgb",), sixteen_bit=True, format="JPEG")
    assert new.alpha is None
    np.testing.assert_array_equal(new.values, values)


def test_sixteen_bits_are_rounded_to_eight() -> None:
    values = np.array([0, 128, 129, 257, 65535, 65406], np.uint16)
    assert to_eight_bit(values).tolist() == [0, 0, 1, 1, 255, 254]
    np.testing.assert_array_equal(to_eight_bit(np.arange(256, dtype=np.uint16) * 257), range(256))


def test_quarter_turns_come_round() -> None:
    picture = scene()
    for turn, back in ((6, 8), (5, 5), (7, 7), (3, 3), (2, 2), (4, 4)):
        np.testing.assert_array_equal(orient(orient(picture, turn), back), picture)
    np.testing.assert_array_equal(orient(picture, 6), np.rot90(picture, -1))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_packing_is_what_numpy_packs(depth: int) -> None:
    values = grey() >> (8 - depth)
    bits = np.unpackbits(values[..., None], axis=2)[..., 8 - depth :].reshape(37, -1)
    np.testing.assert_array_equal(pack_bits(values, depth), np.packbits(bits, axis=1))
