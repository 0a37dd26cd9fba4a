"""Plans: found as they are worked on, and without two photos for one place."""

from __future__ import annotations

import os
import shutil
from itertools import islice
from pathlib import Path

import pytest

from unsmear.batch.jobs import Job, Places
from unsmear.batch.outcome import Ending
from unsmear.batch.plan import Plan, make_plan
from unsmear.errors import InputError

from .makers import make_file, make_photo


def results(plan: Plan) -> dict[str, str]:
    return {step.name: str(step.destination) for step in plan if isinstance(step, Job)}


def problems(plan: Plan) -> list[str]:
    return [step.problem or "" for step in plan if isinstance(step, Ending)]


def test_the_first_job_is_there_before_the_rest_is_looked_for() -> None:
    make_file("album/a.png")
    make_file("album/z/b.png")
    steps = iter(make_plan(["album"], Places(recursive=True)))
    (first,) = islice(steps, 1)
    make_file("album/z/c.png")
    rest = [step.name for step in steps if isinstance(step, Job)]
    assert isinstance(first, Job)
    assert (first.name, rest) == ("album/a.png", ["album/z/b.png", "album/z/c.png"])


def test_folders_that_cannot_be_read_are_told_and_not_called_empty() -> None:
    for name in ("album/a.png", "album/z/b.png", "more/c.png"):
        make_file(name)
    steps = iter(make_plan(["album", "more"], Places(recursive=True)))
    assert isinstance(next(steps), Job)
    shutil.rmtree("album/z")
    shutil.rmtree("more")
    told = [step.problem for step in steps if isinstance(step, Ending)]
    assert told == [
        f"The folder {name} cannot be read (No such file or directory), so its photos are left "
        "out: check its permissions and its disk."
        for name in ("album/z", "more")
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
@pytest.mark.parametrize("in_place", [False, True])
def test_pipes_and_devices_in_folders_are_told_and_not_waited_for(in_place: bool) -> None:
    make_file("album/a.png")
    os.mkfifo("album/pipe.png")
    Path("album/zero.png").symlink_to("/dev/zero")
    plan = make_plan(["album"], Places(in_place=in_place))
    assert [step.name for step in plan if isinstance(step, Job)] == ["album/a.png"]
    assert problems(plan) == [
        f"album/{name}.png is no file but a pipe, socket or device: move it elsewhere."
        for name in ("pipe", "zero")
    ]


def test_it_counts_what_it_yields() -> None:
    for name in ("one.png", "album/a.png", "album/b.png", "album/z/c.png", "bare/x.txt"):
        make_file(name)
    plan = make_plan(["one.png", "album", "bare"], Places(recursive=True))
    assert list(plan.counts()) == [1, 2, 1]
    assert len(results(plan)) == 4
    assert problems(plan) == ["bare holds no pictures."]


def test_results_that_come_into_being_meanwhile_are_no_photos() -> None:
    for name in ("album/a.png", "album/deep/b.png", "more/c.png", "album/album/old.png"):
        make_file(name)
    names = []
    for step in make_plan(["album", "more"], Places(output="album", recursive=True)):
        assert isinstance(step, Job)
        assert step.destination is not None
        names.append(step.name)
        make_file(step.destination)
    assert names == ["album/a.png", "album/deep/b.png", "more/c.png"]


def test_folders_of_one_name_mix_until_two_photos_meet() -> None:
    for name in ("x/day/a.png", "x/day/b.png", "y/day/b.png", "y/day/c.png"):
        make_file(name)
    plan = make_plan(["x/day", "y/day"], Places(output="out"))
    assert results(plan) == {
        "x/day/a.png": "out/day/a.png",
        "x/day/b.png": "out/day/b.png",
        "y/day/c.png": "out/day/c.png",
    }
    (problem,) = problems(plan)
    assert problem.startswith("x/day/b.png and y/day/b.png would both be written to out/day/b.png")


def test_two_blur_maps_of_one_name_are_told() -> None:
    for name in ("album/a.png", "album/a.jpg"):
        make_file(name)
    plan = make_plan(["album"], Places(blur_map=Path("maps")))
    assert list(results(plan)) == ["album/a.jpg"]
    assert "would both be written to maps/a.unsmeared.blur-map.png" in problems(plan)[0]


def misnamed(path: str) -> None:
    """A JPEG, whatever its name says."""
    make_photo("made.jpg").replace(make_file(path))


def test_photos_whose_contents_ask_for_one_name_are_told() -> None:
    for name in ("album/a.png", "album/a.tif", "album/b.bmp", "album/b.png", "album/c.png"):
        misnamed(name)
    make_photo("album/a.jpg")
    plan = make_plan(["album"], Places(output="out", overwrite=True))
    assert list(results(plan)) == ["album/a.jpg", "album/b.bmp", "album/c.png"]
    assert [problem.partition(":")[0] for problem in problems(plan)] == [
        "album/a.jpg and album/a.png would both be written to out/a.jpg",
        "album/a.jpg and album/a.tif would both be written to out/a.jpg",
        "album/b.bmp and album/b.png would both be written to out/b.jpg",
    ]


def test_so_are_named_ones_and_those_of_folders_of_one_name() -> None:
    for name in ("x.png", "1/day/a.png", "2/day/a.tif"):
        misnamed(name)
    make_photo("deep/x.jpg")
    plan = make_plan(["x.png", "deep/x.jpg", "1/day", "2/day"], Places(output="out"))
    assert list(results(plan)) == ["deep/x.jpg", "1/day/a.png"]
    assert [problem.partition(":")[0] for problem in problems(plan)] == [
        "deep/x.jpg and x.png would both be written to out/x.jpg",
        "1/day/a.png and 2/day/a.tif would both be written to out/day/a.jpg",
    ]


def test_blur_maps_of_folders_of_one_name_are_kept_apart() -> None:
    for name in ("x/day/a.png", "y/day/a.tif"):
        make_file(name)
    plan = make_plan(["x/day", "y/day"], Places(blur_map=Path("maps")))
    assert list(results(plan)) == ["x/day/a.png"]
    assert "would both be written to maps/day/a.unsmeared.blur-map.png" in problems(plan)[0]


def test_a_renamed_result_never_lands_on_a_photo_of_the_run() -> None:
    for name in ("a/x.png", "b/y.png"):
        misnamed(name)
    for name in ("b/x.jpg", "b/b/y.jpg"):
        make_photo(name)
    places = Places(output="b", recursive=True, overwrite=True)
    for photos in (["a/x.png", "b/x.jpg"], ["a/x.png", "b"]):
        plan = make_plan(photos, places)
        assert "a/x.png" not in results(plan)
        assert problems(plan)[0].startswith("The result of a/x.png would replace the photo b/x.jpg")


def test_a_result_never_lands_on_a_photo_of_the_run() -> None:
    for name in ("a/x.png", "a/b/y.png", "b/y.png"):
        make_file(name)
    Path("a/b").rename("a/c")
    Path("a/b").symlink_to(Path("a/c").resolve())
    plan = make_plan(["a", "b"], Places(output="a", recursive=True, overwrite=True))
    assert any("would replace the photo" in problem for problem in problems(plan))
    assert "b/y.png" not in results(plan)


def test_links_are_replaced_in_place_only_where_their_photo_is_not() -> None:
    for name in ("album/a.png", "elsewhere/b.png"):
        make_file(name)
    for name, photo in (
        ("l1", "album/a.png"),
        ("l2", "elsewhere/b.png"),
        ("l3", "elsewhere/b.png"),
    ):
        Path(f"album/{name}.png").symlink_to(Path(photo).resolve())
    plan = make_plan(["album"], Places(in_place=True))
    assert list(results(plan)) == ["album/a.png", "album/l2.png"]
    assert ["album/l1.png" in problems(plan)[0], "album/l3.png" in problems(plan)[1]] == [True] * 2


@pytest.mark.parametrize(
    ("names", "recursive"),
    [
        (["album", "album/deep"], True),
        (["album", "album/a.png"], False),
        (["album", "link"], False),
    ],
)
def test_what_lies_in_another_is_refused(names: list[str], recursive: bool) -> None:
    make_file("album/a.png")
    make_file("album/deep/b.png")
    Path("link").symlink_to("album")
    with pytest.raises(InputError, match="lies in album, named too"):
        make_plan(names, Places(recursive=recursive))


def test_pictures_are_claimed() -> None:
    make_file("album/a.png")
    make_file("photo")
    claims = make_plan(["photo", "other.png"], Places()).claims
    assert claims(Path("photo"))
    assert claims(Path("other.unsmeared.png"))
    assert not claims(Path("figures.json"))
    assert make_plan(["album"], Places()).claims(Path("x.png"))


@pytest.mark.parametrize("places", [Places(output="loop"), Places(blur_map=Path("loop"))])
def test_links_that_lead_in_a_circle_are_no_folders(places: Places) -> None:
    make_file("album/a.png")
    Path("loop").symlink_to("loop")
    assert list(results(make_plan(["album"], places))) == ["album/a.png"]
