"""``gpfn tfaas``: TFaaS's own client, with its options, for our server and the original."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.http.response import HttpResponse
    from gpfn.tfaas.client import TfaasClient

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "ask a TFaaS server, as its tfaas_client.py does"
EXAMPLES = """
gpfn tfaas --url=http://127.0.0.1:9000 --models
gpfn tfaas --url=http://127.0.0.1:9000 --upload=upload.json
gpfn tfaas --url=http://127.0.0.1:9000 --bundle=model.tar.gz
gpfn tfaas --url=http://127.0.0.1:9000 --predict=input.json --model=dnn
gpfn tfaas --url=http://127.0.0.1:9000 --image=photo.png --model=ImageModel
gpfn tfaas --url=http://127.0.0.1:9000 --delete=dnn
"""

_URL = "http://localhost:8083"
_PROXY = "X509_USER_PROXY"
_FILES = ("model", "labels", "params")
"""The members of upload.json that are paths of files; all others are fields."""
_MOST_BYTES = 64 << 20
_ACTIONS = ("upload", "bundle", "delete", "models", "predict", "image")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of tfaas_client.py, and a token."""
    url = f"where the server is; its base path belongs to it (default: {_URL})"
    parser.add_argument("--url", default=_URL, help=url)
    upload = 'a JSON file {"name": NAME, "model": PATH, "labels": PATH, "params": PATH}'
    parser.add_argument("--upload", metavar="FILE", default="", help=f"send a model: {upload}")
    parser.add_argument("--bundle", metavar="FILE", default="", help="send a model in an archive")
    row = 'a JSON file {"keys": […], "values": […], "model": NAME}'
    parser.add_argument("--predict", metavar="FILE", default="", help=f"ask a model: {row}")
    parser.add_argument("--image", metavar="FILE", default="", help="ask what is in a picture")
    parser.add_argument("--model", metavar="NAME", default="", help="which model is asked")
    parser.add_argument("--delete", metavar="NAME", default="", help="delete a model")
    parser.add_argument("--models", action="store_true", help="list the models")
    parser.add_argument("--verbose", action="store_true", help="print requests and answers too")
    proxy = f"(default: ${_PROXY})"
    parser.add_argument("--key", metavar="FILE", default="", help=f"a private key {proxy}")
    parser.add_argument("--cert", metavar="FILE", default="", help=f"its certificate {proxy}")
    capath = "a folder of authorities' certificates (default: the system's)"
    parser.add_argument("--capath", metavar="FOLDER", default="", help=capath)
    token = "a token of gpfn serve --tokens (default: $GPFN_TOKEN)"  # noqa: S105 - help, no token
    parser.add_argument("--token", default="", help=token)


def run(args: argparse.Namespace) -> int:
    """Upload, then do the first of the other things; print the last answer."""
    wanted = [action for action in _ACTIONS if getattr(args, action)]
    if not wanted:
        options = ", ".join(f"--{action}" for action in _ACTIONS)
        raise SetupError(f"nothing to do; expected one of {options}", field="gpfn tfaas")
    actions: dict[str, Callable[[TfaasClient, argparse.Namespace], HttpResponse]] = {
        "upload": _upload,
        "bundle": lambda client, args: client.bundle(args.bundle),
        "delete": lambda client, args: client.delete(args.delete),
        "models": lambda client, _: client.models(),
        "predict": _predict,
        "image": lambda client, args: client.image(args.image, args.model),
    }
    client = _client(args)
    shown, action = b"", ""
    for action in wanted[: 1 + (wanted[0] == "upload")]:
        if args.verbose:
            print(f"URL   : {client.url}{_path(action)}")
        reply = actions[action](client, args)
        if args.verbose:
            _print_head(reply)
        shown = bytes(reply.body)
        if not 200 <= reply.status < 300:
            _print(shown)
            return 1
    if shown:
        _print(_spaced(shown) if action == "predict" else shown)
    return 0


def _client(args: argparse.Namespace) -> "TfaasClient":
    from gpfn.http.site import tls_context
    from gpfn.secrets import read_setting
    from gpfn.tfaas.client import TfaasClient

    proxy = os.environ.get(_PROXY, "")
    key, certificate = args.key or proxy, args.cert or proxy
    token = args.token or read_setting("GPFN_TOKEN")
    encrypted = args.url.lower().startswith("https:")
    context = None
    if encrypted:
        context = tls_context(key=key, certificate=certificate, folder=args.capath)
    client = TfaasClient(args.url, token=token, context=context)
    if encrypted and not (token or certificate):
        told = f"neither a token nor a certificate (--token, --key and --cert, ${_PROXY})"
        print(f"gpfn: asking {client.url} with {told}", file=sys.stderr)
    return client


def _upload(client: "TfaasClient", args: argparse.Namespace) -> "HttpResponse":
    document = _document(args.upload, "--upload")
    for name, value in document.items():
        if not isinstance(value, str | int | float):
            raise SetupError(f"{name} is no text", field=args.upload)
    files = {name: str(value) for name, value in document.items() if name in _FILES}
    fields = {name: str(value) for name, value in document.items() if name not in files}
    if args.verbose:
        print(f"ifile : {args.upload}\nparams: {json.dumps(document)}")
    return client.upload(fields, files)


def _predict(client: "TfaasClient", args: argparse.Namespace) -> "HttpResponse":
    row = _document(args.predict, "--predict")
    if args.model:
        row["model"] = args.model
    if args.verbose:
        print(f"ifile : {args.predict}\nparams: {json.dumps(row)}")
    return client.predict(row)


def _document(path: str, option: str) -> dict[str, Any]:
    """Return the object in a JSON file."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(_MOST_BYTES))
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}", field=option) from error
    except (ValueError, RecursionError) as error:
        raise SetupError(f"not JSON: {error}", field=path) from None
    if type(document) is not dict:
        raise SetupError("expected an object", field=path)
    return document


def _path(action: str) -> str:
    return {"predict": "/json", "bundle": "/upload"}.get(action, f"/{action}")


def _print_head(reply: "HttpResponse") -> None:
    print(f"reply : {reply.status} {reply.reason}")
    for name, value in reply.headers.items():
        print(f"header: {name}: {value}")


def _spaced(body: bytes) -> bytes:
    """Return the answer to a row as tfaas_client.py prints it: what JSON it is, with spaces."""
    try:
        return json.dumps(json.loads(body)).encode()
    except (ValueError, RecursionError):
        return body


def _print(body: bytes) -> None:
    print(body.decode(errors="backslashreplace"))
