from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from unsmear.data import BlurSynthesizer, MediaLibrary, SynthesisConfig
from unsmear.data.clips import film, read_frames
from unsmear.data.degrade import linearise_bytes
from unsmear.data.flow import average_window
from unsmear.data.rendering import Box
from unsmear.errors import InputError

from .makers import textured

SPEED = 4  # px per frame


def moving_square(number: int, speed: int = SPEED) -> np.ndarray:
    """A textured square that crosses a textured wall: [120, 160, 3] bytes."""
    frame = textured(120, 160, seed=1) // 2
    left = 20 + speed * number
    frame[40:80, left : left + 40] = textured(40, 40, seed=2)
    return frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "square.mp4", SPEED)


def write_clip(path: Path, speed: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.bit_rate = 8_000_000
        for number in range(14):
            frame = av.VideoFrame.from_ndarray(moving_square(number, speed), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_frames_are_read_by_number(clip: Path) -> None:
    frames = read_frames(clip, 5, 3)
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 3
    for number, frame in enumerate(frames, start=5):
        assert np.abs(frame.astype(int) - moving_square(number)).mean() < 12
    assert len(read_frames(clip, 12, 5)) == 2


def test_window_averages_the_motion_and_keeps_the_rest() -> None:
    window = [moving_square(number) for number in range(5)]
    exposure = average_window(window, Box(10, 10, 106, 150))
    assert exposure is not None
    sharp = linearise_bytes(window[2][10:106, 10:150]).transpose(2, 0, 1)
    np.testing.assert_array_equal(exposure.sharp.numpy(), sharp)
    still = ~exposure.swept.numpy()
    assert still.mean() > 0.5
    swept_columns = np.flatnonzero(exposure.swept.numpy()[40:60].any(axis=0)) + 10
    assert swept_columns.min() == pytest.approx(20, abs=9)
    assert swept_columns.max() == pytest.approx(20 + 4 * SPEED + 40, abs=9)
    difference = (exposure.blurred - exposure.sharp).abs().amax(dim=0).numpy()
    far = np.zeros_like(still)
    far[:18], far[82:] = True, True
    assert difference[far].max() < 1e-6
    assert difference[40:60, 20:60].mean() > 0.05


@pytest.mark.parametrize(
    "window",
    [
        [moving_square(0)] * 5,  # nothing moves
        [np.roll(textured(120, 160, seed=1), 3 * i, axis=1) for i in range(5)],  # the camera does
    ],
    ids=["still", "panning"],
)
def test_unusable_windows_are_rejected(window: list[np.ndarray]) -> None:
    assert average_window(window, Box(0, 0, 120, 160)) is None


def test_window_with_a_smeared_middle_is_rejected() -> None:
    def smeared(number: int) -> np.ndarray:
        instants = [moving_square(16 * number + i, speed=1) for i in range(16)]
        return np.mean(instants, axis=0).astype(np.uint8)

    assert average_window([smeared(number) for number in range(3)], Box(0, 0, 120, 160)) is None


def test_clips_become_samples(clip: Path, library: MediaLibrary) -> None:
    filming = replace(library, clips=(clip,))
    assert film(filming, np.random.default_rng(0), (3, 5), 96) is not None
    synthesizer = BlurSynthesizer(filming, SynthesisConfig(), seed=0, size=96)
    sample = synthesizer.sample(0, "clip")
    assert sample.blurred.shape == (3, 96, 96)
    assert 0.01 < sample.blur_mask.mean() < 0.9
    assert np.array_equal(sample.blurred, synthesizer.sample(0, "clip").blurred)
    filmed = synthesizer.filmed(0)
    assert filmed is not None
    assert filmed.blurred.shape == (3, 96, 96)
    assert filmed.blur_mask.any()


def test_a_clip_without_motion_gives_no_filmed_sample(
    library: MediaLibrary, tmp_path: Path
) -> None:
    still = write_clip(tmp_path / "still.mp4", speed=0)
    synthesizer = BlurSynthesizer(replace(library, clips=(still,)), SynthesisConfig(), 0, 96)
    assert synthesizer.filmed(0) is None
    assert synthesizer.sample(0, "clip").blur_mask.any()  # of something else


def test_too_small_and_broken_clips_are_named(
    clip: Path, library: MediaLibrary, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no clip is as large"):
        film(replace(library, clips=(clip,)), np.random.default_rng(0), (3, 5), 200)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    with pytest.raises(InputError, match=r"broken\.mp4"):
        film(replace(library, clips=(broken,)), np.random.default_rng(0), (3, 5), 96)
