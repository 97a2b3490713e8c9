"""What in deploy/ is written in PromQL: the panels of the dashboard, alerts, the autoscaler's."""

import json
import re
from typing import Any

import yaml

from tests.conftest import ROOT

__all__ = [
    "ALERTS",
    "BRIDGE_METRICS",
    "DASHBOARD",
    "METRICS",
    "filled",
    "label_names",
    "metric_names",
    "panels",
]

DEPLOY = ROOT / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "gpfn-server.json").read_text())
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]

_VERSION = {"model", "version"}
_HISTOGRAMS = (
    "gpfn_inference_duration_seconds",
    "gpfn_inference_queue_seconds",
    "gpfn_inference_compute_seconds",
    "gpfn_inference_batch_rows",
)
METRICS: dict[str, set[str]] = {
    "gpfn_inference_requests_total": _VERSION,
    "gpfn_inference_failures_total": {*_VERSION, "reason"},
    "gpfn_inference_rows_total": _VERSION,
    "gpfn_inference_batches_total": _VERSION,
    **{f"{name}_bucket": {*_VERSION, "le"} for name in _HISTOGRAMS},
    **{f"{name}_{end}": _VERSION for name in _HISTOGRAMS for end in ("sum", "count")},
    "gpfn_inflight_requests": _VERSION,
    "gpfn_model_ready": _VERSION,
    "gpfn_model_load_seconds": _VERSION,
    "gpfn_requests_total": {"code"},
    "gpfn_request_duration_seconds_bucket": {"le"},
    "gpfn_connections": set(),
    "gpfn_bodies_bytes": set(),
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds_total": set(),
}
"""The metrics of the model server that are watched, with their labels."""

BRIDGE_METRICS: dict[str, set[str]] = {
    "gpfn_bridge_lag": {"topic", "partition"},
    "gpfn_bridge_oldest_age_seconds": set(),
    "gpfn_bridge_circuits_open": set(),
    "gpfn_bridge_dead_letters_total": set(),
}
"""The metrics of a bridge that alerts look at, with their labels."""

SCRAPED = {"job", "instance"}
"""The labels that Prometheus adds."""

_METRIC = re.compile(r"\b(?:up\b|(?:gpfn|process)_[a-z_]+)")
_LABELS = re.compile(r"\bby\s*\(([^)]*)\)|([a-z]+)\s*(?:=~|!~|!=|=(?!=))")
_QUOTED = re.compile(r'"[^"]*"')


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels that show something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def metric_names(expression: str) -> set[str]:
    """Return the metrics that an expression names."""
    return set(_METRIC.findall(_QUOTED.sub('""', expression)))


def label_names(expression: str) -> set[str]:
    """Return the labels that it compares or keeps."""
    found = _LABELS.findall(_QUOTED.sub('""', expression))
    kept = [name.strip() for names, _ in found for name in names.split(",")]
    return {*filter(None, kept), *(name for _, name in found if name)}


def filled(expression: str, window: str) -> str:
    """Return an expression as Grafana sends it, with everything chosen."""
    text = expression.replace("$__rate_interval", window)
    return re.sub(r"\$(model|version|instance)\b", ".*", text)
