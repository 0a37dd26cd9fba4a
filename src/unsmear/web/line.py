"""The line in which pictures wait, and who goes next with whom."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from multiprocessing import Pipe

from unsmear.web.messages import Answer, Task
from unsmear.web.problems import QueueFullError, WorkerDiedError

SMALL = 256 * 256  # px, sides padded, up to which a picture may share a batch
LARGEST_BATCH = 8
LONGEST_RETRY = 60  # s
ENDING = "The service is ending; try again in a while."


@dataclass(eq=False)
class Job:
    """A task and who waits for its answer.

    Attributes:
        task: what to do.
        size: width and height by the picture's header, where it tells.
        tell: takes the share that is done, on any thread.
        answer: what is waited for; cancelled when nobody waits any more.
        is_suspect: whether a worker died at a batch that it was in: it goes alone next.
    """

    task: Task
    size: tuple[int, int] | None
    tell: Callable[[float], None]
    answer: Future[Answer] = field(default_factory=Future)
    is_suspect: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it is answered, or nobody waits."""
        return self.answer.done()

    def succeed(self, answer: Answer) -> None:
        """Answer it, if somebody still waits."""
        with contextlib.suppress(InvalidStateError):
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Say why there is no answer, if somebody still waits."""
        with contextlib.suppress(InvalidStateError):
            self.answer.set_exception(error)

    def group(self, steps: dict[str, int]) -> tuple[object, ...] | None:
        """What the jobs of one batch have in common; None of a job that goes alone.

        Args:
            steps: see `Ready.steps`.
        """
        wish = self.task.wish
        step = steps.get(wish.model or "")
        is_marked = wish.mask is not None or wish.boxes
        if step is None or self.size is None or is_marked or self.is_suspect:
            return None
        padded = [-(-side // step) * step for side in self.size]
        if math.prod(padded) > SMALL:
            return None
        return (wish.model, wish.threshold, wish.dense, *padded)


class Line:
    """Waiting jobs. They come, and are given up, on any thread; one other thread takes them.

    Args:
        limit: jobs that may wait beside those under way.

    Attributes:
        bell: can be read from, and waited on, when something has changed.
        closed: set when nothing is to be done any more.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.RLock()
        self._waiting: deque[Job] = deque()
        self._under_way = 0
        self._seconds = 1.0  # that a job took of late
        self.bell, self._button = Pipe(duplex=False)
        self._is_rung = False
        self.closed = threading.Event()

    def __len__(self) -> int:
        return sum(not job.is_over for job in self._waiting.copy())

    @property
    def under_way(self) -> int:
        """Jobs that were taken last."""
        return self._under_way

    def put(self, job: Job) -> None:
        """Let a job wait.

        Raises:
            QueueFullError: too many do.
            WorkerDiedError: the line is closed.
        """
        with self._lock:
            if self.closed.is_set():
                raise WorkerDiedError(ENDING)
            self.check_room()
            self._waiting.append(job)
        job.answer.add_done_callback(lambda answer: answer.cancelled() and self._ring())
        self._ring()

    def check_room(self, coming: int = 0) -> None:
        """Do nothing if one more job may wait.

        Args:
            coming: jobs that will be put before it.

        Raises:
            QueueFullError: it may not.
        """
        waiting = len(self) + coming
        if waiting >= self._limit + (not self._under_way):
            estimate = math.ceil(self._seconds * (waiting + 1))
            raise QueueFullError(min(max(1, estimate), LONGEST_RETRY))

    def take(self, steps: dict[str, int]) -> list[Job]:
        """Take the job whose turn it is, with those from further back that can share its batch.

        Args:
            steps: see `Ready.steps`.

        Returns:
            Nothing where nothing waits.
        """
        with self._lock:
            alive = [job for job in self._waiting if not job.is_over]
            taken = alive[:1]
            group = taken[0].group(steps) if taken else None
            if group is not None:
                others = (job for job in alive[1:] if job.group(steps) == group)
                taken += [job for job, _ in zip(others, range(LARGEST_BATCH - 1), strict=False)]
            self._waiting = deque(job for job in alive if job not in taken)
            self._under_way = len(taken)
            return taken

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Let jobs that were taken wait again, before all others."""
        with self._lock:
            self._waiting.extendleft(reversed(list(jobs)))
            self._under_way = 0

    def learn(self, seconds: float) -> None:
        """Take note of how long a job took, for the advice of when to come again."""
        self._seconds += (seconds - self._seconds) / 4

    def close(self) -> None:
        """Take no more jobs, and end those that wait with `WorkerDiedError`."""
        with self._lock:
            self.closed.set()
            for job in self._waiting:
                job.fail(WorkerDiedError(ENDING))
            self._waiting.clear()
        self._ring()

    def _ring(self) -> None:
        with self._lock:
            if not self._is_rung:
                self._is_rung = True
                self._button.send_bytes(b"!")

    def hush(self) -> None:
        """Make the bell ready for the next change."""
        with self._lock:
            if self._is_rung:
                self.bell.recv_bytes()
                self._is_rung = False
