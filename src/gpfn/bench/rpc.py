"""The load over gRPC (extra ``grpc``): a channel with a connection of its own for each caller.

grpcio costs a call some 200 µs on this side alone, so this generator is often what limits; the
sentence about the limit says so then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpfn.bench.generator import Load, LoadPlan, Traffic, run_traffic
from gpfn.errors import BrokenReply, CallerError, CannotConnect, MissingExtra, RefusedByModel
from gpfn.http.address import Address
from gpfn.oip.documents import read_model_metadata
from gpfn.oip.grpc_schema import SERVICE, message_class
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    import grpc

__all__ = ["call_once", "grpc_inputs", "grpc_load"]

_CONNECT_SECONDS = 10.0
_SECONDS = 30.0
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # channels share one connection otherwise
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


def grpc_load(address: Address, request: bytes, plan: LoadPlan) -> Load:
    """Call ModelInfer with a request again and again; return what came of it.

    Raises CannotConnect when the connections cannot be made, MissingExtra without grpcio.
    """
    grpc = _grpcio()
    return run_traffic(lambda: _grpc_load(grpc, address, request, plan))


async def _grpc_load(grpc: Any, address: Address, request: bytes, plan: LoadPlan) -> Load:
    traffic = Traffic(plan)
    connect, place = grpc.aio.insecure_channel, address.authority
    channels = [connect(place, _OPTIONS) for _ in range(plan.connections)]
    first: list[bytes] = []
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await asyncio.gather(*(channel.channel_ready() for channel in channels))
        callers = [asyncio.create_task(_calls(grpc, c, request, traffic, first)) for c in channels]
        load = await traffic.window()
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    except TimeoutError as error:
        raise CannotConnect(f"{address.authority}: no connection in time") from error
    finally:
        for channel in channels:
            await channel.close()
    return load


async def _calls(
    grpc: Any, channel: grpc.aio.Channel, request: bytes, traffic: Traffic, first: list[bytes]
) -> None:
    call = channel.unary_unary(f"/{SERVICE}/ModelInfer")  # bytes as they are, both ways
    while traffic.on:
        began = time.perf_counter()
        try:
            reply = await call(request)
        except grpc.aio.AioRpcError as error:
            traffic.failures[f"status {error.code().name}"] += 1
            continue
        took = time.perf_counter() - began
        if not first:
            first.append(reply)
        if traffic.plan.check and reply != first[0]:
            traffic.failures["another answer"] += 1
        elif traffic.on:
            traffic.times.append(took)


def grpc_inputs(address: Address, name: str, version: str) -> Sequence[TensorSpec]:
    """Return what a model's metadata say of its inputs; raises BackendError."""
    asked = message_class("ModelMetadataRequest")(name=name, version=version)
    answer = call_once(address, "ModelMetadata", asked.SerializeToString())
    message = message_class("ModelMetadataResponse").FromString(answer)
    tensors = [
        {"name": one.name, "datatype": one.datatype, "shape": [*one.shape]}
        for one in message.inputs
    ]
    try:
        return read_model_metadata({"inputs": tensors}).inputs
    except CallerError as error:
        raise BrokenReply(f"{address.authority}: metadata that cannot be read") from error


def call_once(address: Address, method: str, request: bytes) -> bytes:
    """Return the bytes of the answer to one call.

    Raises CannotConnect, RefusedByModel with the server's words, MissingExtra without grpcio.
    """
    grpc = _grpcio()
    with grpc.insecure_channel(address.authority, _OPTIONS) as channel:
        try:
            call = channel.unary_unary(f"/{SERVICE}/{method}")
            answer: bytes = call(request, timeout=_SECONDS)
        except grpc.RpcError as error:
            told = f"{address.authority}: {error.code().name} {error.details()}"
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise CannotConnect(told) from None
            raise RefusedByModel(told) from None
    return answer


def _grpcio() -> Any:
    try:
        import grpc
        import grpc.aio
    except ImportError:
        raise MissingExtra("grpcio", "grpc") from None
    return grpc
