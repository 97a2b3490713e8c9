"""The Open Inference Protocol over gRPC, on the loop that answers HTTP as well.

server       listens, and ends in order
calls        single calls: who may make one, what answers, which status a failure is
stream       ModelStreamInfer
question     one inference: from its bytes, by the engine, to the reply's
documents    metadata, configuration, statistics, index
bounds       a large request, taken apart before protobuf reads it
repeats      requests that are like an earlier one but for their numbers

grpcio and protobuf are imported when a server starts.
"""

from gpfn.serving.grpc.calls import Allowed
from gpfn.serving.grpc.server import GrpcServer

__all__ = ["Allowed", "GrpcServer"]
