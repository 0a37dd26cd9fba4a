"""Limits of control groups, from files as Linux writes them."""

import pytest

from unsmear.cgroups import allowed_processors, memory_room


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Writes the files of control groups, and which this process stands in."""
    monkeypatch.setattr("unsmear.cgroups._TREES", tmp_path / "trees")
    monkeypatch.setattr("unsmear.cgroups._MINE", tmp_path / "mine")

    def write(mine: str, **files: str) -> None:
        (tmp_path / "mine").write_text(mine)
        for name, text in files.items():
            file = tmp_path / "trees" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")

    return write


@pytest.mark.parametrize(
    ("text", "allowed"), [("150000 100000", 1.5), ("5000 100000", 0.05), ("max 100000", None)]
)
def test_processors_in_a_container(groups, text, allowed):
    groups("0::/\n", **{"cpu.max": text})
    assert allowed_processors() == allowed


def test_the_narrowest_of_the_groups_above_rules(groups):
    job = "slurm/job_7"
    groups(
        f"0::/{job}/step_0\n",
        **{f"{job}/step_0/cpu.max": "max 100000", f"{job}/cpu.max": "200000 100000"},
        **{"slurm/cpu.max": "800000 100000", "slurm/job_8/cpu.max": "100000 100000"},
        **{f"{job}/step_0/memory.max": "max", f"{job}/step_0/memory.current": "7"},
        **{f"{job}/memory.max": "5000", f"{job}/memory.current": "2000"},
    )
    assert (allowed_processors(), memory_room()) == (2, 3000)


@pytest.mark.parametrize("path", ["/jobs/1", "/docker/0ff"], ids=["a job's", "the host's"])
def test_older_systems_have_a_tree_for_each_kind(groups, path):
    stands = "" if path == "/docker/0ff" else path.strip("/") + "/"
    groups(
        f"9:name=systemd:/\n4:memory:{path}\n2:cpu,cpuacct:{path}\n0::/\n",
        **{f"cpu/{stands}cpu.cfs_quota_us": "250000", f"cpu/{stands}cpu.cfs_period_us": "100000"},
        **{f"memory/{stands}memory.limit_in_bytes": "9000"},
        **{f"memory/{stands}memory.usage_in_bytes": "8000"},
        **{f"memory/{stands}memory.stat": "inactive_file 1\ntotal_inactive_file 500"},
    )
    assert (allowed_processors(), memory_room()) == (2.5, 1500)


def test_without_a_limit_there_is_none(groups):
    groups(
        "1:cpu:/\n",
        **{"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        **{"memory.max": "max", "memory.current": "7"},
    )
    assert (allowed_processors(), memory_room()) == (None, None)


def test_another_system_has_no_such_files(groups):
    assert (allowed_processors(), memory_room()) == (None, None)


def test_files_that_were_read_lately_are_room(groups):
    """After a folder of photos the limit is full of them, and a large photo fits all the same."""
    groups(
        "0::/\n",
        **{"memory.max": "9000", "memory.current": "9000"},
        **{"memory.stat": "anon 1000\nfile 8000\ninactive_file 7500\nactive_file 500"},
    )
    assert memory_room() == 7500
