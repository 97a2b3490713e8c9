"""Stages as real processes: started in order, named when they fail, restarted, ended for good."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import GpfnError, SetupError
from gpfn.graphpipe.client import Client
from gpfn.models.pipeline import read_pipeline
from gpfn.pipelines import StageProcesses, place_stages
from gpfn.pipelines.asking import is_listening
from gpfn.pipelines.measuring import open_entry
from gpfn.pipelines.processes import Note
from tests.pipelines.foreign import Foreign
from tests.pipelines.toy import alive, counted, free_ports, toy_file, write_pipeline

TABLE = np.array([[0, 1], [2, 3]], np.float32)
SLOW = "import time\n\ndef f(x):\n    time.sleep(30)\n    return x\n"
_SECONDS = 20.0


def started(
    file: Path, notes: list[Note] | None = None, place: str | None = None
) -> StageProcesses:
    tell = (lambda _: None) if notes is None else notes.append
    return StageProcesses(place_stages(read_pipeline(file), place).launches, tell)


def look_until(stages: StageProcesses, done: Callable[[], bool]) -> None:
    until = time.monotonic() + _SECONDS
    while not done():
        assert time.monotonic() < until
        stages.look()
        time.sleep(0.01)


def pids(stages: StageProcesses) -> dict[str, int]:
    return {each.launch.name: each.pid for each in stages.states}


def changes(notes: list[Note]) -> list[tuple[str, str]]:
    return [(note.stage, note.state) for note in notes if note.state]


@pytest.mark.parametrize("place", ["client", "server", "hybrid"])
def test_every_placement_answers_the_same_and_leaves_nobody(tmp_path: Path, place: str) -> None:
    file, *ports = toy_file(tmp_path)
    placed = place_stages(read_pipeline(file), place)
    with StageProcesses(placed.launches) as stages:
        stages.start()
        assert [each.state for each in stages.states] == ["ready", "ready"]
        assert [each.launch.name for each in stages.states] == ["multiply", "add"]
        running = pids(stages)
        pipeline = open_entry(placed, "toy")
        [(name, array)] = pipeline({"x": TABLE}).items()
        assert array.tolist() == [[1, 3], [5, 7]]
        assert name == ("output" if place == "hybrid" else "y")  # that nobody behind it tells
        pipeline.close()
        assert [counted(port) for port in ports] == [1, 1]
    assert not any(map(alive, running.values()))
    assert not any(is_listening(f"http://127.0.0.1:{port}") for port in ports)


def test_a_stage_starts_after_the_one_that_it_calls_and_ends_before_it(tmp_path: Path) -> None:
    file, *_ = toy_file(tmp_path, "server")
    notes: list[Note] = []
    with started(file, notes) as stages:
        stages.start()
    assert changes(notes) == [
        ("add", "starting"),
        ("add", "ready"),
        ("multiply", "starting"),
        ("multiply", "ready"),
        ("multiply", "ending"),
        ("multiply", "ended"),
        ("add", "ending"),
        ("add", "ended"),
    ]
    lines = [note.text for note in notes if note.stage == "add" and note.state is None]
    assert any("info serve add listening on http://127.0.0.1:" in line for line in lines)
    assert notes[-1].text == "it ended with exit code 0"


def test_a_call_that_a_server_hands_on_is_one_call_of_the_next(tmp_path: Path) -> None:
    file, first, second = toy_file(tmp_path, "server")
    with started(file) as stages:
        stages.start()
        with Client(f"http://127.0.0.1:{first}") as client:
            before = counted(second)
            assert client.infer(TABLE)[0].tolist() == [[1, 3], [5, 7]]
            assert counted(second) == before + 1
            os.kill(pids(stages)["add"], signal.SIGKILL)
            with pytest.raises(GpfnError) as caught:  # nobody looks: it stays dead
                until_refused(client)
    assert f"http://127.0.0.1:{second}" in caught.value.detail
    assert "502" in caught.value.detail
    assert "connection refused" in caught.value.detail


def until_refused(client: Client) -> None:
    """Call until the stage that was killed has gone."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        try:
            client.infer(TABLE)
        except GpfnError as error:
            if "refused" in error.detail:
                raise
        time.sleep(0.02)


def test_a_stage_that_is_dead_at_its_start_is_named(tmp_path: Path) -> None:
    file, _, second = toy_file(tmp_path, "server", multiply=tmp_path / "absent.py:f")
    with started(file) as stages:
        with pytest.raises(SetupError) as caught:
            stages.start()
        assert caught.value.field == "stages.multiply"
        assert "it ended with exit code 1" in caught.value.detail
        assert "absent.py" in caught.value.detail
        assert "was never ready" in caught.value.detail
    assert not is_listening(f"http://127.0.0.1:{second}")


def test_a_stage_that_does_not_come_up_is_named_with_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(f"import time\n\nprint('slowly')\ntime.sleep(60)\n{SLOW}")
    file, *_ = toy_file(tmp_path, add=tmp_path / "slow.py:f")
    launches = place_stages(read_pipeline(file)).launches
    with StageProcesses(launches, seconds=5.0) as stages:
        with pytest.raises(SetupError, match="it is not ready after") as one:
            stages.start()
        assert one.value.field == "stages.add"
        assert "5 s; its last lines: " in one.value.detail
        assert "slowly" in one.value.detail
        stages.stop(0.1)
        assert stages.all_ended


def test_an_address_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    file, first, _ = toy_file(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        with started(file) as stages, pytest.raises(SetupError, match="listens at") as caught:
            stages.start()
    assert caught.value.field == "stages.multiply.listen"


def test_who_has_taken_the_address_is_named(tmp_path: Path) -> None:
    file, first, _ = toy_file(tmp_path)
    other, stages = closing(Foreign(first, "other")), started(file)
    with other, stages, pytest.raises(SetupError) as caught:
        stages.start()
    assert f"a server of other, process {os.getpid()} " in caught.value.detail


def test_somebody_else_at_the_address_of_a_stage_is_not_that_stage(tmp_path: Path) -> None:
    """It answers, and serves a model of the same name: only the stage's own process counts."""
    file, _, second = toy_file(tmp_path)
    notes: list[Note] = []
    with started(file, notes) as stages:
        stages.start()
        killed = pids(stages)["add"]
        os.kill(killed, signal.SIGKILL)
        look_until(stages, lambda: not alive(killed) and not is_listening(stages_url(second)))
        with closing(Foreign(second, "add")):
            look_until(stages, lambda: states_of(notes, "add").count("port taken") == 3)
            assert stages.states[1].state == "port taken"
            assert stages.states[1].pid == 0
            assert stages.states[1].restarts == 1
            assert not stages.all_ready
        look_until(stages, lambda: stages.all_ready)
        assert is_listening(stages_url(second))
    taken = [note.text for note in notes if note.state == "port taken"]
    holder = f"a server of add, process {os.getpid()} "
    assert all(text.startswith(holder) for text in taken)
    pauses = [text.rpartition(" in ")[2] for text in taken]
    assert pauses == ["0.4 s", "0.8 s", "1.6 s"]


def test_somebody_who_is_faster_than_a_stage_is_not_that_stage(tmp_path: Path) -> None:
    file, _, second = toy_file(tmp_path)
    notes: list[Note] = []
    with started(file, notes) as stages:
        stages.start()
        os.kill(pids(stages)["add"], signal.SIGKILL)
        look_until(stages, lambda: states_of(notes, "add").count("starting") == 2)
        with closing(Foreign(second, "add")):  # it has begun, and does not listen yet
            look_until(stages, lambda: "port taken" in states_of(notes, "add"))
        look_until(stages, lambda: stages.all_ready)
    since = states_of(notes, "add")[2:]
    assert since[:4] == ["down", "starting", "down", "port taken"]
    assert since.count("ready") == 1
    assert any("Address already in use" in note.text for note in notes if note.state == "down")


def stages_url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def states_of(notes: list[Note], stage: str) -> list[str]:
    return [state for name, state in changes(notes) if name == stage]


@pytest.mark.parametrize("form", ["text", "json", "quiet"])
def test_a_stage_is_ready_whatever_its_log_is_like(tmp_path: Path, form: str) -> None:
    port = free_ports(1)[0]
    (tmp_path / "plain.py").write_text("print('no end', end='')\n\ndef f(x):\n    return x\n")
    stage = {"target": "./plain.py:f", "listen": f"127.0.0.1:{port}", "settings.GPFN_LOG": form}
    with started(write_pipeline(tmp_path, {"one": stage})) as stages:
        stages.start()
        assert [each.state for each in stages.states] == ["ready"]


def test_settings_are_of_one_stage_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GP_INPUTS", "nothing")  # of a server, not of every stage
    source = "import os\n\nprint('setting', os.environ.get('SETTING'))\ndef f(x):\n    return x\n"
    (tmp_path / "told.py").write_text(source)
    ports = free_ports(2)
    listen = [f"127.0.0.1:{port}" for port in ports]
    file = write_pipeline(
        tmp_path,
        {
            "one": {"target": "./told.py:f", "listen": listen[0], "settings.SETTING": "first"},
            "two": {"target": "./told.py:f", "listen": listen[1]},
        },
    )
    notes: list[Note] = []
    with started(file, notes) as stages:
        stages.start()
    said = {(note.stage, note.text) for note in notes if note.text.startswith("setting")}
    assert said == {("one", "setting first"), ("two", "setting None")}


def test_a_stage_that_ends_is_started_again_later_and_later(tmp_path: Path) -> None:
    file, *_ = toy_file(tmp_path, "server")
    notes: list[Note] = []
    with started(file, notes) as stages:
        stages.start()
        for again in (1, 2):
            os.kill(pids(stages)["add"], signal.SIGKILL)
            look_until(stages, lambda n=again: stages.states[1].restarts == n)  # type: ignore[misc]
            assert stages.states[1].state == "down"
            look_until(stages, lambda: stages.all_ready)
        assert stages.states[0].restarts == 0
        os.kill(pids(stages)["add"], signal.SIGTERM)  # an orderly end is one that nobody asked for
        look_until(stages, lambda: stages.states[1].restarts == 3)
        look_until(stages, lambda: stages.all_ready)
    down = [note.text for note in notes if note.state == "down"]
    assert down[:2] == [
        "it was ended by SIGKILL; it starts again in 0.2 s",
        "it was ended by SIGKILL; it starts again in 0.4 s",
    ]
    assert down[2] == "it ended with exit code 0; it starts again in 0.8 s"


def test_calls_go_on_within_a_second_after_a_stage_is_back(tmp_path: Path) -> None:
    """The caller asks all the time: while the stage is away, and while it loads its model."""
    file, first, _ = toy_file(tmp_path, "server")
    with started(file) as stages:
        stages.start()
        asking, answered = True, list[float]()

        def ask() -> None:
            with Client(f"http://127.0.0.1:{first}") as client:
                while asking:
                    try:
                        client.infer(TABLE)
                    except GpfnError:
                        time.sleep(0.002)
                    else:
                        answered.append(time.monotonic())

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            look_until(stages, lambda: bool(answered))
            os.kill(pids(stages)["add"], signal.SIGKILL)
            look_until(stages, lambda: stages.states[1].state == "down")
            look_until(stages, lambda: stages.all_ready)
            back = time.monotonic()
            look_until(stages, lambda: answered[-1] > back or time.monotonic() > back + 3)
        finally:
            asking = False
            asker.join()
    late = [moment - back for moment in answered if moment > back]
    assert late, "no call was answered after the stage had come back"
    assert late[0] < 1


def test_what_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    file, first, _ = toy_file(tmp_path, multiply=tmp_path / "slow.py:f")
    with started(file) as stages:
        stages.start()
        running = pids(stages)
        with Client(f"http://127.0.0.1:{first}") as client:
            asking = threading.Thread(target=failing, args=(client,))
            asking.start()
            until = time.monotonic() + _SECONDS
            while not counted(first, "gpfn_inflight_requests"):
                assert time.monotonic() < until
                time.sleep(0.01)
            began = time.monotonic()
            stages.stop(0.3)
            assert 0.2 < time.monotonic() - began < 3
            asking.join()
    assert not any(map(alive, running.values()))
    assert not is_listening(f"http://127.0.0.1:{first}")


def failing(client: Client) -> None:
    with pytest.raises(GpfnError):
        client.infer(TABLE)


PARENT = """
import sys, time
from gpfn.models.pipeline import read_pipeline
from gpfn.pipelines import StageProcesses, place_stages
stages = StageProcesses(place_stages(read_pipeline(sys.argv[1])).launches)
stages.start()
print(*[each.pid for each in stages.states], flush=True)
time.sleep(60)
"""


def test_nobody_is_left_when_the_parent_is_killed(tmp_path: Path) -> None:
    file, *ports = toy_file(tmp_path, "server")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout as output:
        running = [int(word) for word in output.readline().split()]
        assert len(running) == 2
        parent.kill()
        parent.wait()
    until = time.monotonic() + 5
    while any(map(alive, running)) or any(is_listening(f"http://127.0.0.1:{p}") for p in ports):
        assert time.monotonic() < until
        time.sleep(0.02)
