"""A worker's life, by a worker that is none."""

from __future__ import annotations

import pytest

from unsmear.errors import ModelError
from unsmear.web import supervisor
from unsmear.web.line import Line
from unsmear.web.messages import Engines
from unsmear.web.metrics import Metrics
from unsmear.web.supervisor import Supervisor


@pytest.fixture
def line() -> Line:
    return Line(1)


@pytest.fixture
def keeper(line: Line, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.01)
    return Supervisor(Engines({}, "cpu", "float32", 1), line, Metrics())


def test_a_process_that_cannot_be_started_now_is_tried_again(keeper, line, monkeypatch):
    tries = []

    class Worker:
        def __init__(self, *_: object) -> None:
            tries.append(self)
            if len(tries) == 1:
                raise BlockingIOError("no memory for a process")

        def load(self) -> dict[str, int]:
            return {}

        def serve(self, steps: dict[str, int]) -> None:
            line.closed.wait()

        def end(self) -> None:
            pass

    monkeypatch.setattr(supervisor, "_Worker", Worker)
    keeper.start()
    assert keeper.settled.wait(10)
    assert keeper.is_ready
    line.close()
    keeper.join()
    assert len(tries) == 2


def test_what_befalls_workers_is_in_the_log(keeper, line, monkeypatch, caplog):
    fates = [EOFError(), ModelError("The file is damaged."), None]

    class Worker:
        def __init__(self, *_: object) -> None:
            self.fate = fates.pop(0)

        def load(self) -> dict[str, int]:
            if isinstance(self.fate, ModelError):
                raise self.fate
            return {}

        def serve(self, steps: dict[str, int]) -> None:
            if self.fate is not None:
                raise self.fate
            line.close()

        def end(self) -> None:
            pass

    monkeypatch.setattr(supervisor, "_Worker", Worker)
    keeper.run()
    lost = "The process that computes was lost; another one is started."
    assert caplog.messages == [lost, "The file is damaged."]
