"""What /metrics tells, in the text format of Prometheus."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from utils.files import is_running

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names where several processes put their counts."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts of this process, and how all of them together are told."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        forget_dead_processes()
        self.registry = here = CollectorRegistry()
        self.requests = Counter(
            "crnn_requests", "Requests, by path and status", ["path", "status"], registry=here
        )
        self.seconds = Histogram(
            "crnn_request_seconds", "From the head of a request to its answer", ["path"],
            buckets=SECONDS, registry=here,
        )  # fmt: skip
        self.pictures = Counter(
            "crnn_pictures", "Pictures, by model, read or bad", ["model", "outcome"], registry=here
        )
        self.batch_size = Histogram(
            "crnn_batch_size", "Pictures that were read together", buckets=SIZES, registry=here
        )
        self.pending = Gauge(
            "crnn_pending_pictures", "Pictures that were taken and are not answered",
            multiprocess_mode="livesum", registry=here,
        )  # fmt: skip
        self.refused = Counter(
            "crnn_refused", "Requests that were not taken, by reason", ["reason"], registry=here
        )

    def text(self) -> bytes:
        """Of all processes."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry: CollectorRegistry = self.registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)


def forget_dead_processes() -> None:
    """What a process that was killed had pending, nobody will answer any more."""
    if FOLDER not in os.environ:
        return
    from prometheus_client.multiprocess import mark_process_dead

    for file in Path(os.environ[FOLDER]).glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not is_running(process):
            mark_process_dead(process)
