"""What Prometheus' own parser reads in our text, and what forked processes count together."""

import os
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpfn.metrics import MEDIA_TYPE, SECONDS, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_counters_gauges_and_histograms() -> None:
    metrics = Metrics()
    calls = metrics.counters("gpfn_calls_total", "Calls.", "code", [200, 404])
    connections = metrics.gauge("gpfn_connections", "Connections.")
    durations = metrics.histogram("gpfn_call_duration_seconds", "Durations.")
    calls[200].add()
    calls[200].add(2)
    connections.set(7)
    connections.add(-2)
    for seconds in (0.0001, 0.00011, 3, 100):
        durations.observe(seconds)
    found = samples(metrics)
    assert found["gpfn_calls_total", "code=200"] == 3
    assert ("gpfn_calls_total", "code=404") not in found
    assert found["gpfn_connections", ""] == 5
    assert found["gpfn_call_duration_seconds_bucket", "le=0.0001"] == 1
    assert found["gpfn_call_duration_seconds_bucket", "le=0.0005"] == 2
    assert found["gpfn_call_duration_seconds_bucket", "le=10.0"] == 3
    assert found["gpfn_call_duration_seconds_bucket", "le=+Inf"] == 4
    assert found["gpfn_call_duration_seconds_count", ""] == 4
    assert found["gpfn_call_duration_seconds_sum", ""] == pytest.approx(103.00021)


def test_names_and_the_media_type() -> None:
    metrics = Metrics()
    metrics.counter("gpfn_things_total", "Things.").add()
    text = metrics.text().decode()
    assert text.endswith("\n")
    for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE):
        assert re.fullmatch(r"[a-z_]+(_total|_bytes|_seconds|_fds|_threads)?", name)
        assert f"# HELP {name} " in text
    assert "version=0.0.4" in MEDIA_TYPE
    assert list(SECONDS) == sorted(SECONDS)


def test_the_process_tells_of_itself() -> None:
    found = samples(Metrics())
    assert found["process_resident_memory_bytes", ""] > 1e6
    assert found["process_cpu_seconds_total", ""] > 0
    assert found["process_open_fds", ""] >= 3
    assert found["process_threads", ""] >= 1


def test_processes_count_together_and_one_that_dies_is_counted_on() -> None:
    metrics = Metrics(3)
    counter = metrics.counter("gpfn_things_total", "Things.")
    for number in (0, 1, 2, 1):  # the second place is taken twice
        pid = os.fork()
        if not pid:
            metrics.begin(number)
            counter.add(10)
            os._exit(0)
        os.waitpid(pid, 0)
    assert samples(metrics)["gpfn_things_total", ""] == 40
