"""A clip's file: what is in it, and its frames one after the other."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.sidedata.sidedata import Type
from av.stream import Disposition

from unsmear.errors import InputError
from unsmear.video.colours import Coding, in_planes, planes_of

# Tags in another encoding than UTF-8 come and go as the bytes they are: by itself from PyAV 19 on.
_KNOWS_BYTES = int(av.__version__.split(".")[0]) > 18
TAGS_AS_BYTES: dict[str, Any] = {} if _KNOWS_BYTES else {"metadata_errors": "surrogateescape"}


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        number: from 0, in the order of showing.
        pts: when it is shown, in the stream's time base.
        duration: how long, likewise; 0 where the file does not say.
        picture: the frame as it was decoded, a plane for each component.
        coding: what its samples mean.
    """

    number: int
    pts: int
    duration: int
    picture: av.VideoFrame
    coding: Coding

    @property
    def luma(self) -> np.ndarray:
        """(H, W): luma, or green in a clip of RGB. A view."""
        return planes_of(self.picture)[0]


class Clip:
    """An open clip. Frames are as they are stored: a turn that the file asks for is not made.

    Args:
        path: the file.

    Raises:
        InputError: no file, no clip, a picture, or no frame that can be decoded.

    Attributes:
        stream: the video stream that is deblurred.
        first: its first frame.
        turn: degrees counter-clockwise by which players turn the picture.
        display_matrix: how players place it, 9 integers; None where the file does not say.
        total: frames in it, as far as the file says; at least 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shape: tuple[int, int, str] | None = None
        self._open()
        first = next((frame for batch in map(self.decode, self.packets()) for frame in batch), None)
        if first is None:
            raise InputError(f"{path} has no frame that can be decoded: check where it comes from.")
        self.first = first
        self.turn = int(first.picture.rotation)
        sides: Any = first.picture.side_data
        matrix = sides.get(Type.DISPLAYMATRIX)
        self.display_matrix = matrix and np.frombuffer(bytes(matrix), np.int32).tolist()
        self.total = max(1, self._stated or self._estimate())
        if first.picture.interlaced_frame:
            warnings.warn(
                "the clip is interlaced: both fields are taken as one picture, so that what moves "
                "stays combed, and the result is marked as progressive. Part the fields first, "
                f"e.g. ffmpeg -i {path.name} -vf bwdif progressive.mkv",
                stacklevel=2,
            )
        self.rewind()

    def __enter__(self) -> Clip:
        """Use the clip."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.container.close()

    @property
    def time_base(self) -> Fraction:
        """Seconds in a unit of the timestamps."""
        return self.stream.time_base or Fraction(1, 90000)

    @property
    def rate(self) -> Fraction:
        """Frames a second on average; 25 where the file does not say."""
        return self.stream.average_rate or self.stream.guessed_rate or Fraction(25)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as they are stored."""
        return self.first.picture.height, self.first.picture.width

    @property
    def _is_avi(self) -> bool:
        return self.container.format.name == "avi"

    @property
    def frames_read(self) -> int:
        """Frames decoded since :meth:`rewind`."""
        return self._count

    def rewind(self) -> None:
        """Begin again with the first frame."""
        self.container.close()
        self._open()

    def _open(self) -> None:
        self.container = _opened(self.path)
        self.stream = _video_stream(self.container, self.path)
        self.stream.thread_type = "AUTO"
        self._count, self._last, self._end, self._damaged = 0, None, Fraction(0), 0
        self._first_dts, self._delay = None, None
        self._stated = self._stated_frames()

    def packets(self) -> Iterator[Any]:
        """What :meth:`decode` takes, the last of it empty; a file that breaks off ends early."""
        demuxed = self.container.demux(self.stream)
        while True:
            try:
                packet = next(demuxed, None)
            except FFmpegError:
                packet = None
            if packet is None or packet.size == 0:
                break
            yield packet
        yield None

    def decode(self, packet: Any) -> list[Frame]:
        """The frames that a packet completes; what is damaged is left out.

        Raises:
            InputError: the frames change their size or format on the way.
        """
        if self._first_dts is None and packet is not None and packet.is_keyframe:
            self._first_dts = packet.dts
        try:
            pictures = self.stream.decode(packet)
        except FFmpegError:
            self._damaged += 1
            return []
        return [self._frame(picture) for picture in pictures]

    def warn_of_losses(self) -> None:
        """Say what could not be read, once all packets are decoded."""
        missing = self._missing_frames()
        if self._damaged or missing > max(2, (self._count + missing) // 100):
            said = f" of {self._stated}" if self._stated else ""
            warnings.warn(
                f"the file is damaged or breaks off: {self._count}{said} frames could be read",
                stacklevel=2,
            )

    def _frame(self, picture: av.VideoFrame) -> Frame:
        # Some files give no times, and broken ones give a time twice; players need them to rise.
        pts = self._avi_pts(picture) if self._is_avi else picture.pts
        if pts is None:
            step = max(1, round(1 / (self.rate * self.time_base)))
            pts = 0 if self._last is None else self._last + step
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
        duration = int(picture.duration or 0)
        picture = in_planes(picture)
        shape = (picture.height, picture.width, picture.format.name)
        self._shape = self._shape or shape
        if shape != self._shape:
            raise InputError(
                f"{self.path} changes its size or pixel format after {self._count} frames: cut it "
                "there, and deblur the pieces."
            )
        number = self._count
        self._count, self._last = number + 1, pts
        self._end = (pts + duration) * self.time_base
        return Frame(number, pts, duration, picture, Coding.of(picture))

    def _avi_pts(self, picture: av.VideoFrame) -> int | None:
        """When a frame of an AVI is shown; None for the last ones, which the decoder held back.

        An AVI says only when a frame is decoded, and FFmpeg's guess is late, and uneven where there
        are B-frames. The decoder gives one frame for each that it takes, some frames later.
        """
        if picture.dts is None:
            return None
        if self._delay is None:
            self._delay = picture.dts - (self._first_dts or 0)
        return picture.dts - self._delay

    def _stated_frames(self) -> int:
        """Frames that are shown, as far as the file says; 0 where it does not.

        The header also counts frames that an edit list cuts away, and an AVI's empty ones; the
        index tells them apart. An AVI that breaks off has lost it, and the header has to do.
        """
        stated, index = self.stream.frames, self.stream.index_entries
        if self._is_avi:
            # Without an index there are entries of the frames read to learn the format. Times in an
            # AVI count frames, empty ones too.
            has_index = len(index) > 0 and index[-1].timestamp > stated // 2
        else:
            has_index = self.container.format.name.startswith("mov,")
        return sum(not entry.is_discard for entry in index) if stated and has_index else stated

    def _missing_frames(self) -> int:
        """Frames that the file promises beyond those that were read.

        Matroska promises no number of them; its writers tag a stream with when it ends.
        """
        if self._stated:
            return self._stated - self._count
        tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", self.stream.metadata.get("DURATION", ""))
        if tag is None:
            return 0
        hours, minutes, seconds = map(float, tag.groups())
        return round((3600 * hours + 60 * minutes + seconds - self._end) * self.rate)

    def _estimate(self) -> int:
        """Frames by duration and rate."""
        seconds = 0.0
        if self.stream.duration:
            seconds = float(self.stream.duration * self.time_base)
        elif self.container.duration:
            seconds = self.container.duration / 1e6
        return round(seconds * float(self.rate))


def _opened(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"There is no file {path}: check its name.")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name one clip.")
    try:
        container = av.open(str(path), **TAGS_AS_BYTES)
    except FFmpegError as error:
        raise InputError(
            f"{path} cannot be read as a clip ({error.strerror}): check that it is whole."
        ) from None
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        container.close()
        raise InputError(f"{path} is a picture, not a clip: give it a picture's ending.")
    return container


def _video_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:  # an album's cover
            continue
        if stream.codec_context is None:
            raise InputError(
                f"The codec of {path} is not known to this build of PyAV: convert it to H.264."
            )
        return stream
    container.close()
    raise InputError(f"{path} has no video in it: name a clip with a picture.")
