"""The runner of the examples itself: what passes must be right, what is wrong must fail."""

import os
import time
from pathlib import Path

import pytest

from tests.docs.blocks import Block, at_port, commands, fences
from tests.docs.session import run_console, run_python, unmatched

PAGE = Path("page.md")
ENV = dict(os.environ)


def console(code: str) -> Block:
    """Return a console block."""
    return Block(PAGE, 1, "console", code)


def test_fences_of_a_page() -> None:
    text = (
        "# T\n```python\nx = 1\n```\n- item\n\n  ```console\n  $ ls\n  ```\n````text\n```\n````\n"
    )
    found = fences(PAGE, text)
    assert [(block.line, block.language, block.code) for block in found] == [
        (3, "python", "x = 1\n"),
        (8, "console", "$ ls\n"),
        (11, "text", "```\n"),
    ]
    with pytest.raises(AssertionError, match="not closed"):
        fences(PAGE, "```python\nx\n")


def test_commands_of_a_block() -> None:
    found = commands(console("$ cat <<E\n> a\n>\n> E\na\n$ ! false\n\n"))
    assert [(c.line, c.text, c.fails, c.output) for c in found] == [
        (1, "cat <<E\na\n\nE", False, ("a",)),
        (6, "false", True, ()),
    ]


def test_a_block_that_needs_a_broker_gets_another_port() -> None:
    block = Block(PAGE, 1, "console", "$ up --port 9092\n$ to 127.0.0.1:9092 19092\n", "kafka")
    assert at_port(block, 5).code == "$ up --port 5\n$ to 127.0.0.1:5 19092\n"
    with pytest.raises(KeyError):
        at_port(block._replace(needs="engine"), 5)


def test_python_blocks_share_a_namespace(tmp_path: Path) -> None:
    blocks = [Block(PAGE, 3, "python", "x = 2\n"), Block(PAGE, 9, "python", "assert x == 2\n")]
    run_python(blocks, tmp_path, ENV)
    with pytest.raises(AssertionError, match=r'page\.md", line 9'):
        run_python(blocks[1:], tmp_path, ENV)


@pytest.mark.parametrize(
    "code",
    [
        "$ x=5\n$ echo $x\n5\n",
        "$ ! false\n",
        "$ ! ls /nonexistent\nls: …\n",
        "$ printf 'a\\nb\\nc took 3 s\\n'\na\nc took … s\n",
        "$ sleep 100 &\n$ echo ready\nready\n",
        "$ cat <<'E'\n> two\n> lines\n> E\ntwo\nlines\n",
        "$ echo to stderr >&2\nto stderr\n",
    ],
)
def test_a_right_session_passes(code: str, tmp_path: Path) -> None:
    started = time.monotonic()
    run_console(console(code), tmp_path, ENV)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("$ true\n$ false\n$ true\n", "exit 1: page.md:2"),
        ("$ ! true\n", "did not fail"),
        ("$ true\n$ ! echo hello\n", "did not fail"),
        ("$ echo a\nb\n", "did not print 'b'"),
        ("$ printf 'a\\nb\\n'\nb\na\n", "did not print 'a'"),
        ("$ false | true\n", "exit 1"),
        ("$ echo $undefined_here\n", "exit 1"),
        ("output\n", "output before"),
        ("\n", "output before|without a command"),
    ],
)
def test_a_wrong_session_fails(code: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=says):
        run_console(console(code), tmp_path, ENV)


def test_what_is_left_in_the_background_is_ended(tmp_path: Path) -> None:
    run_console(console("$ sleep 300 & echo $! > pid\n$ cat pid\n…\n"), tmp_path, ENV)
    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    until = time.monotonic() + 5
    while state.exists() and ") Z " not in state.read_text() and time.monotonic() < until:
        time.sleep(0.02)
    assert not state.exists() or ") Z " in state.read_text()


def test_a_server_has_time_to_end_what_it_started_also_when_the_example_fails(
    tmp_path: Path,
) -> None:
    """A server's functions are sessions of their own: only the server can end those."""
    (tmp_path / "server.sh").write_text(
        "setsid sleep 300 & child=$!\n"
        "trap 'sleep 0.3; kill $child; echo ended > ended; exit' TERM\n"
        "echo $child > child\nwait\n"
    )
    with pytest.raises(AssertionError, match="exit 1"):
        run_console(
            console("$ bash server.sh &\n$ while [ ! -s child ]; do sleep 0.02; done\n$ false\n"),
            tmp_path,
            ENV,
        )
    assert (tmp_path / "ended").read_text() == "ended\n"


def test_output_lines_in_order() -> None:
    assert unmatched(["a", "… ms"], "a\nnoise\n12 ms\n") is None
    assert unmatched(["a", "b"], "b\na\n") == "b"
    assert unmatched(["1.5 (x)"], "1.5 (x)") is None
