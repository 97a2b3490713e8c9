"""How the package is cut: how long modules and functions are, how many, and their names.

Lines are counted as they stand in the file. The number of modules and their median count
every file of ``src/gpfn``, ``__init__`` too; the table of short ones leaves ``__init__``
out, which is as long as what its package offers.
"""

import ast
import re
from collections import defaultdict
from statistics import median

import pytest

from tests.conftest import ROOT
from tests.sources import Module, files, modules

MODULE_LINES = 300
FUNCTION_LINES = 60
MODULES = 860
MEDIAN_LINES = 115
SHORT_LINES = 60

SHORT = {
    "gpfn.local.supervisor.begun": "one call that runs, apart from who begins it in two ways",
    "gpfn.__main__": "python -m gpfn: starts the command line and does nothing else",
    "gpfn.bridge.record": "what every queue and the engine have in common: values alone",
    "gpfn.bridge.replies": "from a function's answer to a record, and nothing else",
    "gpfn.bridge.unreadable": "how sources tell that a record is not whole, whichever they are",
    "gpfn.build.stage.lock": "runs in a base image, where there is no gpfn yet",
    "gpfn.build.health": "an image's check, run every ten seconds: imports nothing of ours",
    "gpfn.build.sample": "what trial, measurement and rules share, each in another process",
    "gpfn.cli.bridge": "a command: each is a module, and its actions too",
    "gpfn.cli.ending": "a rule that commands share which clear up, and nothing else",
    "gpfn.cli.image": "a command: each is a module",
    "gpfn.cli.main": "what every start of the command line imports",
    "gpfn.cli.pipeline": "a command: each is a module, and its actions too",
    "gpfn.cli.train_digits": "a training: each declares its options in a module",
    "gpfn.cli.train_forecast": "a training: each declares its options in a module",
    "gpfn.cli.train_tabular": "a training: each declares its options in a module",
    "gpfn.data.ahead": "how readers read while others compute, and nothing else",
    "gpfn.data.spark.carried": "what a task of either kind has of the model: values alone",
    "gpfn.data.wanted": "a rule that every reader of columns asks, and its words",
    "gpfn.cli.train_images": "a training: each declares its options in a module",
    "gpfn.convert.inside.onnx_file": "what all writers of trees do last, where there is no gpfn",
    "gpfn.deadline": "a word of the ground floor, on every start path",
    "gpfn.hidden": "a word of the ground floor, on every start path",
    "gpfn.http.loop.large_body": "another protocol than the connection, for one reason alone",
    "gpfn.http.loop.timing": "all time-outs of a connection in one place",
    "gpfn.http.target": "a grammar of its own, which the head's rules and their tests ask",
    "gpfn.json_words": "a grammar of its own, which model servers share and strict JSON has not",
    "gpfn.local.supervisor.failure": "what a process, its pool and its watcher tell each other",
    "gpfn.local.supervisor.leftovers": "what a killed process could not remove, and nothing else",
    "gpfn.local.supervisor.watcher": "what holds a limit where the kernel cannot, and nothing else",
    "gpfn.local.supervisor.settings": "what the supervisor is given: values alone",
    "gpfn.local.console.differences": "a panel of the console, each of which is a module",
    "gpfn.local.deployed": "a word that all parts of the platforms on a laptop share",
    "gpfn.local.openwhisk.log_lines": "a format of its own, which the platform stores",
    "gpfn.local.openwhisk.service": "how the parts of a call are put together, and nothing else",
    "gpfn.limits": "a word of the ground floor, on every start path",
    "gpfn.scaffold.names": "one rule of its own, with all the reasons that it may give",
    "gpfn.serving.repository.opening": "which kind of place a repository is at, and nothing else",
    "gpfn.http.pending": "what loops wait for, which every floor above adds a step to",
    "gpfn.models.pipeline.feeding": "a rule that every placement and check of a pipeline asks",
    "gpfn.models.labels": "a file format of its own, which functions, servers and commands share",
    "gpfn.message": "a word of the ground floor, on every start path",
    "gpfn.serving.browser": "a guard with reasons of its own, which every protocol asks at writes",
    "gpfn.serving.answers": "how a server of GraphPipe answers, with the reasons of its clients",
    "gpfn.serving.compression": "what answers of any protocol may go through",
    "gpfn.serving.grpc.traced": "gRPC with traces, which is loaded by who has asked for them",
    "gpfn.serving.engine.making": "what engine, versions and supervision share without a cycle",
    "gpfn.serving.engine.sample": "a file format of its own, read once a load",
    "gpfn.models.oip_grpc": "loaded by who asks over gRPC alone: the other client is light",
    "gpfn.models.columns": "what a model.toml says of rows, apart from what it says of files",
    "gpfn.models.model": "the seam that all backends are typed against: a protocol alone",
    "gpfn.oip.classes": "an extension of the protocol on its own, which gRPC shares",
    "gpfn.platforms.http.adapter": "made by every function's file: loads nothing until it is used",
    "gpfn.platforms.openwhisk.adapter": "made by every function's file: loads nothing until used",
    "gpfn.source_file": "the one way a file becomes a module, for models, platforms and actions",
    "gpfn.traceparent": "a word of the ground floor, which logs and cold starts go without",
    "gpfn.tensors.spec": "TensorSpec, which functions declare without NumPy",
    "gpfn.local.waiting_call": "what a call is between its end and its row, apart from both",
    "gpfn.local.supervisor.node": "its program is beside it, in JavaScript",
}
"""Why a module with fewer than 60 lines is one."""

NO_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "stuff"}
OLD_WORDS = {"homes", "places", "walking", "octets", "drive"}
NAMES = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of(module: Module) -> int:
    """Return how long a module is."""
    return module.path.read_text(encoding="utf-8").count("\n")


def words_of(name: str) -> set[str]:
    """Return the words of a name: ``_HttpReply_of`` has http, reply and of."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def shared_names(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Return the public classes that several modules define, with the modules."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    return {name: where for name, where in found.items() if len(where) > 1}


@pytest.mark.parametrize("name", sorted(modules()))
def test_modules_and_functions_are_short(name: str) -> None:
    module = modules()[name]
    assert lines_of(module) <= MODULE_LINES, f"{module.path}: split it by idea"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            assert size <= FUNCTION_LINES, f"{module.path}:{node.lineno}: {node.name}: {size} lines"


def test_there_are_few_modules_and_none_is_a_splinter() -> None:
    lengths = [lines_of(module) for module in modules().values()]
    assert len(lengths) <= MODULES
    assert median(lengths) >= MEDIAN_LINES


def test_a_short_module_has_its_reason() -> None:
    short = {
        name
        for name, module in modules().items()
        if module.path.name != "__init__.py" and lines_of(module) < SHORT_LINES
    }
    assert short <= set(SHORT), f"merge them by idea, or say why: {sorted(short - set(SHORT))}"


def test_no_two_public_classes_share_a_name() -> None:
    shared = shared_names({name: module.tree for name, module in modules().items()})
    assert not shared, "two things never share a name"


def test_names_say_something() -> None:
    wrong = [path for path in files() if NO_NAMES & {path.stem, path.parent.name}]
    assert not wrong
    assert not [path for path in files() if path.suffix == ".py" and path.parent.name == "invoke"]


def test_words_that_went_do_not_come_back() -> None:
    named = set()
    for name, module in modules().items():
        if OLD_WORDS & words_of(name):
            named.add(name)
        named |= {
            node.name
            for node in ast.walk(module.tree)
            if isinstance(node, NAMES) and OLD_WORDS & words_of(node.name)
        }
    assert not named


def test_every_test_folder_is_named_like_what_it_tests() -> None:
    """tests/ mirrors src/gpfn; besides there are what is outside of it, and whole programs."""
    packages = {path.parent.name for path in (ROOT / "src" / "gpfn").glob("*/__init__.py")}
    outside = {path.name for path in ROOT.iterdir() if path.is_dir()}
    others = {"e2e", "images_engine"}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert folders <= packages | outside | others


def test_the_checks_see_what_they_must() -> None:
    assert words_of("_HTTPReply_of") == {"http", "reply", "of"}
    assert words_of("gpfn.models.places") >= {"places"}
    assert not OLD_WORDS & words_of("replaces_driver")
    source = "class A: pass\nclass _B: pass\nclass C: pass\n"
    trees = {"one": ast.parse(source), "two": ast.parse("class _B: pass\nif x:\n class C: pass\n")}
    assert shared_names(trees) == {"C": ["one", "two"]}
