"""``gpfn invoke``: call a function under the contract of a platform."""

import argparse
import json
import signal
import sys
from pathlib import Path

from gpfn.cli.ending import raise_at
from gpfn.cli.event_data import is_given, make_body
from gpfn.cli.given import add_rows, add_texts
from gpfn.cli.options import Filled, add_platform, seconds, whole
from gpfn.errors import GpfnError, SetupError, error_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.cli.event_data import MadeBody
    from gpfn.hosts.host import Host, Invocation, InvocationResult, StartedFunction
    from gpfn.hosts.target import Target

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

_MOST_SECONDS = 300.0

SUMMARY = "start a function as its platform would, send it standard input, print its answer"
EXAMPLES = """\
gpfn invoke functions/forecast < ce_samples/forecast.json
gpfn invoke functions/forecast --platform http --timings --repeat 100 < ce_samples/forecast.json
gpfn invoke functions/forecast --as-trigger --header "Ce-Id: 1" --data body.json
gpfn invoke functions/forecast --engine docker < ce_samples/forecast.json
gpfn invoke functions/digits --image ce_samples/digit-7.png
gpfn invoke functions/add --row a=1 b=2 --row a=3 b=4
gpfn invoke functions/digits --platform openwhisk --image ce_samples/digit-7.png -p topk 1 --logs
gpfn invoke --at http://127.0.0.1:8080 models/forecast < ce_samples/forecast.json
gpfn invoke --at http://127.0.0.1:3233 --platform openwhisk digits --image ce_samples/digit-7.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from gpfn.hosts.engine import ENGINES
    from gpfn.platforms.table import platforms_with

    parser.add_argument(
        "function",
        nargs="?",
        default="",
        help="a folder, a func.py or a func.yaml; with --at APP/FUNCTION or an action's name",
    )
    hosts = "; ".join(f"{row.name}: {row.summary}" for row in platforms_with("host"))
    add_platform(parser, "--platform", "host", "fn", f"{hosts} (default: fn)")
    parser.add_argument(
        "--engine", choices=ENGINES, help="run its image in the platform's sandbox (gpfn build)"
    )
    parser.add_argument(
        "--container", metavar="IMAGE", help="with --engine: NAME-PLATFORM:VERSION otherwise"
    )
    _add_place(parser)
    parser.add_argument("--data", metavar="FILE", help="the body; standard input otherwise")
    parser.add_argument("--image", metavar="FILE", action="append", default=[], help="send an "
                        "image as the parameter image, several as images, or as the array that "
                        "the function takes; once an image")  # fmt: skip
    add_rows(parser)
    add_texts(parser)
    parser.add_argument(
        "-P", "--param-file", metavar="FILE", action="append", default=[], help="parameters, JSON"
    )
    parser.add_argument(
        "-p",
        "--param",
        metavar=("NAME", "VALUE"),
        nargs=2,
        action="append",
        default=[],
        help="one parameter; the value is JSON or else text",
    )
    parser.add_argument(
        "--content-type", metavar="TYPE", help="func.yaml's or text/plain otherwise"
    )
    parser.add_argument(
        "--header", metavar="K:V", action="append", default=[], type=_header, help="repeatable"
    )
    parser.add_argument("--repeat", metavar="N", type=whole(1), default=1, help="calls to make")
    parser.add_argument("--timeout", metavar="S", type=seconds, help="func.yaml's or 30 otherwise")
    parser.add_argument(
        "--as-trigger", action="store_true", help="wrap headers as Fn's HTTP triggers do"
    )
    parser.add_argument("--timings", action="store_true", help="a table of times, on stderr")
    parser.add_argument("--logs", action="store_true", help="what the function wrote, on stderr")
    parser.add_argument("--json", action="store_true", help="print status, headers, body, timings")


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Declare where a function is that is not started here."""
    parser.add_argument(
        "--at",
        metavar="URL",
        action=Filled,
        default="",
        help="a server that has it: Fn's, an endpoint of it, or with --platform openwhisk another",
    )
    parser.add_argument(
        "--auth",
        metavar="KEY",
        action=Filled,
        default="",
        help="OpenWhisk's key; as for wsk otherwise",
    )
    parser.add_argument(
        "--like", metavar="FOLDER", help="with --at: the same function here, for what it takes"
    )


def run(args: argparse.Namespace) -> int:
    """Invoke the function; 0 when it answered, 1 when it failed."""
    from gpfn.cli.resolve import pull_models
    from gpfn.hosts.host import StartedFunction
    from gpfn.hosts.target import find_target

    wrong = _contradiction(args)
    if wrong:
        print(f"gpfn invoke: {wrong}", file=sys.stderr)
        return 2
    folder = args.like if args.at else args.function
    target = find_target(folder) if folder else None
    session = StartedFunction(_host(args, target))
    request = _request(args, target)
    if target is not None and not args.at and args.engine is None:  # an image has its models
        pull_models(target, request.body)
    raise_at(signal.SIGTERM)
    try:
        with session:
            answer = session.call(request, args.repeat)
    except GpfnError:
        _show_log(session)
        raise
    if args.logs or answer.failed:
        _show_log(session)
    _show(answer, session, args)
    return 1 if answer.failed else 0


def _contradiction(args: argparse.Namespace) -> str:
    """Return which options do not go together; empty when all do."""
    from gpfn.platforms.table import find_platform, platforms_with

    if args.as_trigger and not find_platform(args.platform, "host").triggers:
        names = " or ".join(row.name for row in platforms_with("host") if row.triggers)
        return f"--as-trigger needs --platform {names}"
    if wrong := _misplaced(args):
        return wrong
    if args.data is not None and _has_parameters(args):
        return "--data is the whole body; it has no parameters"
    whole = [*is_given(args), *(["--data"] if args.data is not None else [])]
    other = ["--image"] if args.image else []
    other += ["--param"] if args.param or args.param_file else []
    if len(whole) > 1 or (is_given(args) and other):
        return f"{' and '.join([*whole, *other][:2])} are each the whole body; give one of them"
    return ""


def _misplaced(args: argparse.Namespace) -> str:
    """Return what does not go with where the function is; empty when all does."""
    if not args.at:
        with_at = [name for name in ("auth", "like") if getattr(args, name)]
        if with_at:
            return f"--{with_at[0]} is for a function at a server: give --at URL"
        return "" if args.function else "a function is needed, or --at URL"
    if args.engine or args.container:
        return "--at calls a function that runs already; --engine starts one"
    if args.platform == "fn" and args.auth:
        return "--auth is OpenWhisk's; of Fn the token is in FN_TOKEN"
    return ""


def _host(args: argparse.Namespace, target: "Target | None") -> "Host":
    from gpfn.hosts.host import make_host

    if args.at or target is None:
        from gpfn.hosts.remote import make_remote_host

        return make_remote_host(args.platform, args.at, args.function, args.auth)
    if args.engine is None:
        return make_host(args.platform, target)
    from gpfn.build.recipe import default_tag
    from gpfn.hosts.engine import ContainerEngine
    from gpfn.hosts.image import make_image_host

    image = args.container or default_tag(target, args.platform)
    return make_image_host(args.platform, target, ContainerEngine(args.engine), image)


def _request(args: argparse.Namespace, target: "Target | None") -> "Invocation":
    from gpfn.hosts.host import Invocation
    from gpfn.hosts.parameters import read_parameters

    made = _made(args, target)
    if made is not None:
        body, usual = made.data, made.content_type
    elif _has_parameters(args):
        parameters = read_parameters(args.param_file, args.param, args.image)
        body, usual = json.dumps(parameters).encode(), "application/json"
    else:
        body, usual = _body(args.data), (target.content_type if target else "") or "text/plain"
    return Invocation(
        body=body,
        content_type=args.content_type or usual,
        headers=tuple(args.header),
        timeout=_seconds(target) if args.timeout is None else args.timeout,
        as_trigger=args.as_trigger,
    )


def _seconds(target: "Target | None") -> float:
    """Return how long a call may take when nobody says: on a server, the most that one gives."""
    return _MOST_SECONDS if target is None else target.timeout


def _made(args: argparse.Namespace, target: "Target | None") -> "MadeBody | None":
    """Return the body made of rows, texts or a picture, with a line on what was assumed."""
    pictures = bool(args.image) and not (args.param or args.param_file)
    if not (is_given(args) or pictures):
        return None
    made = make_body(args, target)
    for line in made.assumed if made else ():
        print(f"gpfn: {line}", file=sys.stderr)
    return made


def _has_parameters(args: argparse.Namespace) -> bool:
    return bool(args.param_file or args.param or args.image)


def _body(file: str | None) -> bytes:
    if file is not None:
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise SetupError(f"cannot be read: {error.strerror}", field=file) from error
    if sys.stdin is None or sys.stdin.isatty():
        print("gpfn invoke: no standard input, so the body is empty", file=sys.stderr)
        return b""
    return sys.stdin.buffer.read()


def _show(answer: "InvocationResult", session: "StartedFunction", args: argparse.Namespace) -> None:
    timings = session.timings
    if args.json:
        shown = {**answer.shown(), "timings": timings.shown()}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    elif not answer.failed and sys.stdout.isatty() and (is_given(args) or args.image):
        from gpfn.cli.reply import print_reply

        print_reply(answer.body)
    else:
        body = answer.body or _status_document(answer)
        _print_body(body if body.endswith(b"\n") else body + b"\n", failed=answer.failed)
    if args.timings:
        from gpfn.cli.table import print_table

        print_table(timings.rows(), right=(1,), stream=sys.stderr)


def _print_body(body: bytes, *, failed: bool) -> None:
    """Print a reply: to a file or a pipe as it came, to people as text."""
    if failed or sys.stdout.isatty():
        stream = sys.stderr if failed else sys.stdout
        stream.write(body.decode("utf-8", "backslashreplace"))
        stream.flush()
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


def _status_document(answer: "InvocationResult") -> bytes:
    """Return an error document when a failed call has a status and no body."""
    if not answer.failed:
        return b""
    return json.dumps(error_document(GpfnError(f"status {answer.status} without a body"))).encode()


def _show_log(session: "StartedFunction") -> None:
    log = session.log()
    if log:
        print(log, end="" if log.endswith("\n") else "\n", file=sys.stderr)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise argparse.ArgumentTypeError(f"expected NAME: VALUE, got {text!r}")
    if not value.isprintable() or any(ord(letter) > 255 for letter in value):
        raise argparse.ArgumentTypeError(f"a header's value is one line of latin-1, got {value!r}")
    return name, value
