"""perf_analyzer, which nobody here wrote, loads our server as it loaded others, and checks answers.

Its recorded command lines are run again with shorter windows, any number of which is stable.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.oip.models import STUB, TRITON
from tests.e2e.oip.ours import Ports, serving
from tests.e2e.oip.recordings import Call, read_calls
from tests.peers import client_environments

WINDOWS = ["-p", "200", "--stability-percentage", "999999", "-r", "3"]
UNSTABLE = 2
"""The exit code where there was a result, but not a stable one."""

A, B = list(range(16)), [1] * 16
DATA = {"INPUT0": A, "INPUT1": B}
RESULT = {"OUTPUT0": [a + 1 for a in A], "OUTPUT1": [a - 1 for a in A]}
TEXTS = {"INPUT0": ["ab", "c", "", "é"]}


@pytest.fixture(scope="module")
def calls(shared: Path) -> list[Call]:
    found = read_calls(shared / "reference" / "wire" / "oip.jsonl")
    return [call for call in found if call.client == "perf_analyzer"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with serving(TRITON, tmp_path_factory.mktemp("loaded")) as ports:
        yield ports


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with serving(STUB, tmp_path_factory.mktemp("stub")) as ports:
        yield ports


def row(tensors: Mapping[str, Sequence[object]]) -> dict[str, object]:
    return {name: {"content": each, "shape": [len(each)]} for name, each in tensors.items()}


def analyze(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run it; returns its exit code, as a shell tells it, and all that it says."""
    program = client_environments() / "perf-analyzer" / "run"
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return code, done.stdout + done.stderr


def arguments_of(call: Call, served: Ports, data: Path) -> list[str]:
    """Return a recorded command line, for our ports and with short windows."""
    port = served.grpc if "-i grpc" in call.command else served.http
    words = re.sub(r"-p \d+|-r \d+|-s \d+|--stability-percentage \d+", "", call.command).split()
    there = {"<fixture>": str(data)}
    return [re.sub(r":18\d{3}", f":{port}", there.get(word, word)) for word in words[1:]] + WINDOWS


def check(call: Call, served: Ports, folder: Path) -> list[str]:
    """Make a recorded call; return what is wrong."""
    texts = "simple_identity" in call.command
    sample = {"data": [row(TEXTS)]} if texts else validated(RESULT)
    data = folder / "data.json"
    data.write_text(json.dumps(sample))
    code, said = analyze(arguments_of(call, served, data), folder)
    expected = 0 if call.exit == UNSTABLE else call.exit
    wrong = [] if code == expected else [f"{call.case}: exit {code}, not {expected}: {said}"]
    if code == 0 and not re.search(r"Request count: [1-9]", said):
        wrong.append(f"{call.case}: no requests: {said}")
    return wrong


def validated(result: Mapping[str, Sequence[object]]) -> dict[str, object]:
    return {"data": [row(DATA)], "validation_data": [row(result)]}


def test_it_loads_our_server_as_it_loaded_triton(
    calls: list[Call], served: Ports, tmp_path: Path
) -> None:
    made = [call for call in calls if call.server == "triton"]
    wrong = [text for call in made for text in check(call, served, tmp_path)]
    assert len(made) == 16
    assert not wrong, "\n".join(wrong)


def test_it_finds_with_us_what_a_stub_had_not(
    calls: list[Call], stub: Ports, tmp_path: Path
) -> None:
    lines = {tuple(arguments_of(call, stub, tmp_path)) for call in calls if call.server == "stub"}
    answers = [analyze([*line], tmp_path) for line in sorted(lines)]
    assert len(answers) == 3  # one at a time, two in a batch, two at once
    assert [code for code, _ in answers] == [0, 0, 0], answers


def test_it_would_find_a_wrong_answer(served: Ports, tmp_path: Path) -> None:
    data = tmp_path / "wrong.json"
    data.write_text(json.dumps(validated({**RESULT, "OUTPUT1": [7] * 16})))
    url = f"127.0.0.1:{served.http}"
    code, said = analyze(["-m", "simple", "-u", url, "--input-data", str(data), *WINDOWS], tmp_path)
    assert code == 99
    assert "doesn't match expected output" in said
