"""Ids that nobody else has, not even a forked copy of the process."""

import os

from gpfn.events.event import new_id


def test_ids_differ() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(text) == 32 and int(text, 16) >= 0 for text in ids)


def test_a_forked_process_makes_others() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 64).decode() != new_id()
    os.close(reading)
    os.close(writing)
