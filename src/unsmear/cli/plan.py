"""Which photos are read, and which files are written for each: all settled before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from unsmear.errors import InputError, OutputError
from unsmear.images import SUPPORTED_SUFFIXES

STREAM = "-"
MARK = ".unsmeared"


@dataclass(frozen=True)
class Places:
    """What the user said about files.

    Attributes:
        output: file or folder for results, "-" for stdout, None for beside the photos.
        blur_map: file or folder for blur maps.
        recursive: take folders with all that is below them.
        overwrite: results that are there may be replaced.
        in_place: the photos themselves are replaced.
    """

    output: str | None = None
    blur_map: Path | None = None
    recursive: bool = False
    overwrite: bool = False
    in_place: bool = False


@dataclass(frozen=True)
class Job:
    """One photo.

    Attributes:
        source: the photo, None for stdin.
        destination: the result, None for stdout.
        blur_map: file for the blur map, if any.
        suffix_is_ours: the destination's suffix follows the photo's; where that says something
            else than the photo's content, the content decides.
    """

    source: Path | None
    destination: Path | None
    blur_map: Path | None = None
    suffix_is_ours: bool = True

    @property
    def name(self) -> str:
        """What to call the photo."""
        return STREAM if self.source is None else str(self.source)


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        jobs: photos to deblur.
        done: photos whose result is there already.
        problems: what cannot be done, a sentence each.
        is_single: one photo was named, and neither a folder nor several.
    """

    jobs: list[Job] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    problems: list[InputError] = field(default_factory=list)
    is_single: bool = False


def make_plan(photos: list[str], places: Places) -> Plan:
    """Settle what is read and written.

    Raises:
        InputError: Names that do not go together.
        OutputError: A place where nothing can be written.
    """
    if photos == [STREAM]:
        return Plan([_single(None, places)], is_single=True)
    if STREAM in photos:
        raise InputError("'-' reads one photo from stdin: name it alone.")
    paths = list(dict.fromkeys(Path(photo) for photo in photos))
    if len(paths) == 1 and not paths[0].is_dir():
        return Plan([_single(paths[0], places)], is_single=True)
    return _several(paths, places)


def result_path(folder: Path, name: str) -> Path:
    """Where a photo's result goes beside it: photo.jpg -> photo.unsmeared.jpg."""
    path = Path(name)
    return folder / f"{path.stem}{MARK}{path.suffix}"


def is_result(path: Path) -> bool:
    """Whether a file's name is one that we give to results."""
    return f"{MARK}." in path.name or path.name.endswith(MARK)


def is_done(job: Job, places: Places) -> bool:
    """Whether a photo's result is there and need not be made again."""
    if places.overwrite or places.in_place or job.source is None or job.destination is None:
        return False
    return job.source.is_file() and job.destination.is_file()


def check_destination(job: Job, places: Places) -> None:
    """Refuse a job whose files could not be written, before any time is spent on it.

    Raises:
        OutputError: A file that is there, or a folder that is not.
    """
    for path in filter(None, (job.destination, job.blur_map)):
        if path == job.destination and not job.suffix_is_ours:
            _require_suffix(path)
        if path == job.source and places.in_place:
            continue
        if path.is_dir():
            raise OutputError(f"{path} is a folder: give a file's name.")
        if os.path.lexists(path) and job.source is not None and _same(path, job.source):
            raise OutputError(
                f"{path} is the photo itself: use --in-place to replace it, or another name."
            )
        if os.path.lexists(path) and not places.overwrite:
            raise OutputError(f"{path} already exists: use --overwrite, or another name with -o.")


def _single(source: Path | None, places: Places) -> Job:
    if source is not None and is_result(source) and not (places.output or places.in_place):
        raise InputError(f"{source} is a result of unsmear: name one with -o to deblur it again.")
    name = "stdin" if source is None else source.name
    job = Job(source, None)
    if places.in_place:
        job = replace(job, destination=source, suffix_is_ours=False)
    elif places.output is None and source is not None:
        job = replace(job, destination=result_path(source.parent, source.name))
    elif places.output not in (None, STREAM):
        output = Path(places.output)
        if _means_folder(places.output):
            job = replace(job, destination=_in_folder(output, source, Path(name)))
        else:
            job = replace(job, destination=output, suffix_is_ours=False)
            _require_parent(output)
    if places.blur_map is not None:
        is_folder = places.blur_map.is_dir()
        path = _map_in(places.blur_map, Path(name)) if is_folder else places.blur_map
        _require_parent(path)
        _require_suffix(path)
        if path == job.destination:
            raise OutputError(f"{path} cannot be both the result and the blur map.")
        job = replace(job, blur_map=path)
    if source is None or source.is_file():
        check_destination(job, places)
    return job


def _several(paths: list[Path], places: Places) -> Plan:
    if places.output == STREAM:
        raise InputError("'-o -' writes one picture to stdout: name one photo.")
    output = None if places.output is None else Path(places.output)
    for folder, option in ((output, "-o"), (places.blur_map, "--blur-map")):
        if folder is not None:
            _require_folder(folder, option)
    plan, jobs = Plan(), list[Job]()
    for path in paths:
        found = list(_pictures_in(path, places, output)) if path.is_dir() else [path]
        if not found:
            plan.problems.append(_nothing_in(path, places))
        # Several things go under the output by their names, one folder's content right into it.
        top = Path(path.resolve().name if path.is_dir() and len(paths) > 1 else "")
        for picture in found:
            if is_result(picture):
                continue
            below = picture.relative_to(path) if path.is_dir() else Path(picture.name)
            jobs.append(_job_under(picture, top / below, output, places))
    _refuse_collisions(jobs, places)
    plan.done = [job.name for job in jobs if is_done(job, places)]
    plan.jobs = [job for job in jobs if not is_done(job, places)]
    return plan


def _job_under(picture: Path, below: Path, output: Path | None, places: Places) -> Job:
    if places.in_place:
        destination = picture
    elif output is None:
        destination = result_path(picture.parent, picture.name)
    else:
        destination = _in_folder(output, picture, below)
    blur_map = None if places.blur_map is None else _map_in(places.blur_map, below)
    return Job(picture, destination, blur_map, suffix_is_ours=not places.in_place)


def _in_folder(output: Path, source: Path | None, below: Path) -> Path:
    """A result's place under an output folder: its own name, marked where that is the photo."""
    path = output / below
    if source is not None and (path == source or (path.exists() and _same(path, source))):
        return result_path(path.parent, path.name)
    return path


def _map_in(folder: Path, below: Path) -> Path:
    # The mark keeps the map from being taken for a photo in the next run.
    return folder / below.parent / f"{below.stem}{MARK}.blur-map.png"


def _pictures_in(folder: Path, places: Places, output: Path | None) -> Iterator[Path]:
    """Picture files of a folder in order, without hidden ones, results, and the output folder."""
    leave_out = {path.resolve() for path in (output, places.blur_map) if path is not None}
    leave_out.discard(folder.resolve())
    for current, folders, files in os.walk(folder):
        here = Path(current)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() not in leave_out
        )
        if not places.recursive:
            folders.clear()
        for name in sorted(files):
            path = here / name
            is_picture = path.suffix.lower() in SUPPORTED_SUFFIXES
            if is_picture and not name.startswith(".") and not is_result(path):
                yield path


def _nothing_in(folder: Path, places: Places) -> InputError:
    deeper = not places.recursive and any(each.is_dir() for each in folder.iterdir())
    hint = ": use -r to take the folders in it too" if deeper else ""
    return InputError(f"{folder} holds no pictures{hint}.")


def _refuse_collisions(jobs: Iterable[Job], places: Places) -> None:
    sources = {} if places.in_place else {_identity(job.source): job.source for job in jobs}
    taken: dict[str, Path | None] = {}
    for job in jobs:
        for path in filter(None, (job.destination, job.blur_map)):
            real = _identity(path)
            if real in taken:
                raise InputError(
                    f"{taken[real]} and {job.source} would both be written to {path}: run them "
                    "one after the other into different folders."
                )
            taken[real] = job.source
            if real in sources:
                raise InputError(
                    f"The result of {job.source} would replace the photo {path}: choose another "
                    "folder with -o."
                )


def _identity(path: Path | None) -> str:
    return "" if path is None else os.path.realpath(path)


def _means_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def _require_folder(path: Path, option: str) -> None:
    if path.is_dir():
        return
    if path.exists():
        raise OutputError(f"{path} is a file: several photos need a folder after {option}.")
    if path.suffix.lower() in SUPPORTED_SUFFIXES:
        raise OutputError(
            f"{path} is a picture's name: several photos need a folder after {option}."
        )


def _require_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}: make it first.")


def _require_suffix(path: Path) -> None:
    if path.suffix.lower() not in SUPPORTED_SUFFIXES:
        raise OutputError(
            f"{path} is no picture file by its ending: use one of {', '.join(SUPPORTED_SUFFIXES)}."
        )


def _same(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:
        return False
