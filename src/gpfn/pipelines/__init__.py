"""Stages of a pipeline as processes: who calls whom, started, watched, measured.

placement      which processes a pipeline needs, and which of them its caller calls
stage_process  one stage as a process, which never outlives this one
processes      all of them: started in order, restarted, ended
asking         what a stage's server says of itself
measuring      the placements beside direct calls
checking       what each stage gives beside what the next one takes
drawing        the pipeline as text and as Mermaid; drawing_svg as a picture
"""

from gpfn.pipelines.placement import Launch, Placement, place_stages
from gpfn.pipelines.processes import StageProcesses

__all__ = ["Launch", "Placement", "StageProcesses", "place_stages"]
