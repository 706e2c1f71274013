"""The court: were removals right? Samples of them are judged by people (and a model, if configured); precision opens the gate.

`sample` draws, `page` shows, `judgements` takes in, `verdict` decides; `wipe_out` stops a run whose filter takes a whole source.
"""
