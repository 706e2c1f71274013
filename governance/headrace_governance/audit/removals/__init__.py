"""The removal audit: were removals right? Samples of them are judged by people (and a model, if configured); precision opens the gate.

`sample` draws, `page` shows, `judgements` takes in, `verdict` decides; `drop_rate` stops a run whose filter takes a whole source.
"""
