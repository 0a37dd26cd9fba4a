"""Clips through the engine: what changes, and what stays."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from unsmear.errors import InputError, OutputError
from unsmear.inference import Steering
from unsmear.video.colours import planes_of

from .makers import ffmpeg, frames_of, moving_square, packets, planes, times, write_clip


def test_frames_times_and_tags_are_kept(deblur, clip: Path, tmp_path: Path) -> None:
    report = deblur(clip, tmp_path / "out.mp4")
    assert report.frames == report.changed_frames == 10
    assert times(tmp_path / "out.mp4") == times(clip)
    assert planes(tmp_path / "out.mp4") != planes(clip)
    assert not list(tmp_path.glob(".*"))


def test_only_samples_near_what_moves_change(deblur, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", moving_square(6, height=96), codec="ffv1")
    deblur(source, tmp_path / "out.mkv")
    for before, after in zip(frames_of(source), frames_of(tmp_path / "out.mkv"), strict=True):
        one, other = (planes_of(frame) for frame in (before, after))
        assert not np.array_equal(one[0][:66], other[0][:66])
        # The square ends in row 40; 16 px that moving cells grow, 8 of the mask, 2 of colour.
        assert np.array_equal(one[0][66:], other[0][66:])
        assert np.array_equal(one[1][33:], other[1][33:])


def test_a_still_clip_comes_back_as_the_same_bytes(deblur, tmp_path: Path) -> None:
    still = write_clip(tmp_path / "still.mp4", moving_square(6, speed=0))
    report = deblur(still, tmp_path / "out.mp4")
    assert (report.changed_frames, report.seen_fraction, report.flicker) == (0, 0, 0)
    assert (tmp_path / "out.mp4").read_bytes() == still.read_bytes()


def test_frames_without_a_change_go_to_the_encoder_as_they_are(deblur, tmp_path: Path) -> None:
    pictures = moving_square(12)
    pictures[6:] = pictures[6]
    source = write_clip(tmp_path / "stops.mkv", pictures, codec="ffv1")
    report = deblur(source, tmp_path / "out.mkv")
    assert 0 < report.changed_frames < 9
    before, after = planes(source), planes(tmp_path / "out.mkv")
    assert before[0] != after[0]
    assert before[8:] == after[8:]


@pytest.mark.parametrize(
    ("codec", "pixels", "ending", "encoder"),
    [
        ("libx264", "yuv420p", "mp4", "libx264"),
        ("libx264", "yuv420p10le", "mp4", "libx264"),
        ("libx264", "yuvj420p", "mp4", "libx264"),
        ("libx265", "yuv420p10le", "mp4", "libx265"),
        ("libvpx-vp9", "yuv420p", "webm", "libvpx-vp9"),
        ("ffv1", "bgr0", "avi", "ffv1"),
        ("ffv1", "yuv422p10le", "avi", "ffv1"),
        ("mpeg4", "yuv420p", "avi", "libx264"),
    ],
)
def test_lossless_loses_nothing_in_any_format(
    deblur, tmp_path: Path, codec: str, pixels: str, ending: str, encoder: str
) -> None:
    source = write_clip(tmp_path / f"in.{ending}", moving_square(4), pixels=pixels, codec=codec)
    # Nothing changes at a strength of 0; another container has it encoded again all the same.
    report = deblur(source, tmp_path / "out.mkv", steering=Steering(strength=0.0))
    assert report.encoder == encoder
    assert planes(tmp_path / "out.mkv") == planes(source)
    before, after = frames_of(source)[0], frames_of(tmp_path / "out.mkv")[0]
    assert before.format.name == after.format.name == pixels


@pytest.mark.parametrize(("matrix", "bits"), [("bt709", 8), ("smpte170m", 8), ("bt2020nc", 10)])
@pytest.mark.parametrize("scale", ["tv", "pc"])
def test_colour_tags_are_kept(deblur, tmp_path: Path, matrix: str, bits: int, scale: str) -> None:
    tags = f"setparams=range={scale}:colorspace={matrix}:color_primaries=bt2020:color_trc=bt709"
    form = "yuv420p" if bits == 8 else "yuv420p10le"
    source = write_clip(tmp_path / "in.mp4", moving_square(3), "-vf", tags, pixels=form)
    deblur(source, tmp_path / "out.mp4", settings={"lossless": False})

    def tags_of(path: Path) -> tuple[object, ...]:
        frame = frames_of(path)[0]
        own = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        return (*own, frame.format.name)

    assert tags_of(tmp_path / "out.mp4") == tags_of(source)
    assert tags_of(source)[1] == (1 if scale == "tv" else 2)


def test_everything_else_is_copied(deblur, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "words.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nhello\n")
    (tmp_path / "tags.txt").write_text(
        ";FFMETADATA1\ntitle=A walk\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=200\nEND=400\ntitle=two\n"
    )
    inputs = ("-i", clip, "-f", "lavfi", "-i", "sine=d=0.4", "-i", tmp_path / "words.srt")
    maps = ("-map", 0, "-map", 1, "-map", 2, "-map_metadata", 3, "-metadata:s:1", "language=nld")
    (tmp_path / "note.txt").write_text("attached")
    for name, text, more in (
        ("full.mp4", "mov_text", ()),
        (
            "full.mkv",
            "srt",
            ("-attach", tmp_path / "note.txt", "-metadata:s:3", "mimetype=text/plain"),
        ),
    ):
        source, result = tmp_path / name, tmp_path / f"out.{name}"
        ffmpeg(
            *(*inputs, "-i", tmp_path / "tags.txt", *maps, *more, "-c:v", "copy"),
            *("-c:a", "aac", "-c:s", text, source),
        )
        deblur(source, result)
        assert packets(result) == packets(source)
        assert {kind for kind, *_ in packets(result)} == {"audio", "subtitle"}
        assert times(result) == times(source)
        with av.open(str(source)) as one, av.open(str(result)) as other:
            assert other.metadata["title"] == "A walk"
            assert [c["metadata"] for c in other.chapters()] == [
                c["metadata"] for c in one.chapters()
            ]
            assert other.streams.audio[0].metadata["language"] == "nld"
            attached = [s.data for s in other.streams if s.type == "attachment"]
            assert attached == ([b"attached"] if more else [])


@pytest.mark.parametrize(("source", "result"), [("mp4", "mp4"), ("mp4", "mkv"), ("mkv", "mp4")])
def test_a_cover_is_kept(deblur, clip: Path, tmp_path: Path, source: str, result: str) -> None:
    covered, cover = tmp_path / f"in.{source}", tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32", "-frames:v", 1, cover)
    with_cover = ("-i", cover, "-map", 0, "-map", 1, "-disposition:v:1", "attached_pic")
    if source == "mkv":
        with_cover = ("-attach", cover, "-metadata:s:t", "mimetype=image/png")
    ffmpeg("-i", clip, *with_cover, "-c", "copy", "-metadata", "title=A walk", covered)
    deblur(covered, tmp_path / f"out.{result}")
    with av.open(str(tmp_path / f"out.{result}")) as out:
        assert out.metadata["title"] == "A walk"
        _, stream = out.streams.video
        assert stream.disposition & Disposition.attached_pic
        assert bytes(next(out.demux(stream))) == cover.read_bytes()


def test_hevc_goes_by_the_name_that_all_players_know(deblur, tmp_path: Path) -> None:
    quiet = ("-x265-params", "log-level=error")
    source = write_clip(tmp_path / "in.mkv", moving_square(2), *quiet, codec="libx265")
    for name in ("out.mp4", "out.mov"):
        deblur(source, tmp_path / name, settings={"lossless": False})
        with av.open(str(tmp_path / name)) as out:
            assert out.streams.video[0].codec_context.codec_tag == "hvc1"
        assert len(frames_of(tmp_path / name)) == 2


@pytest.mark.filterwarnings("error")
def test_time_codes_are_kept(deblur, clip: Path, tmp_path: Path) -> None:
    """As a stream of their own they would clash with the one that the container makes."""
    timed = tmp_path / "timed.mov"
    ffmpeg("-i", clip, "-c", "copy", "-timecode", "01:02:03:04", timed)
    deblur(timed, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as out:
        assert [stream.type for stream in out.streams] == ["video", "data"]
        assert out.streams.video[0].metadata["timecode"] == "01:02:03:04"


@pytest.mark.parametrize("ending", ["avi", "mkv", "mp4"])
def test_tags_in_another_encoding_are_kept(ending, deblur, clip: Path, tmp_path: Path) -> None:
    title = b"caf\xe9 de nuit"
    source, result = tmp_path / f"in.{ending}", tmp_path / f"out.{ending}"
    ffmpeg("-i", clip, "-c", "copy", "-metadata", os.fsdecode(b"title=" + title), source)
    assert title in source.read_bytes()
    deblur(source, result, settings={"lossless": False})
    assert title in result.read_bytes()


def test_a_turned_clip_is_shown_the_same_way(deblur, clip: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", clip, "-c", "copy", turned)
    deblur(turned, tmp_path / "out.mp4")
    before, after = frames_of(turned)[0], frames_of(tmp_path / "out.mp4")[0]
    assert before.rotation == after.rotation == 90
    assert (before.width, before.height) == (after.width, after.height) == (96, 64)


def test_sound_that_an_edit_list_cuts_away_stays_away(
    deblur, trimmed: Path, tmp_path: Path
) -> None:
    def of_kind(path: Path, kind: str) -> list[av.Packet]:
        with av.open(str(path)) as clip:
            return [p for p in clip.demux(**{kind: 0}) if p.size and not p.is_discard]

    def lead(path: Path) -> float:
        """Seconds from the first sound to the first frame."""
        sound, frame = of_kind(path, "audio")[0], frames_of(path)[0]
        return float(frame.pts * frame.time_base - sound.pts * sound.time_base)

    kept = [bytes(packet) for packet in of_kind(trimmed, "audio")]
    for ending in ("mkv", "ts", "mp4", "mov"):
        result = tmp_path / f"out.{ending}"
        deblur(trimmed, result, settings={"lossless": False})
        assert len(frames_of(result)) == 15
        assert lead(result) == pytest.approx(lead(trimmed), abs=0.0011)
        if ending != "ts":  # which puts headers in between
            assert [bytes(packet) for packet in of_kind(result, "audio")] == kept
    assert frames_of(tmp_path / "out.mkv")[0].time < 0.025  # a packet of sound at most


def test_the_pixels_shape_is_kept(deblur, clip: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.mp4"
    ffmpeg("-i", clip, "-vf", "setsar=4/3", "-c:v", "libx264", wide)
    deblur(wide, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert out.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_hdr_levels_go_on_in_hevc(deblur, tmp_path: Path) -> None:
    levels = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    source = write_clip(
        tmp_path / "hdr.mp4",
        moving_square(3),
        *("-x265-params", f"log-level=error:master-display={levels}:max-cll=1000,400"),
        pixels="yuv420p10le",
        codec="libx265",
    )
    deblur(source, tmp_path / "out.mp4", settings={"lossless": False})

    def light(path: Path) -> list[bytes]:
        sides = frames_of(path)[0].side_data
        return [
            bytes(sides[kind]) for kind in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
        ]

    assert light(tmp_path / "out.mp4") == light(source)


def test_steadied_masks_flicker_less(deblur, monkeypatch, tmp_path: Path) -> None:
    """A network that is sure of what moves in every second frame only."""
    from unsmear.video.restorer import Restorer

    source = write_clip(tmp_path / "in.mkv", moving_square(10, speed=1), codec="ffv1")
    see = Restorer.see

    def doubt(self, frame, moving):
        seen = see(self, frame, moving)
        sure = seen.verdict.sure & (frame.number % 2 == 0)
        return type(seen)(**{**vars(seen), "verdict": seen.verdict._replace(sure=sure)})

    monkeypatch.setattr(Restorer, "see", doubt)
    steadied = deblur(source, tmp_path / "steadied.mkv", settings={"piece": 100})
    blinking = deblur(source, tmp_path / "blinking.mkv", settings={"piece": 100, "reach": 0})
    assert blinking.changed_frames == 5
    assert steadied.changed_frames >= 8
    assert steadied.flicker < 0.5 * blinking.flicker


# --- what cannot be used ---


def test_odd_sides(deblur, tmp_path: Path) -> None:
    pictures = moving_square(3, 63, 95)
    odd = write_clip(tmp_path / "odd.mkv", pictures, codec="ffv1")
    assert deblur(odd, tmp_path / "out.mkv").changed_frames
    assert frames_of(tmp_path / "out.mkv")[0].width == 95
    refused = write_clip(tmp_path / "odd.avi", pictures, codec="mpeg4")
    with pytest.raises(InputError, match="even sides"):
        deblur(refused, tmp_path / "out.mp4")


def test_transparency_that_cannot_be_kept_is_refused(deblur, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mov", moving_square(3), pixels="argb", codec="qtrle")
    with pytest.raises(InputError, match="transparency"):
        deblur(source, tmp_path / "out.mp4")
    kept = write_clip(tmp_path / "a.mkv", moving_square(3), pixels="yuva420p", codec="ffv1")
    deblur(kept, tmp_path / "out.mkv")
    assert frames_of(tmp_path / "out.mkv")[0].format.name == "yuva420p"


def test_transparency_that_is_not_decoded_is_refused(deblur, tmp_path: Path) -> None:
    for codec in ("libvpx", "libvpx-vp9"):
        source = write_clip(
            *(tmp_path / f"{codec}.webm", moving_square(3)),
            *("-vf", "colorkey=black", "-auto-alt-ref", "0"),
            pixels="yuva420p",
            codec=codec,
        )
        for ending in ("webm", "mkv"):
            with pytest.raises(InputError, match=f"transparency.*-c:v {codec} "):
                deblur(source, tmp_path / f"out.{ending}", settings={"lossless": False})


def test_results_are_never_lost(deblur, clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    with pytest.raises(OutputError, match="the clip itself"):
        deblur(clip, clip, overwrite=True)
    result = tmp_path / "out.mp4"
    result.write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        deblur(clip, result)
    assert result.read_bytes() == b"precious"
    deblur(clip, result, overwrite=True)
    assert len(frames_of(result)) == 10
    assert clip.read_bytes() == content
    with pytest.raises(OutputError, match="no folder"):
        deblur(clip, tmp_path / "nowhere" / "out.mp4")


def test_a_container_without_room_for_the_codec(deblur, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot hold"):
        deblur(clip, tmp_path / "out.webm")
    assert not list(tmp_path.glob("*out*"))


def test_streams_that_do_not_fit_are_named(deblur, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "words.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nhello\n")
    both = tmp_path / "both.mkv"
    ffmpeg("-i", clip, "-i", tmp_path / "words.srt", "-c:v", "copy", "-c:s", "srt", both)
    with pytest.warns(UserWarning, match="subtitle"):
        deblur(both, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4")


def with_measurements(clip: Path, tag: bytes) -> Path:
    """A clip with what cameras store beside the picture: FFmpeg knows some kinds, such as gpmd."""
    words, path = clip.with_name("words.srt"), clip.with_name("measured.mp4")
    words.write_text("1\n00:00:00,100 --> 00:00:00,300\nhello\n")
    ffmpeg("-i", clip, "-i", words, "-c:v", "copy", "-c:s", "mov_text", path)
    path.write_bytes(path.read_bytes().replace(b"tx3g", tag).replace(b"sbtl", b"meta"))
    return path


@pytest.mark.filterwarnings("error")
def test_measurements_are_copied(deblur, clip: Path, tmp_path: Path) -> None:
    source = with_measurements(clip, b"gpmd")
    deblur(source, tmp_path / "out.mp4")
    assert packets(tmp_path / "out.mp4", ["data"]) == packets(source, ["data"])


@pytest.mark.parametrize(("tag", "ending"), [(b"gpmd", "mkv"), (b"mebx", "mov")])
def test_measurements_that_cannot_be_copied_are_named(
    deblur, clip: Path, tmp_path: Path, tag: bytes, ending: str
) -> None:
    with pytest.warns(UserWarning, match=r"stream 1 \(data"):
        deblur(with_measurements(clip, tag), tmp_path / f"out.{ending}")
    with av.open(str(tmp_path / f"out.{ending}")) as out:
        assert [stream.type for stream in out.streams] == ["video"]


def test_a_cover_without_a_place_is_named(deblur, clip: Path, tmp_path: Path) -> None:
    cover, covered = tmp_path / "cover.png", tmp_path / "in.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", 1, cover)
    ffmpeg(*("-i", clip, "-i", cover, "-map", 0, "-map", 1, "-c", "copy"),
           *("-disposition:v:1", "attached_pic", covered))  # fmt: skip
    with pytest.warns(UserWarning, match="cover, png"):
        deblur(covered, tmp_path / "out.mov")


def test_qualities_that_an_encoder_does_not_know(deblur, clip: Path, tmp_path: Path) -> None:
    lossy = write_clip(
        tmp_path / "p.mov", moving_square(2), pixels="yuv422p10le", codec="prores_ks"
    )
    with pytest.raises(InputError, match="lossless"):
        deblur(lossy, tmp_path / "out.mov")
    with pytest.raises(InputError, match="crf"):
        deblur(lossy, tmp_path / "out.mov", settings={"lossless": False, "crf": 20})
    sizes = []
    for crf in (10, 40):
        deblur(clip, tmp_path / f"{crf}.mp4", settings={"lossless": False, "crf": crf})
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[0] > sizes[1]
