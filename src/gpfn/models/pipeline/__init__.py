"""Pipelines of models: stages that take each other's outputs, as one model.

stage      what a pipeline consists of, as data
reading    the same as a TOML file
graph      the order of the stages: what needs what
feeding    which outputs of a stage are which inputs of the next
ends       what goes in and out, by name
opened     one stage: what it names, opened, and called within its bounds
failures   a stage's failure as the pipeline's
executor   a pipeline as a model
branches   stages that run at once
"""

from gpfn.models.pipeline.executor import Pipeline
from gpfn.models.pipeline.reading import PipelineFile, open_pipeline, read_pipeline
from gpfn.models.pipeline.stage import Origin, Stage

__all__ = ["Origin", "Pipeline", "PipelineFile", "Stage", "open_pipeline", "read_pipeline"]
