"""Which photos are read, and which files are written for each.

What the user named is settled before any work. What lies in folders is found while the first of it
is worked on, so that a million photos take no more memory than a few.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from unsmear.batch.folders import Folder, Folders
from unsmear.batch.jobs import (
    MARK,
    STREAM,
    Job,
    Places,
    check_destination,
    foresee,
    is_file,
    is_picture_name,
    is_result,
    is_same,
    require_suffix,
    result_path,
)
from unsmear.batch.outcome import Ending
from unsmear.errors import InputError, OutputError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Plan:
    """What is to be done; iterating finds it anew: jobs, and endings where none can be made.

    Args:
        roots: what the user named, folders and jobs of single photos.
        places: what the user said about files.
        is_single: one photo was named, and neither a folder nor several.
    """

    def __init__(
        self, roots: Iterable[Folder | Job], places: Places, *, is_single: bool = False
    ) -> None:
        self.roots = list(roots)
        self.places = places
        self.is_single = is_single

    @property
    def named(self) -> list[Job]:
        """The jobs of photos that the user named."""
        return [root for root in self.roots if isinstance(root, Job)]

    @property
    def folders(self) -> list[Folder]:
        """The folders that the user named."""
        return [root for root in self.roots if isinstance(root, Folder)]

    def __iter__(self) -> Iterator[Job | Ending]:
        """Photos in the order of their names, folder by folder."""
        found = _Found(self)
        for root in self.roots:
            if isinstance(root, Job):
                yield found.named(root)
                continue
            is_empty = True
            unread: list[OSError] = []
            for here, names in root.walk(unread.append):
                is_empty = False
                yield from found.jobs_of(root, here, names)
            yield from map(_left_out, unread)
            if is_empty and not unread:
                yield Ending(problem=str(root.nothing_in()))

    def counts(self) -> Iterator[int]:
        """How many photos there are, in parts."""
        for root in self.roots:
            if isinstance(root, Job):
                yield 1
            else:
                yield from (len(names) for _, names in root.walk())

    def claims(self, path: Path) -> bool:
        """Whether a file is, or may be, one that this run reads or writes."""
        if self.places.holds_input(path):
            return True
        real = _identity(path)
        if any(real in map(_identity, (job.source, *job.written)) for job in self.named):
            return True
        return bool(self.folders) and is_picture_name(path)


class _Found:
    """Makes jobs of photos in folders, and tells those whose files another's would replace."""

    def __init__(self, plan: Plan) -> None:
        self.places = plan.places
        self.folders = Folders(plan.folders)
        self.sources = {_identity(job.source) for job in plan.named}
        self.clashes = _clashes(plan.named)
        self.linked: set[str] = set()
        self.walked: dict[Path, list[Folder]] = {}

    def named(self, job: Job) -> Job | Ending:
        """A job that the user named, unless its photo's content makes it impossible."""
        return _unless(self.clashes.get(job.source) or self._spoils(foresee(job)), job)

    def jobs_of(self, folder: Folder, here: Path, names: list[str]) -> Iterator[Job | Ending]:
        """The jobs of one folder's photos."""
        clashes = self._clashes_in(folder, here, names)
        meets = self._meets_photos(folder, here)
        for name in names:
            job = self._job(folder, here / name)
            problem = _no_file(here / name) or clashes.get(job.source)
            if problem is None and self.places.in_place:
                problem = self._link(here / name)
            elif problem is None and self.places.output is not None:
                problem = self._spoils(job) or (self._spoils(foresee(job)) if meets else None)
            yield _unless(problem, job)

    def _job(self, folder: Folder, photo: Path) -> Job:
        return _job_under(photo, folder.top / photo.relative_to(folder.path), self.places)

    def _clashes_in(self, folder: Folder, here: Path, names: list[str]) -> dict[Path | None, str]:
        """What :func:`_clashes` says of the photos whose names differ by their endings alone."""
        before = self.walked.setdefault(folder.top, [])
        below = here.relative_to(folder.path)
        elders = [
            (other, other.path / below / name)
            for other in before
            if other != folder
            for name in other.names_in(below)
        ]
        if folder not in before:
            before.append(folder)
        stems = Counter(Path(name).stem for name in names)
        stems.update(photo.stem for _, photo in elders)
        crowd = [(folder, here / name) for name in names if stems[Path(name).stem] > 1]
        return _clashes([self._job(*each) for each in (*elders, *crowd)])

    def _meets_photos(self, folder: Folder, here: Path) -> bool:
        """Whether results of one folder's photos may come to lie among photos of this run."""
        result = self._job(folder, here / "photo.png").destination
        assert result is not None, "photos of folders are files, and so are their results"
        return bool(self.sources) or self.folders.holding(result) is not None

    def _spoils(self, job: Job) -> str | None:
        """Why a result would replace another photo of this run, if it would."""
        photo, result = job.source, job.destination
        assert photo is not None
        assert result is not None, "one of several photos has a file, and so has its result"
        is_there = os.path.lexists(result) and not is_same(result, photo)
        if is_there and (_identity(result) in self.sources or self.folders.holding(result)):
            return _would_replace(job, result)
        return None

    def _link(self, photo: Path) -> str | None:
        """Why a link must not be followed to the photo that is replaced, if it must not."""
        if not photo.is_symlink():
            return None
        real = _identity(photo)
        is_taken = real in self.sources or real in self.linked
        self.linked.add(real)
        if is_taken or self.folders.holding(photo):
            return f"{photo} is a link to a photo that this run replaces anyway: leave it out."
        return None


def make_plan(photos: list[str], places: Places, *, as_several: bool = False) -> Plan:
    """Settle what is read and written.

    Args:
        photos: paths of photos and folders, or "-" alone.
        places: what the user said about files.
        as_several: take one photo as if it were several.

    Raises:
        InputError: Names that do not go together.
        OutputError: A place where nothing can be written.
    """
    if photos == [STREAM] and not as_several:
        return Plan([_single(None, places)], places, is_single=True)
    if STREAM in photos:
        raise InputError("'-' reads one photo from stdin: name it alone.")
    for photo in filter(_ADDRESS.match, photos):
        raise InputError(f"{photo} is an address: download the photo, and give its file's name.")
    paths = list(dict.fromkeys(Path(photo) for photo in photos))
    if len(paths) == 1 and not paths[0].is_dir() and not as_several:
        return Plan([_single(paths[0], places)], places, is_single=True)
    return _several(paths, places)


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
        require_suffix(path)
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
    roots: list[Folder | Job] = []
    for path in paths:
        if path.is_dir():
            # Several things go under the output by their names, one folder's content right into it.
            top = Path(path.resolve().name if len(paths) > 1 else "")
            left_out = _results_of(path, top, output, places.blur_map)
            roots.append(Folder(path, top, places.recursive, left_out))
        elif not is_result(path):
            roots.append(_job_under(path, Path(path.name), places))
    plan = Plan(roots, places)
    _refuse_collisions(plan)
    return plan


def _results_of(
    folder: Path, top: Path, output: Path | None, blur_map: Path | None
) -> frozenset[Path]:
    """Folders in which results come to lie; never the photos' own."""
    results = [output, blur_map, output and output / top]
    real = {Path(_identity(path)) for path in results if path is not None}
    return frozenset(real - {folder.resolve()})


def _job_under(picture: Path, below: Path, places: Places) -> Job:
    if places.in_place:
        destination = picture
    elif places.output is None:
        destination = result_path(picture.parent, picture.name)
    else:
        destination = _in_folder(Path(places.output), picture, below)
    blur_map = None if places.blur_map is None else _map_in(places.blur_map, below)
    return Job(picture, destination, blur_map, suffix_is_ours=not places.in_place)


def _in_folder(output: Path, source: Path | None, below: Path) -> Path:
    """A result's place under an output folder: its own name, marked where that is the photo."""
    path = output / below
    if source is not None and (path == source or is_same(path, source)):
        return result_path(path.parent, path.name)
    return path


def _map_in(folder: Path, below: Path) -> Path:
    # The mark keeps the map from being taken for a photo in the next run.
    return folder / below.parent / f"{below.stem}{MARK}.blur-map.png"


def _refuse_collisions(plan: Plan) -> None:
    """Refuse what was named when two of it would be written to one place, or over a photo."""
    places, folders = plan.places, Folders(plan.folders)
    sources = set() if places.in_place else {_identity(job.source) for job in plan.named}
    taken: dict[str, Path | None] = {}
    for job in plan.named:
        for path in job.written:
            real = _identity(path)
            if real in taken:
                raise InputError(_both_written(taken[real], job.source, path))
            taken[real] = job.source
            is_held = not places.in_place and os.path.lexists(path) and folders.holding(path)
            if real in sources or is_held:
                raise InputError(_would_replace(job, path))
    for folder in plan.folders:
        around = folders.around(folder)
        if around is not None and (places.output is None or around.root == folder.root):
            raise InputError(f"{folder.path} lies in {around.path}, named too: name one of them.")
    if places.output is None:
        for job in plan.named:
            around = None if job.source is None else folders.holding(job.source)
            if around is not None:
                raise InputError(
                    f"{job.source} lies in {around.path}, named too: name one of them."
                )


def _clashes(jobs: list[Job]) -> dict[Path | None, str]:
    """Why photos cannot be done since another one gets a file of theirs, by photo.

    A file goes to the first photo whose name asks for it, else to the first whose content does.
    """
    problems: dict[Path | None, str] = {}
    taken: dict[str, Path | None] = {}

    def take(job: Job) -> None:
        for path in job.written:
            holder = taken.setdefault(_identity(path), job.source)
            if holder != job.source:
                problems[job.source] = _both_written(holder, job.source, path)

    for job in jobs:
        take(job)
    for job in jobs:
        if job.source not in problems:
            take(foresee(job))
    return problems


def _unless(problem: str | None, job: Job) -> Job | Ending:
    return job if problem is None else Ending(job, job, problem=problem)


def _no_file(photo: Path) -> str | None:
    """Why what lies in a folder is no photo whatever its name: a pipe is waited on for ever."""
    if not os.path.exists(photo) or is_file(photo):  # noqa: PTH110 - Path.exists raises
        return None
    return f"{photo} is no file but a pipe, socket or device: move it elsewhere."


def _left_out(error: OSError) -> Ending:
    return Ending(
        problem=f"The folder {error.filename} cannot be read ({error.strerror}), so its photos are "
        "left out: check its permissions and its disk."
    )


def _both_written(first: Path | None, second: Path | None, path: Path | None) -> str:
    return (
        f"{first} and {second} would both be written to {path}: run them one after the other into "
        "different folders."
    )


def _would_replace(job: Job, path: Path) -> str:
    return (
        f"The result of {job.source} would replace the photo {path}: choose another folder with -o."
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
    if is_picture_name(path):
        raise OutputError(
            f"{path} is a picture's name: several photos need a folder after {option}."
        )


def _require_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}: make it first.")
