"""What synthesized samples look like."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from unsmear.errors import InputError

SHARES = (
    "extreme_share",
    "occluder_share",
    "bystander_share",
    "defocus_share",
    "enlarged_share",
    "jpeg_share",
    "sharp_noise",
)
KINDS = ("cutout", "segment", "shake", "sharp", "clip")


@dataclass(frozen=True)
class SynthesisConfig:
    """What the samples look like. Lengths in pixels are those of the sample, whatever its size.

    Attributes:
        cutout: weight of samples with moving cut-outs.
        segment: weight of samples with moving pieces of a photo.
        shake: weight of samples with a shaken camera.
        sharp: weight of samples without motion.
        clip: weight of samples averaged from clips of static cameras.
        usual_length: shortest and longest usual blur; its logarithm is drawn evenly.
        extreme_length: shortest and longest blur at all.
        extreme_share: share of the samples whose blur is drawn from `extreme_length`.
        most_objects: a sample has 1 to this many moving things, mostly one.
        object_area: smallest and largest share of the frame that one moving thing covers.
        bend: bend of the trajectories, see `random_trajectory`.
        unevenness: unevenness of the speed, see `random_trajectory`.
        most_turn: a thing turns by so many radians during the exposure, at most.
        most_growth: a thing grows by this logarithm during the exposure, at most.
        occluder_share: share of the moving samples with a still thing in front.
        bystander_share: share of the scenes, those without motion too, in which things of the kinds
            that move elsewhere stand still: that a thing is an animal, or was cut out, must not
            tell that it moved.
        any_scene_share: share of the scenes that may be any piece of a photo, also a dark, flat or
            soft one; the others are sharp and textured.
        defocus_share: share of the scenes that are out of focus in part or in all: soft, but still.
        enlarged_share: share of the samples that were made up to half as large and then enlarged,
            as by a digital zoom: soft all over, without having moved. Lengths are those before.
        colour_jitter: deviation of the logarithm of a moving thing's colour gains.
        light_jitter: deviation of the logarithm of a moving thing's exposure.
        highlight_gain: clipped lights are up to this many times brighter than white.
        clip_frames: fewest and most frames of a clip averaged to one sample, 3 or more.
        most_noise: noise strength at most, see `add_sensor_noise`; mostly far below.
        sharp_noise: noise strength of the sharp picture as a share of the blurred one's.
        jpeg_share: share of the samples whose blurred picture went through JPEG.
        worst_jpeg: lowest JPEG quality; the best is 100.

    Raises:
        InputError: if a value is out of its range.
    """

    cutout: float = 0.5
    segment: float = 0.2
    shake: float = 0.12
    sharp: float = 0.08
    clip: float = 0.1
    usual_length: tuple[float, float] = (3.0, 45.0)
    extreme_length: tuple[float, float] = (1.0, 60.0)
    extreme_share: float = 0.15
    most_objects: int = 3
    object_area: tuple[float, float] = (0.05, 0.5)
    bend: float = 0.6
    unevenness: float = 0.5
    most_turn: float = 0.25
    most_growth: float = 0.15
    occluder_share: float = 0.15
    bystander_share: float = 0.0
    any_scene_share: float = 0.0
    defocus_share: float = 0.0
    enlarged_share: float = 0.0
    colour_jitter: float = 0.08
    light_jitter: float = 0.25
    highlight_gain: float = 3.0
    clip_frames: tuple[int, int] = (3, 9)
    most_noise: float = 1.0
    sharp_noise: float = 0.0
    jpeg_share: float = 0.4
    worst_jpeg: int = 75

    def __post_init__(self) -> None:
        """Check every range."""
        weights = [getattr(self, kind) for kind in KINDS]
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise InputError(f"kind weights {weights}: give weights of at least 0, not all 0")
        for name in ("usual_length", "extreme_length", "object_area"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise InputError(f"{name}={low, high}: give a positive low and a high above it")
        if self.extreme_length[1] > 60:
            raise InputError(f"extreme_length={self.extreme_length}: 60 px is the longest blur")
        if self.object_area[1] > 1:
            raise InputError(f"object_area={self.object_area}: shares of the frame end at 1")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)}: give a share from 0 to 1")
        if not 3 <= self.clip_frames[0] <= self.clip_frames[1]:
            raise InputError(f"clip_frames={self.clip_frames}: give 3 frames or more")
        if self.most_objects < 1:
            raise InputError(f"most_objects={self.most_objects}: give 1 or more")
        if not 1 <= self.worst_jpeg <= 100:
            raise InputError(f"worst_jpeg={self.worst_jpeg}: JPEG qualities go from 1 to 100")
        scales = ("bend", "unevenness", "most_turn", "most_growth", "colour_jitter")
        for name in (*scales, "light_jitter", "most_noise", "highlight_gain"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)}: give 0 or more")

    def describe(self) -> dict[str, object]:
        """Give every field by name, as plain values."""
        return asdict(self)
