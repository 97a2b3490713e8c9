"""What computes the requests to one version of a model.

inference    one request: its arrays, its deadline, who waits for it
timing       how long batches take: measured when the model is loaded
batch        requests -> one call of the model -> answers
engine       the queue before the model: what is computed together, where, and when
"""

from gpfn.serving.engine.engine import Engine
from gpfn.serving.engine.inference import Inference
from gpfn.serving.engine.making import EngineSettings, Mark
from gpfn.serving.engine.timing import Timing, measure

__all__ = ["Engine", "EngineSettings", "Inference", "Mark", "Timing", "measure"]
