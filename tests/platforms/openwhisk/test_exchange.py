"""/init and /run over sockets, as OpenWhisk's own test suites ask for them (A, B, C and F)."""

import json
import threading
import time
from pathlib import Path

import pytest

from tests.platforms.openwhisk.served import SENTINEL, served, zipped

ECHO = "def main(args):\n    return args\n"
TALKING = """
import sys
def main(args):
    print('hello stdout')
    print('hello stderr', file=sys.stderr)
    return args
"""
NO_CODE = "Missing main/no code to execute."
MORE_THAN_ONCE = "Cannot initialize the action more than once."
NO_BINARY = "The action failed to generate or locate a binary. See logs for details."
CANNOT_START = "Cannot start action. Check logs for details."


@pytest.mark.parametrize(
    "body",
    [{}, None, b"", {"value": {}}, {"value": None}, {"value": {"code": "", "env": None}},
     {"value": {"code": None, "main": None, "binary": None, "env": None}}],
)  # fmt: skip
def test_init_without_code_where_there_is_none(tmp_path: Path, body: object) -> None:
    with served(tmp_path) as action:
        reply = action.post("/init", body)
        assert (reply.status, reply.error) == (403, NO_CODE)
        assert action.text(sentinels=1) == ("", "")
        assert action.init(ECHO).status == 200, "a failed /init may be tried again"
        assert action.run({"a": 1}).json() == {"a": 1}


def test_init_a_second_time(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).json() == {"ok": True}
        assert action.text(sentinels=0) == ("", "")
        reply = action.init(ECHO)
        assert (reply.status, reply.error) == (403, MORE_THAN_ONCE)
        out, err = action.text(sentinels=0)
        assert MORE_THAN_ONCE in out + err
        assert action.run({"a": 1}).json() == {"a": 1}


def test_another_name_than_main(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init("def niam(args):\n  return args", main="niam").status == 200
        assert action.run({"string": "hello"}).json() == {"string": "hello"}
        assert action.text(sentinels=1) == ("", "")


def test_echo_and_text_on_both_streams(tmp_path: Path) -> None:
    values = [
        {"string": "hello"},
        {"string": "❄ ☃ ❄"},
        {"numbers": [42, 1]},
        {"object": {"a": "A"}},
        ["a", "b"],
        [],
        {},
    ]
    with served(tmp_path) as action:
        assert action.init(TALKING).status == 200
        for value in values:
            reply = action.run(value)
            assert (reply.status, reply.json()) == (200, value)
        count = len(values)
        assert action.text(sentinels=count) == ("hello stdout\n" * count, "hello stderr\n" * count)


def test_unicode_everywhere(tmp_path: Path) -> None:
    code = """# encoding: utf-8
def main(args):
    text = args['delimiter'] + " ☃ " + args['delimiter']
    print(text)
    return {"winter": text}
"""
    with served(tmp_path, environ={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}) as action:
        assert action.init(code).status == 200
        assert action.run({"delimiter": "❄"}).json() == {"winter": "❄ ☃ ❄"}
        assert action.text(sentinels=1) == ("❄ ☃ ❄\n", "")


def test_env_of_init_is_there_before_the_import(tmp_path: Path) -> None:
    code = """
import os
some, another = os.environ['SOME_VAR'], os.environ['ANOTHER_VAR']
def main(args):
    return {"SOME_VAR": some, "ANOTHER_VAR": another, "N": os.environ["N"]}
"""
    env = {"SOME_VAR": "xyz", "ANOTHER_VAR": "", "N": 5}
    with served(tmp_path) as action:
        assert action.init(code, env=env).status == 200
        assert action.run().json() == {"SOME_VAR": "xyz", "ANOTHER_VAR": "", "N": "5"}


CONTEXT = """
import os
from gpfn.platforms.openwhisk.activation import current
def main(args):
    names = ("api_host", "api_key", "namespace", "action_name", "action_version",
             "activation_id", "deadline", "transaction_id")
    found = {name: os.environ.get("__OW_" + name.upper()) for name in names}
    return {**found, "current": current().id, "left": current().deadline.remaining() > 0}
"""


def test_the_context_is_in_the_environment(tmp_path: Path) -> None:
    context = {
        "api_key": "abc", "namespace": "zzz", "action_name": "xxx", "action_version": "0.0.1",
        "activation_id": "iii", "deadline": "123",
    }  # fmt: skip
    with served(tmp_path, environ={"__OW_API_HOST": "xyz"}) as action:
        assert action.init(CONTEXT).status == 200
        nothing = {"transaction_id": None, "current": "iii", "left": False}
        assert action.run({}, **context).json() == {"api_host": "xyz", **context, **nothing}
        later = action.run({}, activation_id="jjj", deadline=int(1000 * time.time() + 5000)).json()
        assert isinstance(later, dict)
        assert (later["activation_id"], later["left"], later["api_host"]) == ("jjj", True, "xyz")
        assert later["api_key"] is None, "what the activation before had is taken back"


def test_which_runtime_it_is(tmp_path: Path) -> None:
    code = "import os\ndef main(args):\n    return {'is': os.environ.get('__OW_EXECUTION_ENV')}\n"
    for environ, found in (
        ({"OW_EXECUTION_ENV": "me/python:3"}, "me/python:3"),
        ({"OW_EXECUTION_ENV": "me/python:3", "__OW_EXECUTION_ENV": "another"}, "another"),
        ({}, None),
    ):
        with served(tmp_path, environ=environ) as action:
            assert action.init(code).status == 200
            assert action.run({}, activation_id="1").json() == {"is": found}


@pytest.mark.parametrize(
    "deadline", [0, 1.5, "soon", "", None, True, "nan", "1e999", [1], {"a": 1}, 10**20, "-5"]
)
def test_no_deadline_costs_the_process(tmp_path: Path, deadline: object) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).status == 200
        assert action.run({"a": 1}, deadline=deadline).json() == {"a": 1}
        assert action.run({"a": 2}, deadline="0").json() == {"a": 2}


def test_a_large_argument(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).status == 200
        value = {"arg": "a" * 1_048_561}
        assert action.run(value).json() == value
        size = (1 << 20) - len('{"a":""}')
        assert len(action.run({"a": "x" * size}).body) == 1 << 20


def test_an_exception_is_an_error_with_its_trace_in_the_log(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init("def main(args):\n    return {'a': 5 / args['by']}").status == 200
        reply = action.run({"by": 0})
        assert (reply.status, reply.error) == (200, "division by zero")
        out, err = action.text(sentinels=1)
        assert out == ""
        assert err.startswith("Traceback (most recent call last):\n  File ")
        assert err.splitlines()[1].endswith('__main__.py", line 2, in main'), "none of ours"
        assert action.run({"by": 1}).json() == {"a": 5.0}


def test_errors_of_the_actions_own_are_passed_on(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert (
            action.init("def main(args):\n    return {'error': 'sorry', 'more': 1}").status == 200
        )
        assert action.run().json() == {"error": "sorry", "more": 1}
        assert action.text(sentinels=1) == ("", "")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import iamnotsupported", "No module named 'iamnotsupported'"),
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys\nsys.exit(1)", "Command exited abruptly during initialization."),
        ("def other(args):\n    return args", "main is not a function; there are: other"),
        ("main = 5", "main is not a function; there are: none"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_code_that_cannot_be_started(tmp_path: Path, code: str, says: str) -> None:
    with served(tmp_path) as action:
        reply = action.init(code)
        assert (reply.status, reply.error) == (502, CANNOT_START)
        out, err = action.text(sentinels=1)
        assert out == ""
        assert says in err
        assert "gpfn/" not in err
        assert action.run().error == "no action defined yet"
        assert action.init(ECHO).status == 200
        assert action.run({"a": 1}).json() == {"a": 1}


def test_code_that_cannot_be_compiled(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        reply = action.init("10 PRINT 'Hello'")
        assert (reply.status, reply.error) == (502, NO_BINARY)
        assert "SyntaxError: invalid syntax" in action.text(sentinels=1)[1]
        reply = action.init(zipped({"__main__.py": "import other", "other.py": "10 PRINT"}))
        assert (reply.status, reply.error) == (502, CANNOT_START), "it is not looked into"


def test_an_action_has_no_arguments_of_a_command_line(tmp_path: Path) -> None:
    code = "import sys\ndef main(args):\n    return {'more': sys.argv[1:]}\n"
    with served(tmp_path) as action:
        assert action.init(code).status == 200
        assert action.run().json() == {"more": []}


def test_exiting_in_a_call(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init("import sys\ndef main(args):\n    sys.exit(1)").status == 200
        reply = action.run()
        assert (reply.status, reply.error) == (400, "command exited")
        assert action.text(sentinels=1) == ("", "")
        assert action.run().status == 400, "the process is still there"


def test_run_before_init(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        reply = action.run({"a": 1})
        assert (reply.status, reply.error) == (500, "no action defined yet")
        action.text(sentinels=1)


@pytest.mark.parametrize("value", ["text", 5, True, 1.5])
def test_a_value_that_is_no_argument(tmp_path: Path, value: object) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).status == 200
        reply = action.post("/run", {"value": value})
        assert reply.status == 404
        assert reply.error == ("The action did not receive a dictionary or array as an argument.")
        assert action.text(sentinels=1) == ("", "")


@pytest.mark.parametrize("body", [None, {}, b"", {"value": None}, {"activation_id": "i"}])
def test_no_arguments_are_empty_ones(tmp_path: Path, body: object) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).status == 200
        assert action.post("/run", body).json() == {}


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"value":NaN}', b"[" * 100_000])
@pytest.mark.parametrize("path", ["/init", "/run"])
def test_a_body_that_is_no_json(tmp_path: Path, path: str, body: bytes) -> None:
    with served(tmp_path) as action:
        if path == "/run":
            assert action.init(ECHO).status == 200
        reply = action.post(path, body)
        assert reply.status == 400
        assert str(reply.error).startswith("Error unmarshaling request")
        action.text(sentinels=1)


@pytest.mark.parametrize(
    "value", [5, "text", {"code": 5}, {"code": ECHO, "main": 5}, {"code": ECHO, "env": [1]},
              {"code": ECHO, "env": {"A=B": "x"}}, {"code": ECHO, "env": {"A": "x\0"}}],
)  # fmt: skip
def test_an_init_that_makes_no_sense(tmp_path: Path, value: object) -> None:
    with served(tmp_path) as action:
        assert action.post("/init", {"value": value}).status == 400
        assert action.init(ECHO).status == 200


def test_other_requests(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.post("/other", {}).status == 404
        connection = action.connect()
        connection.request("GET", "/run")
        assert connection.getresponse().status == 405


def test_an_async_main_is_awaited_and_its_loop_kept(tmp_path: Path) -> None:
    code = """
import asyncio
async def main(args):
    await asyncio.sleep(0)
    return {"loop": id(asyncio.get_running_loop()), **args}
"""
    with served(tmp_path) as action:
        assert action.init(code).status == 200
        first, second = action.run({"a": 1}).json(), action.run({"a": 1}).json()
        assert first == second
        late = action.run({}, deadline=str(int(1000 * time.time() - 1)))
        assert late.status == 200
        assert "deadline" in str(late.error)


def test_a_failed_init_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    broken = {"__main__.py": "import part, absent", "part.py": "name = 'first'"}
    code = """
import os, part
def main(args):
    return {"part": part.name, "env": os.environ.get("LEFT"), "cwd": os.listdir()}
"""
    right = {"__main__.py": code, "part.py": "name = 'second'"}
    with served(tmp_path) as action:
        assert action.init(zipped(broken), env={"LEFT": "x"}).status == 502
        assert action.init(zipped(right)).status == 200
        found = action.run().json()
        assert isinstance(found, dict)
        assert (found["part"], found["env"]) == ("second", None)
        assert {"__main__.py", "part.py"} <= set(found["cwd"])


def test_calls_on_many_connections_run_one_after_the_other(tmp_path: Path) -> None:
    code = """
import time
running = []
def main(args):
    print("begin", args["n"])
    running.append(args["n"])
    alone = len(running) == 1
    time.sleep(0.02)
    running.clear()
    return {"n": args["n"], "alone": alone}
"""
    with served(tmp_path, environ={"__OW_ALLOW_CONCURRENT": "true"}) as action:
        assert action.init(code).status == 200
        answers: dict[int, object] = {}
        idle = action.connect()
        idle.connect()  # never says a word, and holds nobody up

        def call(number: int) -> None:
            answers[number] = action.run({"n": number}).json()

        threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        idle.close()
        assert answers == {number: {"n": number, "alone": True} for number in range(8)}
        lines = action.out.read_text().splitlines()
        assert [line == SENTINEL for line in lines] == [False, True] * 8
        action.text(sentinels=8)


def test_a_failure_in_one_of_many_calls_is_its_own(tmp_path: Path) -> None:
    code = "def main(args):\n    if args['n'] == 3: raise ValueError('three')\n    return args"
    with served(tmp_path) as action:
        assert action.init(code).status == 200
        replies = {}

        def call(number: int) -> None:
            replies[number] = action.run({"n": number}).json()

        threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert replies.pop(3) == {"error": "three"}
        assert replies == {number: {"n": number} for number in (0, 1, 2, 4, 5)}


def test_sys_executable_is_python(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        action.init("import sys\ndef main(args):\n    return {'sys': sys.executable}")
        found = action.run().json()
        assert isinstance(found, dict)
        assert "python" in found["sys"]


def test_no_header_of_a_request_gets_into_the_log(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).status == 200
        connection = action.connect()
        secret = {"Authorization": "Bearer s3cret", "X-Broken": "s3cret"}
        connection.request("POST", "/run", b"{", secret)
        assert connection.getresponse().status == 400
        value = {"__ow_headers": {"authorization": "Basic s3cret"}, "__ow_method": "get"}
        assert action.run(value).json() == value
        assert "s3cret" not in json.dumps(action.text(sentinels=2))
