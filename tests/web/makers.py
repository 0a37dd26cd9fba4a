"""Small pictures, and a server to send them to."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
from PIL import Image


def photo(
    size: tuple[int, int] = (72, 56), format: str = "PNG", seed: int = 0, **options: object
) -> bytes:
    """A small picture with some structure, as a file's bytes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    picture.save(file, format, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """A picture's pixels."""
    return np.asarray(Image.open(io.BytesIO(data)))


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Server(NamedTuple):
    """A running `unsmear serve`."""

    url: str
    pid: int

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=120)

    def begin(self, data: bytes, query: str = "") -> socket.socket:
        """Send a picture, and leave the answer unread; to close the socket is to leave."""
        connection = socket.create_connection(("127.0.0.1", int(self.url.split(":")[2].strip("/"))))
        head = (
            f"POST /v1/deblur?{query} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        connection.sendall(head.encode() + data)
        return connection

    def figure(self, name: str) -> float:
        """One of the figures for Prometheus."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(name + " ")))

    def worker(self) -> int:
        """The process that computes."""
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            for pid in children.read_text().split():
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        raise AssertionError("there is no worker")
