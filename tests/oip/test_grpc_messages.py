"""Inference over gRPC: recorded messages, round trips, and what is refused."""

import base64
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import CallerError, InvalidRequest, InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.oip.grpc_messages import (
    decode_grpc_infer,
    decode_grpc_reply,
    encode_grpc_infer,
    encode_grpc_reply,
    infer_request,
    stream_answer,
)
from gpfn.oip.grpc_schema import ABSENT, RPCS, SERVICE, message_class
from gpfn.oip.request import InferCall, OutputAsked
from tests.oip.strategies import named_arrays, same

LIMITS = Limits()
NO_CALL = InferCall("", {}, {}, {}, (), binary=True)


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[dict[str, Any]]:
    with (shared / "reference" / "wire" / "oip.jsonl").open() as lines:
        entries = [json.loads(line) for line in lines]
    return [call for entry in entries for call in entry.get("grpc") or []]


def messages(
    calls: list[dict[str, Any]], one: str, many: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give each message of one side: its call, and what was recorded of it."""
    for call in calls:
        found = [call[one]] if one in call else call.get(many, [])
        name = call["method"].removeprefix(f"/{SERVICE}/")
        yield from ((name, one, message) for message in found)


# the schema


def test_recorded_messages_are_read_and_written_as_they_were(recorded: list[Any]) -> None:
    """Each byte of a message that Triton or a client wrote is of a field that is known."""
    seen = set()
    for name, side, message in [
        *messages(recorded, "request", "requests"),
        *messages(recorded, "response", "responses"),
    ]:
        if name not in RPCS:
            assert name in ABSENT
            continue
        data = base64.b64decode(message["base64"])
        read = message_class(getattr(RPCS[name], side)).FromString(data)
        as_json = json_format.MessageToDict(read, preserving_proto_field_name=True)
        wanted = message["json"]
        if name == "ModelConfig" and side == "response":  # Triton's own, which no client reads
            del wanted["config"]["optimization"]
        assert as_json == wanted, name
        seen.add((name, side))
    assert len(seen) == 2 * len(RPCS)


def test_other_definitions_of_the_same_names_do_not_matter() -> None:
    """As tritonclient and kserve have them, in the pool that generated code shares."""
    program = """
from google.protobuf import descriptor_pb2, descriptor_pool
theirs = descriptor_pb2.FileDescriptorProto(name="grpc_service.proto", package="inference")
theirs.message_type.add(name="ModelInferRequest").field.add(name="other", number=1, type=3, label=1)
from gpfn.oip.grpc_schema import message_class
ours = message_class("ModelInferRequest")
descriptor_pool.Default().Add(theirs)
theirs = descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
assert [field.name for field in theirs.fields] == ["other"]
assert ours(model_name="m").SerializeToString() == b"\\n\\1m"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_nothing_is_loaded_before_a_message_is_needed() -> None:
    program = """
import sys, gpfn.oip.grpc_messages
assert "google.protobuf" not in sys.modules and "grpc" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# round trips


def test_recorded_replies_are_written_byte_for_byte(recorded: list[Any]) -> None:
    count = 0
    for name, _, message in messages(recorded, "response", "responses"):
        data = base64.b64decode(message["base64"])
        if name == "ModelStreamInfer":
            inner = message_class("ModelStreamInferResponse").FromString(data)
            reply = inner.infer_response.SerializeToString()
            assert stream_answer(reply, inner.error_message) == data
            continue
        if name == "ModelInfer":
            reply = decode_grpc_reply(data, LIMITS)
            call = NO_CALL._replace(id=reply.id)
            assert encode_grpc_reply(reply.model, reply.version, reply.outputs, call) == data
            count += 1
    assert count > 15


def test_a_reply_in_a_stream_says_whether_it_is_the_last(recorded: list[Any]) -> None:
    for name, _, message in messages(recorded, "response", "responses"):
        if name != "ModelStreamInfer":
            continue
        data = base64.b64decode(message["base64"])
        inner = message_class("ModelStreamInferResponse").FromString(data)
        if inner.error_message or not inner.infer_response.outputs:
            continue
        reply = decode_grpc_reply(inner.infer_response.SerializeToString(), LIMITS)
        final = reply.parameters["triton_final_response"]
        call = NO_CALL._replace(id=reply.id)
        written = encode_grpc_reply(
            reply.model, reply.version, reply.outputs, call, final=bool(final)
        )
        assert stream_answer(written) == data


@given(named_arrays(as_json=False), st.text(max_size=9), st.text(max_size=9))
def test_arrays_come_back(arrays: dict[str, tuple[str, Any]], model: str, identity: str) -> None:
    inputs = {name: array for name, (_, array) in arrays.items()}
    datatypes = {name: datatype for name, (datatype, _) in arrays.items()}
    outputs = (OutputAsked("y", binary=True), OutputAsked("z", binary=True, classification=3))
    parameters = {"i": -5, "s": "t", "b": True, "f": 0.5}
    data = encode_grpc_infer(
        model, "1", inputs, datatypes=datatypes, outputs=outputs, identity=identity,
        parameters=parameters,
    )  # fmt: skip
    message = infer_request(data)
    call = decode_grpc_infer(message, LIMITS)
    assert (message.model_name, message.model_version) == (model, "1")
    assert call == InferCall(identity, parameters, call.inputs, datatypes, outputs, binary=True)
    reply = decode_grpc_reply(encode_grpc_reply(model, "2", call.inputs, NO_CALL), LIMITS)
    for name, array in inputs.items():
        assert same(call.inputs[name], array)
        assert same(reply.outputs[name], array)
        assert not call.inputs[name].flags.writeable


@given(named_arrays(as_json=False))
def test_lists_are_what_raw_contents_are(arrays: dict[str, tuple[str, Any]]) -> None:
    message = message_class("ModelInferRequest")(model_name="m")
    lists = {"i": "int_contents", "u": "uint_contents", "b": "bool_contents", "O": "bytes_contents"}
    wide = {"int64": "int64_contents", "uint64": "uint64_contents", "float32": "fp32_contents",
            "float64": "fp64_contents"}  # fmt: skip
    for name, (datatype, array) in arrays.items():
        tensor = message.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if datatype not in ("FP16", "BF16"):
            field = wide.get(array.dtype.name) or lists[array.dtype.kind]
            getattr(tensor.contents, field).extend(array.ravel().tolist())
    if any(datatype in ("FP16", "BF16") for datatype, _ in arrays.values()):
        with pytest.raises(InvalidTensor, match="raw_input_contents"):
            decode_grpc_infer(message, LIMITS)
        return
    call = decode_grpc_infer(message, LIMITS)
    assert all(same(call.inputs[name], array) for name, (_, array) in arrays.items())


# what is refused


def request(**tensor: Any) -> Any:
    """Return a request with one input."""
    message = message_class("ModelInferRequest")(model_name="m")
    message.inputs.add(**{"name": "x", "datatype": "INT32", "shape": [2]} | tensor)
    return message


def raw(data: bytes, **tensor: Any) -> Any:
    message = request(**tensor)
    message.raw_input_contents.append(data)
    return message


def contents(**lists: Any) -> Any:
    return message_class("InferTensorContents")(**lists)


WRONG = {
    "both": (
        raw(b"12345678", contents=contents(int_contents=[1, 2])),
        "contents field must not be specified when using raw_input_contents for 'x' for model 'm'",
    ),
    "too few bytes": (
        raw(b"1234"),
        "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 4",
    ),
    "too few values": (
        request(contents=contents(int_contents=[1])),
        "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 4",
    ),
    "nothing": (
        request(),
        "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 0",
    ),
    "another list": (request(contents=contents(fp32_contents=[1, 2])), "fp32_contents for"),
    "another list beside": (
        request(contents=contents(int_contents=[1, 2], int64_contents=[1])),
        "int64_contents for datatype INT32",
    ),
    "FP16 in a list": (
        request(datatype="FP16", contents=contents(fp32_contents=[1, 2])),
        "FP16 has no contents",
    ),
    "beyond INT8": (
        request(datatype="INT8", contents=contents(int_contents=[1, 300])),
        "300 is out of range for INT8",
    ),
    "beyond UINT16": (
        request(datatype="UINT16", contents=contents(uint_contents=[65536, 3])),
        "65536 is out of range",
    ),
    "a boolean that is none": (raw(b"\1\2", datatype="BOOL"), "expected 0 or 1, got 2"),
    "too few strings": (
        request(datatype="BYTES", contents=contents(bytes_contents=[b"a"])),
        "expected 2 strings in bytes_contents, got 1",
    ),
    "a string beyond the bytes": (
        raw(b"\1\0\0\0a\5\0\0\0a", datatype="BYTES"),
        "goes beyond the tensor's bytes",
    ),
    "an unknown datatype": (request(datatype="FP8"), "invalid datatype"),
    "a negative size": (raw(b"12345678", shape=[-1]), "expected sizes from 0 up, got [-1]"),
    "sizes that multiply to a positive number": (raw(b"12345678", shape=[-1, -2]), "[-1,-2]"),
}


@pytest.mark.parametrize(("message", "told"), WRONG.values(), ids=WRONG)
def test_wrong_tensors_are_refused(message: Any, told: str) -> None:
    with pytest.raises(InvalidTensor) as raised:
        decode_grpc_infer(message, LIMITS)
    assert told in str(raised.value)


LARGE = {
    "a size": raw(b"", shape=[1 << 62]),
    "sizes that overflow 64 bits to none": raw(b"", shape=[1 << 32, 1 << 32]),
    "an empty axis beside": raw(b"", shape=[0, 1 << 62]),
    "many axes": raw(b"1234", shape=[1] * 17),
    "strings": request(datatype="BYTES", shape=[1 << 30]),
}


@pytest.mark.parametrize("message", LARGE.values(), ids=LARGE)
def test_sizes_over_the_limits_are_refused_before_memory_is_made(message: Any) -> None:
    message_class("ModelInferRequest")
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=r"GPFN_MAX|rows"):
            decode_grpc_infer(message, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_limits_count_all_tensors_together() -> None:
    message = request(contents=contents(int_contents=[1, 2]))
    message.inputs.add(
        name="y", datatype="BYTES", shape=[2], contents=contents(bytes_contents=[b"ab", b"c"])
    )
    assert list(decode_grpc_infer(message, LIMITS).inputs) == ["x", "y"]
    for limits in (Limits(elements=3), Limits(tensors=1), Limits(string_bytes=10)):
        with pytest.raises(TooLarge):
            decode_grpc_infer(message, limits)


def test_two_inputs_of_a_name_are_refused() -> None:
    message = raw(b"12345678")
    message.inputs.append(message.inputs[0])
    message.raw_input_contents.append(b"12345678")
    with pytest.raises(InvalidTensor, match="input 'x' comes twice"):
        decode_grpc_infer(message, LIMITS)


def test_as_many_raw_contents_as_inputs() -> None:
    for count in (1, 3):
        message = request()
        message.inputs.add(name="y", datatype="INT32", shape=[2])
        message.raw_input_contents.extend([b"12345678"] * count)
        with pytest.raises(InvalidTensor, match=f"expected 2, .* got {count}"):
            decode_grpc_infer(message, LIMITS)


def test_outputs_that_are_wrong_are_refused() -> None:
    message = raw(b"12345678")
    message.outputs.add(name="y")
    message.outputs.add(name="y")
    with pytest.raises(InvalidRequest, match="asked for twice"):
        decode_grpc_infer(message, LIMITS)
    for choice, value in (("int64_param", 0), ("int64_param", -1), ("string_param", "2")):
        message = raw(b"12345678")
        asked = message.outputs.add(name="y")
        setattr(asked.parameters["classification"], choice, value)
        with pytest.raises(InvalidRequest, match="from 1 up"):
            decode_grpc_infer(message, LIMITS)
    message = raw(b"12345678")
    for number in range(LIMITS.tensors + 1):
        message.outputs.add(name=str(number))
    with pytest.raises(TooLarge):
        decode_grpc_infer(message, LIMITS)


def test_shared_memory_is_refused_by_its_name() -> None:
    message = request()
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidRequest, match="shared memory"):
        decode_grpc_infer(message, LIMITS)
    message = raw(b"12345678")
    message.outputs.add(name="y").parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidRequest, match="shared memory"):
        decode_grpc_infer(message, LIMITS)


def test_a_parameter_without_a_value_is_refused() -> None:
    message = raw(b"12345678")
    message.parameters["p"].SetInParent()
    with pytest.raises(InvalidRequest, match=r"parameters\.p: no value"):
        decode_grpc_infer(message, LIMITS)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_cut_and_changed_messages_are_read_or_refused(junk: bytes, at: int) -> None:
    inputs = {"x": np.arange(6, dtype=np.int32), "s": np.array([b"ab", b""], object)}
    whole = encode_grpc_infer("m", "1", inputs, parameters={"a": 1})
    for data in (junk, whole[:at], whole[:at] + junk + whole[at:]):
        with suppress(CallerError):
            decode_grpc_infer(infer_request(data), LIMITS)
