import subprocess
import sys

import pytest
import torch

from unsmear.errors import InputError
from unsmear.runtime import available_memory, resolve_device, resolve_dtype, tune_threads


def python(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_tuned_allocator_keeps_its_memory():
    """After tuning, a large tensor made again and again faults in no new pages."""
    code = """
import resource, torch
from unsmear.runtime import tune_process
{tune}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): torch.ones(16_000_000)
before = faults()
for _ in range(5): torch.ones(16_000_000)
print(faults() - before)
"""
    assert int(python(code.format(tune="tune_process()"))) < 1000
    assert int(python(code.format(tune=""))) > 10 * 1000


def test_import_stays_light():
    assert python("import sys, unsmear; print('torch' in sys.modules)") == "False"


def test_public_names_exist():
    import unsmear

    assert all(getattr(unsmear, name) for name in unsmear.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        unsmear.nonsense  # noqa: B018


def test_choices():
    cpu = resolve_device("cpu")
    assert resolve_dtype("float16", cpu) == torch.float16
    assert resolve_dtype("auto", cpu) in (torch.float32, torch.bfloat16)
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    memory = available_memory(cpu)
    assert memory is None or memory > 1 << 20
    for unknown in ("cuda9x", None):
        with pytest.raises(InputError, match="auto"):
            resolve_device(unknown)
    for unknown in ("int8", None, torch.int8):
        with pytest.raises(InputError, match="number type"):
            resolve_dtype(unknown, cpu)


def test_torchs_own_devices_and_types_are_taken():
    cpu = torch.device("cpu")
    assert resolve_device(cpu) == cpu
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        assert resolve_dtype(kind, cpu) == kind


def test_a_device_beyond_the_last_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1").index == 1
    with pytest.raises(InputError, match="no usable cuda:2"):
        resolve_device("cuda:2")


@pytest.fixture
def six_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("allowed", "threads"), [(1.5, 2), (0.05, 1), (8, 6), (None, 6)])
def test_no_more_threads_than_may_be_kept_busy(six_threads, monkeypatch, allowed, threads):
    monkeypatch.setattr("unsmear.runtime.allowed_processors", lambda: allowed)
    tune_threads()
    assert torch.get_num_threads() == threads


def test_threads_that_were_asked_for_stay(six_threads, monkeypatch):
    monkeypatch.setattr("unsmear.runtime.allowed_processors", lambda: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    tune_threads()
    assert torch.get_num_threads() == 6


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="of other systems it knows nothing"
)
def test_a_limit_of_memory_counts_where_it_is_less_than_what_is_free(monkeypatch):
    monkeypatch.setattr("unsmear.runtime.memory_room", lambda: None)
    free = available_memory(torch.device("cpu"))
    for room, available in ((3_000_000, 3_000_000), (1 << 62, pytest.approx(free, rel=0.2))):
        monkeypatch.setattr("unsmear.runtime.memory_room", lambda room=room: room)
        assert available_memory(torch.device("cpu")) == available
