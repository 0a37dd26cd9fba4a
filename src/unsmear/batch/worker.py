"""What is done with one photo: read, deblur, write."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unsmear.batch.jobs import STREAM, Job, Places, check_destination, settle
from unsmear.batch.outcome import Outcome
from unsmear.batch.wishes import Wishes
from unsmear.errors import InputError, ModelError, OutputError
from unsmear.images import Picture, encode_picture, read_picture, write_picture

if TYPE_CHECKING:
    from unsmear.inference import Deblurred, Deblurrer, Steering

# Photos whose network takes no more memory than this are worked on side by side on a CPU, where one
# alone does not keep all cores busy.
SMALL = 256 << 20  # bytes
MOST_ABREAST = 4


class Worker:
    """Does jobs with one network.

    Args:
        wishes: what the user asked for.
        places: what the user said about files.

    Raises:
        InputError: the mask cannot be read.
    """

    def __init__(self, wishes: Wishes, places: Places) -> None:
        self.wishes = wishes
        self.places = places
        self.mask = None if wishes.mask is None else read_mask(wishes.mask, wishes.max_pixels)
        self._cores = 1

    @cached_property
    def engine(self) -> Deblurrer:
        """The engine; made when the first photo has been read, since torch takes its time."""
        with _collector_resting():
            import torch

            from unsmear.inference import Deblurrer
            from unsmear.runtime import tune_process

        tune_process()
        self._cores = torch.get_num_threads()
        wishes = self.wishes
        try:
            return Deblurrer(
                wishes.model, device=wishes.device, dtype=wishes.dtype, tile=wishes.tile
            )
        except InputError as error:
            # Such as a device that is not there: it ends the run, not one photo.
            raise ModelError(str(error)) from None

    @cached_property
    def steering(self) -> Steering:
        """What the engine is to do with each photo."""
        from unsmear.inference import Steering

        wishes = self.wishes
        return Steering(
            mask=self.mask,
            boxes=wishes.boxes,
            threshold=wishes.threshold,
            strength=wishes.strength,
            budget=wishes.budget,
            dense=wishes.dense,
            whole=wishes.whole,
        )

    def read(self, job: Job) -> tuple[Job, Picture]:
        """Read a photo, and settle its job by what it turned out to be.

        Raises:
            InputError: it cannot be read, or the mask does not fit it.
            OutputError: its result could not be written.
        """
        check_destination(job, self.places)
        source = sys.stdin.buffer if job.source is None else job.source
        picture = read_picture(
            source, max_pixels=self.wishes.max_pixels, whole=self.places.in_place
        )
        if self.mask is not None and self.mask.shape[::-1] != picture.size:
            sizes = [" x ".join(map(str, size)) for size in (self.mask.shape[::-1], picture.size)]
            raise InputError(
                f"The mask {self.wishes.mask} has {sizes[0]} pixels, {job.name} has {sizes[1]}: "
                "make the mask the photo's size."
            )
        return settle(job, picture.format), picture

    def abreast(self, pixels: int) -> int:
        """How many photos of so many pixels to work on at a time; 1 until the engine is there."""
        if "engine" not in self.__dict__ or self.engine.device.type != "cpu":
            return 1
        is_small = pixels * self.engine.bytes_per_pixel() <= SMALL
        return min(MOST_ABREAST, self._cores) if is_small else 1

    def deblur(
        self, job: Job, picture: Picture, progress: Callable[[float], None], abreast: int = 1
    ) -> Deblurred:
        """Deblur a photo.

        Args:
            job: what it is called.
            picture: the photo.
            progress: told the share that is done, in [0, 1].
            abreast: how many photos, this one among them, share the cores.

        Raises:
            InputError: the photo does not fit the wishes, or into memory.
            ModelError: the engine cannot be made.
            OutputError: its result could not be written.
        """
        check_destination(job, self.places)
        with _naming(job), self._share_of_the_cores(abreast):
            return self.engine.deblur(picture, self.steering, progress)

    @contextlib.contextmanager
    def _share_of_the_cores(self, abreast: int) -> Iterator[None]:
        """Let torch use one of so many equal shares in this thread."""
        if abreast == 1:
            yield
            return
        import torch

        torch.set_num_threads(max(1, self._cores // abreast))
        try:
            yield
        finally:
            torch.set_num_threads(self._cores)  # which is also what new threads begin with

    def write(self, job: Job, result: Deblurred) -> Outcome:
        """Write the result and the map.

        Raises:
            InputError: they do not fit into memory.
            OutputError: they cannot be written.
        """
        check_destination(job, self.places)
        with _naming(job), contextlib.ExitStack() as undo:
            if job.blur_map is not None:
                _make_folder(job.blur_map.parent)
                grey = Picture.from_array(np.rint(result.blur_map * 255).astype(np.uint8))
                overwrite = job.may_replace(job.blur_map, self.places)
                write_picture(grey, job.blur_map, overwrite=overwrite, input_path=job.source)
                # Without its result it would be in the way of the next try.
                undo.callback(job.blur_map.unlink, missing_ok=True)
            written = self._write_picture(job, result.picture)
            undo.pop_all()
        figures = {"input": job.name, "output": str(written or STREAM), **result.report.as_dict()}
        if job.blur_map is not None:
            figures["blur_map"] = str(job.blur_map)
        line = f"{written or job.name}  {self._what_happened(result)}"
        return Outcome(line, result.picture.is_changed, figures)

    def _write_picture(self, job: Job, picture: Picture) -> Path | None:
        """Write the result; gives where it is, None for stdout."""
        if job.destination is None:
            _write_to_stdout(encode_picture(picture, picture.format or "PNG"))
            return None
        if self.places.in_place and not picture.is_changed:
            return job.destination
        _make_folder(job.destination.parent)
        write_picture(
            picture,
            job.destination,
            overwrite=job.may_replace(job.destination, self.places),
            input_path=job.source,
            in_place=self.places.in_place,
        )
        return job.destination

    def _what_happened(self, result: Deblurred) -> str:
        seconds = f"{result.report.seconds:.1f} s"
        if result.picture.is_changed:
            return f"{percent(result.report.touched_fraction)} touched  {seconds}"
        if self.wishes.strength == 0:
            reason = "nothing to do: the strength is 0"
        elif result.report.warnings:
            reason = "left as it was, see the warning"
        elif self.mask is not None or self.wishes.boxes:
            reason = "nothing changed in the marked part; changes fade near its border, mark more"
        elif result.report.blurred_fraction > 0:
            reason = "nothing changed: where motion blur was found, a change would not show"
        else:
            reason = "nothing to do: no motion blur found"
        return f"{reason}  {seconds}"


@contextlib.contextmanager
def _collector_resting() -> Iterator[None]:
    """Import a lot without looking through it for garbage over and over, a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def _naming(job: Job) -> Iterator[None]:
    """Name the photo in problems of those who know no file names."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch says it in words; the engine has tried smaller tiles by then.
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        raise InputError(
            f"{job.name} does not fit into memory: close other programs, or make it smaller."
        ) from None
    except InputError as error:
        named = job.name in str(error)
        raise error if named else InputError(f"{job.name}: {error}") from None


def _write_to_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever read it has had enough
        raise
    except OSError as error:
        raise OutputError(
            f"stdout cannot be written ({error.strerror}): send it elsewhere, or use -o."
        ) from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made ({error.strerror}): choose another."
        ) from None


def read_mask(path: Path, max_pixels: int) -> np.ndarray:
    """Read where to deblur, (H, W) bool: the light half of a picture."""
    picture = read_picture(path, max_pixels=max_pixels)
    return picture.rgb.mean(axis=2) > picture.max_value / 2


def percent(share: float) -> str:
    """A share for people; what is above nothing never shows as nothing."""
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"
