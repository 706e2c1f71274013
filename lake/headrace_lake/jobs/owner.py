"""The task that asks for a remote job: cheap to import, for DAG files do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Owner:
    """A task that asks for a job or follows it.

    Attributes:
        generation: grows when a human clears the task (Airflow's `max_tries`), stays the same over automatic retries.
        attempt: which try of the task it is: a try that ends late lets go of its own hold, not of the next one's.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    generation: int = 0
    user: str = ""
    attempt: int = 1

    def metadata(self) -> dict[str, str]:
        """As a job's metadata: strings only."""
        return {key: str(value) for key, value in asdict(self).items()}

    def same_task(self, metadata: Mapping[str, str]) -> bool:
        """Was the job submitted by this task of this run (in any generation)?"""
        mine = self.metadata()
        return all(metadata.get(key) == mine[key] for key in ("dag_id", "run_id", "task_id", "map_index"))

    def same_generation(self, metadata: Mapping[str, str]) -> bool:
        """Was the job submitted by this task since it was last cleared?"""
        return self.same_task(metadata) and metadata.get("generation") == str(self.generation)

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.run_id}/{self.task_id}" + (f"[{self.map_index}]" if self.map_index >= 0 else "")
