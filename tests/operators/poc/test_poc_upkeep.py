"""Looking after a run: what has died is started again, what Airflow has lost is cleared once, and what lasts is left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace_lake.errors import ServiceError
from headrace_operators.poc.upkeep import LOOK_EVERY_S, SILENT_S, STOPPED_S, STUCK_S, Upkeep


class World:
    """A clock to turn, services that die on command, and an Airflow that notes what it is asked to clear."""

    def __init__(self) -> None:
        self.now = 0.0
        self.gone: list[str] = []
        self.stopped: list[str] = []
        self.started: list[tuple[str, ...]] = []
        self.cleared: list[tuple[str, bool]] = []
        self.said: list[str] = []
        services: Any = SimpleNamespace(died=lambda: list(self.gone), stopped=lambda: list(self.stopped), up=self.up)
        api: Any = SimpleNamespace(clear=lambda dag, run, tasks, downstream: self.cleared.append((tasks[0], downstream)))
        self.upkeep = Upkeep(services, api, "run", self.said.append, now=lambda: self.now)

    def up(self, names: tuple[str, ...], say: Any) -> None:
        self.started.append(names)
        self.gone = []

    def look(self, seconds: float, **states: str) -> None:
        """Let time pass in steps of the real poll, with the same states."""
        end = self.now + seconds
        while self.now < end:
            self.now += 2
            self.upkeep.look([{"task_id": name, "state": state, "try_number": 1} for name, state in states.items()])


@pytest.fixture
def world() -> World:
    return World()


def test_services_that_have_died_are_started_again_and_named(world: World) -> None:
    world.look(LOOK_EVERY_S * 2, train="deferred")
    assert world.started == []
    world.gone = ["ray", "airflow"]
    world.look(LOOK_EVERY_S + 2, train="deferred")
    assert world.started == [("ray", "airflow")] and world.said == ["ray, airflow: ended while the run goes on; started again"]


def test_services_that_another_command_has_stopped_are_left_alone_and_the_wait_ends(world: World) -> None:
    world.stopped = ["ray", "airflow"]
    world.look(STOPPED_S - 5, train="deferred")
    world.stopped = []  # it was a restart
    world.look(STOPPED_S * 2, train="deferred")
    world.stopped = ["ray", "airflow"]
    with pytest.raises(ServiceError, match="ray, airflow: stopped by another command"):
        world.look(STOPPED_S * 3, train="deferred")
    assert world.started == []


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_task_that_airflow_has_lost_is_cleared_once_and_nothing_after_it(world: World, state: str) -> None:
    world.look(STUCK_S - 10, crawl=state)
    assert world.cleared == []
    world.look(STUCK_S * 3, crawl=state)
    assert world.cleared == [("crawl", False)] and "cleared" in world.said[0]


def test_a_task_on_ray_may_last_and_one_that_moves_on_is_not_lost(world: World) -> None:
    world.look(STUCK_S * 10, train="deferred")
    for state in ("queued", "running", "deferred", "queued", "running"):
        world.look(STUCK_S - 10, train=state)
    assert world.cleared == []


def test_silence_is_borne_while_something_can_be_started_and_told_in_the_end(world: World) -> None:
    problem = ServiceError("Airflow at http://127.0.0.1:1: refused", "start it")
    world.look(10, train="deferred")
    world.gone = ["airflow"]
    world.upkeep.no_answer(problem)
    assert world.started == [("airflow",)]
    world.now += SILENT_S - 1
    world.upkeep.no_answer(problem)
    world.now += 2
    with pytest.raises(ServiceError, match="refused"):
        world.upkeep.no_answer(problem)
