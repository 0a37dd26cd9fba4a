"""From clip to deblurred clip: decode, network, encode, in pieces that survive a kill."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from unsmear import __version__
from unsmear.errors import InputError, OutputError
from unsmear.inference import Deblurrer, Steering
from unsmear.video.clip import Clip, Frame
from unsmear.video.colours import planes_of
from unsmear.video.encoding import Recipe, recipe_for
from unsmear.video.flicker import Flicker
from unsmear.video.joining import (
    check_container,
    container_format,
    copy,
    join,
    keeps_showing_times,
    wants_global_header,
    warn_of_losses,
)
from unsmear.video.restorer import Restorer
from unsmear.video.segments import Coded, Piece, Pieces, Tally, fingerprint
from unsmear.video.sequence import FrameSequence, Memory, Ready
from unsmear.video.steady import REACH

PIECE = 24  # frames in a piece: what a kill costs at most, and the distance of key frames

Progress = Callable[[float], None]
Stages = Callable[
    [Iterable[Any], Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], object]], object
]


def in_turn(
    items: Iterable[Any],
    prepare: Callable[[Any], Any],
    work: Callable[[Any], Any],
    finish: Callable[[Any], object],
) -> None:
    """Take each item through three stages, one thing after the other."""
    for item in items:
        finish(work(prepare(item)))


@dataclass(frozen=True)
class VideoSettings:
    """How a clip is made again.

    Attributes:
        crf: constant rate factor of the encoder, lower is better and larger; None is a value at
            which hardly a loss is visible.
        lossless: the encoder loses nothing.
        reach: frames before and after that have a say in a frame's mask; 0 lets masks blink.
        piece: frames that are kept together; a kill costs as many at most.
    """

    crf: int | None = None
    lossless: bool = False
    reach: int = REACH
    piece: int = PIECE


@dataclass(frozen=True)
class VideoReport:
    """The figures of one clip.

    Attributes:
        width: of the picture in pixels, as it is stored.
        height: likewise.
        frames: how many there are.
        changed_frames: how many of them changed; the others went to the encoder as they were.
        resumed_frames: how many an earlier run of the same command had done.
        touched_fraction: share of all pixels that changed.
        seen_fraction: pixels given to the network, as a share of all.
        flicker: mean absolute second difference over time of the output less that of the input,
            over pixels whose input is still, in grey levels of 255; see
            :class:`~unsmear.video.flicker.Flicker`.
        seconds: of this run, with decoding and encoding.
        encoder: FFmpeg's name of the encoder.
        model: name or path.
        device: where it ran.
        dtype: number type of the network.
        version: of this package.
        warnings: what the user should know.
    """

    width: int
    height: int
    frames: int
    changed_frames: int
    resumed_frames: int
    touched_fraction: float
    seen_fraction: float
    flicker: float
    seconds: float
    encoder: str
    model: str
    device: str
    dtype: str
    version: str
    warnings: tuple[str, ...] = field(default=())


def deblur_clip(
    source: str | Path,
    destination: str | Path,
    deblurrer: Deblurrer,
    steering: Steering | None = None,
    settings: VideoSettings | None = None,
    *,
    overwrite: bool = False,
    stages: Stages = in_turn,
    progress: Progress | None = None,
) -> VideoReport:
    """Deblur one clip; the same call goes on where a killed one stopped.

    Args:
        source: the clip.
        destination: the result; its ending decides the container.
        deblurrer: the engine.
        steering: threshold, strength, boxes and mask, in pixels of the picture as it is shown.
        settings: how it is encoded, steadied and kept.
        overwrite: whether a result that is there may be replaced; never the clip itself.
        stages: runs decoding, the network and encoding; :func:`in_turn` is one after the other.
        progress: told the share that is done, in [0, 1], now and then.

    Raises:
        InputError: a clip that cannot be read or encoded, or wishes that do not fit it.
        OutputError: a result that cannot be written.
    """
    source, destination = Path(source), Path(destination)
    steering, settings = steering or Steering(), settings or VideoSettings()
    started = time.perf_counter()
    container = container_format(destination)
    _check_wishes(steering)
    _check_place(source, destination, overwrite=overwrite)
    with Clip(source) as clip:
        recipe = recipe_for(
            clip,
            crf=settings.crf,
            lossless=settings.lossless,
            global_header=wants_global_header(container),
            b_frames=keeps_showing_times(container),
        )
        recipe.open()
        check_container(recipe, container, destination)
        warn_of_losses(clip, container)
        restorer = Restorer(deblurrer, steering, clip.size, clip.turn)
        key = _key(source, deblurrer, steering, settings, recipe)
        folder = destination.with_name(f".{destination.name}.unsmear")
        with closing(Pieces(folder, key)) as pieces:
            done = pieces.tally().frames
            run = _Run(clip, restorer, recipe, pieces, settings, done, progress)
            stages(clip.packets(), run.decode, run.restore, run.write)
            clip.warn_of_losses()
            tally = pieces.tally()
            if not tally.frames:
                raise InputError(f"{source} has no frame that can be decoded: it may be damaged.")
            if tally.changed or source.suffix.lower() != destination.suffix.lower():
                join(clip, recipe, pieces.packets(), pieces.times(), destination)
            else:
                copy(source, destination)
            pieces.remove()
        said = []
        if tally.refused:
            said.append(
                f"the network's output was not sane in {tally.refused} part(s) of frames; these "
                "were left as they were"
            )
            warnings.warn(said[-1], stacklevel=2)
        height, width = clip.size
    return VideoReport(
        width=width,
        height=height,
        frames=tally.frames,
        changed_frames=tally.changed,
        resumed_frames=done,
        touched_fraction=tally.touched / tally.pixels,
        seen_fraction=tally.seen / tally.pixels,
        flicker=tally.flicker / max(1, tally.still),
        seconds=time.perf_counter() - started,
        encoder=recipe.encoder,
        model=deblurrer.model_name,
        device=str(deblurrer.device),
        dtype=str(deblurrer.dtype).removeprefix("torch."),
        version=__version__,
        warnings=tuple(said),
    )


class _Run:
    """The three stages of one clip, each called in the order of the frames by one thread."""

    def __init__(
        self,
        clip: Clip,
        restorer: Restorer,
        recipe: Recipe,
        pieces: Pieces,
        settings: VideoSettings,
        done: int,
        progress: Progress | None,
    ) -> None:
        self.clip = clip
        self.restorer = restorer
        self.recipe = recipe
        self.pieces = pieces
        self.settings = settings
        self.done = done
        self.progress = progress
        self._sequence: FrameSequence | None = None
        self._before: Frame | None = None
        self._frames = done
        self._piece = _OpenPiece(recipe)

    def decode(self, packet: Any) -> tuple[list[Frame], bool]:
        """First stage: the frames of a packet, and whether they are the last."""
        return self.clip.decode(packet), packet is None

    def restore(self, decoded: tuple[list[Frame], bool]) -> tuple[list[Ready], bool]:
        """Second stage: the frames that are decided on, and whether they are the last."""
        frames, is_last = decoded
        ready = []
        for frame in frames:
            if frame.number < self.done:
                self._before = frame
            else:
                ready += self._going().put(frame)
        if is_last:
            ready += self._going().flush()
        return ready, is_last

    def write(self, decided: tuple[list[Ready], bool]) -> None:
        """Third stage: put the change into each frame, encode it, keep what is complete."""
        ready, is_last = decided
        for each in ready:
            self._piece.put(each, self.restorer)
            self._frames += 1
            if self._frames % self.settings.piece == 0:
                self._close_piece(each.memory)
            if self.progress:
                self.progress(min(1.0, self._frames / self.clip.total))
        if is_last and self._piece.tally.frames:
            self._close_piece(Memory())  # nothing comes after it

    def _going(self) -> FrameSequence:
        if self._sequence is None:
            self._sequence = FrameSequence(
                self.restorer, self.settings.reach, self.pieces.last_memory(), self._before
            )
        return self._sequence

    def _close_piece(self, memory: Memory) -> None:
        self.pieces.add(self._piece.close(memory))
        self._piece = _OpenPiece(self.recipe)


class _OpenPiece:
    """A piece on its way, with an encoder of its own: decoding can begin with its first frame."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.encoder: Any = None
        self.packets: list[Coded] = []
        self.durations: dict[int, int] = {}
        self.tally = Tally()
        self.flicker: Flicker | None = None

    def put(self, ready: Ready, restorer: Restorer) -> None:
        """Change and encode the next frame."""
        if self.encoder is None:
            self.encoder = self.recipe.open()
            self.flicker = Flicker(ready.seen.frame.coding.bits)
        assert self.flicker is not None, "it comes with the encoder"
        seen, frame = ready.seen, ready.seen.frame
        luma = frame.luma.copy()
        change = restorer.apply(seen, ready.kept)
        picture = frame.picture
        self.flicker.put(luma, planes_of(picture)[0] if change.touched else None)
        self.tally += Tally(
            frames=1,
            changed=int(change.touched > 0),
            pixels=luma.size,
            touched=change.touched,
            seen=seen.pixels,
            refused=change.refused,
        )
        picture.pts, picture.time_base = frame.pts, self.recipe.time_base
        picture.pict_type = 0  # the encoder is to choose by itself
        self.durations[frame.pts] = frame.duration
        self._take(self.encoder.encode(picture))

    def close(self, memory: Memory) -> Piece:
        """Give the piece."""
        self._take(self.encoder.encode(None))
        assert self.flicker is not None, "a piece has a frame"
        figures = Tally(flicker=self.flicker.total, still=self.flicker.pixels)
        return Piece(self.packets, self.tally + figures, memory)

    def _take(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            duration = self.durations.pop(packet.pts, 0) or packet.duration or 0
            self.packets.append(Coded(bytes(packet), packet.pts, duration, packet.is_keyframe))


def _key(
    source: Path,
    deblurrer: Deblurrer,
    steering: Steering,
    settings: VideoSettings,
    recipe: Recipe,
) -> dict[str, Any]:
    """What the pieces of a result depend on."""
    model = Path(deblurrer.model_name)
    mask = steering.mask
    return {
        "clip": fingerprint(source),
        "model": fingerprint(model) if model.is_file() else deblurrer.model_name,
        "device": deblurrer.device.type,
        "dtype": str(deblurrer.dtype),
        "mask": None if mask is None else np.packbits(mask).tobytes().hex(),
        "boxes": [list(box) for box in steering.boxes],
        "threshold": steering.threshold,
        "strength": steering.strength,
        "reach": settings.reach,
        "piece": settings.piece,
        "recipe": repr(recipe),
        "versions": [__version__, av.__version__],
    }


def _check_wishes(steering: Steering) -> None:
    if steering.dense or steering.whole or steering.budget:
        raise InputError("Clips know no dense, whole or budget: leave them out.")


def _check_place(source: Path, destination: Path, *, overwrite: bool) -> None:
    if destination.is_dir():
        raise OutputError(f"{destination} is a folder: give a file's name.")
    if not destination.parent.is_dir():
        raise OutputError(f"There is no folder {destination.parent}: make it first.")
    if not destination.exists():
        return
    if source.exists() and destination.samefile(source):
        raise OutputError(f"{destination} is the clip itself: choose another name.")
    if not overwrite:
        raise OutputError(f"{destination} already exists: use --overwrite, or another name.")
