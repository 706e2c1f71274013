"""The stage engine: plans, runs, counts, quarantines and commits stages of one slice.

`run_slices` is what `headrace slice run` calls, `run_pipeline` does one slice; `preview_pipeline` says beforehand what it would recompute;
`stale_stages` says what is out of date without looking at any data; `prove_equal` shows that a changed stage writes the same;
`check_slice` judges committed tables by their suites again.
"""

from headrace_lake.engine.counts import run_counts
from headrace_lake.engine.guard import Guard, run_guards
from headrace_lake.engine.pipeline import Pipeline, load_pipeline, register_stage_tables
from headrace_lake.engine.plan import Step, preview_pipeline
from headrace_lake.engine.prove_equal import NotEqualError, Proof, prove_equal
from headrace_lake.engine.run import RunReport, StageReport, run_pipeline, run_slices
from headrace_lake.engine.stale import StaleError, StaleStage, first_causes, stale_error, stale_stages
from headrace_lake.engine.validator import Validator, check_slice

__all__ = [
    "Guard",
    "NotEqualError",
    "Pipeline",
    "Proof",
    "RunReport",
    "StageReport",
    "StaleError",
    "StaleStage",
    "Step",
    "Validator",
    "check_slice",
    "first_causes",
    "load_pipeline",
    "preview_pipeline",
    "prove_equal",
    "register_stage_tables",
    "run_counts",
    "run_guards",
    "run_pipeline",
    "run_slices",
    "stale_error",
    "stale_stages",
]
