"""The same jobs on Ray Data: a pool of workers, each with a network, on one machine or on many.

A worker takes a few photos at a time. When it dies, these are given to another one: a photo may be
computed twice, but its result is written under a passing name and renamed in one step, so that the
second time replaces the first, and it is told once. A photo that takes its worker along is tried
again alone, none waiting behind it, and given up when that worker dies as well.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from unsmear.batch.jobs import Job, Places, check_destination, foresee
from unsmear.batch.outcome import Ending
from unsmear.batch.run import Run, Step, Tell
from unsmear.batch.wishes import Wishes
from unsmear.batch.worker import Worker
from unsmear.errors import InputError, OutputError, UnsmearError

# Before Ray is imported: it reports nothing home, and what its own processes say stays in its logs.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

# By itself it lets its workers, which do all of the work, wait behind any other program.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray
import ray.data
import ray.exceptions

LOCAL = "local"
# A head speaks gRPC, which is HTTP/2: both sides begin with a frame of settings (RFC 9113, 3.4).
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
HTTP2_SETTINGS = b"\4"
PATIENCE = 10  # s until an address that does not answer is taken for wrong

WAVE = 20_000  # photos that the driver holds; their networks are loaded once
CHUNK = 8  # photos that a worker takes at a time, and that are done again when it dies
TRIES = 3  # for a photo whose workers die


def run_on_cluster(
    address: str,
    wishes: Wishes,
    places: Places,
    steps: Iterable[Step],
    tell: Tell,
    *,
    begin: Callable[[Job, Job], object] = lambda planned, job: None,
    cpus: int = 1,
) -> None:
    """Do all jobs on a cluster whose machines see the photos under the same paths.

    Args:
        address: HOST:PORT of a cluster's head, "auto" for the one that this machine is part of, or
            "local" for one that lives as long as the run.
        wishes: what the user asked for.
        places: what the user said about files; not in place, for a photo that was replaced cannot
            be done again.
        steps: jobs, and endings to be told.
        tell: is told how each photo's way ended, in any order.
        begin: is told of each job before it is sent out: as it was planned, and settled.
        cpus: cores of each network where there are no GPUs.

    Raises:
        InputError: no cluster answers at the address, or it lacks what is asked for.
        UnsmearError: the network cannot be made, or a worker failed in a way that is not a photo's.
    """
    with _connected(address), _losing_the_cluster():
        pool = _Pool(wishes, places, cpus)
        remaining = iter(steps)
        while wave := list(islice(remaining, WAVE)):
            jobs = []
            for step in wave:
                ready = _sent(step, places)
                if isinstance(ready, Job):
                    begin(ready, foresee(ready))
                    jobs.append(ready)
                else:
                    tell(ready)
            for ending in pool.run(jobs):
                tell(ending)


def _sent(step: Step, places: Places) -> Step:
    """A job as it is sent out: what it writes is its own, however often it is tried."""
    if isinstance(step, Ending):
        return step
    try:
        check_destination(foresee(step), places)
    except OutputError as error:
        return Ending(step, step, problem=str(error))
    return step.owning()


class _Pool:
    """As many workers as the cluster has room for."""

    def __init__(self, wishes: Wishes, places: Places, cpus: int) -> None:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = 0 if wishes.device == "cpu" else sum(int(each.get("GPU", 0)) for each in machines)
        if wishes.device == "cuda" and not gpus:
            raise InputError("The cluster has no GPU: use --device auto.")
        # Ray would wait for ever for cores that no single machine has.
        self.size = gpus or sum(int(each.get("CPU", 0)) // cpus for each in machines)
        if not self.size:
            raise InputError(f"No machine of the cluster has {cpus} CPU cores: ask for fewer.")
        self.share: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": cpus}
        self.setting = (wishes, places, str(Path.cwd()))

    def run(self, jobs: list[Job]) -> Iterator[Ending]:
        """Do some jobs; each is told once."""
        waiting = dict.fromkeys(jobs)
        for chunk in (CHUNK, 1):
            for ending in self._try(list(waiting), chunk):
                assert ending.planned is not None, "only jobs were sent out"
                del waiting[ending.planned]
                yield ending
        for job in waiting:
            problem = (
                f"{job.name} was lost with its worker {TRIES} times: it may need more memory than "
                "there is."
            )
            yield Ending(job, job, problem=problem, has_begun=True)

    def _try(self, jobs: list[Job], chunk: int) -> Iterator[Ending]:
        if not jobs:
            return
        items = [{"job": pickle.dumps(job)} for job in jobs]
        blocks = -(-len(items) // chunk)
        with warnings.catch_warnings():
            # There is no other way yet to say how often a task is tried again.
            warnings.simplefilter("ignore", DeprecationWarning)
            made = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
                _Actor,
                fn_constructor_args=self.setting,
                compute=ray.data.ActorPoolStrategy(
                    size=min(self.size, blocks),
                    # What waits at a worker dies with it: nothing may wait behind a lone photo.
                    max_tasks_in_flight_per_actor=1 if chunk == 1 else None,
                ),
                batch_size=chunk,
                max_task_retries=TRIES - 1,
                **self.share,
            )
        for row in made.iter_rows():
            ending = pickle.loads(row["ending"])
            if isinstance(ending, UnsmearError):
                raise ending
            yield ending


class _Actor:
    """A worker in a process of its own."""

    def __init__(self, wishes: Wishes, places: Places, folder: str) -> None:
        self.wishes, self.places, self.folder = wishes, places, folder
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.worker: Worker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Do some jobs: pickled ones in, pickled endings out, or the error that ends the run."""
        endings: list[Ending] = []
        try:
            if self.worker is None:
                # Names are the user's: as they read where the command was given.
                os.chdir(self.folder)
                self.worker = Worker(self.wishes, self.places)
            Run(self.worker, endings.append).do(map(pickle.loads, batch["job"]))
        except UnsmearError as error:
            return {"ending": [pickle.dumps(error)]}
        except Exception as error:
            reason = f"A worker failed on {self.name} ({type(error).__name__}: {error})."
            return {"ending": [pickle.dumps(UnsmearError(reason))]}
        return {"ending": [pickle.dumps(replace(each, worker=self.name)) for each in endings]}


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster that says nothing by itself."""
    if address not in (LOCAL, "auto"):
        _check_answers(address)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # There is no public switch for what it prints of workers that died.
    private: Any = importlib.import_module("ray._private.worker")
    private._worker_logs_enabled = False
    try:
        with _silent_stderr():
            ray.init(
                address=address,
                include_dashboard=False if address == LOCAL else None,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
    except ConnectionError:
        raise InputError(
            f"There is no Ray cluster at {address}: start one with 'ray start --head', or use "
            "--ray local."
        ) from None
    except (RuntimeError, ValueError) as error:
        raise _refused(address, error) from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Let nothing of what compiled code prints through, such as how it will log."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _losing_the_cluster() -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayError as error:
        raise UnsmearError(
            f"The cluster broke off ({type(error).__name__}): run it again, what is done is done."
        ) from None


def _check_answers(address: str) -> None:
    """Knock: left to itself Ray tries for minutes, also where something else answers."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--ray wants local, auto or the head's HOST:PORT, got {address!r}.")
    try:
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as knock:
            if os.environ.get("RAY_USE_TLS") == "1":
                return
            knock.sendall(HTTP2_GREETING)
            answer = knock.recv(4)
    except (OSError, OverflowError):
        answer = b""
    if answer[3:] != HTTP2_SETTINGS:
        raise InputError(
            f"No Ray cluster answers at {address}: check the address, or start one with "
            "'ray start --head'."
        )


def _refused(address: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"The Ray cluster at {address} takes no jobs from here: {reason}")
