"""One trainer for one CPU process and for many GPUs: `run` (artifacts), `loop` (steps), `step` (losses), `checkpoint`."""
