import json
import warnings
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image

from unsmear.errors import InputError, ModelError
from unsmear.images import Picture
from unsmear.inference import Deblurrer, Steering
from unsmear.layers import window_scores
from unsmear.models.cost import network_cost
from unsmear.models.srn import SRN


@pytest.fixture
def photo():
    """A picture whose parts differ, so that a network's decisions do."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :300]
    waves = 120 + 80 * np.sin(x / 9) * np.cos(y / 13)
    rgb = np.stack([waves, waves * 0.7, 200 - waves / 2], axis=2)
    rgb[:100, :150] += rng.normal(0, 30, (100, 150, 3))
    return rgb.clip(0, 255).astype(np.uint8)


@pytest.fixture
def mild_network(small_network, photo):
    """Changes little enough for the sanity check, and keeps half of the photo's windows."""
    last = small_network.stages[-1].predictors[-1]
    image = torch.from_numpy(photo / np.float32(255)).permute(2, 0, 1)[None]
    with torch.no_grad():
        small_network.output_proj.weight.mul_(0.1)
        small_network.output_proj.bias.mul_(0.1)
        scores = window_scores(small_network(image).scores[-1], 8, 0)[:, :25, :37]
        margins = scores[..., 0] - scores[..., 1]
        sharpen = 10 / margins.std()  # be sure of some
        last.judge[-1].bias[0] -= margins.median()
        last.judge[-1].weight.mul_(sharpen)
        last.judge[-1].bias.mul_(sharpen)
    return small_network


def deblur(network, photo, *, tile=None, dtype="float32", progress=None, **wishes):
    engine = Deblurrer(network, device="cpu", dtype=dtype, tile=tile)
    return engine.deblur(photo, Steering(**wishes), progress)


def test_untouched_pixels_come_back_to_the_bit(mild_network, photo):
    result = deblur(mild_network, photo)
    out = result.picture.rgb
    assert 0 < result.report.touched_fraction < 1
    assert (out[~result.touched] == photo[~result.touched]).all()
    assert (out[result.touched] != photo[result.touched]).any(axis=1).all()
    assert result.report.touched_fraction == pytest.approx(result.touched.mean())


def test_a_picture_without_kept_windows_is_the_same_picture(mild_network, photo):
    result = deblur(mild_network, photo, threshold=1.0)
    assert (result.picture.rgb == photo).all()
    assert result.report.touched_fraction == result.report.blurred_fraction == 0
    assert not result.picture.is_changed


def test_what_would_change_by_less_than_shows_stays_to_the_bit(mild_network, photo):
    before = deblur(mild_network, photo)
    with torch.no_grad():
        mild_network.output_proj.weight.mul_(0)
        mild_network.output_proj.bias.copy_(torch.tensor([0.7 / 255] * 3 + [20.0]))
    result = deblur(mild_network, photo)
    assert result.report.blurred_fraction == before.report.blurred_fraction > 0
    assert not result.picture.is_changed
    assert deblur(mild_network, photo, dense=True).report.touched_fraction > 0.9


@pytest.mark.parametrize("thing", [b"bytes", None, torch.zeros(3, 8, 8)])
def test_what_is_no_photo_is_told(small_network, thing):
    with pytest.raises(InputError, match=rf"array.*{type(thing).__name__}"):
        deblur(small_network, thing)


@pytest.mark.parametrize(
    "one",
    [
        "photo.jpg",
        Path("photo.jpg"),
        Image.new("RGB", (9, 8)),
        Picture.from_array(np.zeros((8, 9, 3), np.uint8)),
        np.zeros((8, 9, 3), np.uint8),  # whose rows could be grey pictures three pixels wide
        np.zeros((8, 9), np.uint8),
    ],
    ids=lambda one: type(one).__name__,
)
def test_one_photo_is_not_many(small_network, one):
    with pytest.raises(InputError, match=r"one photo.*deblur\(\)"):
        Deblurrer(small_network, device="cpu").deblur_many(one)


def test_a_stack_of_arrays_is_many(small_network):
    engine = Deblurrer(small_network, device="cpu")
    for stack in (np.zeros((2, 8, 9, 3), np.uint8), np.zeros((2, 8, 9), np.uint8)):
        assert [each.report.width for each in engine.deblur_many(stack)] == [9, 9]


def test_whole_gives_the_raw_output(mild_network, photo):
    result = deblur(mild_network, photo, whole=True)
    image = torch.from_numpy(photo / np.float32(255)).permute(2, 0, 1)[None]
    with torch.no_grad():
        raw = mild_network(image).restored[0].permute(1, 2, 0).clamp(0, 1) * 255
    assert np.abs(result.picture.rgb - raw.round().numpy()).max() <= 1


def test_a_mask_confines_the_change(mild_network, photo):
    mask = np.zeros(photo.shape[:2], dtype=bool)
    mask[50:120, 60:200] = True
    result = deblur(mild_network, photo, mask=mask)
    assert result.touched[mask].mean() > 0.5
    assert not result.touched[~mask].any()
    boxed = deblur(mild_network, photo, boxes=((60, 50, 140, 70),))
    assert (boxed.picture.rgb == result.picture.rgb).all()


def test_strength_blends(mild_network, photo):
    full = deblur(mild_network, photo, dense=True).picture.rgb.astype(int)
    half = deblur(mild_network, photo, dense=True, strength=0.5).picture.rgb.astype(int)
    none = deblur(mild_network, photo, dense=True, strength=0.0)
    assert np.abs(half - (full + photo) / 2).max() <= 1
    assert (none.picture.rgb == photo).all()


def test_dense_computes_everything(mild_network, photo):
    report = deblur(mild_network, photo, dense=True).report
    assert report.multiply_adds_spent == report.multiply_adds_dense
    assert report.blurred_fraction == 1
    assert all(stage.kept == stage.windows for stage in report.kept_windows)


def test_the_report_adds_up(mild_network, photo):
    report = deblur(mild_network, photo).report
    assert report.multiply_adds_dense == network_cost(mild_network, 200, 300).dense
    assert 0 < report.multiply_adds_spent < report.multiply_adds_dense
    told = json.loads(json.dumps(report.as_dict()))
    assert told["multiply_adds_saved"] == report.multiply_adds_dense - report.multiply_adds_spent
    assert (told["width"], told["height"], told["tiles"]) == (300, 200, 1)
    assert len(told["kept_windows"]) == len(mild_network.predictor_places)
    assert told["seconds"] > 0


def test_sixteen_bits_stay_sixteen(mild_network, photo):
    deep = photo.astype(np.uint16) * 257 + 3
    result = deblur(mild_network, deep)
    assert result.picture.rgb.dtype == np.uint16
    assert (result.picture.rgb[~result.touched] == deep[~result.touched]).all()


def test_every_kind_of_photo_is_taken(mild_network, photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    engine = Deblurrer(mild_network, device="cpu", dtype="float32")
    results = engine.deblur_many([photo, Image.fromarray(photo), path, str(path)])
    first, *others = (result.picture.rgb for result in results)
    assert all((other == first).all() for other in others)
    grey = engine.deblur(photo[..., 0])
    assert grey.picture.kind == "grey"


def test_progress_rises_to_one(mild_network, photo):
    for tile in (None, 128):
        told = []
        deblur(mild_network, photo, tile=tile, progress=told.append)
        assert told == sorted(told)
        assert told[-1] == 1.0
        assert len(told) > 4


def test_progress_is_told_of_ones_own_photo(mild_network, photo):
    engine = Deblurrer(mild_network, device="cpu", dtype="float32")
    told = []

    def amid_another(share):
        told.append(share)
        if len(told) == 3:
            other = Thread(target=engine.deblur, args=(photo,))
            other.start()
            other.join()

    engine.deblur(photo, progress=amid_another)
    assert told == sorted(told)
    assert len(told) == len(mild_network.milestones) + 1


def test_an_insane_output_is_refused_with_a_warning(mild_network, photo):
    with torch.no_grad():
        mild_network.output_proj.bias[:3] = 2.0
    with pytest.warns(UserWarning, match="not sane"):
        result = deblur(mild_network, photo, dense=True)
    assert (result.picture.rgb == photo).all()
    assert result.report.warnings


def test_what_progress_gives_back_is_nobodys_business(mild_network, photo):
    told = deblur(mild_network, photo, progress=lambda share: share)
    assert np.array_equal(told.picture.rgb, deblur(mild_network, photo).picture.rgb)


@pytest.mark.parametrize("wishes", [{}, {"dense": True}, {"boxes": ((10, 10, 200, 150),)}])
def test_tiles_agree_with_the_whole(mild_network, wishes):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (10, 50, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(small).resize((660, 130), Image.Resampling.BICUBIC))
    whole = deblur(mild_network, photo, whole=True, **wishes)
    tiled = deblur(mild_network, photo, whole=True, tile=128, **wishes)
    assert tiled.report.tiles == 6 * 2
    difference = np.abs(whole.picture.rgb.astype(int) - tiled.picture.rgb)
    assert difference.max() <= 1


def test_short_memory_halves_the_tile(mild_network, photo, monkeypatch):
    monkeypatch.setattr("unsmear.inference.deblurrer.SMALLEST_TILE", 128)
    real, sides = type(mild_network).forward, []

    def short_of_memory(self, blurred, **options):
        sides.append(max(blurred.shape[-2:]))
        if len(sides) <= 2:
            raise MemoryError
        return real(self, blurred, **options)

    monkeypatch.setattr(type(mild_network), "forward", short_of_memory)
    wide = np.tile(photo, (1, 5, 1))[:128]
    result = deblur(mild_network, wide)
    assert result.report.tiles == 4
    assert sides[:3] == [1500, 768 + 512, 384 + 512]  # the whole, then tiles in their surroundings


def test_memory_that_never_suffices_is_an_error_of_ours(mild_network, photo, monkeypatch):
    def never(self, blurred, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(mild_network), "forward", never)
    with pytest.raises(InputError, match="memory"):
        deblur(mild_network, photo)


def test_tiles_follow_the_memory_at_hand(mild_network, monkeypatch):
    engine = Deblurrer(mild_network, device="cpu", dtype="float32")
    monkeypatch.setattr("unsmear.inference.deblurrer.available_memory", lambda _: 1 << 30)
    assert engine._fitting_tile(500, 500) is None
    tile = engine._fitting_tile(20000, 20000)
    assert tile % engine.network.size_step == 0
    assert (tile + 512) ** 2 * engine.bytes_per_pixel() <= 1 << 30


def test_bfloat16_stays_near(mild_network, photo):
    exact = deblur(mild_network, photo, dense=True).picture.rgb.astype(float)
    rough = deblur(mild_network, photo, dense=True, dtype="bfloat16").picture.rgb
    assert 10 * np.log10(255**2 / np.square(exact - rough).mean()) > 45


def test_wrong_choices_are_refused(mild_network):
    for wrong in ({"device": "tpu9"}, {"dtype": "int8"}, {"tile": 0}, {"tile": 512.5}):
        with pytest.raises(InputError):
            Deblurrer(mild_network, **wrong)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no usable cuda"):
            Deblurrer(mild_network, device="cuda")


def test_a_network_in_train_mode_is_refused(mild_network, photo):
    engine = Deblurrer(mild_network, device="cpu")
    mild_network.train()
    for use in (engine.deblur, engine.restore):
        with pytest.raises(InputError, match="train mode"):
            use(photo)


@pytest.mark.parametrize("wrap", [torch.compile, torch.nn.DataParallel])
def test_a_network_in_a_wrapper_is_refused(mild_network, wrap):
    with pytest.raises(ModelError, match="network"):
        Deblurrer(wrap(mild_network))


@pytest.mark.parametrize("tile", [None, 128])
def test_the_default_device_of_a_program_is_nobodys_business(mild_network, photo, tile):
    wanted = deblur(mild_network, photo, tile=tile, dtype="float32")
    torch.set_default_device("meta")
    try:
        found = deblur(mild_network, photo, tile=tile, dtype="float32")
    finally:
        torch.set_default_device(None)
    assert 0 < found.report.touched_fraction < 1
    assert np.array_equal(found.picture.rgb, wanted.picture.rgb)


def test_nothing_is_warned_about_an_ordinary_photo(mild_network, photo):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deblur(mild_network, photo)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_gpu_agrees_with_the_cpu(mild_network, photo, dtype):
    wanted = deblur(mild_network, photo, dense=True).picture.rgb.astype(float)
    engine = Deblurrer(mild_network, device="cuda", dtype=dtype)
    found = engine.deblur(photo, Steering(dense=True)).picture.rgb
    assert np.abs(wanted - found).mean() < 0.5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["saphn", "dmphn", "dmphn-nu", "srn", "srn-nu", "lbag"])
def test_networks_without_windows_change_everything_or_what_is_marked(name, dtype, photo, little):
    photo = photo[:60, :90]
    network = _mild(little(name), photo)
    result = deblur(network, photo, dtype=dtype)
    assert result.picture.rgb.shape == photo.shape
    assert result.report.blurred_fraction == 1
    assert result.report.touched_fraction > 0.5
    assert result.report.kept_windows == ()
    assert result.report.multiply_adds_spent == result.report.multiply_adds_dense > 0
    marked = deblur(network, photo, dtype=dtype, boxes=((10, 20, 30, 16),))
    assert marked.touched[20:36, 10:40].any()
    assert not marked.touched[:20].any()


def test_a_budget_is_spent_and_reported(photo, little):
    network = _mild(little("saphn"), photo)
    more, less = (deblur(network, photo[:60, :90], budget=b).report for b in (0.2, -0.1))
    assert less.multiply_adds_spent < less.multiply_adds_dense < more.multiply_adds_spent
    assert more.multiply_adds_saved < 0 < less.multiply_adds_saved


def test_a_network_without_a_budget_says_so(mild_network, photo):
    with pytest.raises(InputError, match="no budget"):
        deblur(mild_network, photo, budget=0.1)


def test_tiles_of_networks_without_windows_are_blended(photo, little):
    network = _mild(little("lbag"), photo)
    whole, tiled = (deblur(network, photo, tile=tile) for tile in (None, 64))
    assert tiled.report.tiles > 1
    assert whole.report.touched_fraction > 0.5
    assert (
        np.abs(whole.picture.rgb.astype(int) - tiled.picture.rgb).max() <= 1
    )  # its surroundings of 128 px are more than LBAG looks at


def _mild(network, photo):
    """Changes the photo a little, as a trained network does; its mean colour stays."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.mul_(0.05 if "output_proj" in name else 0.5)
        if isinstance(network, SRN):  # it paints the picture anew
            last = network.output_proj[-1]
            last.bias.copy_(torch.from_numpy(photo).float().mean(dim=(0, 1)) / 255)
    return network.eval()
