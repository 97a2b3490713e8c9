"""The messages of ``inference.GRPCInferenceService``, made from a table when first used.

They are in a descriptor pool of their own. In the one that generated code shares, two files
cannot define the same name, and a program that serves or asks with gpfn may import
tritonclient or kserve as well, which both define these.

Numbers and types are those of the Open Inference Protocol and of Triton's extensions to it
(statistics, configuration, repository). Of a model's configuration there is what clients read;
fields of Triton's that are not here are passed over, as protobuf does with unknown ones.
"""

from functools import cache
from typing import Any, NamedTuple

from gpfn.errors import MissingExtra

__all__ = ["ABSENT", "RPCS", "SERVICE", "Rpc", "message_class"]

SERVICE = "inference.GRPCInferenceService"


class Rpc(NamedTuple):
    """One call of the service: the names of its messages, and whether it is a stream both ways."""

    request: str
    response: str
    stream: bool = False


RPCS = {
    name: Rpc(f"{name}Request", f"{name}Response")
    for name in (
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelInfer",
        "ModelConfig",
        "ModelStatistics",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    )
} | {"ModelStreamInfer": Rpc("ModelInferRequest", "ModelStreamInferResponse", stream=True)}
"""The calls that are answered, by name."""

ABSENT = {
    **dict.fromkeys(
        [
            f"{kind}SharedMemory{verb}"
            for kind in ("System", "Cuda")
            for verb in ("Status", "Register", "Unregister")
        ],
        "shared memory",
    ),
    "TraceSetting": "tracing by request",
    "LogSettings": "log settings by request",
}
"""Calls of Triton's that are refused, and what they would be for."""

# A field is name:type=number. [T] is repeated, {T} a map from strings to T.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool=1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool=1",
    "ModelReadyRequest": "name:string=1 version:string=2",
    "ModelReadyResponse": "ready:bool=1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string=1 version:string=2 extensions:[string]=3",
    "ModelMetadataRequest": "name:string=1 version:string=2",
    "TensorMetadata": "name:string=1 datatype:string=2 shape:[int64]=3",
    "ModelMetadataResponse": "name:string=1 versions:[string]=2 platform:string=3"
    " inputs:[TensorMetadata]=4 outputs:[TensorMetadata]=5",
    # inference
    "InferParameter": "bool_param:bool=1 int64_param:int64=2 string_param:string=3"
    " double_param:double=4 uint64_param:uint64=5",
    "InferTensorContents": "bool_contents:[bool]=1 int_contents:[int32]=2"
    " int64_contents:[int64]=3 uint_contents:[uint32]=4 uint64_contents:[uint64]=5"
    " fp32_contents:[float]=6 fp64_contents:[double]=7 bytes_contents:[bytes]=8",
    "InferInputTensor": "name:string=1 datatype:string=2 shape:[int64]=3"
    " parameters:{InferParameter}=4 contents:InferTensorContents=5",
    "InferRequestedOutputTensor": "name:string=1 parameters:{InferParameter}=2",
    "ModelInferRequest": "model_name:string=1 model_version:string=2 id:string=3"
    " parameters:{InferParameter}=4 inputs:[InferInputTensor]=5"
    " outputs:[InferRequestedOutputTensor]=6 raw_input_contents:[bytes]=7",
    "InferOutputTensor": "name:string=1 datatype:string=2 shape:[int64]=3"
    " parameters:{InferParameter}=4 contents:InferTensorContents=5",
    "ModelInferResponse": "model_name:string=1 model_version:string=2 id:string=3"
    " parameters:{InferParameter}=4 outputs:[InferOutputTensor]=5 raw_output_contents:[bytes]=6",
    "ModelStreamInferResponse": "error_message:string=1 infer_response:ModelInferResponse=2",
    # configuration
    "ModelConfigRequest": "name:string=1 version:string=2",
    "ModelConfigResponse": "config:ModelConfig=1",
    "ModelConfig": "name:string=1 platform:string=2 version_policy:ModelVersionPolicy=3"
    " max_batch_size:int32=4 input:[ModelInput]=5 output:[ModelOutput]=6"
    " instance_group:[ModelInstanceGroup]=7 default_model_filename:string=8"
    " dynamic_batching:ModelDynamicBatching=11 parameters:{ModelParameter}=14 backend:string=17"
    " model_transaction_policy:ModelTransactionPolicy=19",
    "ModelVersionPolicy": "latest:Latest=1 all:All=2 specific:Specific=3",
    "Latest": "num_versions:uint32=1",
    "All": "",
    "Specific": "versions:[int64]=1",
    "ModelInput": "name:string=1 data_type:DataType=2 format:Format=3 dims:[int64]=4"
    " optional:bool=8",
    "ModelOutput": "name:string=1 data_type:DataType=2 dims:[int64]=3 label_filename:string=4",
    "ModelInstanceGroup": "name:string=1 count:int32=2 kind:Kind=4",
    "ModelDynamicBatching": "preferred_batch_size:[int32]=1 max_queue_delay_microseconds:uint64=2",
    "ModelParameter": "string_value:string=1",
    "ModelTransactionPolicy": "decoupled:bool=1",
    # statistics
    "ModelStatisticsRequest": "name:string=1 version:string=2",
    "ModelStatisticsResponse": "model_stats:[ModelStatistics]=1",
    "StatisticDuration": "count:uint64=1 ns:uint64=2",
    "InferStatistics": "success:StatisticDuration=1 fail:StatisticDuration=2"
    " queue:StatisticDuration=3 compute_input:StatisticDuration=4"
    " compute_infer:StatisticDuration=5 compute_output:StatisticDuration=6"
    " cache_hit:StatisticDuration=7 cache_miss:StatisticDuration=8",
    "InferBatchStatistics": "batch_size:uint64=1 compute_input:StatisticDuration=2"
    " compute_infer:StatisticDuration=3 compute_output:StatisticDuration=4",
    "ModelStatistics": "name:string=1 version:string=2 last_inference:uint64=3"
    " inference_count:uint64=4 execution_count:uint64=5 inference_stats:InferStatistics=6"
    " batch_stats:[InferBatchStatistics]=7",
    # repository
    "ModelRepositoryParameter": "bool_param:bool=1 int64_param:int64=2 string_param:string=3"
    " bytes_param:bytes=4",
    "RepositoryIndexRequest": "repository_name:string=1 ready:bool=2",
    "ModelIndex": "name:string=1 version:string=2 state:string=3 reason:string=4",
    "RepositoryIndexResponse": "models:[ModelIndex]=1",
    "RepositoryModelLoadRequest": "repository_name:string=1 model_name:string=2"
    " parameters:{ModelRepositoryParameter}=3",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "repository_name:string=1 model_name:string=2"
    " parameters:{ModelRepositoryParameter}=3",
    "RepositoryModelUnloadResponse": "",
}

_ENUMS = {
    "DataType": "TYPE_INVALID TYPE_BOOL TYPE_UINT8 TYPE_UINT16 TYPE_UINT32 TYPE_UINT64 TYPE_INT8"
    " TYPE_INT16 TYPE_INT32 TYPE_INT64 TYPE_FP16 TYPE_FP32 TYPE_FP64 TYPE_STRING TYPE_BF16",
    "Format": "FORMAT_NONE FORMAT_NHWC FORMAT_NCHW",
    "Kind": "KIND_AUTO KIND_GPU KIND_CPU KIND_MODEL",
}
"""Names in the order of their numbers, from 0 up."""

_ONEOFS = {
    "InferParameter": "parameter_choice",
    "ModelRepositoryParameter": "parameter_choice",
    "ModelVersionPolicy": "policy_choice",
}
"""Messages of which one field at most is set."""


def message_class(name: str) -> Any:
    """Return the class of a message, such as ``ModelInferRequest``.

    Raises MissingExtra where protobuf is not installed, KeyError for a name that is none.
    """
    return _classes()[name]


@cache
def _classes() -> dict[str, Any]:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise MissingExtra("protobuf", "grpc") from error
    file = descriptor_pb2.FileDescriptorProto(
        name="gpfn/oip.proto", package="inference", syntax="proto3"
    )
    for enum, names in _ENUMS.items():
        values = file.enum_type.add(name=enum).value
        for number, name in enumerate(names.split()):
            values.add(name=name, number=number)
    for name, fields in _MESSAGES.items():
        _add_message(file.message_type.add(name=name), fields.split())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in _MESSAGES
    }


def _add_message(message: Any, fields: list[str]) -> None:
    oneof = _ONEOFS.get(message.name)
    if oneof:
        message.oneof_decl.add(name=oneof)
    for text in fields:
        name, _, rest = text.partition(":")
        spelled, _, number = rest.partition("=")
        if spelled[0] == "{":
            entry = _add_map_entry(message, name, spelled[1:-1])
            _add_field(message, name, int(number), f"{message.name}.{entry}", repeated=True)
        else:
            field = _add_field(
                message, name, int(number), spelled.strip("[]"), repeated=spelled[0] == "["
            )
            if oneof:
                field.oneof_index = 0


def _add_map_entry(message: Any, name: str, kind: str) -> str:
    """Add the message that a map's entries are; protobuf wants its name so."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    _add_field(entry, "key", 1, "string", repeated=False)
    _add_field(entry, "value", 2, kind, repeated=False)
    return str(entry.name)


def _add_field(message: Any, name: str, number: int, kind: str, *, repeated: bool) -> Any:
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in _ENUMS or kind[0].isupper():
        field.type = field.TYPE_ENUM if kind in _ENUMS else field.TYPE_MESSAGE
        field.type_name = f".inference.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    return field
