"""The fetch policy: how the crawler behaves towards other people's servers (`policies/fetch.yaml`)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from headrace_lake.strict import StrictModel, load_yaml


class FetchPolicy(StrictModel):
    """Manners and limits; the YAML file explains each value.

    Attributes:
        agent: product token looked up in robots.txt.
        user_agent: the header, with `{agent}` replaced.
        contact: address for the From header.
        max_compression_ratio: decoded / received bytes.
        min_bytes_per_second: average after `grace_seconds`.
    """

    agent: str = Field(pattern=r"^[A-Za-z_-]+$")
    user_agent: str
    contact: str = ""
    concurrency_per_host: int = Field(ge=1, le=16)
    hosts_at_once: int = Field(ge=1, le=256)
    max_redirects: int = Field(ge=0, le=20)
    retries: int = Field(ge=0, le=10)
    retry_seconds: float = Field(ge=0)
    max_retry_after_seconds: float = Field(ge=0)
    max_crawl_delay_seconds: float = Field(gt=0)
    idle_seconds: float = Field(gt=0)
    min_bytes_per_second: float = Field(ge=0)
    grace_seconds: float = Field(ge=0)
    max_compression_ratio: float = Field(ge=1)
    robots_timeout_seconds: float = Field(gt=0)


def load_fetch_policy(folder: str | Path) -> FetchPolicy:
    """`fetch.yaml` of the policies' folder."""
    return load_yaml(Path(folder) / "fetch.yaml", FetchPolicy)
