"""What every test may ask for, and the rule that nothing is passed over silently."""

import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from gpfn.hidden import HIDDEN

__all__ = ["ROOT", "SLOW", "nothing_hidden", "root", "same_environment", "shared"]

ROOT = Path(__file__).resolve().parents[1]

SLOW = (
    "tests/docs/test_ten_minutes.py",
    "tests/convert/test_keras.py",
    "tests/convert/test_trees.py",
    "tests/convert/test_environments.py",
    "tests/convert/test_converter.py",
    "tests/e2e/bridge/test_bridge_faults.py",
    "tests/bridge/test_kafka_outage.py",
    "tests/bridge/test_kafka_refusals.py",
    "tests/bridge/test_broker.py",
    "tests/bridge/test_kafka_source.py",
    "tests/bridge/test_nats_faults.py",
    "tests/bridge/test_queue_processes.py",
    "tests/bridge/test_kafka_conformance.py",
    "tests/bridge/test_queue_faults.py",
    "tests/bridge/test_kafka_sink.py",
    "tests/bridge/test_nats_sink.py",
    "tests/bridge/test_nats_setup.py",
    "tests/bridge/test_nats_cluster.py",
    "tests/bridge/test_nats_conformance.py",
    "tests/e2e/bridge/test_bridge_killed.py",
    "tests/bridge/test_queue_model.py",
    "tests/bridge/test_hostile.py",
    "tests/bridge/test_delivery_model.py",
    "tests/cli/test_bridge_tail.py",
    "tests/cli/test_bridge_dead.py",
    "tests/cli/test_bridge_send.py",
    "tests/e2e/test_bad_pipelines.py",
    "tests/e2e/test_classy.py",
    "tests/pipelines/test_processes.py",
    "tests/cli/test_pipeline_up.py",
    "tests/training/test_mobilenet_nchw.py",
    "tests/serving/test_swap_under_load.py",
    "tests/e2e/test_bad_uploads.py",
    "tests/e2e/test_repository_under_load.py",
    "tests/serving/repository/test_store_together.py",
    "tests/serving/repository/test_power_cut.py",
    "tests/serving/repository/test_killed.py",
    "tests/e2e/test_bad_models_uploaded.py",
    "tests/serving/repository/test_store_model.py",
    "tests/docs/test_examples.py",
    "tests/website/test_site.py",
    "tests/build/test_doctor.py",
    "tests/test_packaging.py",
    "tests/scaffold/test_written.py",
    "tests/e2e/test_leaks.py",
    "tests/e2e/test_memory_table.py",
    "tests/benchmarks/test_soak.py",
    "tests/e2e/test_framing.py",
    "tests/training/test_tabular_run.py",
    "tests/training/test_forecast_run.py",
    "tests/models/test_backends.py",
    "tests/cli/test_invoke.py",
    "tests/e2e/oip/test_recorded_calls.py",
    "tests/e2e/tfaas/test_recorded_calls.py",
    "tests/e2e/tfaas/test_limits.py",
    "tests/e2e/tfaas/test_holes.py",
    "tests/e2e/tfaas/test_uploads_again.py",
    "tests/e2e/oip/test_perf_analyzer.py",
    "tests/local/openwhisk/test_wskdebug.py",
    "tests/local/supervisor/test_node.py",
    "tests/platforms/fn/test_start.py",
    "tests/graphpipe/test_roundtrip.py",
    "tests/certify/test_broken_servers.py",
    "tests/certify/test_suites.py",
    "tests/clients/test_cpp_failures.py",
    "tests/clients/test_cpp_package.py",
    "tests/training/test_dense.py",
    "tests/training/test_digits_run.py",
    "tests/training/test_images_run.py",
    "tests/training/test_notebook.py",
    "tests/cli/test_bench.py",
    "tests/cli/test_coldstart.py",
    "tests/models/test_filekind.py",
    "tests/models/test_tensorflow_c.py",
    "tests/e2e/test_bad_models_served.py",
    "tests/e2e/test_bad_requests_to_models.py",
    "tests/e2e/test_bad_input.py",
    "tests/events/test_round_trips.py",
    "tests/graphpipe/test_peer.py",
    "tests/models/test_flipping.py",
    "tests/hosts/test_platforms.py",
    "tests/platforms/http/test_runner.py",
    "tests/e2e/test_bad_backend.py",
    "tests/platforms/openwhisk/test_exchange.py",
    "tests/platforms/openwhisk/test_code.py",
    "tests/serving/test_peers.py",
    "tests/serving/test_swap.py",
    "tests/serving/test_cancelled.py",
    "tests/serving/test_rows.py",
    "tests/serving/test_batched_protocols.py",
    "tests/cli/test_demo.py",
    "tests/cli/test_serve.py",
    "tests/events/test_json_text.py",
    "tests/events/test_sdk.py",
    "tests/events/test_hostile.py",
    "tests/http/test_splits.py",
    "tests/graphpipe/test_fuzz.py",
    "tests/graphpipe/test_client.py",
    "tests/images/test_decoding.py",
    "tests/build/test_needs.py",
    "tests/build/test_recipe.py",
    "tests/functions/test_classify.py",
    "tests/test_no_skips.py",
)
"""Modules that take over five seconds, the slowest first.

`make test` begins with them, so that no process waits in the end for another that has just
begun one; `make check` leaves them out.
"""

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure() -> None:
    """Let what tests start heed Ctrl-C: a shell's background jobs ignore it, and hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def same_environment() -> Iterator[None]:
    """Take back what the environment is changed to: servers of other tests would inherit it."""
    before = dict(os.environ)
    try:
        yield
    finally:
        if os.environ != before:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(autouse=True)
def environment_as_it_was() -> Iterator[None]:
    """Give each test the environment that the first one had."""
    with same_environment():
        yield


@pytest.fixture(autouse=True)
def nothing_hidden() -> Iterator[None]:
    """Forget which texts a test has let be hidden: other tests may have the same words."""
    yield
    HIDDEN.clear()


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository with recordings, pictures and model files.

    ``GPFN_SHARED`` names another one.
    """
    folder = Path(os.environ.get("GPFN_SHARED") or ROOT / ".." / "shared").resolve()
    if not (folder / "data").is_dir():
        pytest.fail(
            f"{folder} with the recordings and test data is absent: "
            "put it beside the repository or name it in GPFN_SHARED"
        )
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: a missing peer must not look like a pass."""
    report = yield
    return _no_skips(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is collected, which may change much."""
    with same_environment():
        report = yield
    return _no_skips(report)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow modules, and begin with them, the slowest first."""
    rank = {ROOT / name: number for number, name in enumerate(SLOW)}
    for item in items:
        if item.path in rank:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name binary parameters by their length.

    Their content may differ from process to process (gzip writes the time into it), and
    tests that run in several processes must have the same names in all of them.
    """
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return f"{len(val)} bytes"
    return None


def _no_skips(report: Report) -> Report:
    excused = report.outcome == "skipped" or hasattr(report, "wasxfail")
    if excused and os.environ.get("CI", "").lower() == "true":
        vars(report).pop("wasxfail", None)  # pytest does not count a report that has it as failed
        report.outcome = "failed"
        report.longrepr = f"skipped or expected to fail, which CI does not allow: {report.longrepr}"
    return report
