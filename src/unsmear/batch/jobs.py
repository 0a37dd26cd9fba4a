"""One photo's job: what is read for it, what is written, and what may be replaced."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from unsmear.errors import OutputError
from unsmear.images import SUPPORTED_SUFFIXES, format_of_file

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
        inputs: what is read beside the photos, such as a mask; nothing replaces it.
    """

    output: str | None = None
    blur_map: Path | None = None
    recursive: bool = False
    overwrite: bool = False
    in_place: bool = False
    inputs: tuple[Path, ...] = ()

    def holds_input(self, path: Path) -> bool:
        """Whether a file is one that is read beside the photos."""
        return any(is_same(path, each) for each in self.inputs)


@dataclass(frozen=True)
class Job:
    """One photo.

    Attributes:
        source: the photo, None for stdin.
        destination: the result, None for stdout.
        blur_map: file for the blur map, if any.
        suffix_is_ours: the destination's suffix follows the photo's; where that says something
            else than the photo's content, the content decides.
        ours: absolute paths that an earlier try of this job wrote, or may have written: they are
            replaced without being asked for.
    """

    source: Path | None
    destination: Path | None
    blur_map: Path | None = None
    suffix_is_ours: bool = True
    ours: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What to call the photo."""
        return STREAM if self.source is None else str(self.source)

    @property
    def written(self) -> tuple[Path, ...]:
        """The files that are written."""
        return tuple(path for path in (self.destination, self.blur_map) if path is not None)

    def may_replace(self, path: Path, places: Places) -> bool:
        """Whether a file that is there gives way."""
        return places.overwrite or full_name(path) in self.ours

    def owning(self) -> Job:
        """The job as a further try of it: what it writes is its own, also once it is settled."""
        written = (*self.written, *foresee(self).written)
        return replace(self, ours=frozenset(map(full_name, written)))


def full_name(path: Path) -> str:
    """A path from the root, by which a run from another folder knows it again; links stay."""
    return os.path.abspath(path)  # noqa: PTH100 - Path has none that keeps links and drops ".."


def result_path(folder: Path, name: str) -> Path:
    """Where a photo's result goes beside it: photo.jpg -> photo.unsmeared.jpg."""
    path = Path(name)
    return folder / f"{path.stem}{MARK}{path.suffix}"


def is_result(path: Path) -> bool:
    """Whether a file's name is one that we give to results."""
    return f"{MARK}." in path.name or path.name.endswith(MARK)


def is_picture_name(path: Path) -> bool:
    """Whether a file's name says that it is a picture of a kind we know."""
    return path.suffix.lower() in SUPPORTED_SUFFIXES


def is_done(job: Job, places: Places) -> bool:
    """Whether a photo's result is there and need not be made again."""
    if places.overwrite or places.in_place or job.source is None or job.destination is None:
        return False
    return is_file(job.source) and is_file(job.destination)


def check_destination(job: Job, places: Places) -> None:
    """Refuse a job whose files could not be written, before any time is spent on it.

    Raises:
        OutputError: A file that is there or protected, or a folder that takes none.
    """
    for path in job.written:
        if path == job.destination and not job.suffix_is_ours:
            require_suffix(path)
        if places.holds_input(path):
            raise OutputError(f"{path} is read for every photo: give the result another name.")
        if path == job.source and places.in_place:
            _require_writable(path)
            continue
        if _is_folder(path):
            raise OutputError(f"{path} is a folder: give a file's name.")
        if os.path.lexists(path) and job.source is not None and is_same(path, job.source):
            raise OutputError(
                f"{path} is the photo itself: use --in-place to replace it, or another name."
            )
        if os.path.lexists(path) and not job.may_replace(path, places):
            raise OutputError(f"{path} already exists: use --overwrite, or another name with -o.")
        _require_writable(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise OutputError(
            f"{path} cannot be written ({error.strerror}): choose another place with -o."
        ) from None


def _require_writable(path: Path) -> None:
    """Refuse a file that is protected, and one for which no folder can be had."""
    real = Path(os.path.realpath(path))
    if is_file(real) and not os.access(real, os.W_OK):
        raise OutputError(f"{path} is write-protected: make it writable, or give another name.")
    folder = next(filter(os.path.lexists, real.parents), real.parent)
    if not (_is_folder(folder) and os.access(folder, os.W_OK | os.X_OK)):
        raise OutputError(
            f"{path} cannot be written, since {folder} is no folder in which files may be made: "
            "choose another place."
        )


def settle(job: Job, format: str | None) -> Job:
    """The job once the photo's real format is known: its result's suffix follows that."""
    path = job.destination
    if path is None or not job.suffix_is_ours:
        return job
    named = SUPPORTED_SUFFIXES.get(path.suffix.lower())
    if named == format:
        return job
    suffix = next((each for each, name in SUPPORTED_SUFFIXES.items() if name == format), ".png")
    fitting = path.with_suffix(suffix) if named else path.with_name(path.name + suffix)
    return replace(job, destination=fitting)


def foresee(job: Job) -> Job:
    """The job as :func:`settle` will make it; as it is where the photo does not tell yet."""
    if job.source is None or not job.suffix_is_ours:
        return job
    format = format_of_file(job.source)
    return job if format is None else settle(job, format)


def require_suffix(path: Path) -> None:
    """Refuse a name whose ending names no format.

    Raises:
        OutputError: It does not.
    """
    if not is_picture_name(path):
        raise OutputError(
            f"{path} is no picture file by its ending: use one of {', '.join(SUPPORTED_SUFFIXES)}."
        )


def is_file(path: Path) -> bool:
    """Whether a file is there; not where nobody may look, or the name is too long."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises there


def is_same(path: Path, source: Path) -> bool:
    """Whether two paths lead to one file that is there."""
    try:
        return path.samefile(source)
    except OSError:
        return False
