"""Verdict stages over datatrove's filters: one filter, one file, thresholds from `governance/pipelines/filters/`."""
