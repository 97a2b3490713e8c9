"""Backends whose models may be opened before processes part: 200 forks, and all answer."""

import subprocess
import sys

import pytest

from gpfn.models.backends import BACKENDS

FORKS = 200
MODELS = {"litert": "models/forecast.tflite"}

FORKING = """
import os, signal, sys, threading
import numpy as np
from gpfn.models import open_model, warm_up

model = open_model(sys.argv[1])
assert warm_up(model).error is None
assert threading.active_count() == 1
window = np.linspace(20, 30, 20, dtype=np.float32).reshape(1, 20, 1)
expected = model({"series": window})["forecast"].tobytes()
answered = 0
for number in range(int(sys.argv[2])):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        os.write(write, model({"series": window})["forecast"].tobytes())
        os._exit(0)
    os.close(write)
    answered += os.read(read, 4096) == expected
    os.close(read)
    os.waitpid(pid, 0)
print(answered)
"""


@pytest.mark.parametrize("kind", [row.kind for row in BACKENDS if row.survives_fork])
def test_every_fork_answers(kind: str) -> None:
    command = [sys.executable, "-c", FORKING, MODELS[kind], str(FORKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == [str(FORKS)], done.stderr
