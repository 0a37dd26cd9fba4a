"""The service behind the page and the HTTP API: pictures in, deblurred pictures out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from unsmear.errors import InputError, OutputError
from unsmear.images.formats import format_named
from unsmear.web.limits import Limits
from unsmear.web.line import Job, Line
from unsmear.web.messages import Answer, Engines, Task, Wish
from unsmear.web.metrics import Metrics
from unsmear.web.problems import TimedOutError, UnusableError
from unsmear.web.supervisor import Supervisor

__all__ = ["Answer", "Limits", "Progress", "Service", "Wish"]

Progress = Callable[[float], None]
"""Is told the share that is done, in [0, 1], on the event loop that awaits the answer."""


class Service:
    """Deblurs pictures in a process of its own, which is started again whenever it dies.

    Args:
        models: bundled names or checkpoints' paths. Clients know a checkpoint by its file's stem.
        limits: what requests may ask for.
        device: "auto", "cpu", "cuda", "mps".
        dtype: "auto", "float32", "bfloat16", "float16".

    Attributes:
        models: the names that clients may ask for, the default first.
        limits: as given.
        metrics: figures of what was done.

    Raises:
        InputError: no model, or two of one name.
    """

    def __init__(
        self,
        models: Sequence[str],
        limits: Limits | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        sources = {Path(source).stem: source for source in models}
        if not sources or len(sources) < len(models):
            raise InputError(
                f"Models are told apart by their names, got {', '.join(models) or 'none'}: "
                "give each checkpoint's file a name of its own."
            )
        self.models = tuple(sources)
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self._answering = 0  # changed on the event loop alone
        self._line = Line(self.limits.queue)
        engines = Engines(sources, device, dtype, self.limits.max_pixels)
        self._supervisor = Supervisor(engines, self._line, self.metrics)
        self.metrics.watch("unsmear_waiting", "Pictures that wait.", lambda: len(self._line))
        self.metrics.watch(
            "unsmear_under_way", "Pictures that are worked on.", lambda: self._line.under_way
        )
        self.metrics.watch("unsmear_worker_up", "1 while it can compute.", lambda: self.is_ready)

    def start(self) -> None:
        """Start the process and wait until its models are loaded.

        Raises:
            ModelError: a model, device or number type that is not to be had.
        """
        self._supervisor.start()
        try:
            self._supervisor.settled.wait()
        except BaseException:  # Ctrl-C: nobody will close what was never up
            self.close()
            raise
        if self._supervisor.problem is not None:
            raise self._supervisor.problem

    def stop(self) -> None:
        """Take no more; pictures that wait or are under way end with `WorkerDiedError`."""
        self._line.close()

    def close(self) -> None:
        """Stop, and wait until the process has ended."""
        self.stop()
        self._supervisor.join()

    @property
    def is_ready(self) -> bool:
        """Whether the process is up, its models loaded."""
        return self._supervisor.is_ready

    @property
    def is_idle(self) -> bool:
        """Whether no picture waits or is under way, and no answer is put together."""
        return not (self._answering or self._line.under_way or len(self._line))

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Keep the service from being idle: an answer takes time after its picture is made, too."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_room(self, coming: int = 0) -> None:
        """Do nothing if another picture may wait.

        Args:
            coming: pictures that will want to wait before it.

        Raises:
            QueueFullError: it may not.
        """
        self._line.check_room(coming)

    async def deblur(self, data: bytes, wish: Wish, progress: Progress | None = None) -> Answer:
        """Deblur one picture.

        To cancel the task that awaits this gives the picture up: at once while it waits, between
        milestones of the network once it is under way. May be awaited on any event loop.

        Args:
            data: a picture file's bytes.
            wish: what is asked for.
            progress: told the share that is done, now and then.

        Raises:
            TooLargeError: more bytes, pixels or pixels a side than the limits allow; found before
                anything is decoded.
            UnsupportedError: not a picture of a format that is read.
            UnusableError: a damaged picture, or wishes that do not fit it.
            QueueFullError: too many wait; its `retry_after` says for how many seconds.
            TimedOutError: not done within the limit.
            WorkerDiedError: the process died at this picture.
        """
        size = self.limits.check(data)
        if isinstance(wish.mask, bytes):
            self.limits.check(wish.mask, "The mask")
        job = Job(Task(data, self._settled(wish)), size, _on_this_loop(progress))
        began = time.monotonic()
        self._line.put(job)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(job.answer), self.limits.timeout)
        except TimeoutError:
            raise TimedOutError(
                f"The picture was not done within {self.limits.timeout:g} s: "
                "try again later, or make it smaller."
            ) from None
        self.metrics.seconds.observe(time.monotonic() - began)
        self.metrics.megapixels.inc(answer.blur_map.size / 1e6)
        return answer

    def _settled(self, wish: Wish) -> Wish:
        """The wish with a model and our word for a format."""
        model = self.models[0] if wish.model is None else wish.model
        if model not in self.models:
            raise UnusableError(f"There is no model {model!r} here: {', '.join(self.models)}.")
        try:
            format = None if wish.format is None else format_named(wish.format)
        except OutputError as problem:
            raise UnusableError(str(problem)) from None
        return replace(wish, model=model, format=format)


def _on_this_loop(progress: Progress | None) -> Progress:
    """Turn what must be called on this thread's loop into what may be called anywhere."""
    loop = asyncio.get_running_loop()

    def tell(share: float) -> None:
        if progress is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(progress, share)

    return tell
