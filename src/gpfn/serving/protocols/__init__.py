"""The protocols that clients speak, each an adapter between HTTP and the engine.

control      health, metrics, the page at /
graphpipe    GraphPipe, at / and at /graphpipe/NAME
"""

from gpfn.serving.protocols.control import Control
from gpfn.serving.protocols.graphpipe import GraphPipe
from gpfn.serving.protocols.v2 import OpenInference

__all__ = ["Control", "GraphPipe", "OpenInference"]
