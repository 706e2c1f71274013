"""The stage engine: plans, runs, counts, quarantines and commits stages of one slice.

`run_pipeline` is what `headrace slice run` calls; `preview_pipeline` says beforehand what it would recompute.
"""

from headrace_lake.engine.guard import Guard, run_guards
from headrace_lake.engine.pipeline import Pipeline, load_pipeline
from headrace_lake.engine.plan import Step, preview_pipeline
from headrace_lake.engine.run import RunReport, run_pipeline

__all__ = ["Guard", "Pipeline", "RunReport", "Step", "load_pipeline", "preview_pipeline", "run_guards", "run_pipeline"]
