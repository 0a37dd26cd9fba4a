"""Local motion blur made of real parts: the samples a network is trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from unsmear.data.config import KINDS, SynthesisConfig
from unsmear.data.defocus import defocus
from unsmear.data.degrade import add_sensor_noise, compress_jpeg, encode_srgb, round_to_bytes
from unsmear.data.enlargement import enlarge, side_before
from unsmear.data.layers import LayerMaker
from unsmear.data.library import MediaLibrary
from unsmear.data.mask import visible_blur_mask
from unsmear.data.rendering import Exposure, expose, shake
from unsmear.data.trajectory import moved_corners, random_trajectory
from unsmear.data.triple import BlurTriple
from unsmear.errors import InputError

# Scenes drawn for one sample before the last is taken, however little of it moves.
SCENE_TRIES = 4
# Share of the frame that the moving things should touch.
LEAST_SWEPT = 0.01
# px; smaller samples show no motion, larger ones outgrow photos and memory.
LEAST_SIDE, MOST_SIDE = 32, 4096
# Noise weaker than this would not outlive 8-bit rounding.
LEAST_NOISE = 0.02


def fitted(config: SynthesisConfig, library: MediaLibrary) -> SynthesisConfig:
    """The same without the kinds for which a library has no material."""
    return replace(
        config,
        cutout=config.cutout if library.objects else 0.0,
        clip=config.clip if library.clips else 0.0,
    )


class BlurSynthesizer:
    """Makes blurred/sharp/mask samples; sample i depends on nothing but the seed and i.

    Args:
        library: the material.
        config: what the samples look like.
        seed: 0 or more; another seed, other samples.
        size: side of the square samples in pixels.
        device: where the pictures are computed and returned.

    Raises:
        InputError: if a kind with a weight above 0 lacks its material, `size` is below 32 or
            above 4096, or `seed` is below 0.
    """

    def __init__(
        self,
        library: MediaLibrary,
        config: SynthesisConfig | None = None,
        seed: int = 0,
        size: int = 320,
        device: str | torch.device = "cpu",
    ) -> None:
        if not LEAST_SIDE <= size <= MOST_SIDE:
            raise InputError(f"size={size}: choose from {LEAST_SIDE} to {MOST_SIDE} px")
        if seed < 0:
            raise InputError(f"seed={seed}: choose 0 or more")
        self.library = library
        self.config = config or SynthesisConfig()
        self.seed = seed
        self.size = size
        self.device = torch.device(device)
        self._layers = LayerMaker(library, self.config, size, self.device)
        for kind in KINDS:
            if getattr(self.config, kind) > 0:
                self._require_material(kind)

    def kind_of(self, index: int) -> str:
        """Tell which of `KINDS` is drawn for a sample.

        A "clip" becomes a "cutout" or a "segment" where the clips tried show no usable motion.
        """
        return self._draw_kind(self._generator(index))

    def sample(self, index: int, kind: str | None = None) -> BlurTriple:
        """Make one sample.

        Args:
            index: 0 or more; the same index gives the same sample in every process.
            kind: one of `KINDS`; drawn by their weights when left out.

        Returns:
            blurred and sharp [3, size, size], blur_mask [1, size, size], on the device.

        Raises:
            InputError: if the kind is unknown or lacks its material, or a file cannot be read.
        """
        rng = self._generator(index)
        drawn = self._draw_kind(rng)
        if kind is not None:
            self._require_material(kind)
        with torch.no_grad():
            return self._develop(self._expose_at_some_size(kind or drawn, rng), rng)

    def filmed(self, index: int) -> BlurTriple | None:
        """Make a sample of a clip, like `sample`; None where the clips tried show no usable motion.

        Raises:
            InputError: if there are no clips, or one cannot be read.
        """
        rng = self._generator(index)
        self._require_material("clip")
        with torch.no_grad():
            exposure = self._filmed(rng)
            return exposure and self._develop(exposure, rng)

    def _require_material(self, kind: str) -> None:
        if kind not in KINDS:
            raise InputError(f"no kind of sample is named {kind!r}: choose from {KINDS}")
        if kind == "cutout" and not self._layers.movable:
            raise InputError("no usable cut-outs: name a folder of objects, or set cutout=0")
        if kind == "clip" and not self.library.clips:
            raise InputError("no clips: name a folder of clips, or set clip=0")

    def _generator(self, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index))

    def _draw_kind(self, rng: np.random.Generator) -> str:
        weights = np.array([getattr(self.config, kind) for kind in KINDS], dtype=np.float64)
        return KINDS[rng.choice(len(KINDS), p=weights / weights.sum())]

    def _expose_at_some_size(self, kind: str, rng: np.random.Generator) -> Exposure:
        """Expose in full size, or smaller and enlarge."""
        if not _happens(self.config.enlarged_share, rng):
            return self._expose(kind, rng)
        side = max(LEAST_SIDE, side_before(self.size, rng))
        smaller = BlurSynthesizer(self.library, self.config, self.seed, side, self.device)
        return enlarge(smaller._expose(kind, rng), self.size, rng)

    def _expose(self, kind: str, rng: np.random.Generator) -> Exposure:
        if kind == "shake":
            return self._shaken(rng)
        if kind == "clip":
            filmed = self._filmed(rng)
            if filmed is not None:
                return filmed
            # The clips were too still or too fast for several tries in a row.
            kind = "cutout" if self._layers.movable else "segment"
        anything = _happens(self.config.any_scene_share, rng)
        photo = self.library.random_crop(rng, self.size, self.size, textured=not anything)
        background = self._layers.light_of(photo, rng)
        if _happens(self.config.bystander_share, rng):
            background = expose(background, self._layers.draw_bystanders(rng)).sharp
        if _happens(self.config.defocus_share, rng):
            background = defocus(background, rng)
        exposure = expose(background, [])
        if kind == "sharp":
            return exposure
        for _ in range(SCENE_TRIES):
            exposure = expose(background, self._layers.draw(kind, rng))
            if exposure.swept.float().mean() >= LEAST_SWEPT:
                break
        return exposure

    def _shaken(self, rng: np.random.Generator) -> Exposure:
        """Shake the camera: the whole picture moves, and at times turns a little."""
        poses = random_trajectory(
            rng,
            self._layers.draw_length(rng),
            turn=float(rng.uniform(0, 0.04)) if rng.random() < 0.3 else 0.0,
            bend=1.5 * self.config.bend,
            unevenness=self.config.unevenness,
        )
        corners = moved_corners(poses, self.size, self.size)
        margin = int(np.abs(corners - corners[len(poses) // 2]).max()) + 2
        side = self.size + 2 * margin
        scene = self._layers.light_of(self.library.random_crop(rng, side, side), rng)
        sharp = scene[:, margin:-margin, margin:-margin]
        return Exposure(shake(scene, poses, margin), sharp, torch.ones_like(sharp[0]) > 0)

    def _filmed(self, rng: np.random.Generator) -> Exposure | None:
        """Average a window of a clip; None when the clips show no usable motion."""
        # PyAV is needed by clips alone.
        from unsmear.data.clips import film

        exposure = film(self.library, rng, self.config.clip_frames, self.size)
        return exposure and Exposure(*(picture.to(self.device) for picture in exposure))

    def _develop(self, exposure: Exposure, rng: np.random.Generator) -> BlurTriple:
        """Turn light into the pictures of a camera: noise, sRGB curve, rounding, JPEG."""
        config = self.config
        blurred, sharp = encode_srgb(exposure.blurred), encode_srgb(exposure.sharp)
        # Before noise and compression, which blur nothing.
        blur_mask = visible_blur_mask(blurred, sharp, exposure.swept)
        strength = config.most_noise * rng.random() ** 3  # a median of an eighth of the most
        if strength > LEAST_NOISE:
            blurred = encode_srgb(add_sensor_noise(exposure.blurred.clamp(max=1), strength, rng))
        if strength * config.sharp_noise > LEAST_NOISE:
            weaker = strength * config.sharp_noise
            sharp = encode_srgb(add_sensor_noise(exposure.sharp.clamp(max=1), weaker, rng))
        blurred, sharp = round_to_bytes(blurred), round_to_bytes(sharp)
        if rng.random() < config.jpeg_share:
            blurred = compress_jpeg(blurred, int(rng.integers(config.worst_jpeg, 101)))
        return BlurTriple(blurred, sharp, blur_mask)


def _happens(share: float, rng: np.random.Generator) -> bool:
    """Draw by a share; where it is 0 nothing is drawn, and samples stay what they were without."""
    return bool(share) and rng.random() < share
