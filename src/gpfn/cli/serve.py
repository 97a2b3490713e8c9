"""``gpfn serve``: a server for any models, with graphpipe-tf's flags.

Flags and variables are those of graphpipe-tf, so that an old command line only changes
its first word; what it does not have is in a group of its own in the help.
"""

import argparse
import gc
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.cli.options import add_signature, parse_threads
from gpfn.cli.serve_repository import add_repository_arguments, repository_settings
from gpfn.errors import SetupError
from gpfn.settings import check_settings, parse_duration, parse_size, parse_whole, read_switch

if TYPE_CHECKING:
    from gpfn.serving.process import CacheSettings
    from gpfn.serving.settings import ServerSettings

__all__ = ["EXAMPLES", "SUMMARY", "ListenAddress", "add_arguments", "run"]

SUMMARY = "serve models by GraphPipe, OIP v2 and V1; takes graphpipe-tf's flags and variables"
EXAMPLES = """
gpfn serve --model models/forecast.tflite --listen 127.0.0.1:9000
gpfn serve --model forecast=models/forecast.tflite --model digits=models/digits.tflite
gpfn serve --models-dir models/ --grpc 127.0.0.1:8001
gpfn serve --repository models.d
gpfn serve -m models/rnn_ts_model.pb -l 0.0.0.0:9000 -c -v
gpfn serve --model https://example.com/model.onnx#sha256=HEX
GP_MODEL=mobilenet_v1 gpfn serve
"""


class ListenAddress(NamedTuple):
    """Where to listen, from ``HOST:PORT``, ``:PORT`` (every interface) or ``[IPv6]:PORT``."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Read it as graphpipe-tf does; raise SetupError when it is none."""
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not port or (":" in bare and bare == host):
            raise SetupError(f"expected HOST:PORT, got {text!r:.99}", field="--listen")
        number = parse_whole(port, field="--listen", most=65535)
        return cls(bare or "0.0.0.0", number)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare graphpipe-tf's flags, then ours."""
    flag = parser.add_argument
    flag("-m", "--model", action="append", metavar="[NAME=]MODEL", help="a file, a SavedModel "
         "folder, an http(s) URL, a name of the catalogue or module:callable (GP_MODEL); several "
         "times for several")  # fmt: skip
    flag("-l", "--listen", default="127.0.0.1:9000", help="HOST:PORT (default: %(default)s)")
    flag("-i", "--inputs", help="default inputs, with commas (GP_INPUTS)")
    flag("-o", "--outputs", help="default outputs, with commas (GP_OUTPUTS)")
    flag("-c", "--cache", action="store_true", help="keep computed rows, for models whose rows "
         "are independent (GP_CACHE)")  # fmt: skip
    flag("-d", "--cache-dir", default="~/.graphpipe", help="folder for them (default: %(default)s)")
    flag("-v", "--verbose", action="store_true", help="log every request")
    flag("-V", "--version", action="store_true", help="print the version and end")
    flag("extra", nargs="*", help=argparse.SUPPRESS)
    ours = parser.add_argument_group("not in graphpipe-tf")
    ours.add_argument("--models-dir", default="", metavar="FOLDER", help="serve what is in a "
                      "folder: NAME/VERSION/MODEL, NAME/MODEL or MODEL")  # fmt: skip
    add_signature(ours)
    ours.add_argument("--poll", default="2", metavar="SECONDS", help="between looks at the "
                      "folder (%(default)s)")  # fmt: skip
    ours.add_argument("--grpc", default="", metavar="HOST:PORT", help="answer OIP v2 over gRPC "
                      "there, or at unix:PATH (extra grpc)")  # fmt: skip
    ours.add_argument("--max-batch", help="rows that are computed together at most; 1: never "
                      "several (default: what the model says)")  # fmt: skip
    ours.add_argument("--swap", choices=("load-first", "unload-first"), default="load-first",
                      help="whether the old version goes before the new one is opened, for models "
                      "too large for two (%(default)s)")  # fmt: skip
    ours.add_argument("--nan-words", action="store_true", help="NaN and Infinity as words in JSON")
    ours.add_argument("--tokens", default="", metavar="FILE", help="who may do what; see gpfn "
                      "tokens")  # fmt: skip
    ours.add_argument("--host-name", action="append", default=[], metavar="NAME", help="a host "
                      "that browsers may call this server by, besides its address")  # fmt: skip
    ours.add_argument("--otlp", default="", metavar="URL", help="send a span of each request to "
                      "a collector, http://HOST:4318 (OTEL_EXPORTER_OTLP_ENDPOINT; extra otel)"
                      )  # fmt: skip
    _add_next_arguments(ours)
    ours.add_argument("--threads", default="1", help="of the model: a number or auto (default: 1)")
    ours.add_argument("--workers", help="processes that share the address (default: 1)")
    ours.add_argument("--parallel", help="inferences over a millisecond that run at once in a "
                      "process (default: cores; 64 of a model that asks others)")  # fmt: skip
    ours.add_argument("--queue", help="inferences that wait before 503 (default: 512)")
    ours.add_argument("--stall", default="1", metavar="SECONDS", help="a process whose loop has "
                      "not turned for so long is replaced (%(default)s)")  # fmt: skip
    ours.add_argument("--unix", default="", metavar="PATH", help="a unix socket, not --listen")
    ours.add_argument("--tls-cert", default="", metavar="FILE", help="certificate chain; HTTPS "
                      "with it, read again at SIGHUP")  # fmt: skip
    ours.add_argument("--tls-key", default="", metavar="FILE", help="its key, unless it is in the "
                      "same file")  # fmt: skip
    ours.add_argument("--cache-bytes", default="1GiB", help="limit of the row cache (%(default)s)")
    ours.add_argument("--allow-shutdown", action="store_true", help="answer /control/shutdown")
    ours.add_argument(
        "--vet",
        action="store_true",
        help="try the model in a process of its own "
        "first: a damaged file may end the one that opens it",
    )
    ours.add_argument("--json", action="store_true", help="errors as JSON")
    add_repository_arguments(parser)
    parser.set_defaults(usage=parser.format_usage())


def _add_next_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--next", default="", metavar="URL", help="send what the model gives on to "
                       "this GraphPipe server, and answer what that one does")  # fmt: skip
    group.add_argument("--allow-next", action="append", default=[], metavar="HOST[:PORT]|NETWORK",
                       help="a host of next stages that callers may name in config, several times "
                       "for several; none: nobody (default: this machine)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then let running requests finish."""
    from gpfn import __version__

    if args.version:
        print(f"gpfn {__version__}")
        return 0
    names = args.model or [name for name in [os.environ.get("GP_MODEL", "")] if name]
    if args.extra or not (names or args.models_dir or args.repository):
        wrong = (
            f"unexpected argument {args.extra[0]!r}"
            if args.extra
            else "--model is required, or --models-dir, or --repository"
        )
        print(f"{args.usage}gpfn serve: {wrong}", file=sys.stderr)
        return 1  # not 2: what graphpipe-tf's users' scripts test for
    return _serve(args, names)


def _serve(args: argparse.Namespace, names: list[str]) -> int:
    gc.disable()  # what is imported now stays: collecting takes a twentieth of the start
    from gpfn.serving.process import serve

    check_settings()
    threads = parse_threads(args.threads)
    settings = _settings(args, ListenAddress.parse(args.listen))
    targets, cache = _targets(names, args.signature), _cache(args)
    inputs, outputs = _names(args.inputs, "GP_INPUTS"), _names(args.outputs, "GP_OUTPUTS")
    if args.vet:
        from gpfn.models.vet import vet_model

        for target in targets.values():
            vet_model(target, threads=threads, inputs=inputs, outputs=outputs)
    return serve(
        targets,
        settings,
        threads=threads,
        inputs=inputs,
        outputs=outputs,
        cache=cache,
        on_ready=lambda *_: _collect_again(),
    )


def _collect_again() -> None:
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)  # a turn's requests are alive together: they are no garbage
    gc.enable()


def _targets(models: list[str], signature: str) -> dict[str, str]:
    """Return URIs by name, from ``NAME=MODEL`` or ``MODEL``; raises SetupError for a name twice."""
    from gpfn.models.open import with_signature
    from gpfn.serving.process import model_name

    if signature and not models:
        raise SetupError("is for --model alone", field="--signature")
    found: dict[str, str] = {}
    for text in models:
        name, model = _split(text)
        uri = with_signature(_model_file(model), signature)
        name = name or model_name(model)
        if name in found:
            told = f"{name} is the name of two models; call one NAME=MODEL"
            raise SetupError(told, field="--model")
        found[name] = uri
    return found


def _split(text: str) -> tuple[str, str]:
    name, equals, model = text.partition("=")
    named = equals and _NAME.fullmatch(name) and not os.path.exists(text)
    return (name, model) if named else ("", text)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _model_file(name: str) -> str:
    from gpfn.cli.resolve import fetched, is_address, model_uri

    return fetched(name) if is_address(name) else model_uri(name)


def _settings(args: argparse.Namespace, address: ListenAddress) -> "ServerSettings":
    from gpfn.serving.settings import ServerSettings

    chosen: dict[str, Any] = {
        name: parse_whole(text, field=f"--{flag.replace('_', '-')}", least=1, most=4096)
        for flag, name in _COUNTS.items()
        if (text := getattr(args, flag)) is not None
    }
    return ServerSettings(
        host=address.host,
        port=address.port,
        unix=args.unix,
        certificate=args.tls_cert,
        key=args.tls_key,
        allow_shutdown=args.allow_shutdown,
        verbose=args.verbose,
        unload_first=args.swap == "unload-first",
        nan_words=args.nan_words,
        tokens=args.tokens,
        grpc=args.grpc,
        otlp=_endpoint(args.otlp),
        supervised=True,
        stall_seconds=parse_duration(args.stall, field="--stall"),
        names=tuple(args.host_name),
        models_dir=args.models_dir,
        poll=parse_duration(args.poll, field="--poll"),
        repository=repository_settings(args),
        **_next_settings(args),
        **chosen,
    )


def _next_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return where requests go on to. Raises SetupError for a URL or a host that is none."""
    from gpfn.http.address import parse_url
    from gpfn.serving.onward import check_hosts

    found: dict[str, Any] = {"next_url": args.next}
    if args.next:
        address = parse_url(args.next)
        if not args.unix and args.listen in (f"{address.host}:{address.port}", f":{address.port}"):
            raise SetupError("its own address: it would call itself", field="--next")
        if len(args.model or ()) > 1 or args.models_dir or args.repository:
            raise SetupError("several models cannot go on to one server", field="--next")
    if args.allow_next:
        hosts = () if args.allow_next == ["none"] else tuple(args.allow_next)
        found["next_hosts"] = check_hosts(hosts)
    if args.parallel is not None:
        found["waiting"] = parse_whole(args.parallel, field="--parallel", least=1, most=4096)
    return found


def _endpoint(flag: str) -> str:
    """Return where spans go; nothing, and no import, when nobody has said."""
    if not (flag or any(name.startswith("OTEL_EXPORTER_OTLP_") for name in os.environ)):
        return ""
    from gpfn.serving.tracing import traces_endpoint

    return traces_endpoint(flag)


_COUNTS = {
    "workers": "processes",
    "parallel": "threads",
    "queue": "queue",
    "max_batch": "max_batch",
}


def _cache(args: argparse.Namespace) -> "CacheSettings | None":
    from gpfn.serving.process import CacheSettings

    if not (args.cache or read_switch("GP_CACHE")):
        return None
    size = parse_size(args.cache_bytes, field="--cache-bytes")
    return CacheSettings(Path(args.cache_dir).expanduser(), size)


def _names(flag: str | None, variable: str) -> tuple[str, ...]:
    text = os.environ.get(variable, "") if flag is None else flag
    return tuple(name.strip() for name in text.split(",") if name.strip())
