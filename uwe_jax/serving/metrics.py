"""Prometheus metrics of the service."""

from __future__ import annotations

import prometheus_client as prometheus

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service."""

    def __init__(self):
        self._registry = every = prometheus.CollectorRegistry()
        for collector in (prometheus.ProcessCollector, prometheus.PlatformCollector, prometheus.GCCollector):
            collector(registry=every)
        labels = ("route", "method", "status")
        self.requests = prometheus.Counter("uwe_requests", "Requests that were answered.", labels, registry=every)
        self.seconds = prometheus.Histogram(
            "uwe_request_seconds", "From a request to its answer.", ("route",), buckets=_SECONDS, registry=every
        )
        self.in_flight = prometheus.Gauge("uwe_requests_in_flight", "Requests being answered.", registry=every)
        self.waiting = prometheus.Gauge("uwe_waiting_texts", "Texts that wait for the model.", registry=every)
        self.batches = prometheus.Histogram("uwe_batch_texts", "Texts of a batch.", buckets=_TEXTS, registry=every)
        self.batch_seconds = prometheus.Histogram(
            "uwe_batch_seconds", "The model's time for a batch.", buckets=_SECONDS, registry=every
        )
        self.ready = prometheus.Gauge(
            "uwe_ready", "1 when the model and the indexes are loaded and warm.", registry=every
        )

    def text(self) -> bytes:
        """Renders all metrics, in version 0.0.4 of the text format."""
        return prometheus.generate_latest(self._registry)
