"""A process that times one path on request; one each, since an allocator's tuning is for good."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, NamedTuple

import torch

from unsmear.errors import UnsmearError
from unsmear.runtime import resolve_device, resolve_dtype
from unsmear.speed.paths import (
    compute_by,
    keep_at_random,
    make_network,
    make_picture,
    prepare_process,
)
from unsmear.speed.peak import matrix_peak

SAMPLED = 4096  # values of a result that are handed over for comparison


class Task(NamedTuple):
    """What a worker times.

    Attributes:
        path: one of ``unsmear.speed.paths.PATHS``.
        model: a configuration's name.
        width: of the picture.
        height: of the picture.
        device: as for ``unsmear.runtime.resolve_device``.
        dtype: likewise.
    """

    path: str
    model: str
    width: int
    height: int
    device: str
    dtype: str


class Worker:
    """Starts a process for a task and asks it; use it as a context.

    Args:
        task: what it times.

    Raises:
        UnsmearError: the process ended before it had answered.
    """

    def __init__(self, task: Task) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "unsmear.speed.worker", json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Ask for one measurement, see :func:`answer`."""
        assert self._process.stdin, "a pipe was asked for"
        assert self._process.stdout, "a pipe was asked for"
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UnsmearError("A process that measures ended early; what it said is above.")
        return json.loads(line)

    def __enter__(self) -> Worker:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def serve(task: Task) -> None:
    """Answer the questions on stdin, line by line."""
    prepare_process(task.path)
    device = resolve_device(task.device)
    dtype = resolve_dtype(task.dtype, device)
    network, picture = make_network(task.model), make_picture(task.width, task.height)
    compute = compute_by(task.path, network, picture, device, dtype)
    for line in sys.stdin:
        question = json.loads(line)
        if question.get("peak"):
            print(json.dumps({"flops": matrix_peak(device, dtype)}), flush=True)
            continue
        decisions = keep_at_random(network, picture, question["share"])
        started = time.perf_counter()
        restored = compute(decisions)  # on the CPU, so an accelerator is through
        seconds = time.perf_counter() - started
        values = restored.flatten()
        sample = values[:: max(1, values.numel() // SAMPLED)].tolist()
        print(json.dumps({"seconds": seconds, "sample": sample}), flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        serve(Task(*json.loads(sys.argv[1])))
