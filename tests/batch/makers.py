"""Small files that pass for photos, and endings that say they were done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from unsmear.batch.fingerprint import Settings, hash_file
from unsmear.batch.jobs import Job
from unsmear.batch.outcome import Ending, Outcome, Trace

SETTINGS = Settings("weights", {"threshold": 0.5})


def make_file(path: str | Path, content: bytes = b"a photo") -> Path:
    """Write a file and its folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def make_photo(path: str | Path, seed: int = 0) -> Path:
    """Write a small real picture of noise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def done(job: Job, settled: Job | None = None) -> Ending:
    """Write a job's result and say so."""
    settled = settled or job
    assert job.source is not None
    status = job.source.stat()
    trace = Trace(status.st_size, status.st_mtime_ns, hash_file(job.source))
    for path in settled.written:
        make_file(path, b"result of " + job.source.read_bytes())
    assert settled.destination is not None
    trace = trace._replace(output_content=hash_file(settled.destination))
    outcome = Outcome("a line", True, {"input": job.name})
    return Ending(job, settled, outcome, trace=trace, has_begun=True)
