"""The gRPC server over real connections: recorded calls again, and calls that are wrong."""

import asyncio
import base64
import gc
import json
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import InvalidRequest, InvalidTensor, SetupError, TooLarge
from gpfn.http.body import Budget
from gpfn.limits import Limits
from gpfn.oip.grpc_messages import (
    decode_grpc_infer,
    decode_grpc_reply,
    encode_grpc_infer,
    infer_request,
)
from gpfn.oip.grpc_schema import ABSENT, RPCS, SERVICE, message_class
from gpfn.oip.request import OutputAsked
from gpfn.serving.grpc import GrpcServer
from gpfn.serving.grpc.bounds import MOST_LISTED, split_request
from gpfn.serving.grpc.calls import status_of, told
from gpfn.serving.grpc.question import InferReader
from gpfn.serving.grpc.repeats import RepeatedRequests
from tests.oip.strategies import named_arrays, same
from tests.serving.grpc_serving import SETTINGS, RunningGrpc, running_grpc
from tests.serving.recorded_models import LABELS, RECORDED_MODELS, SERVING
from tests.serving.serving import Doubler

X = {"x": np.ones((1, 2), np.float32)}
LIMITS = Limits()


@pytest.fixture(scope="module")
def served() -> Iterator[RunningGrpc]:
    with running_grpc(RECORDED_MODELS, labels=LABELS, serving=SERVING) as running:
        yield running


class Gate(Doubler):
    """Computes when it is let; counts what it has computed."""

    def __init__(self) -> None:
        super().__init__(self._wait)
        self.open = threading.Event()

    def _wait(self, _: Any) -> None:
        assert self.open.wait(20)


def eventually(check: Any, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until
        time.sleep(0.01)


def double(identity: str = "", model: str = "d", **more: Any) -> bytes:
    return encode_grpc_infer(model, "", X, identity=identity, **more)


def stream_replies(call: Any) -> list[tuple[str, str]]:
    """Return the id and the error of each message of a stream."""
    kind = message_class("ModelStreamInferResponse")
    found = [kind.FromString(data) for data in call]
    return [(one.infer_response.id, one.error_message) for one in found]


# the recordings

DIFFERENT = {
    "metadata": "name, version and extensions are ours",
    "model config": "what no client reads is left out",
    "stream, decoupled model": "there are no such models",
    "repository": "the models differ",
    "repository, unknown model": "404 is NOT_FOUND",
    "statistics": "the counts differ",
    "trace, log": "there are none",
    "shared memory status": "there is none",
    "gRPC, simple": "the statistics that perf_analyzer asks for differ",
    "gRPC streaming, simple": "the statistics that perf_analyzer asks for differ",
}
"""Recorded cases that are answered otherwise, and why."""


def test_recorded_calls_are_answered_as_they_were(served: RunningGrpc, shared: Path) -> None:
    same = different = 0
    with (shared / "reference" / "wire" / "oip.jsonl").open() as lines:
        entries = [json.loads(line) for line in lines]
    for entry in entries:
        for call in entry.get("grpc") or []:
            name = call["method"].removeprefix(f"/{SERVICE}/")
            if name in ABSENT or entry["case"].startswith(("repository", "stream, decoupled")):
                continue
            ours, recorded = _answers(served, name, call)
            if ours == recorded:
                same += 1
            else:
                assert entry["case"] in DIFFERENT, (entry["case"], ours, recorded)
                different += 1
    assert same > 30
    assert different < 12


def _answers(served: RunningGrpc, name: str, call: dict[str, Any]) -> tuple[Any, Any]:
    kind = message_class(RPCS[name].response)
    requests = [
        base64.b64decode(each["base64"]) for each in call.get("requests", [call.get("request")])
    ]
    try:
        reply = served.rpc(name)(iter(requests) if RPCS[name].stream else requests[0],
                                 timeout=call.get("timeout") or 20)  # fmt: skip
        replies = list(reply) if RPCS[name].stream else [reply]
    except grpc.RpcError as error:
        return error.code().name, call["status"]
    ours = [_plain(kind.FromString(data)) for data in replies]
    recorded = call.get("responses") or ([call["response"]] if "response" in call else [])
    theirs = [_plain(kind.FromString(base64.b64decode(each["base64"]))) for each in recorded]
    return ours, theirs


def _plain(message: Any) -> dict[str, Any]:
    """Return a reply without the words of an error, which are ours."""
    found: dict[str, Any] = json_format.MessageToDict(message)
    if "errorMessage" in found:
        found["errorMessage"] = "told"
    return found


def test_what_there_is_not_says_so(served: RunningGrpc) -> None:
    for name in ABSENT:
        assert served.refused(name, b"") == ("UNIMPLEMENTED", f"{ABSENT[name]} is not supported")
    assert served.refused("Nothing", b"")[0] == "UNIMPLEMENTED"


def test_health(served: RunningGrpc) -> None:
    assert served.ask("ServerLive").live
    assert served.ask("ServerReady").ready
    assert served.ask("ModelReady", name="simple", version="1").ready
    assert not served.ask("ModelReady", name="simple", version="9").ready
    assert not served.ask("ModelReady").ready


def test_metadata_names_the_versions(served: RunningGrpc) -> None:
    assert served.ask("ModelMetadata", name="simple").versions == ["1", "2"]
    one = served.ask("ModelMetadata", name="simple", version="1")
    assert one.versions == ["1"]
    assert [list(each.shape) for each in one.inputs] == [[-1, 16], [-1, 16]]
    assert served.ask("ServerMetadata").name == "gpfn"


def test_the_configuration_leaves_the_axis_of_the_batch_out(served: RunningGrpc) -> None:
    config = served.ask("ModelConfig", name="simple").config
    assert (config.name, config.max_batch_size) == ("simple", 8)
    assert [(each.name, list(each.dims)) for each in config.input] == [
        ("INPUT0", [16]),
        ("INPUT1", [16]),
    ]
    assert served.refused("ModelConfig", message_class("ModelConfigRequest")(name="no")
                          .SerializeToString())[0] == "NOT_FOUND"  # fmt: skip


def test_statistics_are_live(served: RunningGrpc) -> None:
    def counts() -> Any:
        stats = served.ask("ModelStatistics", name="dnn").model_stats
        return stats[0].inference_stats.success.count, stats[0].inference_count

    before = counts()
    rows = {"x": np.ones((3, 42), np.float32)}
    served.rpc("ModelInfer")(encode_grpc_infer("dnn", "", rows), timeout=20)
    assert counts() == (before[0] + 1, before[1] + 3)
    assert {each.name for each in served.ask("ModelStatistics").model_stats} == {*RECORDED_MODELS}


def test_the_index_lists_versions(served: RunningGrpc) -> None:
    for ready in (False, True):
        found = {(each.name, each.version, each.state)
                 for each in served.ask("RepositoryIndex", ready=ready).models}  # fmt: skip
        assert {("simple", "1", "READY"), ("simple", "2", "READY")} <= found


# inference


def test_outputs_come_in_the_models_order(served: RunningGrpc) -> None:
    arrays = {name: np.ones((1, 16), np.int32) for name in ("INPUT0", "INPUT1")}
    asked = [OutputAsked("OUTPUT1"), OutputAsked("OUTPUT0")]
    reply = served.rpc("ModelInfer")(encode_grpc_infer("simple", "1", arrays, outputs=asked))
    found = decode_grpc_reply(reply, LIMITS)
    assert list(found.outputs) == ["OUTPUT0", "OUTPUT1"]
    assert found.version == "1"


def test_ten_megabytes_pass_both_ways(served: RunningGrpc) -> None:
    text = np.array([[b"a" * (3 << 20)]], object)
    data = encode_grpc_infer("simple_identity", "", {"INPUT0": text})
    assert decode_grpc_reply(served.rpc("ModelInfer")(data), Limits()).outputs["OUTPUT0"] == text
    flags = np.ones(10 << 20, bool)
    data = encode_grpc_infer("id_bool", "", {"IN": flags})
    reply = decode_grpc_reply(served.rpc("ModelInfer")(data), Limits())
    assert reply.outputs["OUT"].all()


def test_compressed_messages_are_read(served: RunningGrpc) -> None:
    data = encode_grpc_infer("dnn", "", {"x": np.ones((1, 42), np.float32)})
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        reply = served.rpc("ModelInfer")(data, timeout=20, compression=compression)
        assert decode_grpc_reply(reply, LIMITS).outputs["y"] == 42


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"\xff", "INVALID_ARGUMENT", "not a ModelInferRequest"),
        (b"", "INVALID_ARGUMENT", "model_name: missing"),
        (encode_grpc_infer("no", "", {}), "NOT_FOUND", "no"),
        (encode_grpc_infer("dnn", "9", {}), "NOT_FOUND", "dnn"),
        (encode_grpc_infer("dnn", "", {}), "INVALID_ARGUMENT", "missing required input(s) ['x']"),
        (encode_grpc_infer("dnn", "", X), "INVALID_ARGUMENT", "expected shape (any, 42)"),
        (encode_grpc_infer("dnn", "", {"z": X["x"]}), "INVALID_ARGUMENT", "unexpected inference"),
        (
            encode_grpc_infer("dnn", "", {"x": np.ones((1, 42), np.float32)},
                              outputs=[OutputAsked("no")]),
            "INVALID_ARGUMENT",
            "unexpected inference output 'no'",
        ),
        (
            encode_grpc_infer("dnn", "", {"x": np.ones((1, 42), np.float32)},
                              parameters={"timeout": -1}),
            "INVALID_ARGUMENT",
            "parameters.timeout",
        ),
    ],
)  # fmt: skip
def test_wrong_requests_have_their_status(
    served: RunningGrpc, data: bytes, status: str, words: str
) -> None:
    code, details = served.refused("ModelInfer", data)
    assert code == status
    assert words in details


def test_messages_cut_anywhere_are_refused(served: RunningGrpc) -> None:
    whole = encode_grpc_infer("dnn", "", {"x": np.ones((1, 42), np.float32)})
    for end in range(len(whole)):
        assert served.refused("ModelInfer", whole[:end])[0] in ("INVALID_ARGUMENT", "NOT_FOUND")
    assert served.server.in_flight == 0


def test_a_model_that_fails_tells_only_its_class() -> None:
    class Broken(Doubler):
        def __init__(self) -> None:
            super().__init__(self._fail)

        def _fail(self, _: Any) -> None:
            raise KeyError("a secret")

    with running_grpc({"d": Broken()}) as served:
        code, details = served.refused("ModelInfer", double())
        assert code == "INTERNAL"
        assert "secret" not in details
        assert "KeyError" in details


def test_statuses_are_short_and_printable() -> None:
    assert len(told(SetupError("x" * 5000))) <= 500
    assert told(SetupError("a\x00b")) == "a\\x00b"
    assert status_of(ValueError()) == "INTERNAL"


# deadlines and cancellation


def test_a_clients_deadline_reaches_the_queue() -> None:
    model = Gate()
    settings = replace(SETTINGS, threads=1)
    with running_grpc({"d": model}, settings) as served:
        call = served.rpc("ModelInfer")
        first = call.future(double(), timeout=20)
        eventually(lambda: len(model.rows) == 1)
        assert served.refused("ModelInfer", double(), timeout=0.2)[0] == "DEADLINE_EXCEEDED"
        limited = double(parameters={"timeout": 100_000})
        assert served.refused("ModelInfer", limited)[0] == "DEADLINE_EXCEEDED"
        model.open.set()
        first.result(20)
        assert len(model.rows) == 1  # the others were not computed
        assert served.server.in_flight == 0


def test_what_is_cancelled_is_not_computed() -> None:
    model = Gate()
    with running_grpc({"d": model}, replace(SETTINGS, threads=1)) as served:
        call = served.rpc("ModelInfer")
        first = call.future(double(), timeout=20)
        eventually(lambda: len(model.rows) == 1)
        others = [call.future(double(), timeout=20) for _ in range(20)]
        eventually(lambda: served.server.in_flight == 21)
        for other in others:
            other.cancel()
        eventually(lambda: served.server.in_flight == 1)
        model.open.set()
        first.result(20)
        served.rpc("ModelInfer")(double(), timeout=20)
        assert len(model.rows) == 2
        eventually(lambda: served.server.in_flight == 0)


def test_too_many_that_wait_are_unavailable() -> None:
    model = Gate()
    with running_grpc({"d": model}, replace(SETTINGS, threads=1, queue=2)) as served:
        calls = [served.rpc("ModelInfer").future(double(), timeout=20) for _ in range(9)]
        eventually(lambda: sum(call.done() for call in calls) == 6)
        model.open.set()
        codes = [call.code().name for call in calls]
        assert (codes.count("OK"), codes.count("UNAVAILABLE")) == (3, 6)


# streams


def test_a_stream_answers_in_order_and_goes_on_after_errors(served: RunningGrpc) -> None:
    x = {"x": np.ones((1, 42), np.float32)}
    asked = [
        encode_grpc_infer("dnn", "", x, identity="1"),
        encode_grpc_infer("no", "", x, identity="2"),
        b"\xff",
        encode_grpc_infer("dnn", "", X, identity="3"),
        encode_grpc_infer("dnn", "", x, identity="4"),
    ]
    found = stream_replies(served.rpc("ModelStreamInfer")(iter(asked), timeout=20))
    assert [identity for identity, _ in found] == ["1", "2", "", "3", "4"]
    assert [bool(error) for _, error in found] == [False, True, True, True, False]
    eventually(lambda: (served.server.in_flight, served.server.streams) == (0, 0))


def test_a_stream_waits_while_much_of_it_is_in_flight() -> None:
    model = Gate()
    with running_grpc({"d": model}, replace(SETTINGS, queue=1000)) as served:
        taken = []

        def questions() -> Iterator[bytes]:
            for number in range(300):
                taken.append(number)
                yield double(str(number))

        call = served.rpc("ModelStreamInfer")(questions(), timeout=20)
        eventually(lambda: served.server.in_flight == 64)
        time.sleep(0.2)
        assert served.server.in_flight == 64
        model.open.set()
        assert stream_replies(call) == [(str(number), "") for number in range(300)]


def test_streams_that_are_left_leave_nothing() -> None:
    model = Gate()
    with running_grpc({"d": model}, replace(SETTINGS, queue=1000, connections=20)) as served:
        never = threading.Event()

        def questions() -> Iterator[bytes]:
            yield from [double()] * 10
            never.wait(20)

        def tasks() -> int:
            return served.on_loop(lambda: len(asyncio.all_tasks()))

        before = tasks()
        calls = [served.rpc("ModelStreamInfer")(questions(), timeout=20) for _ in range(10)]
        eventually(lambda: served.server.in_flight == 100)
        with pytest.raises(grpc.RpcError, match="too many open streams"):
            next(served.rpc("ModelStreamInfer")(iter([double()]), timeout=20))
        for call in calls:
            call.cancel()
        never.set()
        eventually(lambda: (served.server.in_flight, served.server.streams) == (0, 0))
        model.open.set()
        eventually(lambda: tasks() == before)
        served.rpc("ModelInfer")(double(), timeout=20)
        gc.collect()
        assert not [one for one in gc.get_objects() if type(one).__name__ == "GrpcQuestion"]


def test_a_stop_ends_streams_and_answers_what_was_asked() -> None:
    model = Gate()
    with running_grpc({"d": model}) as served:
        never = threading.Event()

        def questions() -> Iterator[bytes]:
            yield double("1")
            never.wait(20)

        call = served.rpc("ModelStreamInfer")(questions(), timeout=20)
        single = served.rpc("ModelInfer").future(double(), timeout=20)
        eventually(lambda: served.server.in_flight == 2)
        threading.Timer(0.3, model.open.set).start()
        began = time.monotonic()
        stopping = asyncio.run_coroutine_threadsafe(served.server.stop(20), served.loop)
        assert stream_replies(call) == [("1", "")]
        assert single.result(20)
        stopping.result(20)
        never.set()
        assert time.monotonic() - began < 10
        assert served.refused("ModelInfer", double(), timeout=5)[0] == "UNAVAILABLE"


# what a message may take


def test_oversize_messages_are_refused() -> None:
    settings = replace(SETTINGS, limits=Limits(body_bytes=1 << 20))
    with running_grpc({"d": Doubler()}, settings) as served:
        assert served.refused("ModelInfer", bytes(3 << 20))[0] == "RESOURCE_EXHAUSTED"
        bomb = served.refused("ModelInfer", bytes(64 << 20), compression=grpc.Compression.Gzip)
        assert bomb[0] == "RESOURCE_EXHAUSTED"
        assert served.refused("ModelReady", bytes(65 << 10))[0] == "RESOURCE_EXHAUSTED"
        served.rpc("ModelInfer")(double(), timeout=20)


def part(number: int, data: bytes) -> bytes:
    """Return a field of a message."""
    size, written = len(data), []
    while size > 0x7F:
        written.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *written, size]) + data


MANY = {
    "inputs": (part(5, b"") * 300_000, "tensors"),
    "outputs": (part(6, b"") * 300_000, "tensors"),
    "raw contents": (part(7, b"") * 300_000, "tensors"),
    "parameters": (part(4, part(1, b"a")) * 100_000, "more than 1000"),
    "sizes": (part(5, part(3, b"\1" * 300_000)), "besides the tensors' data"),
    "an input's parameters": (part(5, part(4, b"") * 100_000), "besides the tensors' data"),
    "strings": (part(5, part(5, part(8, b"") * 300_000)), "string_bytes".upper()),
    "numbers": (part(5, part(5, part(3, b"\1" * 300_000))), "elements"),
    "floating-point numbers": (part(5, part(5, part(7, bytes(3 << 20)))), "elements"),
    "numbers one by one": (part(5, part(5, b"\x18\1" * 100_000)), "besides the tensors' data"),
    "lists of nothing": (part(5, part(5, part(3, b"") * 100_000)), "besides the tensors' data"),
    "a field that is none": (bytes(100_000), "not a ModelInferRequest"),
}


def test_large_requests_are_read_without_a_copy() -> None:
    limits = Limits(body_bytes=64 << 20)
    numbers = np.arange(8 << 20, dtype=np.int32)
    texts = np.array([b"ab", b""], object)
    data = encode_grpc_infer("m", "", {"x": numbers, "s": texts}, identity="7")
    data = part(3, b"7" * (-len(data) % 64)) + data  # aligned or not, it is the same
    for whole in (data, part(3, b"") + data, part(3, b"x") + data):
        tracemalloc.start()
        asked = InferReader(limits).read(whole)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
        tracemalloc.stop()
        assert asked.id == "7"
        assert not asked.message.raw_input_contents
        call = InferReader(limits).tensors(asked)
        assert (call.inputs["x"] == numbers).all()
        assert not call.inputs["x"].flags.writeable
        assert call.inputs["s"].tolist() == [b"ab", b""]


def test_large_requests_share_the_budget_of_all_bodies() -> None:
    model = Gate()
    with running_grpc({"d": model}, replace(SETTINGS, threads=1)) as served:
        budget = served.service.budget = Budget(1 << 20)
        large = encode_grpc_infer("d", "", {"x": np.ones((75_000, 2), np.float32)})
        first = served.rpc("ModelInfer").future(large, timeout=20)
        eventually(lambda: budget.used == len(large))
        code, details = served.refused("ModelInfer", large)
        assert code == "UNAVAILABLE"
        assert "GPFN_MAX_INFLIGHT_BYTES" in details
        asked = iter([large, double("2")])
        stream = served.rpc("ModelStreamInfer")(asked, timeout=20)
        eventually(lambda: served.server.in_flight == 2)
        model.open.set()
        assert first.result(20)
        assert ["GPFN" in error for _, error in stream_replies(stream)] == [True, False]
        wrong = encode_grpc_infer("no", "", {"x": np.ones((75_000, 2), np.float32)})
        assert served.refused("ModelInfer", wrong)[0] == "NOT_FOUND"
        gc.collect()
        eventually(lambda: budget.used == 0)


def test_long_lists_have_to_be_raw() -> None:
    limits = Limits(elements=1 << 26, string_bytes=1 << 24)
    numbers = part(5, part(5, part(2, b"\1" * (MOST_LISTED + 1))))
    with pytest.raises(TooLarge, match="send raw_input_contents"):
        InferReader(limits).read(numbers)
    texts = part(5, part(5, part(8, b"") * 300_000))
    with pytest.raises(TooLarge, match="send raw_input_contents"):
        InferReader(limits).read(texts)


@given(st.binary(max_size=200), st.integers(0, 4))
def test_what_is_taken_apart_is_what_protobuf_reads(junk: bytes, place: int) -> None:
    whole = double("1", parameters={"a": 1})
    pieces = [whole, part(7, b"abc"), bytes([8 << 3, 1]), bytes([9 << 3 | 1]) + bytes(8)]
    data = b"".join([*pieces[:place], junk, *pieces[place:]])
    try:
        rest, raw = split_request(data, LIMITS)
    except (InvalidRequest, TooLarge):
        return
    with suppress(InvalidRequest):
        apart, message = infer_request(rest), infer_request(data)
        assert [*map(bytes, raw)] == list(message.raw_input_contents)
        message.ClearField("raw_input_contents")
        assert apart.SerializeToString() == message.SerializeToString()


@given(named_arrays(as_json=False), st.data(), st.binary(min_size=1, max_size=9))
def test_what_is_like_an_earlier_request_is_read_as_it_would_be(
    arrays: Any, data: st.DataObject, junk: bytes
) -> None:
    """Whatever is changed in a message: it is read as if it were the first, or not at all."""
    inputs = {name: array for name, (_, array) in arrays.items()}
    datatypes = {name: datatype for name, (datatype, _) in arrays.items()}
    outputs = [OutputAsked("y", binary=True, classification=2)]
    whole = encode_grpc_infer(
        "m", "1", inputs, datatypes=datatypes, outputs=outputs, parameters={"timeout": 9}
    )
    repeats = RepeatedRequests()
    call = decode_grpc_infer(infer_request(whole), LIMITS)
    repeats.keep(whole, "m", "1", call)
    at = data.draw(st.integers(0, max(0, len(whole) - len(junk))))
    numbers = [array for array in inputs.values() if array.dtype != object]
    if inputs and len(numbers) == len(inputs):
        assert repeats.find(whole) is not None
    for changed in (whole, (whole[:at] + junk + whole[at + len(junk) :])[: len(whole)]):
        try:
            found = repeats.find(changed)
        except InvalidTensor:
            found = None
        if found is None:
            continue
        message = infer_request(changed)
        first = decode_grpc_infer(message, LIMITS)
        model, version, again = found
        assert (model, version) == (message.model_name, message.model_version)
        assert again._replace(inputs={}) == first._replace(inputs={})
        assert list(again.inputs) == list(first.inputs)
        assert all(same(array, first.inputs[name]) for name, array in again.inputs.items())


def test_readings_are_few_and_none_has_strings_or_an_id() -> None:
    repeats = RepeatedRequests()
    texts = {"s": np.array([b"a"], object)}
    for message in (
        double("7"),
        encode_grpc_infer("m", "1", texts),
        encode_grpc_infer("m", "", {}),
    ):
        repeats.keep(message, "m", "1", decode_grpc_infer(infer_request(message), LIMITS))
        assert repeats.find(message) is None
    for number in range(2000):
        message = double(model=f"{number:04}" + "m" * (number % 100))
        repeats.keep(message, "m", "1", decode_grpc_infer(infer_request(message), LIMITS))
        assert repeats.find(message) is not None
    assert sum(map(len, repeats._by_length.values())) <= 256


def test_many_small_parts_are_refused_before_they_are_made() -> None:
    limits = Limits(elements=1 << 18, string_bytes=1 << 20)
    with running_grpc({"d": Doubler()}, replace(SETTINGS, limits=limits)) as served:
        for name, (data, words) in MANY.items():
            code, details = served.refused("ModelInfer", data)
            assert code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"), name
            assert words in details, name


# who may


def test_calls_need_what_their_scope_says() -> None:
    asked: list[str] = []

    def allowed(scope: str, headers: Any) -> bool:
        asked.append(scope)
        return headers.get("authorization") == f"Bearer {scope}"

    with running_grpc({"d": Doubler()}, allowed=allowed) as served:
        for name in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady"):
            served.ask(name)
        assert not asked
        scopes = dict.fromkeys(
            ("ModelInfer", "ModelStreamInfer", "ModelMetadata", "ModelConfig",
             "ModelStatistics", "RepositoryIndex"), "predict",
        ) | {"RepositoryModelLoad": "write", "RepositoryModelUnload": "write"}  # fmt: skip
        for name, scope in scopes.items():
            request: Any = b"" if not RPCS[name].stream else iter([b""])
            key = [("authorization", "Bearer other")]
            assert _code(served, name, request) == "UNAUTHENTICATED"
            request = b"" if not RPCS[name].stream else iter([b""])
            assert _code(served, name, request, metadata=key) == "PERMISSION_DENIED"
            assert asked[-1] == scope
        key = [("authorization", "Bearer predict")]
        assert served.rpc("ModelInfer")(double(), metadata=key, timeout=20)


def _code(served: RunningGrpc, name: str, request: Any, **options: Any) -> str:
    try:
        reply = served.rpc(name)(request, timeout=20, **options)
        list(reply if RPCS[name].stream else [])
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def test_models_are_unloaded_and_loaded() -> None:
    with running_grpc({"d": Doubler(), "e": Doubler()}) as served:
        served.ask("RepositoryModelUnload", model_name="d")
        assert not served.ask("ModelReady", name="d").ready
        assert served.refused("ModelInfer", double())[0] == "NOT_FOUND"
        states = {one.name: one.state for one in served.ask("RepositoryIndex").models}
        assert states == {"d": "UNAVAILABLE", "e": "READY"}
        assert [one.name for one in served.ask("RepositoryIndex", ready=True).models] == ["e"]
        served.ask("RepositoryModelLoad", model_name="d")
        assert served.ask("ModelReady", name="d").ready
        for verb in ("Load", "Unload"):
            name = f"RepositoryModel{verb}"
            request = message_class(RPCS[name].request)(model_name="no")
            assert served.refused(name, request.SerializeToString())[0] == "NOT_FOUND"


def test_a_load_that_fails_is_an_internal_error() -> None:
    with running_grpc({"d": Doubler()}) as served:
        served.ask("RepositoryModelUnload", model_name="d")
        served.fails.add("d")
        request = message_class("RepositoryModelLoadRequest")(model_name="d")
        code, details = served.refused("RepositoryModelLoad", request.SerializeToString())
        assert code == "INTERNAL"
        assert details.startswith("failed to load 'd'")


def test_a_load_with_files_or_a_configuration_is_refused(served: RunningGrpc) -> None:
    for name in ("config", "file:1/model.py"):
        request = message_class("RepositoryModelLoadRequest")(model_name="simple")
        request.parameters[name].string_param = "x"
        code, details = served.refused("RepositoryModelLoad", request.SerializeToString())
        assert code == "INVALID_ARGUMENT"
        assert details.startswith("parameters: ")


# where it listens


def test_a_taken_port_is_told(served: RunningGrpc) -> None:
    other = GrpcServer(served.service, served.address)
    with pytest.raises(SetupError, match="cannot listen"):
        asyncio.run_coroutine_threadsafe(other.start(), served.loop).result(20)
    several = served.service.settings
    served.service.settings = replace(several, processes=2)
    shared = GrpcServer(served.service, "127.0.0.1:0")
    served.service.settings = several
    with pytest.raises(SetupError, match="several processes"):
        asyncio.run_coroutine_threadsafe(shared.start(), served.loop).result(20)
    missing = GrpcServer(served.service, "127.0.0.1:0", certificate="/none.pem")
    with pytest.raises(SetupError, match="cannot be used"):
        asyncio.run_coroutine_threadsafe(missing.start(), served.loop).result(20)


def test_it_runs_on_the_loop_of_the_http_server(served: RunningGrpc) -> None:
    assert type(served.loop).__module__ == "uvloop"
