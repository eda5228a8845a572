"""What /metrics tells: counts and times in Prometheus' format, of all workers together."""

import os
from typing import Any

import prometheus_client as prometheus
from prometheus_client import multiprocess

TIMES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32)
PATHS = (
    "/",
    "/predict",
    "/explain",
    "/about",
    "/health",
    "/ready",
    "/metrics",
    "/docs",
    "/openapi.json",
)


class Counts:
    """The counters of one process. With PROMETHEUS_MULTIPROC_DIR set, all processes share them."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "mmkeras"}
        self.requests = prometheus.Counter(
            "requests", "Requests by path and status.", ["path", "status"], **own
        )
        self.seconds = prometheus.Histogram(
            "request_seconds", "Time from request to answer.", ["path"], buckets=TIMES, **own
        )
        self.batch_rows = prometheus.Histogram(
            "batch_rows", "Rows that one call of the model answered.", buckets=SIZES, **own
        )
        self.model_seconds = prometheus.Histogram(
            "model_seconds", "Time of one call of the model.", buckets=TIMES, **own
        )
        self.rows = prometheus.Counter("rows", "Rows by outcome.", ["outcome"], **own)
        self.waiting = prometheus.Gauge(
            "waiting_rows", "Rows that wait for the model.", multiprocess_mode="livesum", **own
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; paths that do not exist are counted together."""
        path = path if path in PATHS else "(unknown)"
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def batch(self, rows: int, seconds: float) -> None:
        """Count a call of the model."""
        self.batch_rows.observe(rows)
        self.model_seconds.observe(seconds)

    def text(self) -> bytes:
        """The page /metrics."""
        registry = self.registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return bytes(prometheus.generate_latest(registry))
