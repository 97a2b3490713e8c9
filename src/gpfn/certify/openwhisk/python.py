"""B: what OpenWhisk asks of a Python runtime."""

from gpfn.certify.check import Checklist, expect
from gpfn.certify.openwhisk.action import VIRTUALENV, ActionServers, zipped

__all__ = ["CHECKS"]

_check: Checklist[ActionServers] = Checklist()
CHECKS = _check.checks


@_check("B1", "a zip with another entry point", "PythonBasicTests:119")
def _zip(actions: ActionServers) -> None:
    files = {
        "__main__.py": "from echo import echo\ndef niam(args):\n    return echo(args)\n",
        "echo.py": "def echo(args):\n    return {'echo': args}\n",
    }
    with actions.fresh() as action:
        action.initialised(zipped(files), binary=True, main="niam")
        found = action.result({"msg": "it works"})
        expect(found == {"echo": {"msg": "it works"}}, f"got {found!r}")


@_check("B2", "files of a zip are read by relative paths", "PythonBasicTests:153")
def _relative(actions: ActionServers) -> None:
    code = "def main(args):\n    with open('workfile') as f:\n        return {'file': f.read()}\n"
    files = {"__main__.py": code, "workfile": "this is a test string"}
    with actions.fresh() as action:
        found = action.initialised(zipped(files), binary=True).result({})
        expect(found == {"file": "this is a test string"}, f"got {found!r}")


@_check("B3", "a zip without __main__.py: 502, and the log says so", "PythonBasicTests:183")
def _no_main(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init(zipped({"echo.py": ""}), binary=True, main="echo")
        expect(reply.status == 502, f"got {reply.shown()}")
        expect("Zip file does not include" in action.streams()[1], "stderr does not say so")


@_check("B4", "an exception: an error, and its trace on stderr", "PythonBasicTests:203")
def _exception(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("def main(args):\n    return {'a': 5 / 0}\n")
        reply = action.run({})
        document = reply.json()
        expect(isinstance(document, dict) and "error" in document, f"got {reply.shown()}")
        expect("Traceback" in action.streams()[1], "no trace on stderr")


@_check("B5", "a syntax error: 502 from /init", "PythonBasicTests:243")
def _syntax(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init('\n 10 PRINT "Hello!"\n 20 GOTO 10\n')
        expect(reply.status == 502, f"got {reply.shown()}")


@_check("B6", "an error that the action returns: 200, as it is", "PythonBasicTests:265")
def _own_error(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("def main(args):\n    return {'error': 'sorry'}\n")
        found = action.result({})
        expect(found == {"error": "sorry"}, f"got {found!r}")


@_check(
    "B7",
    "a package that is not there: 502 from /init, and the log says why",
    "PythonBasicTests:290",
)
def _missing(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init("import iamnotsupported\ndef main(args):\n    return {}\n")
        expect(reply.status == 502, f"got {reply.shown()}")
        err = action.streams()[1]
        expect("Traceback" in err or "cannot start" in err, f"stderr is {err[-300:]!r}")


@_check("B8", "sys.executable is Python", "PythonBasicTests:313")
def _executable(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("import sys\ndef main(args):\n    return {'sys': sys.executable}\n")
        expect("python" in str(action.result({})), f"got {action.result({})!r}")


@_check("B9", "an array as the result", "PythonBasicTests:331")
def _array_out(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("def main(args):\n    return ['a', 'b']\n")
        found = action.result({})
        expect(found == ["a", "b"], f"got {found!r}")


@_check("B10", "an array as the argument", "PythonBasicTests:348")
def _array_in(actions: ActionServers) -> None:
    with actions.fresh() as action:
        found = action.initialised().result(["a", "b"])
        expect(found == ["a", "b"], f"got {found!r}")


@_check("B11", "exiting in a call: 400, command exited", "PythonAdvancedTests:24")
def _exit_at_run(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("import sys\ndef main(args):\n    sys.exit(1)\n")
        reply = action.run({})
        expect(reply.status == 400, f"got {reply.shown()}")
        expect(b"command exited" in reply.body, f"got {reply.shown()}")
        expect(action.text() == ("", ""), f"the streams are not empty: {action.text()!r}")


@_check("B12", "exiting at the import: 502, and the log says so", "PythonAdvancedTests:47")
def _exit_at_init(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init("import sys\nsys.exit(1)\ndef main(args):\n    pass\n")
        expect(reply.status == 502, f"got {reply.shown()}")
        expect(b"Cannot start action" in reply.body, f"got {reply.shown()}")
        told = "Command exited abruptly during initialization." in action.streams()[1]
        expect(told, "stderr does not say so")


@_check("B13", "what the import prints, with a variable of /init", "PythonAdvancedTests:72")
def _printing_import(actions: ActionServers) -> None:
    code = "import os\nprint(os.getenv('X'))\ndef main(args):\n    return {'body': 'ok'}\n"
    with actions.fresh() as action:
        found = action.initialised(code, env={"X": "xyz"}).result({})
        expect(found == {"body": "ok"}, f"got {found!r}")
        expect("xyz" in action.streams()[0], "it is not on stdout")


def _virtualenv(actions: ActionServers, main: str) -> None:
    with actions.fresh() as action:
        action.initialised(zipped(VIRTUALENV), binary=True, main=main)
        found = action.result({})
        expect(found == {"agent": "packed"}, f"got {found!r}")


@_check("B14", "a zip with a virtual environment", "Python3Tests:37")
def _virtualenv_main(actions: ActionServers) -> None:
    _virtualenv(actions, "main")


@_check("B15", "the same, with another entry point", "Python3Tests:51")
def _virtualenv_naim(actions: ActionServers) -> None:
    _virtualenv(actions, "naim")


@_check("B16", "a virtual environment, but no __main__.py: 502", "Python3Tests:65")
def _virtualenv_without_main(actions: ActionServers) -> None:
    files = {name: text for name, text in VIRTUALENV.items() if name != "__main__.py"}
    with actions.fresh() as action:
        reply = action.init(zipped({**files, "other.py": ""}), binary=True)
        expect(reply.status == 502, f"got {reply.shown()}")
        expect("Zip file does not include" in action.streams()[1], "stderr does not say so")


@_check("B17", "a folder virtualenv that is none: 502", "Python3Tests:88")
def _invalid_virtualenv(actions: ActionServers) -> None:
    files = {"__main__.py": "def main(args):\n    return {}\n", "virtualenv/invalid.md": ""}
    with actions.fresh() as action:
        reply = action.init(zipped(files), binary=True)
        expect(reply.status == 502, f"got {reply.shown()}")
