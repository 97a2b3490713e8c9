"""Open Inference Protocol v2 over REST and gRPC: its codecs without sockets, and clients.

    datatypes       the protocol's datatypes beside NumPy's, and BF16
    json_values     a tensor's values as a list in JSON, read and written
    binary_values   the same as bytes behind the JSON
    body            where the JSON ends, and what it says
    decode          a message's list of tensors to arrays
    request         a request for inference: read by a server, written by a client
    repeats         requests that differ from an earlier one in their numbers only
    reply           the reply to it: written by a server, read by a client
    classes         the classification extension
    documents       metadata, configuration, statistics, index and errors as plain values
    client          asks a model server
    grpc_schema     the messages of the gRPC service
    grpc_tensors    the tensors of such a message, raw or in lists, to arrays
    grpc_messages   requests and replies of inference over gRPC, read and written

The protocol is https://github.com/kserve/open-inference-protocol with the extensions that
Triton's clients use: binary data, classification, statistics, configuration, repository.
"""

__all__: list[str] = []
