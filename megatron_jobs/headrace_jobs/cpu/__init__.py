"""What lets unmodified Megatron-Core train on one CPU over gloo. Entry points call `headrace_jobs.cpu.shim.install` first.

Nothing here acts where CUDA is present, and nothing acts on import.
"""
