"""Figures of a running service, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """What is counted, each service for itself.

    Attributes:
        requests: to ``/v1/deblur``, by HTTP status; 499 where the client left.
        seconds: from when a picture is handed in to its answer, waiting included.
        megapixels: of answered pictures.
        batches: how many pictures went through the network together.
        restarts: of the worker process.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "unsmear_requests", "Requests to /v1/deblur.", ["status"], registry=registry
        )
        self.seconds = Histogram(
            "unsmear_picture_seconds",
            "Seconds from when a picture is handed in to its answer.",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250),
            registry=registry,
        )
        self.megapixels = Counter(
            "unsmear_megapixels", "Megapixels of answered pictures.", registry=registry
        )
        self.batches = Histogram(
            "unsmear_batch_pictures",
            "Pictures that were handed to the worker together.",
            buckets=(1, 2, 4, 8),
            registry=registry,
        )
        self.restarts = Counter(
            "unsmear_worker_restarts", "Times the worker process was lost.", registry=registry
        )

    def watch(self, name: str, help: str, value: Callable[[], float]) -> None:
        """Let a gauge ask for its value whenever it is read."""
        Gauge(name, help, registry=self._registry).set_function(value)

    def render(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)
