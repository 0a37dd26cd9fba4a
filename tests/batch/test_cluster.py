"""A cluster of two workers, one of which is killed: nothing is lost, and nothing told twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("ray")
if sys.platform != "linux":
    pytest.skip("finds the worker to kill in /proc", allow_module_level=True)

from ray.cluster_utils import Cluster

from unsmear.batch import cluster
from unsmear.batch.jobs import Places
from unsmear.batch.wishes import Wishes
from unsmear.cli.main import main
from unsmear.errors import InputError
from unsmear.models import create_model, save_model

from .makers import make_photo

PHOTOS = 12
NAMES = [f"album/{number:02}.png" for number in range(PHOTOS)]  # a folder's pipe is not read
SLOW = Path("album/05.png")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a cluster with room for two workers answers."""
    two = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield two.address
    two.shutdown()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, address: str) -> list[str]:
    """What follows 'unsmear' to do the album on the cluster, with a tiny network."""
    torch.manual_seed(0)
    network = create_model(
        "lmdvit-tiny", embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9, pruned_stages=(4, 5, 6)
    )
    model = save_model(network, tmp_path_factory.mktemp("model") / "tiny.safetensors")
    options = ["--model", str(model), "--threshold", "0", "--device", "cpu", "--dtype", "float32"]
    return [*options, "--manifest", "m.jsonl", *NAMES, "-o", "out"]


@pytest.fixture(autouse=True)
def album(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos, one of them a pipe: whoever reads it waits until something is written into it."""
    monkeypatch.setattr(cluster, "CHUNK", 3)
    for seed in range(PHOTOS):
        make_photo(Path(f"album/{seed:02}.png"), seed=seed)
    SLOW.rename("slow.png")
    os.mkfifo(SLOW)


def readers() -> list[int]:
    """Processes that have the pipe open, but for this one."""
    pipe, found = str(SLOW.resolve()), []
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(handle.readlink()) == pipe and int(handle.parts[2]) != os.getpid():
                found.append(int(handle.parts[2]))
    return found


def kill_next_reader(successor: Path) -> int:
    """Wait for a worker that reads the pipe, and kill it there; who comes next finds another."""
    handle = os.open(SLOW, os.O_WRONLY)  # waits until somebody reads
    while not (found := readers()):
        time.sleep(0.05)
    successor.replace(SLOW)  # before: from a pipe that is closed the next one would read nothing
    os.kill(found[0], signal.SIGKILL)
    os.close(handle)
    return found[0]


def another_pipe() -> Path:
    os.mkfifo("pipe")
    return Path("pipe")


@contextlib.contextmanager
def meanwhile(do: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    yield
    thread.join(20)
    assert not thread.is_alive()


def rows(state: str) -> list[dict]:
    lines = map(json.loads, Path("m.jsonl").read_text().splitlines())
    return [row for row in lines if row.get("state") == state]


def test_the_cores_of_a_network_are_those_of_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"Alive": n != 8, "Resources": {"CPU": float(n)} if n else {}} for n in (3, 2, 8, 0)]
    monkeypatch.setattr("ray.nodes", lambda: nodes)

    def size(cpus: int) -> int:
        return cluster._Pool(Wishes("lmdvit-tiny"), Places(), cpus).size

    assert [size(cpus) for cpus in (1, 2, 3)] == [5, 2, 1]
    with pytest.raises(InputError, match="No machine of the cluster has 4 CPU cores"):
        size(4)


def test_a_network_that_cannot_be_made_ends_the_run(address: str, words: list[str]) -> None:
    Path("slow.png").replace(SLOW)
    # In a process of its own: Ray at times ends one that connects to it for the third time.
    command = [sys.executable, "-m", "unsmear", *words, "--model", "album/00.png"]
    told = subprocess.run([*command, "--ray", address], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    (line,) = told.stderr.splitlines()
    assert "album/00.png" in line


def test_a_worker_killed_midway_costs_nothing(
    address: str, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    killed: list[int] = []

    with meanwhile(lambda: killed.append(kill_next_reader(Path("slow.png")))):
        assert main([*words, "--ray", address]) == 0
    told = capfd.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[-1] == f"{PHOTOS} done"
    done = {Path(row["input"]).name: row for row in rows("done")}
    written = sorted(path.name for path in Path("out").iterdir())
    assert sorted(done) == written == [f"{n:02}.png" for n in range(PHOTOS)]
    assert len(rows("done")) == PHOTOS
    workers = {int(row["worker"].rpartition(":")[2]) for row in done.values()}
    assert int(done[SLOW.name]["worker"].rpartition(":")[2]) != killed[0]
    assert 1 <= len(workers - {killed[0]}) <= 2
    # The same bytes as on this machine alone, which finds nothing left to do.
    assert main(words) == 0
    assert capfd.readouterr().out.startswith(f"0 done, {PHOTOS} done before")
    Path("m.jsonl").unlink()
    assert main([*words[:-1], "alone"]) == 0
    for name in done:
        assert Path("out", name).read_bytes() == Path("alone", name).read_bytes()


def test_a_photo_that_takes_its_workers_along_is_given_up(
    address: str,
    words: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "TRIES", 1)
    # A single worker, behind whose deadly photo the others would wait.
    # Among others, and alone.
    with meanwhile(lambda: [kill_next_reader(another_pipe()) for _ in range(2)]):
        assert main([*words, "--ray", address, "--ray-cpus", "2"]) == 1
    told = capfd.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith(f"unsmear: {SLOW} was lost with its worker")
    assert told.out.splitlines()[-1] == f"{PHOTOS - 1} done, 1 failed (listed in m.jsonl)"
    assert (len(rows("done")), len(rows("failed"))) == (PHOTOS - 1, 1)
