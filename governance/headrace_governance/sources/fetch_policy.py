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
        max_links_of_page: different addresses that a page may add.
        max_link_characters_of_page: of all of them together, in normal form.
        max_addresses_of_host: addresses of one host that a slice knows, fetched or not.
        max_addresses: of all hosts of a slice.
        max_address_characters: of all of them together.
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
    max_links_of_page: int = Field(default=5_000, ge=1)
    max_link_characters_of_page: int = Field(default=1 << 20, ge=1)
    max_addresses_of_host: int = Field(default=100_000, ge=1)
    max_addresses: int = Field(default=200_000, ge=1)
    max_address_characters: int = Field(default=64 << 20, ge=1)


def load_fetch_policy(folder: str | Path) -> FetchPolicy:
    """`fetch.yaml` of the policies' folder."""
    return load_yaml(Path(folder) / "fetch.yaml", FetchPolicy)
