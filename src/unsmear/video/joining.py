"""The result's file: the new stream, and everything else of the clip copied as it is."""

from __future__ import annotations

import contextlib
import heapq
import io
import secrets
import shutil
import warnings
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import ContainerFormat
from av.error import FFmpegError
from av.format import Flags
from av.stream import Disposition

from unsmear.errors import InputError, OutputError
from unsmear.video.clip import TAGS_AS_BYTES, Clip
from unsmear.video.encoding import Recipe
from unsmear.video.segments import Coded


def container_format(path: Path) -> str:
    """FFmpeg's name of the format of a file's ending.

    Raises:
        InputError: an ending that no clip has.
    """
    name = SUFFIXES.get(path.suffix.lower())
    if name is None:
        raise InputError(f"{path} is no clip by its ending: use one of {', '.join(SUFFIXES)}.")
    return name


SUFFIXES = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
    ".3gp": "3gp",
    ".flv": "flv",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".wmv": "asf",
    ".ogv": "ogg",
}
"""Endings of clips, and FFmpeg's names of the formats."""

WITH_COVERS = ("mp4", "matroska")


def wants_global_header(name: str) -> bool:
    """Whether a container keeps the codec's headers apart from the stream."""
    return bool(ContainerFormat(name, "w").flags & Flags.global_header.value)


def keeps_showing_times(name: str) -> bool:
    """Whether a container says when a frame is shown, besides the order of decoding."""
    return name not in ("avi", "asf")


def has_edit_lists(name: str) -> bool:
    """Whether a container can hold packets that are decoded and not played."""
    return name in ("mp4", "mov", "3gp")


def is_cover(stream: Any) -> bool:
    """Whether a stream is a picture that stands for the clip, such as an album's cover."""
    return bool(stream.disposition & Disposition.attached_pic)


def copied_streams(clip: Clip, name: str) -> tuple[list[Any], list[Any]]:
    """The streams beside the video that a container can take, and those that it cannot."""
    others = [each for each in clip.container.streams if each.index != clip.stream.index]
    fitting = [_takes(name, stream) for stream in others]
    taken = [stream for stream, fits in zip(others, fitting, strict=True) if fits]
    return taken, [stream for stream in others if stream not in taken]


def warn_of_losses(clip: Clip, name: str) -> None:
    """Say which streams cannot be copied into a container."""
    for stream in copied_streams(clip, name)[1]:
        if not _is_made_anew(clip, stream):
            kind = "cover" if is_cover(stream) else stream.type
            warnings.warn(
                f"stream {stream.index} ({kind}, {stream.name or 'of an unknown codec'}) cannot be "
                f"copied into a {name} file: it is left out",
                stacklevel=2,
            )


def _is_made_anew(clip: Clip, stream: Any) -> bool:
    """Whether a stream holds time codes or chapters, of which containers make their own."""
    is_chapters = 0 < stream.frames == len(clip.container.chapters())
    return stream.type == "data" and ("timecode" in stream.metadata or is_chapters)


def check_container(recipe: Recipe, name: str, path: Path) -> None:
    """Refuse a container that cannot hold the new stream, before any work.

    Raises:
        InputError: it cannot.
    """
    try:
        with av.open(io.BytesIO(), "w", format=name) as output:
            _add_video(output, recipe, None)
            output.start_encoding()
    except (FFmpegError, ValueError):
        raise InputError(
            f"{path} cannot hold what {recipe.encoder} makes: use another ending, such as .mkv."
        ) from None


def join(
    clip: Clip, recipe: Recipe, packets: Iterable[Coded], times: np.ndarray, path: Path
) -> None:
    """Write the result under a passing name, and give it its own when it is whole.

    Args:
        clip: the input; its other streams, chapters, tags and attachments are copied.
        recipe: how the new stream was encoded.
        packets: of the new stream in decoding order.
        times: when their frames are shown.
        path: the result; one that is there is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    with _passing(path) as passing:
        _write(clip, recipe, packets, times, passing, container_format(path))


def copy(source: Path, path: Path) -> None:
    """Write a clip in which nothing changed: the same bytes.

    Raises:
        OutputError: it cannot be written.
    """
    with _passing(path) as passing:
        shutil.copyfile(source, passing)


@contextlib.contextmanager
def _passing(path: Path) -> Iterator[Path]:
    """A passing name for a file, which gets its own in one step when it is whole."""
    passing = path.with_name(f".unsmear-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield passing
        passing.replace(path)
    except (FFmpegError, OSError) as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}): check its folder; the same command "
            "goes on."
        ) from None
    finally:
        passing.unlink(missing_ok=True)


def decoding_times(times: np.ndarray) -> list[int]:
    """When each packet is decoded, from when its frame is shown, both in decoding order.

    Decoders need times that rise and that are never after the time of showing. A frame that is
    decoded as the n-th takes the time of the frame shown as the (n - d)-th, where d is the least
    delay with which that holds; the first d go before the first.
    """
    if not len(times):
        return []
    shown = np.sort(times)
    delay = int((np.arange(len(times)) - np.searchsorted(shown, times)).max())
    lead = max(1, int(np.diff(shown).min())) if len(shown) > 1 else 1
    early = [int(shown[0]) - lead * (delay - index) for index in range(delay)]
    return early + shown[: len(shown) - delay].tolist()


def coarsest_unit(times: np.ndarray, time_base: Fraction, rate: Fraction) -> Fraction:
    """The longest time of which an AVI can be made up that tells times apart as they are.

    An AVI has a frame in every unit, an empty one where nothing is shown.

    Args:
        times: when frames are shown, in any order; differences may be off by a unit of the time
            base, as Matroska rounds them.
        time_base: seconds in a unit of theirs.
        rate: frames a second on average.

    Returns:
        Seconds: a frame's where frames follow evenly, else the greatest that divides all steps.
    """
    shown = np.sort(times)
    step, parts = (1 / (rate * time_base)).as_integer_ratio()  # units from frame to frame
    numbers = (2 * parts * shown + step) // (2 * step)
    off = (numbers - numbers[:1]) * step - (shown - shown[:1]) * parts
    if (np.diff(numbers) > 0).all() and (np.abs(off) <= parts).all():
        return 1 / rate
    return int(np.gcd.reduce(np.diff(shown))) * time_base


def _write(
    clip: Clip,
    recipe: Recipe,
    packets: Iterable[Coded],
    times: np.ndarray,
    path: Path,
    name: str,
) -> None:
    clip.rewind()
    taken, _ = copied_streams(clip, name)
    settings = _settings(name, has_cover=any(map(is_cover, taken)))
    with av.open(str(path), "w", format=name, **settings) as output:
        video = _add_video(output, recipe, clip)
        if name == "avi":
            video.time_base = coarsest_unit(times, recipe.time_base, recipe.rate)
        own = {stream.index: _add_copy(output, stream) for stream in taken}
        output.metadata.update(_tags(clip.container.metadata))
        output.set_chapters(clip.container.chapters())
        output.start_encoding()
        new = _new_packets(packets, times, recipe.time_base, video)
        others = _other_packets(clip, taken, own, discarded=has_edit_lists(name))
        for _, packet in heapq.merge(new, others, key=lambda pair: pair[0]):
            output.mux(packet)


def _settings(name: str, *, has_cover: bool) -> dict[str, Any]:
    options = {}
    if name in ("mp4", "mov"):
        # FFmpeg writes a cover only beside tags of iTunes' own names, not beside those of any name.
        options["movflags"] = "faststart" if has_cover else "use_metadata_tags+faststart"
    return {"container_options": options, **TAGS_AS_BYTES}


def _add_video(output: Any, recipe: Recipe, clip: Clip | None) -> Any:
    stream = output.add_stream(recipe.encoder, rate=recipe.rate)
    stream.time_base = recipe.time_base
    recipe.dress(stream.codec_context)
    if recipe.encoder == "libx265" and has_edit_lists(output.format.name):
        stream.codec_context.codec_tag = "hvc1"  # FFmpeg's own, hev1, is not played by Apple's
    if clip is not None:
        stream.metadata.update(_tags(clip.stream.metadata))
        stream.disposition = clip.stream.disposition
        stream.set_display_matrix(clip.display_matrix)
    return stream


def _add_copy(output: Any, stream: Any) -> Any:
    if stream.type == "attachment":
        return output.add_attachment(
            stream.metadata.get("filename", "attachment"),
            stream.mimetype or "application/octet-stream",
            bytes(stream.data),
        )
    if is_cover(stream) and output.format.name == "matroska":
        is_png = stream.name == "png"
        return output.add_attachment(
            stream.metadata.get("filename", "cover.png" if is_png else "cover.jpg"),
            stream.metadata.get("mimetype", "image/png" if is_png else "image/jpeg"),
            _cover_in(stream),
        )
    copy = output.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(_tags(stream.metadata))
    copy.disposition = stream.disposition
    return copy


def _cover_in(stream: Any) -> bytes:
    with av.open(stream.container.name, **TAGS_AS_BYTES) as again:
        return bytes(next(again.demux(again.streams[stream.index])))


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what the container writes itself."""
    own = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration")
    return {name: text for name, text in metadata.items() if name.lower() not in own}


def _takes(name: str, stream: Any) -> bool:
    """Whether a container can hold a stream: tried, since formats do not tell it all."""
    if stream.type == "data" and stream.name is None:
        return False  # muxers would leave out what its packets mean, or fail at the end
    if is_cover(stream) and name not in WITH_COVERS:
        return False
    output: Any = av.open(io.BytesIO(), "w", format=name)
    try:
        _add_copy(output, stream)
        output.start_encoding()
    except (FFmpegError, ValueError, TypeError):
        return False
    finally:
        with contextlib.suppress(FFmpegError, ValueError):
            output.close()
    return True


def _new_packets(
    packets: Iterable[Coded], times: np.ndarray, time_base: Fraction, stream: Any
) -> Iterator[tuple[Fraction, Any]]:
    for coded, dts in zip(packets, decoding_times(times), strict=True):
        packet: Any = av.Packet(coded.data)
        packet.pts, packet.dts, packet.duration = coded.pts, dts, coded.duration
        packet.time_base, packet.is_keyframe, packet.stream = time_base, coded.is_key, stream
        yield dts * time_base, packet


def _other_packets(
    clip: Clip, taken: list[Any], own: dict[int, Any], *, discarded: bool
) -> Iterator[tuple[Fraction, Any]]:
    flowing = [stream for stream in taken if own[stream.index].type != "attachment"]
    if not flowing:
        return
    demuxed = clip.container.demux(*flowing)
    now = Fraction(0)
    while True:
        try:
            packet = next(demuxed, None)
        except FFmpegError:  # a file that breaks off
            return
        if packet is None:
            return
        if packet.size == 0 or (packet.is_discard and not discarded):
            continue
        if packet.dts is not None:
            now = packet.dts * packet.time_base
        packet.stream = own[packet.stream.index]
        yield now, packet
