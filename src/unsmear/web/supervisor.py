"""Keeps a worker process alive and at work."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from multiprocessing.connection import Connection, wait
from typing import Any

from unsmear.errors import ModelError
from unsmear.web.line import ENDING, Job, Line
from unsmear.web.messages import GIVE_UP, Answer, Done, Engines, Ready, Unfit
from unsmear.web.metrics import Metrics
from unsmear.web.problems import UnusableError, WorkerDiedError

GRACE = 30.0  # s that a worker has to notice that nobody waits for what it does
LONGEST_PAUSE = 5.0  # s between two tries to start a worker

_log = logging.getLogger(__name__)


class Supervisor(threading.Thread):
    """A thread that hands the line's jobs to a worker process, and starts it again when it dies.

    Args:
        engines: what the worker loads.
        line: where jobs wait.
        metrics: are kept up to date.

    Attributes:
        settled: set once the first worker is ready, or has said why it cannot be.
        problem: why the first worker could not load its models.
        is_ready: whether a worker is up, its models loaded.
    """

    def __init__(self, engines: Engines, line: Line, metrics: Metrics) -> None:
        super().__init__(name="unsmear-supervisor", daemon=True)
        self._engines = engines
        self._line = line
        self._metrics = metrics
        self.settled = threading.Event()
        self.problem: ModelError | None = None
        self.is_ready = False

    def run(self) -> None:
        """Start one worker after the other until the line is closed."""
        pause = 0.0
        while not self._line.closed.wait(pause):
            pause = min(pause + 1, LONGEST_PAUSE)
            worker = None
            try:
                worker = _Worker(self._engines, self._line, self._metrics)
                steps = worker.load()
                self.is_ready, pause = True, 0.0
                self.settled.set()
                worker.serve(steps)
            except ModelError as problem:
                # Of a later one it may be that the file is just being replaced.
                if not self.settled.is_set():
                    self.problem = problem
                    break
                _log.warning("%s", problem)
            except (EOFError, OSError):
                self._metrics.restarts.inc()
                _log.warning("The process that computes was lost; another one is started.")
            finally:
                self.is_ready = False
                if worker is not None:  # memory may be short of even starting it
                    worker.end()
        self.settled.set()


class _Worker:
    """A worker process, and the jobs that it has in hand.

    Its methods raise EOFError or OSError when the process has died.
    """

    def __init__(self, engines: Engines, line: Line, metrics: Metrics) -> None:
        self._line = line
        self._metrics = metrics
        self._jobs: list[Job] = []
        self._handed_out = 0.0
        self._given_up: float | None = None
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_enter, args=(theirs, engines), daemon=True)
        self._process.start()
        theirs.close()

    def load(self) -> dict[str, int]:
        """Wait until the models are loaded; gives `Ready.steps`.

        Raises:
            ModelError: they cannot be.
        """
        while not self._line.closed.is_set():
            message = self._next_message()
            if isinstance(message, Unfit):
                raise ModelError(message.reason)
            if isinstance(message, Ready):
                return message.steps
        return {}

    def serve(self, steps: dict[str, int]) -> None:
        """Hand out jobs until the line is closed."""
        while not self._line.closed.is_set():
            if not self._jobs:
                self._hand_out(steps)
            message = self._next_message()
            if isinstance(message, Done):
                self._answer(message.answers)
            elif isinstance(message, float):
                for job in self._jobs:
                    job.tell(message)
            if self._jobs and all(job.is_over for job in self._jobs):
                self._give_up()

    def end(self) -> None:
        """End the process. One job dies with it, of several each is tried alone."""
        self._connection.close()
        self._process.kill()
        self._process.join()
        if self._line.closed.is_set():
            for job in self._jobs:
                job.fail(WorkerDiedError(ENDING))
        elif len(self._jobs) == 1:
            self._jobs[0].fail(WorkerDiedError("The process that computes died at this picture."))
        for job in self._jobs:
            job.is_suspect = True
        self._line.put_back(job for job in self._jobs if not job.is_over)

    def _next_message(self) -> Any:
        """What the process says; None when something else has changed."""
        patience = None if self._given_up is None else GRACE
        ready = wait([self._connection, self._line.bell, self._process.sentinel], patience)
        if self._line.bell in ready:
            self._line.hush()
        if self._connection in ready:
            return self._connection.recv()
        if self._process.sentinel in ready:
            raise EOFError
        return None

    def _hand_out(self, steps: dict[str, int]) -> None:
        self._jobs = self._line.take(steps)
        if self._jobs:
            self._handed_out = time.monotonic()
            self._metrics.batches.observe(len(self._jobs))
            self._connection.send([job.task for job in self._jobs])

    def _answer(self, answers: list[Answer | str]) -> None:
        for job, answer in zip(self._jobs, answers, strict=False):  # none where it was given up
            if isinstance(answer, str):
                job.fail(UnusableError(answer))
            else:
                job.succeed(answer)
        self._line.learn((time.monotonic() - self._handed_out) / len(self._jobs))
        self._jobs, self._given_up = [], None

    def _give_up(self) -> None:
        if self._given_up is None:
            self._given_up = time.monotonic()
            self._connection.send(GIVE_UP)
        elif time.monotonic() - self._given_up > GRACE:
            raise TimeoutError


def _enter(connection: Connection, engines: Engines) -> None:
    """Where a worker process begins."""
    # Terminals and systemd tell all processes of a service to end; this one finishes what is under
    # way first, and the supervisor ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # It loads torch, which the service's own process never needs.
    from unsmear.web.worker import main

    main(connection, engines)
