"""What lets unmodified Megatron-Core train on one CPU over gloo. Entry points call `headrace_jobs.portable.shim.install` first.

Where CUDA is present, layers and optimizer from here serve if Transformer Engine and Apex are not; nothing acts on import.
"""
