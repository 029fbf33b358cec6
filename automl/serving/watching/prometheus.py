"""The counts in the text format of Prometheus, written by its own library."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from automl.serving.watching.counts import LATENCIES_MS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Counts(Collector):
    """One reading of all counts."""

    def __init__(self, status: dict[str, Any], tree: dict[str, Any]) -> None:
        self.status, self.tree = status, tree

    def collect(self) -> Iterator[Metric]:
        """The metrics, as the library asks for them."""
        requests = CounterMetricFamily("automl_requests", "Requests by status.", labels=["status"])
        for status, count in self.tree["statuses"].items():
            requests.add_metric([status], count)
        refused = CounterMetricFamily("automl_refused", "Refused requests by reason.", labels=["code"])
        for code, count in self.tree["codes"].items():
            refused.add_metric([code], count)
        yield from (requests, refused, self._latency())
        yield GaugeMetricFamily("automl_queue_rows", "Rows that wait.", value=self.tree["queue"]["rows"])
        yield from self._models()
        yield from self._drift()

    def _latency(self) -> Metric:
        buckets, total = [], 0
        for end, count in zip([*(f"{ms / 1000:g}" for ms in LATENCIES_MS), "+Inf"], self.tree["latency"], strict=True):
            total += count
            buckets.append((end, total))
        latency = HistogramMetricFamily("automl_latency_seconds", "Time from request to answer of predictions.")
        latency.add_metric([], buckets, self.tree["latency_s"])
        return latency

    def _models(self) -> Iterator[Metric]:
        labels = ["model", "version"]
        rows = CounterMetricFamily("automl_rows", "Predicted rows.", labels=labels)
        predicted = CounterMetricFamily("automl_predictions", "Predictions by class or range.", labels=[*labels, "as"])
        alarms = CounterMetricFamily("automl_drift_alarms", "Windows in which an input had changed.", labels=labels)
        odd = CounterMetricFamily(
            "automl_inputs", "Missing, unseen and outside values.", labels=[*labels, "input", "is"]
        )
        for model in self.status["models"]:
            for version in model["versions"]:
                names = [model["name"], version["version"]]
                rows.add_metric(names, version["rows"])
                alarms.add_metric(names, version["alarms"])
                for entry in version["predictions"]:
                    predicted.add_metric([*names, str(entry["as"])], entry["count"])
                for one in version["inputs"]:
                    for what in ("missing", "unseen", "outside"):
                        odd.add_metric([*names, one["name"], what], one[what])
        yield from (rows, predicted, alarms, odd)

    def _drift(self) -> Iterator[Metric]:
        labels = ["model", "version", "input"]
        psi = GaugeMetricFamily("automl_psi", "Population stability index of the last window.", labels=labels)
        distance = GaugeMetricFamily("automl_ks", "Kolmogorov-Smirnov distance of the last window.", labels=labels)
        score = GaugeMetricFamily("automl_feedback_score", "Score on feedback.", labels=["model", "version", "metric"])
        for model in self.status["models"]:
            for version in model["versions"]:
                names = [model["name"], version["version"]]
                for finding in version["drift"]:
                    psi.add_metric([*names, finding["name"]], finding["psi"])
                    if finding["ks"] is not None:
                        distance.add_metric([*names, finding["name"]], finding["ks"])
                if version["feedback"] and version["feedback"]["value"] is not None:
                    score.add_metric([*names, version["feedback"]["metric"]], version["feedback"]["value"])
        yield from (psi, distance, score)


def text(status: dict[str, Any], tree: dict[str, Any]) -> bytes:
    """All metrics. `status`: of `automl.serving.watching.status`; `tree`: the counts that it was made of."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Counts(status, tree))
    return generate_latest(registry)
