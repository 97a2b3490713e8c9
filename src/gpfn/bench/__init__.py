"""How fast a model server answers, and what limits it.

subject    the server under load: started here or found at an address; its processor time, batches
asking     what is sent: the bytes of one request, by protocol, from the model's metadata
generator  the load: one process, many connections, one request at a time on each
rpc        the same over gRPC (extra ``grpc``)
summary    the figures as a table and as JSON, what limits, the picture (extra ``plots``)
"""

__all__: list[str] = []
