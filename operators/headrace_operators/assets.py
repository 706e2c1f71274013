"""The assets that connect the DAGs: what one finishes wakes another."""

from __future__ import annotations

from airflow.sdk import Asset

TEXT_TOKENS = Asset(name="text_tokens", uri="headrace://lake/tokens/text")
"""Token shards of at least one slice were committed."""
CHECKPOINT = Asset(name="checkpoint", uri="headrace://lake/checkpoint")
"""A training run has written a checkpoint."""
EVALUATION = Asset(name="evaluation", uri="headrace://lake/evaluation")
"""A checkpoint was evaluated."""
RELEASE = Asset(name="release", uri="headrace://lake/release")
"""A release bundle was built and verified."""
