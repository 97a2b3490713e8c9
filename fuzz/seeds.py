"""Good inputs of each kind, small, for mutations to begin with."""

import base64
import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gpfn.events.event import Event
from gpfn.events.kafka import write_record
from gpfn.events.modes import write
from gpfn.events.protobuf_format import write_event
from gpfn.events.protobuf_schema import message_class as cloudevents_message
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
)
from gpfn.graphpipe.writer import Writer
from gpfn.oip.grpc_messages import encode_grpc_infer, encode_grpc_reply
from gpfn.oip.grpc_schema import message_class
from gpfn.oip.reply import encode_reply
from gpfn.oip.request import InferCall, OutputAsked, encode_infer
from gpfn.repository.documents import Manifest, StoredFile, content_digest, encode_manifest
from gpfn.tensors.codec import encode
from gpfn.tensors.spec import TensorSpec
from gpfn.tfaas.messages import encode_row_message

__all__ = [
    "FORM",
    "ROOT",
    "archives",
    "documents",
    "events",
    "graphpipe_metadata",
    "graphpipe_requests",
    "graphpipe_responses",
    "http_requests",
    "http_responses",
    "images",
    "init_bodies",
    "kafka_records",
    "manifests",
    "model_programs",
    "multipart",
    "npy",
    "oip_grpc_replies",
    "oip_grpc_requests",
    "oip_replies",
    "oip_requests",
    "protobuf_events",
    "repository_answers",
    "saved_signatures",
    "server_counts",
    "tfaas_rows",
    "tflite",
    "v1",
    "v1_replies",
]

ROOT = Path(__file__).resolve().parent.parent
_SAMPLES = ROOT / "ce_samples"
_ARRAYS = (
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array([[b"a\0b", b""], [b"c", b"long enough"]], object),
    np.zeros((0, 4), np.int64),
    np.array(1, np.uint8),
)


def graphpipe_requests() -> list[bytes]:
    """Return requests with tensors of several types, and one for metadata."""
    whole = InferRequest(_ARRAYS, ("a", "b", "c", "d"), ("y", "z"), '{"k": 1}')
    short = InferRequest(_ARRAYS[:1], (), (), "")
    return [b"".join(encode_request(message)) for message in (whole, short, MetadataRequest())]


def graphpipe_responses() -> list[bytes]:
    """Return answers and refusals."""
    found = InferResponse(_ARRAYS, ())
    failed = InferResponse((), (Error(7, "no"), Error(-1, "é")))
    return [b"".join(encode_response(message)) for message in (found, failed)]


def graphpipe_metadata() -> list[bytes]:
    """Return what a server says of its model."""
    entry = IOMetadata("x", "an input", (-1, 3), Type.FLOAT32)
    other = IOMetadata("y", "", (), Type.STRING)
    return [b"".join(encode_metadata(MetadataResponse("m", "1", "gpfn", "t", (entry,), (other,))))]


def documents(*more: object) -> list[bytes]:
    """Return values as JSON."""
    return [json.dumps(value).encode() for value in more]


def v1() -> list[bytes]:
    """Return bodies for ``:predict`` in both forms, of one input and of several."""
    rows = {"x": [1.5, 2], "y": "a"}, {"x": [16777217, 3], "y": {"b64": "AAA="}}
    return documents(
        {"instances": [1, 2.5]},
        {"inputs": [[1, 2], [3, 4]], "signature_name": "serving_default"},
        {"instances": rows},
        {"inputs": {"x": [[1, 2]], "y": [True]}},
        {"instances": [{"x": [1.5, float("inf")], "y": "NaN"}, {"x": [float("nan"), 1], "y": ""}]},
    )


def v1_replies() -> list[bytes]:
    """Return replies to ``:predict`` in both forms, metadata, and an error."""
    tensor = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}, {"size": "2"}]}}
    signature = {"inputs": {"x": tensor}, "outputs": {"y": tensor}}
    return documents(
        {"predictions": [1, 2.5]},
        {"predictions": [{"x": [1.5], "y": "a"}, {"x": [2], "y": {"b64": "AAA="}}]},
        {"outputs": {"x": [[1, 2]], "y": [True]}},
        {"outputs": [[float("nan"), 1]]},
        {"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}},
        {"error": "no such model"},
    )


def events(*modes: str) -> list[bytes]:
    """Return the samples and events of our own in these modes; binary as lines of headers."""
    found = []
    names = {"structured": "forecast*.json", "batch": "*-batch.json", "binary": "*.none"}
    for mode in modes:
        found += [path.read_bytes() for path in sorted(_SAMPLES.glob(names[mode]))]
        for data, kind in (
            ([1, 2.5, None], None),
            (b"\xff\0", "image/png"),
            ("text", "text/plain"),
        ):
            event = Event(
                id="1",
                source="/s",
                type="t",
                subject="a b/é%",
                time="2026-11-28T12:00:00.25+01:00",
                datacontenttype=kind,
                data=data,
                extensions={"number": 5, "flag": True},
            )
            message = write([event] * (2 if mode == "batch" else 1), mode)  # type: ignore[arg-type]
            lines = [f"content-type: {message.content_type}"]
            lines += [f"{name}: {value}" for name, value in message.headers]
            head = "\n".join(lines) + "\n\n" if mode == "binary" else ""
            found.append(head.encode("latin-1") + bytes(message.body))
    if "binary" in modes:
        head = (_SAMPLES / "forecast-binary.headers").read_bytes().rstrip(b"\n")
        found.append(head + b"\n\n" + (_SAMPLES / "forecast-binary.json").read_bytes())
    return found


def protobuf_events(*, batch: bool = False) -> list[bytes]:
    """Return events in protobuf, with a value of each type and data of each kind, or batches."""
    minimal = Event(id="1", source="/s", type="t")
    text = Event(
        id="1",
        source="/s",
        type="t",
        subject="a b/é%",
        time="2026-11-28T12:00:00.25+01:00",
        dataschema="https://example.com/x",
        data=[1, 2.5, None],
        extensions={"number": -5, "flag": True, "text": "", "dataref": "../x"},
    )
    found = [write_event(minimal), write_event(text)]
    message = cloudevents_message("Event").FromString(found[0])
    message.proto_data.add(type_url=b"type.googleapis.com/a.B", value=b"\x08\1")
    for name, kind in ((b"octets", "ce_bytes"), (b"uri", "ce_uri"), (b"time", "ce_timestamp")):
        value = message.attributes.add(key=name).value
        if kind == "ce_timestamp":
            value.ce_timestamp.seconds, value.ce_timestamp.nanos = 1_795_948_800, 1
        else:
            setattr(value, kind, b"x:y")
    found.append(message.SerializeToString())
    found.append(found[0].replace(b"1.0", b"0.3") + b"\x32\2\xff\0")
    batches = cloudevents_message("Batch")
    return [batches(events=found).SerializeToString(), b""] if batch else found


def kafka_records() -> list[bytes]:
    """Return records as lines of headers and a value behind an empty line, in each mode."""
    event = Event(
        id="é", source="/s", type="t", time="2026-11-28T12:00:00Z", data=[1],
        extensions={"partitionkey": "k", "flag": True},
    )  # fmt: skip
    records = [write_record(event, "binary"), write_record(event, "structured")]
    records.append(write_record(event, "protobuf"))
    older = [("ce_specversion", b"0.3"), ("ce_schemaurl", b"/x"), ("CE_ID", b"1")]
    older += [("ce_source", b"/"), ("ce_type", b"t"), ("Content-Type", b"text/plain")]
    records += [(b"\xff", tuple(older)), (b"{}", (("a", b"1"), ("content-type", b"a/json")))]
    found = []
    for value, headers in records:
        head = b"\n".join([name.encode() + b":" + given for name, given in headers])
        found.append(head if value is None else head + b"\n\n" + value)
    return [*found, found[0].partition(b"\n\n")[0], found[0].replace(b"ce_time:", b"ce_time")]


def npy() -> list[bytes]:
    """Return .npy files of several types and both orders."""
    arrays = [
        *(_ARRAYS[0], _ARRAYS[2], _ARRAYS[3]),
        np.asfortranarray(np.arange(12, dtype=">i4").reshape(3, 4)),
        np.array([b"abc", b"d"]),
    ]
    found = [encode({"": np.arange(5, dtype=np.float64)}, "application/x-npy").body]
    for array in arrays:
        np.save(file := io.BytesIO(), array)
        found.append(file.getvalue())
    return found


def http_requests() -> list[bytes]:
    """Return requests: sized, chunked, several in a row, upgrading."""
    head = b"POST /call?a=b HTTP/1.1\r\nHost: a\r\n"
    return [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        head + b"Content-Length: 5\r\nContent-Type: a/b\r\n\r\nhello",
        head + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n",
        head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab" + head + b"\r\n",
        head + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
        b"GET http://a:80/x HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n",
    ]


def http_responses() -> list[bytes]:
    """Return responses in each framing."""
    return [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: 1\r\na:  2\t\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n",
        b"HTTP/1.0 404 Not Found\r\n\r\nuntil it closes",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://[::1]/\r\nContent-Length: 0\r\n\r\n",
    ]


FORM = "multipart/form-data; boundary=edge"


def multipart() -> list[bytes]:
    """Return forms of the boundary in FORM."""
    part = b'--edge\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    text = part % (b"topk", b"", b"5")
    file = part % (b"image", b'; filename="a.png"\r\ncontent-type: image/png', b"\x89PNG\0")
    coded = part % (b"image", b"\r\ncontent-transfer-encoding: base64", b"AAAA")
    return [each + b"--edge--\r\n" for each in (text + file, coded, file * 3)]


def images() -> list[bytes]:
    """Return a file of each format that is read, one with an orientation."""
    from PIL import Image

    picture = Image.new("RGB", (9, 7), (200, 10, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for kind, more in (
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("PNG", {"exif": exif}),
        ("WEBP", {}),
        ("GIF", {}),
    ):
        picture.save(file := io.BytesIO(), kind, **more)
        found.append(file.getvalue())
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        Image.new(mode, (5, 4)).save(file := io.BytesIO(), "PNG")
        found.append(file.getvalue())
    return found


def archives(
    files: Mapping[str, bytes] = {"__main__.py": b"def main(a):\n    return a\n"},
) -> list[bytes]:
    """Return a zip, a tar and a tar.gz."""
    with zipfile.ZipFile(zipped := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with tarfile.open(fileobj=(tarred := io.BytesIO()), mode="w") as archive:
        for name, content in {**files, "pkg/a.py": b"x"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return [zipped.getvalue(), tarred.getvalue(), gzip.compress(tarred.getvalue(), mtime=0)]


def init_bodies() -> list[bytes]:
    """Return bodies of /init: text, base64, environment."""
    code = base64.b64encode(archives()[0]).decode()
    value = {"name": "a", "main": "main", "binary": True, "code": code}
    text = {"code": "def main(a):\n    return a", "binary": False, "env": {"A": "b", "N": 5}}
    return documents({"value": value}, {"value": text}, {})


def tflite() -> list[bytes]:
    """Return the frame of a LiteRT model: a subgraph, a quantised tensor, two signatures."""
    writer = Writer()
    writer.out += b"TFL3"
    model = writer.table(0, 4, 0, 4, 0, 0, 0, 0, 4)  # version, subgraphs, signatures
    struct.pack_into("<I", writer.out, model[0], 3)
    graph = writer.table(writer.offsets(model[2], 1)[0], 4)
    tensor = writer.table(writer.offsets(graph[0], 1)[0], 0, 1, 0, 0, 4)  # type, quantization
    writer.byte(tensor[1], 9)
    parameters = writer.table(tensor[4], 0, 0, 4, 4)  # scale, zero point
    writer.longs(parameters[3], [-128])
    scale = writer.offsets(parameters[2], 1)[0]
    struct.pack_into("<f", writer.out, scale, 0.5)
    for place, key in zip(writer.offsets(model[7], 2), (b"serving_default", b"b"), strict=True):
        signature = writer.table(place, 0, 0, 4, 0, 4)
        writer.string(signature[2], key)
    return [bytes(writer.out)]


def oip_requests() -> list[bytes]:
    """Return requests in JSON, in binary and with both, each behind its header."""
    asked = (OutputAsked("y", True), OutputAsked("z", False, 2))
    arrays = dict(zip("abcd", _ARRAYS, strict=True))
    plain = {"a": _ARRAYS[0], "e": np.array([1.5, -2.0], np.float32)}
    sent = [
        encode_infer(arrays, outputs=asked, identity="1", parameters={"timeout": 5}),
        encode_infer({"a": _ARRAYS[0]}, binary=False),
        encode_infer(plain, datatypes={"e": "BF16"}),
        encode_infer(plain, datatypes={"e": "BF16"}, binary=False),
    ]
    return [_headed(pieces, size) for pieces, size in sent]


def oip_replies() -> list[bytes]:
    """Return replies in JSON and in binary, each behind its header."""
    arrays = {"y": _ARRAYS[0], "z": np.array([[b"a", b"bc"]], object)}
    calls = [InferCall("1", {}, {}, {}, (), binary) for binary in (True, False)]
    return [_headed(*encode_reply("m", "1", arrays, call)) for call in calls]


def oip_grpc_requests() -> list[bytes]:
    """Return requests over gRPC, raw and with lists."""
    arrays = dict(zip("abcd", _ARRAYS, strict=True))
    asked = (OutputAsked("y", binary=True), OutputAsked("z", binary=True, classification=2))
    lists = message_class("ModelInferRequest")(model_name="m")
    for name, datatype, field, values in (
        ("a", "INT8", "int_contents", [1, -2]),
        ("b", "FP32", "fp32_contents", [1.5, 2]),
        ("c", "BYTES", "bytes_contents", [b"a", b""]),
    ):
        tensor = lists.inputs.add(name=name, datatype=datatype, shape=[2])
        getattr(tensor.contents, field).extend(values)
    bf16 = {"e": np.array([1.5, -2.0], np.float32)}
    return [
        encode_grpc_infer("m", "1", arrays, outputs=asked, identity="1", parameters={"t": 5}),
        encode_grpc_infer("m", "", bf16, datatypes={"e": "BF16"}),
        lists.SerializeToString(),
    ]


def oip_grpc_replies() -> list[bytes]:
    """Return a reply over gRPC, and one with lists."""
    arrays = {"y": _ARRAYS[0], "z": np.array([[b"a", b"bc"]], object)}
    call = InferCall("1", {}, {}, {}, (), binary=True)
    lists = message_class("ModelInferResponse")(model_name="m")
    lists.outputs.add(name="y", datatype="FP32", shape=[1]).contents.fp32_contents.append(2)
    return [encode_grpc_reply("m", "1", arrays, call, final=True), lists.SerializeToString()]


def _headed(pieces: Sequence[bytes | memoryview], size: int | None) -> bytes:
    head = b"" if size is None else b"json: %d" % size
    return head + b"\n\n" + b"".join(pieces)


def server_counts() -> list[bytes]:
    """Return what servers tell of their batches: gpfn's metrics and others' statistics."""
    head = 'gpfn_inference_{}{{model="a",version="1"{}}} {}\n'
    lines = [("batches_total", "", 3), ("rows_total", "", 9)]
    lines += [("batch_rows_bucket", f',le="{most}"', 2) for most in (1, 2, 4)]
    lines += [("batch_rows_count", "", 3), ("compute_seconds_sum", "", 0.5)]
    compute = {"count": 2, "ns": 1000}
    versions = {"inference_count": 9, "execution_count": 3, "batch_stats": []}
    versions["batch_stats"] = [{"batch_size": 3, "compute_infer": compute}]
    text = "".join(head.format(*line) for line in lines)
    return [text.encode(), json.dumps({"model_stats": [versions]}).encode()]


def _varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def _field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def saved_signatures() -> list[bytes]:
    """Return a MetaGraphDef with one signature, as protobuf writes it."""
    shape = _field(2, _field(1, 3)) + _field(2, _field(1, 1))
    info = _field(1, b"x:0") + _field(2, 1) + _field(3, shape)
    end = _field(1, b"x") + _field(2, info)
    signature = _field(1, end) + _field(2, end)
    entry = _field(1, b"serving_default") + _field(2, signature)
    return [_field(5, entry), struct.pack("<BQ", 9, 1) + _field(5, entry)]


def tfaas_rows() -> list[bytes]:
    """Return rows as the C++ client sends them, and with values one by one."""
    packed = encode_row_message([1, -2.5], keys=["pt", "eta"], model="dnn")
    single = b"".join(b"\x15" + struct.pack("<f", value) for value in (1, 2))
    return [packed, _field(1, b"a") + single + _field(3, b"m") + single, b""]


def manifests() -> list[bytes]:
    """Return the manifest of a model in two files."""
    files = (StoredFile("a/m.onnx", 7, "0" * 64), StoredFile("labels.txt", 0, "f" * 64))
    spec = TensorSpec("float32", (None, 3), "x")
    made = Manifest(
        "m", 1, content_digest(files), files, "a/m.onnx", "onnx", (spec,), (spec,), "labels.txt",
        {"a": [1]}, ("note",), "who", "2026-11-29T03:00:00Z", "push", "2026-11-30T03:00:00Z",
    )  # fmt: skip
    return [encode_manifest(made), encode_manifest(made._replace(model=".", deleted=""))]


def _node(name: bytes, operator: bytes, *inputs: bytes, **attributes: bytes) -> bytes:
    parts = [_field(1, name), _field(2, operator), *(_field(3, each) for each in inputs)]
    entries = (_field(1, key.encode()) + _field(2, each) for key, each in attributes.items())
    return b"".join([*parts, *(_field(5, each) for each in entries)])


def model_programs() -> list[bytes]:
    """Return models with little in them, each behind a byte for its kind."""
    call = _field(10, _field(1, b"f_1"))
    signature = _field(1, _field(1, b"f_1") + _field(2, _field(1, b"p")))
    body = _field(3, _node(b"i", b"Identity", b"p"))
    function = signature + body + _field(3, _node(b"r", b"RestoreV2", b"i:output:0"))
    graph = _field(1, _node(b"file", b"Placeholder"))
    graph += _field(1, _node(b"restore", b"StatefulPartitionedCall", b"file", f=call))
    graph += _field(2, _field(1, function))
    saver = _field(1, b"file:0") + _field(2, b"save:0") + _field(3, b"restore")
    output = _field(2, _field(1, b"y") + _field(2, _field(1, b"file:0")))
    asset = _field(6, _field(1, _field(1, b"file:0")) + _field(2, b"words.txt"))
    meta = _field(2, graph) + _field(3, saver) + asset
    meta += _field(5, _field(1, b"serving_default") + _field(2, output))
    frozen = _field(1, _node(b"a", b"Const")) + _field(1, _node(b"b", b"While", b"a", body=call))
    branch = _field(6, _field(1, _field(4, b"Neg")))
    outside = _field(13, _field(1, b"location") + _field(2, b"w"))
    own = _field(1, b"F") + _field(10, b"d") + _field(7, _field(4, b"Abs"))
    nodes = _field(1, _field(4, b"If") + _field(5, branch))
    nodes += _field(1, _field(4, b"F") + _field(7, b"d")) + _field(5, outside)
    onnx = _field(1, 8) + _field(7, nodes) + _field(25, own)
    return [
        *(b"\0" + each for each in tflite()),
        b"\1" + onnx,
        b"\2" + _field(1, 1) + _field(2, meta),
        b"\3" + frozen + _field(2, _field(1, function)),
    ]


def repository_answers() -> list[bytes]:
    """Return what a repository says of its models, of one, and of a push."""
    manifest = json.loads(manifests()[0])
    digest, when = manifest["digest"], manifest["when"]
    version = {"version": 1, "digest": digest, "kind": "onnx", "size": 7, "when": when, "who": ""}
    model = {"name": "m", "latest": 1, "tags": {"a": 1}}
    change = {"tag": "a", "version": 1, "who": "", "when": when, "tags": {"a": 1}}
    served = {**manifest, "state": "READY", "reason": ""}
    history = {**model, "history": [change], "versions": [served], "trash": [manifest]}
    pushed = {"name": "m", "version": 1, "digest": digest, "existed": False, "notes": ["x"]}
    return documents(
        {"models": [{**model, "versions": [version]}]}, history, {**pushed, "tags": {}}
    )
