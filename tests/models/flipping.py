"""Open and run damaged copies of a model, each in a process of its own: FILE COUNT SEED.

Prints how many were refused, how many ran, and how many ended their process. Half of
the copies are cut off, the others have a byte changed where the structure is: at the
ends of the file.
"""

import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter

import numpy as np

from gpfn.errors import GpfnError, ModelUnreadable
from gpfn.models import open_model, warm_up
from gpfn.models.cache import zeros

__all__: list[str] = []

EDGE = 4096
LOG = os.environ.get("FLIPPING_LOG", os.devnull)


def attempt(path: str) -> int:
    """Open and run the file; return 0 when it ran, 1 when it was refused, 2 for a bug of ours."""
    try:
        model = open_model(path)
        warm = warm_up(model)
        if warm.error is None and all(spec.shape and not spec.shape[0] for spec in model.inputs):
            model({spec.name: np.repeat(zeros(spec), 3, axis=0) for spec in model.inputs})
    except ModelUnreadable as error:
        return 1 if path in error.detail else 2
    except GpfnError:
        return 1
    except BaseException:
        traceback.print_exc()
        return 2
    return 0


def apart(path: str) -> str:
    """Attempt it in a child with little memory and time, and say how that ended."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        signal.alarm(20)
        os.dup2(os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os._exit(attempt(path))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return ("ran", "refused", "escaped")[os.WEXITSTATUS(status)]


def damaged(whole: bytes, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Return damaged copies and what was done to each."""
    numbers, copies = random.Random(seed), []
    for _ in range(count // 2):
        size = numbers.randrange(len(whole))
        copies.append((f"cut at {size}", whole[:size]))
        at = numbers.choice(
            [
                numbers.randrange(min(EDGE, len(whole))),
                -1 - numbers.randrange(min(EDGE, len(whole))),
            ]
        )
        changed = bytearray(whole)
        changed[at] ^= 1 << numbers.randrange(8)
        copies.append((f"bit at {at}", bytes(changed)))
    return copies


def main(path: str, count: int, seed: int) -> None:
    """Try all copies; a cut one may never run, nor end its process."""
    with open(path, "rb") as file:
        whole = file.read()
    from ai_edge_litert.interpreter import Interpreter  # once, not in every child

    Interpreter(model_content=whole)
    ended: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy" + os.path.splitext(path)[1])
        for what, content in damaged(whole, count, seed):
            with open(copy, "wb") as file:
                file.write(content)
            how = apart(copy)
            ended[what.split()[0], how] += 1
            if how not in ("ran", "refused"):
                print(what, how, file=sys.stderr)
    for (what, how), number in sorted(ended.items()):
        print(what, how, number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
