"""The removal audit's policy, `governance/policies/audit.yaml`: how many cases, the precision asked for, and the model that judges too."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from headrace_lake.fingerprint import digest_of
from headrace_lake.settings import Secret, Settings
from headrace_lake.strict import StrictModel, load_yaml

FILE = "audit.yaml"


class Prompt(StrictModel):
    """What the model is asked. `{rule}`, `{measured}`, `{language}`, `{removed}` and `{kept}` are filled in.

    Attributes:
        system: the task, for every case.
        pair: for a duplicate: the text that was removed and the one that was kept.
        single: for a filter: the text that was removed.
    """

    system: str
    pair: str
    single: str

    @field_validator("pair", "single")
    @classmethod
    def _shows_the_text(cls, text: str) -> str:
        if "{removed}" not in text:
            raise ValueError("the prompt must show {removed}")
        return text

    def digest(self) -> str:
        """Digest of the templates."""
        return digest_of(self.model_dump(mode="json"))


class ModelJudge(StrictModel):
    """A language model behind an OpenAI-compatible endpoint, asked at temperature 0.

    Attributes:
        url: of the chat completions, `https://host/v1/chat/completions`; http only for a host of `allow_hosts`.
        name, revision: of the model; the revision is what the server's operator says it is and belongs to the cache's key.
        key: where the bearer token is; none is sent without.
        allow_hosts: `host:port` that may lie on private or loopback addresses.
        max_requests, max_characters: budget of one command: requests, and characters sent in all.
        text_characters: of each text that the model sees.
        max_answer_tokens, max_response_bytes, timeout_seconds: of one answer.
    """

    url: str
    name: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    prompt: Prompt
    temperature: Literal[0] = 0
    key: Secret | None = None
    allow_hosts: tuple[str, ...] = ()
    max_requests: int = Field(default=500, ge=1)
    max_characters: int = Field(default=5_000_000, ge=1)
    text_characters: int = Field(default=4000, ge=100)
    max_answer_tokens: int = Field(default=200, ge=16)
    max_response_bytes: int = Field(default=1 << 20, ge=1024)
    timeout_seconds: float = Field(default=60, gt=0)

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("write https://host/v1/chat/completions; a key goes into 'key'")
        return url


class AuditPolicy(StrictModel):
    """The removal audit's rules.

    Attributes:
        target: cases of each verdict, at least, where so many were removed.
        floor: cases of each stratum, at least, where so many were removed.
        seed: of the draw.
        precision_at_least: what the lower end of the precision's interval must reach.
        confidence: of the interval.
        people_at_least: cases of each verdict that a person must have judged, whatever the model says.
        characters: of each text that a page or a file shows.
        model: a model that judges too; none by default.
    """

    target: int = Field(default=400, ge=1)
    floor: int = Field(default=5, ge=1)
    seed: int = 1
    precision_at_least: float = Field(default=0.90, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    people_at_least: int = Field(default=50, ge=0)
    characters: int = Field(default=6000, ge=100)
    model: ModelJudge | None = None


def load_audit_policy(settings: Settings) -> AuditPolicy:
    """Read the policy of the settings' policies folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return load_yaml(Path(settings.resolve(settings.policies)) / FILE, AuditPolicy)
