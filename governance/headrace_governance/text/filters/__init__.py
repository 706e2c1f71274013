"""Verdict stages: one filter, one file, thresholds from `governance/pipelines/filters/`."""
