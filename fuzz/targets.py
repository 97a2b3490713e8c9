"""The parsers, a row each: how one input is given to it, and what has to hold afterwards.

A row's function returns when the input is accepted and raises a class of ``gpfn.errors``
when it is refused. Where there is an encoder, what was read is written and read again.
Anything else that is raised, AssertionError included, is a finding.
"""

# ruff: noqa: S101 - asserting is what a target does
import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from fuzz import seeds
from gpfn import Function, TensorSpec
from gpfn.bench.asking import PROTOCOLS, find_model, request_bytes
from gpfn.bench.subject import read_metrics, read_statistics
from gpfn.build.dependencies import requirement_files, requirements_of
from gpfn.cli.csv_rows import read_csv
from gpfn.cli.options import parse_threads
from gpfn.cli.serve import ListenAddress
from gpfn.data.cut import Cut
from gpfn.data.formats import open_source
from gpfn.deadline import NEVER
from gpfn.errors import BrokenReply, CallerError, GpfnError, InvalidTensor
from gpfn.events.kafka import read_record, wrapped, write_record
from gpfn.events.modes import Received, read, write
from gpfn.events.protobuf_format import read_batch, read_event, write_batch, write_event
from gpfn.graphpipe.decode import decode_metadata, decode_request, decode_response
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import MetadataRequest
from gpfn.hosts import log as host_log
from gpfn.hosts.fn import unwrap_trigger
from gpfn.hosts.funcfile import read_func_file
from gpfn.hosts.host import InvocationResult
from gpfn.hosts.openwhisk import from_action
from gpfn.http.address import parse_url, proxy_for, request_head, shown_url
from gpfn.http.fetch import FetchPolicy, _checked
from gpfn.http.public import is_public
from gpfn.http.reader import RequestReader
from gpfn.http.response import Closed, read_response
from gpfn.http.writer import response_head
from gpfn.images.decoding import decode as decode_image
from gpfn.images.sources import from_text, multipart_fields
from gpfn.limits import Limits
from gpfn.log import Log
from gpfn.message import Message
from gpfn.models.backends import BACKENDS
from gpfn.models.catalogue import read_catalogue
from gpfn.models.columns import Column
from gpfn.models.description import read_description
from gpfn.models.filekind import describe, recognise
from gpfn.models.operators import check_operators, refuse_kind
from gpfn.models.pipeline import read_pipeline
from gpfn.models.protobuf import ProtobufError
from gpfn.models.tf_signature import choose_signature
from gpfn.models.tflite_file import signature_subgraphs
from gpfn.oip.documents import error_text, read_model_metadata
from gpfn.oip.grpc_messages import (
    decode_grpc_infer,
    decode_grpc_reply,
    encode_grpc_infer,
    encode_grpc_reply,
    infer_request,
)
from gpfn.oip.reply import decode_reply, encode_reply
from gpfn.oip.request import InferCall, decode_infer, encode_infer
from gpfn.platforms.fn.wire import read_call, reply_headers
from gpfn.platforms.openwhisk.activation import Activation
from gpfn.platforms.openwhisk.answer import CallLog, answer_parameters
from gpfn.platforms.openwhisk.archive import unpack
from gpfn.platforms.openwhisk.protocol import Init, Refusal, parse_body
from gpfn.platforms.openwhisk.web import decode_body, encode_body
from gpfn.repository.answers import (
    model_history_of,
    model_summaries_of,
    problem_text,
    push_answer_of,
)
from gpfn.repository.client import model_reference
from gpfn.repository.documents import encode_manifest, read_manifest
from gpfn.repository.record import parse_object
from gpfn.repository.tags import encode_tag_change, read_tag_change
from gpfn.rows.csv_rows import decode_csv_rows
from gpfn.rows.json_rows import decode_json_rows
from gpfn.rows.schema import row_schema
from gpfn.rows.writing import write_csv, write_json
from gpfn.scope import read_server_timing, server_timing
from gpfn.serving.grpc.bounds import split_request
from gpfn.serving.grpc.repeats import RepeatedRequests
from gpfn.serving.onward import parse_config
from gpfn.serving.pages.forms import arrays_of_cells, arrays_of_text, number_of, read_form
from gpfn.serving.pages.making import as_bearer
from gpfn.serving.pages.markup import PageSite
from gpfn.serving.pages.outputs import answer_figures, command
from gpfn.serving.pages.views import ShownModel, ShownVersion, TrialAnswer
from gpfn.serving.repository.archive import unpack_bundle
from gpfn.serving.repository.archive_bounds import ArchiveBounds
from gpfn.serving.settings import LOOPBACK
from gpfn.serving.tokens import Tokens, parse_tokens
from gpfn.settings import SETTINGS, check_settings, parse_duration, parse_size, parse_whole
from gpfn.tensors.codec import decode_bytes, encode
from gpfn.tfaas.answers import encode_values
from gpfn.tfaas.messages import (
    PredictionsEncoder,
    RowMessageDecoder,
    decode_predictions,
    decode_row_message,
    encode_row_message,
)
from gpfn.tfaas.parameters import read_parameters
from gpfn.tfaas.row import FeatureRow, RowDecoder, decode_row, encode_row
from gpfn.v1.predict import decode_predict
from gpfn.v1.predictions import encode_predictions
from gpfn.v1.replies import read_metadata, read_predictions, read_words

__all__ = ["TARGETS", "Target", "remove_files"]

EVENT, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
LIMITS = Limits(
    body_bytes=1 << 20, elements=1 << 16, string_bytes=1 << 16, pixels=1 << 16, batch=50
)
_PAGE_SITE = PageSite("http://127.0.0.1:9000", "1", "/style.css", "/page.js")
_PAGE_VERSION = ShownVersion(3, "onnx", "m.onnx", "0" * 64, 1, "2026-11-29T03:00:00Z")
_PAGE_MODEL = ShownModel(
    "m", _PAGE_VERSION, (_PAGE_VERSION,), {}, (),
    (TensorSpec("float32", (None, 2), "x"), TensorSpec("uint8", (None, 1), "y")), (),
)  # fmt: skip
_MEMORY = Path("/dev/shm")  # noqa: S108 - thousands of files a second, each gone at once
_PLACE = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
_PLACE /= f"gpfn-fuzz-{os.getpid()}"


_CUT_ROWS = {
    "a": np.arange(3.0),
    "b": np.array(["x", None, "y"], object),
    "J[0]": np.array([1, 2, 3]),
}


class Target(NamedTuple):
    """One parser. ``modules`` are those whose branches are counted, by their dotted names."""

    name: str
    check: Callable[[bytes], object]
    modules: tuple[str, ...]
    seeds: Callable[[], list[bytes]]


def _cut(data: bytes) -> None:
    """A condition that is accepted says of every row whether it fulfils it."""
    found = Cut(data.decode("utf-8", "replace"))(_CUT_ROWS)
    assert (found.dtype, found.shape) == (np.bool_, (3,))


def _data_file(data: bytes, name: str) -> None:
    """A file that is accepted has its rows in order, as many whatever the chunk is."""
    path = _written(data, name)
    counts = set()
    for most in (1, 1000):
        with closing(open_source(path)) as source:
            count = 0
            for chunk in source.chunks(None, most):
                assert chunk.first == count
                assert 0 < chunk.rows <= most
                assert {len(array) for array in chunk.columns.values()} <= {chunk.rows}
                assert {len(mask) for mask in chunk.missing.values()} <= {chunk.rows}
                assert all(0 <= row < chunk.rows for row in chunk.faults)
                count += chunk.rows
            counts.add(count)
    assert len(counts) == 1


def _same(first: Any, second: Any) -> None:
    """Compare arrays bit for bit, so that NaN equals itself."""
    first, second = (each.astype(each.dtype.newbyteorder("=")) for each in (first, second))
    assert first.dtype == second.dtype, f"{first.dtype} became {second.dtype}"
    assert first.shape == second.shape, f"{first.shape} became {second.shape}"
    if first.dtype == object:
        assert first.ravel().tolist() == second.ravel().tolist(), "strings changed"
    else:
        assert first.tobytes() == second.tobytes(), "numbers changed"


def _split(data: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Return header lines and the body behind an empty line."""
    head, _, body = data.partition(b"\n\n")
    pairs = [line.partition(":") for line in head.decode("latin-1").split("\n")]
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs], body


def _message(data: bytes) -> Message:
    pairs, body = _split(data)
    content_type = next((value for name, value in pairs if name == "content-type"), "")
    return Message(body, content_type, tuple(pair for pair in pairs if pair[0] != "content-type"))


# GraphPipe


def _graphpipe_request(data: bytes) -> None:
    message = decode_request(data, LIMITS)
    again = decode_request(b"".join(encode_request(message)), LIMITS)
    if isinstance(message, MetadataRequest):
        assert message == again
        return
    assert not isinstance(again, MetadataRequest)
    _same_tensors(message, again)
    assert message[1:] == again[1:], "names or configuration changed"


def _graphpipe_response(data: bytes) -> None:
    message = decode_response(data, LIMITS)
    again = decode_response(b"".join(encode_response(message)), LIMITS)
    _same_tensors(message, again)
    assert message.errors == again.errors


def _same_tensors(message: Any, again: Any) -> None:
    assert len(message.tensors) == len(again.tensors)
    for first, second in zip(message.tensors, again.tensors, strict=True):
        _same(first, second)


def _graphpipe_metadata(data: bytes) -> None:
    message = decode_metadata(data, LIMITS)
    assert decode_metadata(b"".join(encode_metadata(message)), LIMITS) == message


# Open Inference Protocol


def _oip_request(data: bytes) -> None:
    pairs, body = _split(data)
    call = decode_infer(body, dict(pairs).get("json"), LIMITS, nan_words=data[:1] == b"j")
    pieces, size = encode_infer(
        call.inputs,
        datatypes=call.datatypes,
        outputs=call.outputs,
        identity=call.id,
        parameters=call.parameters,
    )
    again = decode_infer(b"".join(pieces), None if size is None else str(size), LIMITS)
    assert (again.id, again.datatypes) == (call.id, call.datatypes)
    assert again.outputs == call.outputs
    for name, array in call.inputs.items():
        _same(again.inputs[name], array)
    reply, size = encode_reply("m", "1", call.inputs, call._replace(outputs=(), binary=True))
    read_again = decode_reply(b"".join(reply), None if size is None else str(size), LIMITS)
    assert list(read_again.outputs) == list(call.inputs)


def _oip_reply(data: bytes) -> None:
    pairs, body = _split(data)
    reply = decode_reply(body, dict(pairs).get("json"), LIMITS)
    call = InferCall(reply.id, {}, {}, {}, (), binary=False)
    with suppress(InvalidTensor):  # strings that are no UTF-8
        pieces, _ = encode_reply(reply.model, "1", reply.outputs, call, nan_words=True)
        again = decode_reply(b"".join(pieces), None, LIMITS)
        assert again.id == reply.id
        for name, array in reply.outputs.items():
            assert np.array_equal(again.outputs[name], array, equal_nan=array.dtype.kind == "f")


def _oip_grpc_request(data: bytes) -> None:
    apart: InferCall | None = None
    with suppress(CallerError):
        rest, raw = split_request(data, LIMITS)
        apart = decode_grpc_infer(infer_request(rest), LIMITS, raw)
    call = decode_grpc_infer(infer_request(data), LIMITS)
    repeats = RepeatedRequests()
    repeats.keep(data, "m", "1", call)
    found = repeats.find(data)
    if found is not None:
        for name, array in call.inputs.items():
            _same(found[2].inputs[name], array)
    if apart is not None:
        assert (apart.id, apart.datatypes, apart.outputs) == (call.id, call.datatypes, call.outputs)
        for name, array in call.inputs.items():
            _same(apart.inputs[name], array)
    written = encode_grpc_infer(
        "m",
        "1",
        call.inputs,
        datatypes=call.datatypes,
        outputs=call.outputs,
        identity=call.id,
        parameters=call.parameters,
    )
    again = decode_grpc_infer(infer_request(written), LIMITS)
    assert (again.id, again.datatypes, again.outputs) == (call.id, call.datatypes, call.outputs)
    for name, array in call.inputs.items():
        _same(again.inputs[name], array)


def _oip_grpc_reply(data: bytes) -> None:
    reply = decode_grpc_reply(data, LIMITS)
    call = InferCall(reply.id, {}, {}, {}, (), binary=True)
    again = decode_grpc_reply(encode_grpc_reply(reply.model, "1", reply.outputs, call), LIMITS)
    assert (again.model, again.id) == (reply.model, reply.id)
    for name, array in reply.outputs.items():
        _same(again.outputs[name], array)


def _oip_documents(data: bytes) -> None:
    assert type(error_text(data)) is str
    with suppress(orjson.JSONDecodeError):
        read_model_metadata(orjson.loads(data))


# CloudEvents


def _events(message: Message) -> None:
    received = read(message, LIMITS)
    if received is None:
        return
    again = read(write(received.events, received.mode), LIMITS)
    assert isinstance(again, Received)
    assert again == received


def _event(data: bytes) -> None:
    _events(Message(data, EVENT))


def _batch(data: bytes) -> None:
    _events(Message(data, BATCH))


def _sniffed(data: bytes) -> None:
    _events(Message(data, "text/plain"))


def _binary(data: bytes) -> None:
    _events(_message(data))


def _protobuf_event(data: bytes) -> None:
    """Times come back as the same instants, so that the second writing is the first again."""
    event = read_event(data, LIMITS)
    written = write_event(event)
    again = read_event(written, LIMITS)
    assert (again.id, again.data) == (event.id, event.data)
    assert again.envelope().keys() == event.envelope().keys()
    assert write_event(again) == written


def _protobuf_batch(data: bytes) -> None:
    events = read_batch(data, LIMITS)
    written = write_batch(events)
    again = read_batch(written, LIMITS)
    assert [each.data for each in again] == [each.data for each in events]
    assert write_batch(again) == written


def _kafka(data: bytes) -> None:
    """Lines of headers, those without a colon null, and behind an empty line the value."""
    head, gap, rest = data.partition(b"\n\n")
    value = rest if gap else None
    headers: list[tuple[str, bytes | None]] = []
    for line in head.split(b"\n"):
        name, colon, given = line.partition(b":")
        headers.append((name.decode("utf-8", "replace"), given if colon else None))
    stands_for = wrapped("t", 1, 2, rest[:9], value, headers, "/k", time=len(data), limits=LIMITS)
    assert stands_for.data == value
    event = read_record(value, headers, LIMITS)
    if event is None:
        return
    structured = read_record(*write_record(event, "structured"), LIMITS)
    assert structured is not None
    assert structured.envelope() == event.envelope()
    if structured.data != event.data:  # JSON comes back without the blanks around it
        assert structured.json() == event.json()
    for mode in ("binary", "protobuf"):
        again = read_record(*write_record(event, mode), LIMITS)  # type: ignore[arg-type]
        assert again is not None
        assert (again.id, again.data) == (event.id, event.data)


# Tensors

_SPECS: tuple[tuple[TensorSpec, ...], ...] = (
    (TensorSpec("float32", (None,), "x"),),
    (TensorSpec("int64", None, "x"),),
    (TensorSpec("float64", (None, None), "x"), TensorSpec("string", None, "y")),
    (TensorSpec("uint8", (None, 2), "x"), TensorSpec("bool", None, "y")),
    (TensorSpec("float16", None, "x"),),
    (TensorSpec("uint64", None, "x"),),
    (),
)


def _dtype(array: Any) -> str:
    return "string" if array.dtype.kind in "OSU" else str(array.dtype.name)


def _tensors(data: bytes, media_type: str, form: str = "nested") -> None:
    """The first byte says which arrays are expected."""
    specs = _SPECS[(data[0] if data else 0) % len(_SPECS)]
    arrays = decode_bytes(data[1:], media_type, specs, LIMITS)
    found = {name: TensorSpec(_dtype(array), array.shape, name) for name, array in arrays.items()}
    written = encode(arrays, media_type, form=form)  # type: ignore[arg-type]
    attributes = {**written.attributes}
    wide = LIMITS._replace(body_bytes=1 << 26)
    read_again = decode_bytes(
        written.body, media_type, tuple(found.values()), wide, attributes=attributes
    )
    assert list(read_again) == list(arrays)
    for name, array in arrays.items():
        _same(array, read_again[name])


def _json(data: bytes) -> None:
    _tensors(data, "application/json")


def _v2(data: bytes) -> None:
    _tensors(b"\2" + data, "application/json", "nested")


def _npy(data: bytes) -> None:
    _tensors(data, "application/x-npy")


def _raw(data: bytes) -> None:
    pairs, body = _split(data)
    specs = _SPECS[len(body) % len(_SPECS)]
    media_type = "application/octet-stream"
    arrays = decode_bytes(body, media_type, specs[:1], LIMITS, attributes=dict(pairs))
    for name, array in arrays.items():
        written = encode({name: array}, media_type)
        again = decode_bytes(written.body, media_type, (), LIMITS, attributes=written.attributes)
        _same(array, next(iter(again.values())))


def _v1(data: bytes) -> None:
    """The first byte says which arrays are expected, and whether NaN is a word."""
    first = data[0] if data else 0
    specs, nan_words = _SPECS[first % len(_SPECS)], first >= 128
    arrays, form = decode_predict(data[1:], specs, LIMITS, nan_words=nan_words)
    found = [TensorSpec(_dtype(array), array.shape, name) for name, array in arrays.items()]
    reply = encode_predictions(arrays, form, nan_words=nan_words)
    asked = reply.replace(b"predictions" if form == "instances" else b"outputs", form.encode(), 1)
    again = decode_predict(asked, found, LIMITS, nan_words=nan_words)
    assert again.form == form
    for name, array in arrays.items():
        _same(array, again.arrays[name])


def _v1_reply(data: bytes) -> None:
    """The first byte says which outputs are known; metadata and errors are read of all."""
    known = {spec.name: spec for spec in _SPECS[(data[0] if data else 0) % len(_SPECS)]}
    assert len(read_words(data[1:])) <= 500
    with suppress(BrokenReply):
        read_metadata(data[1:])
    for name, array in read_predictions(data[1:], known, LIMITS).items():
        assert name not in known or _dtype(array) == known[name].dtype


# HTTP


def _requests(pieces: list[bytes]) -> tuple[list[object], str]:
    reader = RequestReader(LIMITS, large_body=256)
    found: list[object] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (request := reader.next_request()) is not None:
                found.append(request._replace(body=bytes(request.body)))
    except GpfnError as error:
        return found, f"{type(error).__name__} {error}"
    return found, f"in a request: {reader.in_request}"


def _http_request(data: bytes) -> None:
    whole = _requests([data])
    middle = len(data) // 2
    for pieces in ([data[:middle], data[middle:]], [bytes([byte]) for byte in data[:2000]]):
        if sum(map(len, pieces)) == len(data):
            assert _requests(pieces) == whole, "another reading of the same bytes in pieces"


class _Wire:
    """What a response is read from: bytes in pieces, then the end."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size

    def receive(self) -> bytes:
        piece, self._data = self._data[: self._size], self._data[self._size :]
        return piece

    def receive_into(self, space: memoryview) -> int:
        piece = self._data[: min(self._size, len(space))]
        self._data = self._data[len(piece) :]
        space[: len(piece)] = piece
        return len(piece)


def _http_response(data: bytes) -> None:
    def outcome(size: int) -> object:
        try:
            reply = read_response(_Wire(data, size), 100_000)  # type: ignore[arg-type]
        except (GpfnError, Closed) as error:
            return type(error), ""
        return reply[:3], bytes(reply.body)

    whole = outcome(1 << 20)
    assert outcome(max(1, len(data) // 3)) == whole, "another reading of the same bytes in pieces"
    if not data:
        return
    read_response(_Wire(data, 7), 100_000)  # type: ignore[arg-type]


def _multipart(data: bytes) -> None:
    kind, _, body = data.partition(b"\n") if data[:1] != b"-" else (b"", b"", data)
    multipart_fields(body, kind.decode("latin-1") or seeds.FORM)


_PUBLIC = FetchPolicy(1000)


def _url(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    shown_url(text)
    is_public(text)
    with suppress(GpfnError):
        _head_of(_checked(text, _PUBLIC, "url"))
    address = parse_url(text)
    _head_of(address)
    proxy_for(address, {"http_proxy": text, "https_proxy": "h:1", "no_proxy": text[:200]})


def _head_of(address: Any) -> None:
    head = request_head("GET", address, None, [])
    assert head.count(b"\r\n") == head.count(b"\n") == 1 + bool(address.authorization)
    assert head.split(b"\r\n")[0].count(b" ") == 2


# Images


def _image(data: bytes) -> None:
    picture = decode_image(data, (32, 32), LIMITS.pixels)
    assert picture.mode == "RGB"
    assert picture.size[0] * picture.size[1] <= LIMITS.pixels


def _image_text(data: bytes) -> None:
    assert len(from_text(data.decode("latin-1"), 1 << 16)) <= 1 << 16


# Files


def remove_files(process: int | None = None) -> None:
    """Remove what the targets of files have written, in this process or in another."""
    place = _PLACE if process is None else _PLACE.with_name(f"gpfn-fuzz-{process}")
    shutil.rmtree(place, ignore_errors=True)


def _written(data: bytes, name: str) -> Path:
    if not _PLACE.is_dir():
        _PLACE.mkdir()
        atexit.register(remove_files)
    path = _PLACE / name
    path.write_bytes(data)
    return path


def _model_program(data: bytes) -> None:
    """The first byte says which kind of model it is."""
    kind = ("litert", "onnx", "tensorflow", "graph")[(data[0] if data else 0) % 4]
    path = _written(data[1:], "saved_model.pb")
    refuse_kind(path)
    check_operators(path.parent if kind == "tensorflow" else path, kind)


def _func_yaml(data: bytes) -> None:
    _func(data, "func.yaml")


def _func_json(data: bytes) -> None:
    _func(data, "func.json")


def _func(data: bytes, name: str) -> None:
    values = read_func_file(_written(data, name))
    values.whole("memory", 128)
    assert all(type(value) is str for value in values.config.values())


def _requirements(data: bytes) -> None:
    found = requirements_of(_written(data, "requirements.txt").parent)
    assert "requirements.txt" in requirement_files(found)


def _tokens(data: bytes) -> None:
    """A header in the first line, the file of tokens below it."""
    header, _, file = data.partition(b"\n")
    lines = parse_tokens(file, field="tokens")
    text = "".join(f"{line.name} {line.scope} {line.digest.hex()}\n" for line in lines)
    assert parse_tokens(text.encode(), field="tokens") == lines
    name = Tokens(lines).allows("predict", header.decode("latin-1"))
    assert name in [line.name for line in lines]


def _page_form(data: bytes) -> None:
    """The media type of a form in the first line, its body below it."""
    kind, _, body = data.partition(b"\n")
    sent = read_form(body, kind.decode("latin-1"))
    number_of(sent.texts.get("version", ""))
    as_bearer([("authorization", sent.texts.get("authorization", ""))])
    read = arrays_of_cells if "c0.0" in sent.texts else partial(arrays_of_text, limits=LIMITS)
    arrays = read(_PAGE_MODEL, sent.texts if read is arrays_of_cells else sent)
    assert [array.dtype.name for array in arrays.values()] == ["float32", "uint8"]
    assert all(np.isfinite(array).all() for array in arrays.values())
    page = answer_figures(_PAGE_MODEL, TrialAnswer(arrays, arrays, 0.1))
    page += command(_PAGE_SITE, _PAGE_MODEL, arrays)
    assert "<script" not in page


def _model_toml(data: bytes) -> None:
    read_description(_written(data, "model.toml"))


def _pipeline_toml(data: bytes) -> None:
    read_pipeline(_written(data, "fuzz.pipeline.toml"))


def _next_stage(data: bytes) -> None:
    to = parse_config(data.decode("utf-8", "replace"), LOOPBACK)
    if to is not None:  # whatever it looks like, it is on this machine
        host = parse_url(to.url).host
        assert host == "localhost" or ip_address(host).is_loopback


def _server_timing(data: bytes) -> None:
    read = [*read_server_timing(data.decode("latin-1"))]
    assert [*read_server_timing(server_timing(read))] == [
        took._replace(seconds=round(took.seconds * 1000, 3) / 1000) for took in read
    ]


def _catalogue(data: bytes) -> None:
    read_catalogue(_written(data, "catalogue.toml"))


def _model_file(data: bytes) -> None:
    suffix = (".onnx", ".pb", ".tflite", ".bin")[(data[0] if data else 0) % 4]
    path = str(_written(data[1:], f"m{suffix}"))
    describe(path)
    recognise(path, BACKENDS)


def _tflite(data: bytes) -> None:
    signature_subgraphs(data, "m.tflite")


def _signature(data: bytes) -> None:
    with suppress(ProtobufError):  # TensorFlow has read the file before
        choose_signature(data, "", "m")


# Platforms


def _doubled(x: Any) -> Any:
    return np.multiply(x, 2, dtype=np.float32)


_FUNCTION = Function(
    _doubled, inputs={"x": TensorSpec("float32", (None,))}, name="double", limits=LIMITS
)


def _answered(message: Message) -> None:
    reply = _FUNCTION.answer(message)
    if reply.error is not None:
        assert reply.status < 500, f"{reply.status}: {reply.error!r:.300}"
        assert len(reply.message.body) < 6000, "a long error document"
        raise reply.error


def _call(data: bytes) -> None:
    _answered(_message(data))


def _fn(data: bytes) -> None:
    pairs, body = _split(data)
    incoming = read_call(tuple(pairs), body)
    reply = _FUNCTION.answer(incoming.message, incoming.call._replace(deadline=NEVER))
    head = response_head(200, reply_headers(reply, by_trigger=incoming.by_trigger), 0, close=True)
    assert head.count(b"\r\n\r\n") == 1
    if reply.error is not None:
        assert reply.status < 500, f"{reply.status}: {reply.error!r:.300}"
        raise reply.error


def _init(data: bytes) -> None:
    with suppress(Refusal):  # a reply that is ready
        init = Init.from_body(data)
        assert all(type(value) is str for value in init.env.values())
        init.decoded()


def _nothing(_data: bytes, _failure: bool) -> None:
    """Write no log."""


_LOG = CallLog(_nothing)


def _run(data: bytes) -> None:
    with suppress(Refusal):
        body = parse_body(data)
        activation = Activation.from_run(body)
        assert activation.deadline is not None
        text = answer_parameters(_FUNCTION, body.get("value") or {}, Activation(), _LOG)
        assert text[:1] in (b"{", b"[")


def _archive(data: bytes) -> None:
    _unpacked(data, lambda _, place: unpack(data, str(place), 1 << 20))


def _bundle(data: bytes) -> None:
    _unpacked(data, lambda path, place: unpack_bundle(path, place, bounds=_BUNDLE))


_BUNDLE = ArchiveBounds(files=50, bytes=1 << 20)


def _unpacked(data: bytes, unpacker: Callable[[Path, Path], object]) -> None:
    place = _PLACE / "archive"
    shutil.rmtree(place, ignore_errors=True)
    path = _written(data, "beside")
    place.mkdir()
    outside = set(_PLACE.iterdir())
    try:
        unpacker(path, place)
    finally:
        found = [path for path in place.rglob("*") if not path.is_dir()]
        assert set(_PLACE.iterdir()) == outside, "something was written outside"
        assert not any(path.is_symlink() for path in place.rglob("*")), "a link"
        assert sum(path.stat().st_size for path in found) <= 1 << 20, "more than allowed"
        shutil.rmtree(place, ignore_errors=True)


def _web_body(data: bytes) -> None:
    kind, _, body = data.partition(b"\n")
    content_type = kind.decode("latin-1")
    encoded = encode_body(body, content_type)
    if isinstance(encoded, str):
        decode_body(encoded, content_type)
    decode_body(body.decode("latin-1"), content_type)


def _action_result(data: bytes) -> None:
    failure: GpfnError | None = None
    for web in (True, False):
        try:
            from_action(200, data, "i", web=web)
        except GpfnError as error:
            failure = error
    status = data[:4].decode("latin-1")
    unwrap_trigger(InvocationResult(200, b"", (("fn-http-status", status),), "i"))
    if failure is not None:
        raise failure


# Settings and logs


def _settings(data: bytes) -> None:
    text = data[1:].decode("utf-8", "surrogateescape").replace("\0", "")
    name = sorted(SETTINGS)[(data[0] if data else 0) % len(SETTINGS)]
    readers: tuple[Callable[[], object], ...] = (
        lambda: parse_whole(text, field="a"),
        lambda: parse_size(text, field="a"),
        lambda: parse_duration(text, field="a"),
        lambda: ListenAddress.parse(text),
        lambda: parse_threads(text),
        lambda: Limits.from_env({"GPFN_MAX_ELEMENTS": text, "GPFN_MAX_BODY_BYTES": text}),
        lambda: check_settings({name: text}),
    )
    failures = []
    for reader in readers:
        try:
            reader()
        except GpfnError as error:
            failures.append(error)
    assert all(len(str(error)) < 500 for error in failures)
    if len(failures) == len(readers):
        raise failures[0]


def _function_log(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for form in ("text", "json", "quiet"):
        host_log.readable(text, form)
    host_log.records(text)
    host_log.listening_url(text)
    host_log.start_seconds(text)


def _model_address(data: bytes) -> None:
    model = find_model(data.decode("utf-8", "replace"))
    assert model.protocol in PROTOCOLS
    request_bytes(model._replace(protocol="v2"), {"x": np.zeros(1, np.float32)})


def _server_counts(data: bytes) -> None:
    read = read_statistics if data[:1] == b"{" else read_metrics
    found = read(data, "a")
    assert all(count >= 0 for count in found.since(found).batches.values())


# TFaaS and the repository


def _same_row(first: FeatureRow, second: FeatureRow) -> None:
    _same(first.values, second.values)
    assert (first.keys, first.model) == (second.keys, second.model), "keys or model changed"


def _tfaas_row(data: bytes) -> None:
    row, short = decode_row(data, LIMITS), RowDecoder(LIMITS)
    for _ in range(3):  # the third time the short way is taken
        again = short.decode(data)
        _same_row(again, row)
        assert again.several == row.several
    values = row.values if row.several else row.values[0]
    _same_row(decode_row(encode_row(values, keys=row.keys, model=row.model), LIMITS), row)
    encode_values(row.values)


def _tfaas_message(data: bytes) -> None:
    row, short = decode_row_message(data, LIMITS), RowMessageDecoder(LIMITS)
    for _ in range(2):
        _same_row(short.decode(data), row)
    again = encode_row_message(row.values, keys=row.keys, model=row.model)
    _same_row(decode_row_message(again, LIMITS), row)


def _tfaas_predictions(data: bytes) -> None:
    classes = decode_predictions(data)
    values = np.array([each.probability for each in classes], np.float32)
    again = decode_predictions(PredictionsEncoder([each.label for each in classes]).encode(values))
    assert [each.label for each in again] == [each.label for each in classes]
    _same(np.array([each.probability for each in again], np.float32), values)


def _tfaas_parameters(data: bytes) -> None:
    found = read_parameters(data)
    assert not found.input.endswith(":0") or found.uploaded


def _manifest(data: bytes) -> None:
    manifest = read_manifest(data)
    assert read_manifest(encode_manifest(manifest)) == manifest
    for file in manifest.files:
        assert ".." not in file.path


def _tag_change(data: bytes) -> None:
    change = read_tag_change(data)
    assert read_tag_change(encode_tag_change(change)) == change


def _repository_answers(data: bytes) -> None:
    assert len(problem_text(data)) <= 500
    record = parse_object(data, 1 << 20)
    if "models" in record.values:
        model_summaries_of(record)
    elif "existed" in record.values:
        push_answer_of(record)
    else:
        model_history_of(record)


def _model_reference(data: bytes) -> None:
    server, name, version = model_reference(data.decode("latin-1"))
    assert server.lower().startswith(("http://", "https://"))
    assert model_reference(f"{server}/{name}@{version}") == (server, name, version)


def _csv_rows(data: bytes) -> None:
    spec = TensorSpec("float32", (None, 2, 1), "x")
    assert read_csv(data, [spec], LIMITS, path="f")["x"].shape[1:] == (2, 1)


_ROWS = row_schema(
    [
        TensorSpec("float32", (None, 1), "height"),
        TensorSpec("int64", (None, 1), "age"),
        TensorSpec("string", (None, 1), "city"),
    ],
    [Column("age", default=40, missing=("?",))],
)


def _rows_json(data: bytes) -> None:
    with suppress(orjson.JSONDecodeError):
        read = decode_json_rows(orjson.loads(data), _ROWS, LIMITS)
        _same_rows(read.arrays)


def _rows_csv(data: bytes) -> None:
    kind, _, text = data.partition(b"\n")
    media_type = kind.decode("latin-1")
    read = decode_csv_rows(text, f"text/csv;{media_type}", _ROWS, LIMITS)
    _same_rows(read.arrays)
    _same_rows(read.arrays, read.separator)


def _same_rows(arrays: dict[str, Any], separator: str = "") -> None:
    """Write the arrays as rows, read them again, and compare."""
    count = len(arrays["age"])
    assert {array.shape for array in arrays.values()} == {(count, 1)}
    if separator:
        written = write_csv(arrays, {}, separator)
        again = decode_csv_rows(written.body, written.media_type, _ROWS, LIMITS).arrays
    else:
        rows = orjson.loads(write_json(arrays, {}, one=False).body)
        again = decode_json_rows(rows, _ROWS, LIMITS).arrays
    for name, array in arrays.items():
        assert array.tolist() == again[name].tolist()


def _log(data: bytes) -> None:
    call, _, rest = data.decode("utf-8", "surrogateescape").partition("\n")
    written: list[bytes] = []

    def sink(line: bytes, _failure: bool) -> None:
        written.append(line)

    for form in ("text", "json"):
        log = Log("fn", "f", form=form, sink=sink)
        log.error(rest, call=call, detail=rest[:100])
        log.failure(ValueError(rest), call=call)
    for line in b"".join(written).decode().split("\n")[:-1]:
        assert line.isprintable()
        assert len(line) < 400_000


_HTTP = "gpfn.http"
_REPOSITORY = "gpfn.serving.repository"


def _rows() -> Mapping[str, Target]:
    json_seeds = seeds.documents(
        [1, 2.5],
        {"x": [[1, 2], [3, 4]], "y": ["a", {"b64": "AAA="}]},
        {"shape": [2], "data": [1, 2]},
    )
    v2 = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}
    text = {"name": "y", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    call = [
        b"content-type: application/json\n\n[1, 2, 3]",
        b"content-type: application/x-npy\n\n" + seeds.npy()[0],
        b"content-type: application/octet-stream\n\n" + bytes(8),
        b"content-type: application/cloudevents+json\n\n"
        + seeds.documents(
            {"specversion": "1.0", "id": "1", "source": "/", "type": "t", "data": [1]}
        )[0],
        *seeds.events("binary"),
    ]
    trigger = b"fn-intent: httprequest\nfn-deadline: 2026-11-28T12:00:00Z\nfn-call-id: 1\n"
    value = {"value": {"data": [1, 2]}, "activation_id": "a", "deadline": "1790000000000"}
    web = {"__ow_method": "post", "__ow_headers": {"content-type": "application/json"}}
    kafka = {"messages": [{"topic": "t", "value": [1]}]}
    rows = [
        Target("graphpipe-request", _graphpipe_request,
               ("gpfn.graphpipe.reader", "gpfn.graphpipe.decode", "gpfn.graphpipe.tensors"),
               seeds.graphpipe_requests),
        Target("cut", _cut, ("gpfn.data.cut", "gpfn.data.cut_parser"),
               lambda: [b"a > 1 & J[0] * 2 <= 4 or not b == 'x'", b"abs(-a) ** 2 < max(3, J[0])"]),
        Target("data-csv", lambda data: _data_file(data, "rows.csv"),
               ("gpfn.data.csv_blocks", "gpfn.data.csv_file", "gpfn.data.csv_lines"),
               lambda: [b'a,b\n1,"x, ""y"""\n2.5,z\n\n,\n', b"a;b\n0x1;1e400\n3\n;5\"\n"]),
        Target("data-json-lines", lambda data: _data_file(data, "rows.jsonl"),
               ("gpfn.data.json_lines", "gpfn.data.json_columns"),
               lambda: [b'{"a": [1, 2], "b": "x"}\n{"a": [3, 4.5]}\nno\n',
                        *seeds.events("structured")]),
        Target("data-npy", lambda data: _data_file(data, "rows.npy"),
               ("gpfn.data.npy_file",), seeds.npy),
        Target("graphpipe-response", _graphpipe_response,
               ("gpfn.graphpipe.reader", "gpfn.graphpipe.decode", "gpfn.graphpipe.tensors"),
               seeds.graphpipe_responses),
        Target("graphpipe-metadata", _graphpipe_metadata,
               ("gpfn.graphpipe.reader", "gpfn.graphpipe.decode"), seeds.graphpipe_metadata),
        Target("oip-request", _oip_request,
               ("gpfn.oip.decode", "gpfn.oip.request", "gpfn.oip.binary_values",
                "gpfn.oip.json_values", "gpfn.json_words"), seeds.oip_requests),
        Target("oip-reply", _oip_reply, ("gpfn.oip.decode", "gpfn.oip.reply"), seeds.oip_replies),
        Target("oip-grpc-request", _oip_grpc_request,
               ("gpfn.oip.grpc_messages", "gpfn.oip.grpc_tensors", "gpfn.oip.binary_values",
                "gpfn.serving.grpc.bounds", "gpfn.serving.grpc.repeats"),
               seeds.oip_grpc_requests),
        Target("oip-grpc-reply", _oip_grpc_reply,
               ("gpfn.oip.grpc_messages", "gpfn.oip.grpc_tensors"), seeds.oip_grpc_replies),
        Target("oip-documents", _oip_documents, ("gpfn.oip.documents",),
               lambda: seeds.documents(
                   {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]},
                   {"error": "no"}, {"detail": [{"loc": ["body", 0], "msg": "no"}]})),
        Target("event", _event,
               ("gpfn.events.json_format", "gpfn.events.json_text", "gpfn.events.attributes",
                "gpfn.events.legacy"), lambda: seeds.events("structured")),
        Target("event-batch", _batch, ("gpfn.events.json_format", "gpfn.events.json_text"),
               lambda: seeds.events("batch")),
        Target("event-sniffed", _sniffed, ("gpfn.events.modes",),
               lambda: seeds.events("structured", "batch")),
        Target("event-binary", _binary,
               ("gpfn.events.http_binary", "gpfn.events.header_attributes",
                "gpfn.events.attributes"), lambda: seeds.events("binary")),
        Target("event-protobuf", _protobuf_event,
               ("gpfn.events.protobuf_format", "gpfn.events.protobuf_schema",
                "gpfn.events.protobuf_values"), seeds.protobuf_events),
        Target("event-protobuf-batch", _protobuf_batch,
               ("gpfn.events.protobuf_format", "gpfn.events.protobuf_schema"),
               lambda: seeds.protobuf_events(batch=True)),
        Target("event-kafka", _kafka,
               ("gpfn.events.kafka", "gpfn.events.kafka_wrapping",
                "gpfn.events.header_attributes"), seeds.kafka_records),
        Target("tensors-json", _json, ("gpfn.tensors.json_forms", "gpfn.tensors.nested"),
               lambda: [bytes([at]) + seed for at in range(7) for seed in json_seeds]),
        Target("tensors-v2", _v2, ("gpfn.tensors.json_forms",),
               lambda: seeds.documents({"inputs": [v2, text]}, {"id": "1", "inputs": [v2, text]})),
        Target("v1-predict", _v1,
               ("gpfn.v1.envelope", "gpfn.v1.predict", "gpfn.v1.predictions"),
               lambda: [bytes([at]) + seed for at in (*range(6), 130) for seed in seeds.v1()]),
        Target("v1-reply", _v1_reply, ("gpfn.v1.replies",),
               lambda: [bytes([at]) + seed for at in range(6) for seed in seeds.v1_replies()]),
        Target("tensors-npy", _npy, ("gpfn.tensors.npy",),
               lambda: [bytes([at]) + seed for at in (0, 1, 6) for seed in seeds.npy()]),
        Target("tensors-raw", _raw, ("gpfn.tensors.raw", "gpfn.tensors.shapes"),
               lambda: [b"dtype: float32\nshape: 2,3\n\n" + bytes(24), b"\n\n" + bytes(28),
                        b"dtype: string\nshape: [2]\n\n\1\0\0\0a\0\0\0\0"]),
        Target("http-request", _http_request,
               (f"{_HTTP}.head", f"{_HTTP}.reader", f"{_HTTP}.body"), seeds.http_requests),
        Target("http-response", _http_response, (f"{_HTTP}.response",), seeds.http_responses),
        Target("multipart", _multipart, ("gpfn.images.sources",), seeds.multipart),
        Target("url", _url, (f"{_HTTP}.address", f"{_HTTP}.fetch", f"{_HTTP}.public"),
               lambda: [b"http://u:p@h:80/a?b#c", b"https://[2606:4700::1]:443/", b"http://127.1/",
                        b"http://b\xc3\xbccher.example/\xc3\xbc", b"10.0.0.0/8,.local,h:1"]),
        Target("image", _image, ("gpfn.images.decoding",), seeds.images),
        Target("image-text", _image_text, ("gpfn.images.sources",),
               lambda: [b"/9j/4AAQ", b"data:image/png;base64,iVBORw0KGgo=", b"iVBO\nRw0K\n"]),
        Target("tflite-frame", _tflite, ("gpfn.models.tflite_file",),
               seeds.tflite),
        Target("model-file", _model_file, ("gpfn.models.filekind", "gpfn.models.protobuf"),
               lambda: [b"\0" + (seeds.ROOT / "models" / "forecast.onnx").read_bytes()[:4000],
                        b"\1" + (seeds.ROOT / "models" / "rnn_ts_model.pb").read_bytes()[:4000],
                        b"\2" + (seeds.ROOT / "models" / "forecast.tflite").read_bytes()[:900],
                        b"\0\x08\x07:\x04\n\0\x12\0"]),
        Target("model-program", _model_program,
               ("gpfn.models.tf_guard", "gpfn.models.tf_program", "gpfn.models.onnx_guard",
                "gpfn.models.operators", "gpfn.models.foreign_files"), seeds.model_programs),
        Target("saved-signature", _signature, ("gpfn.models.protobuf",), seeds.saved_signatures),
        Target("func-yaml", _func_yaml, ("gpfn.hosts.funcfile",),
               lambda: [(seeds.ROOT / "functions" / "forecast" / "func.yaml").read_bytes(),
                        b"name: a\nconfig: {A: x, B: 'y'}\nmemory: 128\n",
                        b"a: &x |\n  text\nb: *x\nconfig:\n  <<: {C: d}\n"]),
        Target("func-json", _func_json, ("gpfn.hosts.funcfile",),
               lambda: seeds.documents({"name": "a", "memory": 128, "config": {"A": 5}})),
        Target("requirements", _requirements, ("gpfn.build.stage.requirements",),
               lambda: [b"gpfn[images]\nnumpy>=2 ; python_version>'3'\n# no\nx @ https://h/x.whl\n",
                        b"a==1 \\\n  --hash=sha256:00\n-r requirements.txt\n--require-hashes\n",
                        b"# coding: latin-1\n-e git+https://h/x#egg=y[z]\n"]),
        Target("model-toml", _model_toml, ("gpfn.models.description", "gpfn.models.toml_table"),
               lambda: [_first_model()]),
        Target("pipeline-toml", _pipeline_toml,
               ("gpfn.models.pipeline.reading", "gpfn.models.pipeline.graph"),
               lambda: [path.read_bytes() for path in (seeds.ROOT / "pipelines").iterdir()]),
        Target("next-stage", _next_stage, ("gpfn.serving.onward",),
               lambda: [b"http://127.0.0.1:4000", b'{"next": ["http://localhost:1", "http://[::1]/"]}',
                        b"http://2130706433/", b"http://[::ffff:127.0.0.1]/"]),
        Target("server-timing", _server_timing, ("gpfn.scope",),
               lambda: [b"next.compute;dur=1.500, total;dur=2"]),
        Target("catalogue", _catalogue, ("gpfn.models.catalogue", "gpfn.models.toml_table"),
               lambda: [(seeds.ROOT / "models" / "catalogue.toml").read_bytes()]),
        Target("archive", _archive, ("gpfn.platforms.openwhisk.archive",), seeds.archives),
        Target("bundle", _bundle,
               (f"{_REPOSITORY}.archive", f"{_REPOSITORY}.tar_members",
                f"{_REPOSITORY}.zip_members"), seeds.archives),
        Target("openwhisk-init", _init, ("gpfn.platforms.openwhisk.protocol",), seeds.init_bodies),
        Target("openwhisk-run", _run,
               ("gpfn.platforms.openwhisk.activation", "gpfn.platforms.openwhisk.answer",
                "gpfn.platforms.openwhisk.web"),
               lambda: seeds.documents(
                   value, {"value": [1, 2]}, {"value": {**web, "__ow_body": "[1]"}},
                   {"value": kafka}, {"value": {"x": [1.5], "specversion": "1.0"}})),
        Target("web-body", _web_body, ("gpfn.platforms.openwhisk.web",),
               lambda: [b'application/json\n{"a": 1}', b"image/png\niVBORw0KGgo=", b"text/a\nx"]),
        Target("action-result", _action_result, ("gpfn.hosts.openwhisk",),
               lambda: seeds.documents({"a": 1}, {"body": "x", "statusCode": 201,
                                                  "headers": {"content-type": "image/png"}})),
        Target("fn-headers", _fn, ("gpfn.platforms.fn.wire",),
               lambda: [*call, *(trigger + b"fn-http-h-" + each for each in call),
                        b"fn-intent: cloudevent\n" + call[3]]),
        Target("call", _call, ("gpfn.call.decode", "gpfn.call.payload"), lambda: call),
        Target("settings", _settings, ("gpfn.settings", "gpfn.cli.options"),
               lambda: [bytes([at]) + each for at in range(0, 25, 3)
                        for each in (b"64MiB", b"500ms", b"on", b"json", b"[::1]:80", b"auto")]),
        Target("tokens", _tokens, ("gpfn.serving.tokens",),
               lambda: [b"Bearer a\n# who\na predict " + b"ca978112ca1bbdcafac231b39a23dc4d"
                        b"a786eff8147c4e72b9807785afee48bb\nb admin " + b"0" * 64 + b"\n"]),
        Target("page-form", _page_form,
               ("gpfn.serving.pages.forms", "gpfn.serving.pages.outputs"), lambda: [
                   b"application/x-www-form-urlencoded\nc0.0=1.5&c0.1=-2e3&c1.0=255&version=3",
                   (b'multipart/form-data; boundary=xx\n--xx\r\nContent-Disposition: form-data; '
                   b'name="file"; filename="a.json"\r\n\r\n{"x": [[1, 2]], "y": [[3]]}'
                   b"\r\n--xx--\r\n")]),
        Target("function-log", _function_log, ("gpfn.hosts.log",), _log_lines),
        Target("model-address", _model_address, ("gpfn.bench.asking", "gpfn.http.address"),
               lambda: [b"http://host:9000/v2/models/a/versions/1", b"https://h/graphpipe/a%20b",
                        b"grpc://h:1/m", b"http://u:p@[::1]:80/p/v1/models/m"]),
        Target("server-counts", _server_counts, ("gpfn.bench.subject",), seeds.server_counts),
        Target("tfaas-row", _tfaas_row, ("gpfn.tfaas.row",),
               lambda: seeds.documents(
                   {"keys": ["a", "b"], "values": [1, 2.5], "model": "m"},
                   {"Values": [None, 1e38]}, {"values": [[1], [2]], "model": None})),
        Target("tfaas-message", _tfaas_message, ("gpfn.tfaas.messages",), seeds.tfaas_rows),
        Target("tfaas-predictions", _tfaas_predictions, ("gpfn.tfaas.messages",),
               lambda: [b"\x0a\x05\x15\xeen3>\x0a\0", b"\x0a\x08\x0a\x01a\x15\0\0\x80\x3f"]),
        Target("tfaas-parameters", _tfaas_parameters, ("gpfn.tfaas.parameters",),
               lambda: seeds.documents(
                   {"name": "m", "inputNode": "x:0", "output_name": "y", "ImgChannels": 3},
                   {"image": {"height": 2, "width": 2, "channels": "L", "layout": "NHWC",
                              "quantised": False, "fit": "crop", "mean": [0], "std": [1.5]}})),
        Target("manifest", _manifest,
               ("gpfn.repository.documents", "gpfn.repository.record", "gpfn.repository.names"),
               seeds.manifests),
        Target("tag-change", _tag_change, ("gpfn.repository.tags", "gpfn.repository.record"),
               lambda: seeds.documents(
                   {"tag": "a", "version": None, "who": "b", "when": "2026-11-29T03:00:00Z",
                    "tags": {"a": 1}})),
        Target("repository-answers", _repository_answers,
               ("gpfn.repository.answers", "gpfn.repository.record"), seeds.repository_answers),
        Target("model-reference", _model_reference, ("gpfn.repository.client",),
               lambda: [b"http://h:9000/base/digits@stable", b"https://u:p@[::1]/m"]),
        Target("rows-json", _rows_json,
               ("gpfn.rows.arrays", "gpfn.rows.json_rows", "gpfn.rows.values"),
               lambda: seeds.documents({"height": 1.5, "age": 3, "city": "Aa"}, [[1, None, "b"]],
                                       [{"height": "2", "city": "x"}, {"city": "y", "height": 0}])),
        Target("rows-csv", _rows_csv, ("gpfn.rows.csv_rows", "gpfn.rows.writing"),
               lambda: [b"\nheight,age,city\r\n1.5,?,\"a\"\"b\"\r\n,2,c\r\n"[:-8],
                        b" separator=semicolon; header=absent\n1;2;x\n3;;y\n",
                        b"charset=iso-8859-1\ncity,height\n\xfc,-1e3\n\n"]),
        Target("csv-rows", _csv_rows, ("gpfn.cli.csv_rows", "gpfn.cli.columns"),
               lambda: [b"a,b\r\n1,2.5\r\n-3e2,4\r\n", b'1;"2"\n\n3;4']),
        Target("log", _log, ("gpfn.log", "gpfn.log_json"), lambda: [b"id\nwhat happened \x1b[0m"]),
    ]  # fmt: skip
    return {row.name: row for row in rows}


def _first_model() -> bytes:
    return b"""title = "A tiny model"
licence = "MIT"
aliases = ["small"]
model = "tiny.tflite"
labels = "tiny.txt"
signature.inputs.image = { dtype = "float32", shape = [-1, 8, 9, 3] }
signature.outputs."a/b:0" = { dtype = "string" }

[image]
height = 8
width = 9
channels = "RGB"
layout = "NHWC"
quantised = false
fit = "crop"
mean = [127.5, 127.5, 127.5]
std = [127.5, 127.5, 128]

[serving]
max_batch = 64
max_delay = 0.002
processes = true
timeout = 5
warmup = ["night.json", "day.npy"]

[files."tiny.tflite"]
url = "https://example.com/tiny.tflite"
"""


def _log_lines() -> list[bytes]:
    written: list[bytes] = []
    for form in ("json", "text"):
        log = Log("fn", "f", form=form, sink=lambda line, _: written.append(line))
        log.ready({"import": 0.1, "load": 0.2})
        log.listening("http://127.0.0.1:1")
        log.error("no", call="1")
        log.failure(ValueError("no"), call="1")
        log.call("1", _FUNCTION.answer(Message(b"[1]", "application/json")), 0.1, 1, 1)
    return [b"".join(written), *written]


TARGETS: Mapping[str, Target] = _rows()
"""All targets by their names."""
