"""What Linux lets this process have: limits of containers, services and batch systems' jobs.

A process stands in a control group, and every group above has a say. cgroup 2 has one tree;
cgroup 1, which older systems still run, one for each kind of limit, with other names for the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_TREES = Path("/sys/fs/cgroup")
_MINE = Path("/proc/self/cgroup")


def allowed_processors() -> float | None:
    """Processors that may be kept busy, such as 1.5; None without a limit."""
    quotas = []
    for group in _groups("cpu"):
        figures = _words(group / "cpu.max") or [
            *_words(group / "cpu.cfs_quota_us"),
            *_words(group / "cpu.cfs_period_us"),
        ]
        # Without a limit the quota is "max", or -1 in cgroup 1.
        if len(figures) == 2 and figures[0].isdecimal():
            quotas.append(int(figures[0]) / int(figures[1]))
    return min(quotas, default=None)


def memory_room() -> int | None:
    """Bytes that may still be taken; None without a limit.

    Files that were read lately count as used, and are given up as soon as memory is wanted: they
    are room, too.
    """
    rooms = []
    for group in _groups("memory"):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        used = _words(group / "memory.current") or _words(group / "memory.usage_in_bytes")
        if limit and used and limit[0].isdecimal():
            rooms.append(int(limit[0]) - int(used[0]) + _forgettable(group))
    return min(rooms, default=None)


def _forgettable(group: Path) -> int:
    words = _words(group / "memory.stat")
    figures = dict(zip(words[::2], words[1::2], strict=False))
    # In cgroup 1 the name without "total_" leaves the groups below out.
    return int(figures.get("total_inactive_file", figures.get("inactive_file", 0)))


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the groups that this process stands in and that have the controller's files.

    In a container a path may be the host's, of which only the last part is there, as the root.
    """
    for line in _lines(_MINE):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            trees = [_TREES, _TREES / "unified"]
        elif controller in controllers.split(","):
            trees = [_TREES / controller]
        else:
            continue
        mine = PurePosixPath(path.lstrip("/"))
        for tree in trees:
            yield from (tree / above for above in (mine, *mine.parents))


def _words(file: Path) -> list[str]:
    return [word for line in _lines(file) for word in line.split()]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:  # not Linux, or no such limit
        return []
