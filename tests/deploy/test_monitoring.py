"""Dashboard, alerts and autoscaler: what they name is there, and they are whole.

Their expressions are evaluated by a real Prometheus in tests/images_engine.
"""

import itertools
import re
from pathlib import Path

import pytest
import yaml

from gpfn.platforms.table import PLATFORMS
from tests.cli.serving import serve
from tests.conftest import ROOT
from tests.deploy.bridge_process import running_bridge
from tests.deploy.watching import (
    ALERTS,
    BRIDGE_METRICS,
    DASHBOARD,
    DEPLOY,
    METRICS,
    SCRAPED,
    label_names,
    metric_names,
    panels,
)

EXPRESSIONS = [
    (panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]
] + [(alert["alert"], alert["expr"]) for alert in ALERTS]
KNOWN = {**METRICS, **BRIDGE_METRICS}
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_only_metrics_that_there_are_are_named(where: str, expression: str) -> None:
    names = metric_names(expression)
    assert names, expression
    assert names <= set(KNOWN) | {"up"}
    allowed = SCRAPED.union(*(KNOWN.get(name, set()) for name in names))
    assert label_names(expression) <= allowed


def test_a_running_server_has_all_of_them(tmp_path: Path) -> None:
    with serve(tmp_path, "--model", str(ROOT / "models" / "forecast.tflite")) as served:
        served.get("/v2")
        text = served.get("/metrics").decode()
    found = series(text)
    told = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    for name, labels in METRICS.items():
        assert found.get(name, labels) == labels, name
        assert name in found or name in told, f"{name}: nothing counted, and no type"


def series(text: str) -> dict[str, set[str]]:
    """Return the names of the metrics in an exposition, with their labels."""
    return {
        name: set(re.findall(r'(\w+)="', labels))
        for name, labels in re.findall(r"^(\w+)(?:{(.*)})? ", text, re.MULTILINE)
    }


def test_a_running_bridge_has_all_that_its_alerts_look_at(tmp_path: Path) -> None:
    with running_bridge(tmp_path) as bridge:
        text = bridge.metrics_with("gpfn_bridge_lag{")
    found = series(text)
    assert {name: found.get(name) for name in BRIDGE_METRICS} == BRIDGE_METRICS
    named = {name for _, text in EXPRESSIONS for name in metric_names(text)}
    assert set(BRIDGE_METRICS) <= named


def test_names_are_found_in_expressions() -> None:
    text = 'sum by (code, le) (rate(gpfn_x_total{model="process_y",a!="b"}[5m])) == up'
    assert metric_names(text) == {"gpfn_x_total", "up"}
    assert label_names(text) == {"code", "le", "model", "a"}


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for _, text in EXPRESSIONS for name in metric_names(text)}
    parts = re.compile(r"_(sum|count)$")  # of a histogram the buckets are enough
    assert {name for name in METRICS if not parts.search(name)} <= shown


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_is_whole(panel: dict) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}", "any Prometheus, by the variable"
    marks = [target["refId"] for target in panel["targets"]]
    assert len(set(marks)) == len(marks)
    for target in panel["targets"]:
        expression, legend = target["expr"], target["legendFormat"]
        assert target["datasource"] == panel["datasource"]
        assert legend
        kept = re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression)))
        assert set(re.findall(r"{{(\w+)}}", legend)) <= {*kept, "instance"}
        for name in re.findall(r"\$(?!__)(\w+)", expression):
            assert name in VARIABLES
        assert "instance=~" in expression, "the dashboard can be narrowed to a replica"
        assert not re.search(r"\[(?!\$__rate_interval\])", expression), "Grafana knows how long"


def test_panels_fill_the_grid_and_hide_nothing() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    width = max(place["y"] + place["h"] for place in places) * 24
    assert sum(place["w"] * place["h"] for place in places) == width
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong(alert: dict) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["for"]
    texts = " ".join(alert["annotations"].values())
    assert "summary" in alert["annotations"]
    names = metric_names(alert["expr"])
    known = SCRAPED.union(*(KNOWN.get(name, set()) for name in names))
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= known


def test_the_readme_says_what_to_do_about_each_alert() -> None:
    text = (DEPLOY / "README.md").read_text()
    assert re.findall(r"^\| (Gpfn\w+) \|", text, re.MULTILINE) == [one["alert"] for one in ALERTS]


def documents(name: str) -> list[dict]:
    """Return the documents of a file."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    (scaler,) = [
        one
        for one in documents("kubernetes/server.yaml")
        if one["kind"] == "HorizontalPodAutoscaler"
    ]
    asked = [one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"] if "pods" in one]
    (values,) = documents("kubernetes/prometheus-adapter.yaml")
    (rule,) = values["rules"]["custom"]
    assert asked == [rule["name"]["as"]]
    assert metric_names(rule["seriesQuery"]) == set(asked) <= set(METRICS)
    (cluster,) = documents("prometheus/kubernetes.yaml")
    (job,) = [one for one in cluster["scrape_configs"] if one["job_name"] == "gpfn-server"]
    added = {one.get("target_label") for one in job["relabel_configs"]}
    for name, meaning in rule["resources"]["overrides"].items():
        assert meaning == {"resource": name}
        assert name in added, "Prometheus has to know it of each replica"


def test_one_name_for_each_job() -> None:
    jobs = {
        job["job_name"]
        for name in ("prometheus", "kubernetes")
        for job in documents(f"prometheus/{name}.yaml")[0]["scrape_configs"]
    }
    used = {job for _, text in EXPRESSIONS for job in re.findall(r'job="([^"]*)"', text)}
    assert used == jobs == {"gpfn-server", "gpfn-bridge"}
    (cluster,) = documents("prometheus/kubernetes.yaml")
    for job in cluster["scrape_configs"]:
        pods = job["relabel_configs"][0]["regex"].partition(";")[0]
        name = job["job_name"].removeprefix("gpfn-")
        (workload,) = [
            one
            for one in documents(f"kubernetes/{name}.yaml")
            if one["kind"] in ("Deployment", "StatefulSet")
        ]
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == pods


def test_the_demo_is_connected() -> None:
    (compose,) = documents("compose/compose.yaml")
    services = compose["services"]
    (prometheus,) = documents("prometheus/prometheus.yaml")
    (target,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    image = PLATFORMS["server"].image
    assert image is not None
    assert target == f"models:{image.port}"
    (source,) = documents("grafana/datasource.yaml")[0]["datasources"]
    assert source["url"] == f"http://prometheus:{services['prometheus']['expose'][0]}"
    mounts = [
        text.split(":") for service in services.values() for text in service.get("volumes", [])
    ]
    for place, *_ in mounts:
        assert (DEPLOY / "compose" / place).resolve().exists(), place
    (provider,) = documents("grafana/dashboards.yaml")[0]["providers"]
    assert [inside for _, inside, _ in mounts if inside.startswith(provider["options"]["path"])]
    assert any(inside in services["prometheus"]["command"][0] for _, inside, _ in mounts)
