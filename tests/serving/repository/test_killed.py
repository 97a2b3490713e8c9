"""A process that changes a store is killed at any moment: nothing that was done is lost."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from gpfn.serving.repository.folder_objects import FolderObjects
from tests.serving.repository.killed import NAMES, after, drive, read_log
from tests.serving.repository.stored import Held, held, open_store

KILLS = 200
ROUNDS = 20  # kills of one store, before there is a new one
LATEST_KILL = 0.06  # seconds after the first change


def kill_once(place: Path, log: Path, chance: random.Random) -> None:
    """Let a process change a store, and kill it at some moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.serving.repository.killed"])
    process = context.Process(target=drive, args=(place, log, chance.randrange(1 << 30)))
    process.start()
    while not (log.exists() and log.stat().st_size):
        assert process.is_alive()
        time.sleep(0.001)
    time.sleep(chance.uniform(0, LATEST_KILL))
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    process.close()


def step(state: Mapping[str, Held], log: Path) -> list[dict[str, Held]]:
    """Return the states that a store may be in after what a log says; ends the log."""
    changes, done = read_log(log)
    log.unlink()
    steps = [dict(state)]
    for number, change in enumerate(changes):
        ways = after(steps[-1], change)
        steps = ways if number == len(changes) - 1 and not done else ways[-1:]
    return steps


def test_nothing_is_lost_or_half_there_after_200_kills(tmp_path: Path) -> None:
    chance = random.Random(12)
    log = tmp_path / "log"
    state: dict[str, Held] = {}
    changes = 0
    for kill in range(KILLS):
        if kill % ROUNDS == 0:
            place = tmp_path / f"store-{kill}"
            state = {name: Held({}, {}, {}) for name in NAMES}
        kill_once(place, log, chance)
        changes += len(read_log(log)[0])
        possible = step(state, log)
        found = held(open_store(place), NAMES)
        assert found in possible, kill
        state = found
        if (kill + 1) % ROUNDS == 0:
            FolderObjects(place).sweep(older=-1)
            assert [*(place / ".incoming").iterdir()] == []
            assert held(open_store(place), NAMES) == state
            shutil.rmtree(place)
    assert changes > KILLS, "the processes did something before they were killed"
