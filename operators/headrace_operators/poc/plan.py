"""The proof of concept's plan: which sources, which recipe, which gate (`governance/policies/poc.yaml`)."""

from __future__ import annotations

from pydantic import Field

from headrace_lake.fingerprint import digest_of
from headrace_lake.slices import Slice
from headrace_lake.strict import StrictModel, load_yaml
from headrace_operators.operator_env import current_settings
from headrace_operators.poc.acceptance import AcceptanceLimits


class PocPlan(StrictModel):
    """What `make poc` runs.

    Attributes:
        slice: interval id of every slice.
        groups: how many tasks the sources are dealt out to.
        recipe: name in `megatron_jobs/configs/recipes`.
        gate: name of the gate's policy.
        acceptance: what the run must show, or `headrace poc` exits with 1 and names what is missed.
    """

    slice: str
    sources: tuple[str, ...] = Field(min_length=1)
    groups: int = Field(default=2, ge=1)
    recipe: str
    gate: str
    acceptance: AcceptanceLimits = AcceptanceLimits()

    @property
    def slices(self) -> list[str]:
        """All slices, `source/interval`."""
        return [str(Slice(source, self.slice)) for source in self.sources]

    def group(self, number: int) -> list[str]:
        """The slices of one group; dealt out in turn, so that groups are of like size."""
        return self.slices[number :: self.groups]


def plan_digest(plan: PocPlan) -> str:
    """Digest of a plan, which a run keeps: so that a run of another plan is told apart."""
    return digest_of(plan.model_dump(mode="json"))[:16]


def load_poc_plan() -> PocPlan:
    """Read the plan of the current settings' policies folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    settings, _ = current_settings()
    return load_yaml(settings.resolve(settings.policies) / "poc.yaml", PocPlan)
