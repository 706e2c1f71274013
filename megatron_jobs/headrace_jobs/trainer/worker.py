"""One process of a parallel run, started by `local` or torchrun on every rank: `python -m headrace_jobs.trainer.worker`.

The mix must be compiled already (`headrace train` and `headrace mix compile` do that), so all ranks read the same one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from headrace_lake.foreign_text import one_line
from headrace_lake.garbage import collect_rarely


def main(argv: list[str] | None = None) -> None:
    """Train as the rank that the environment names; exit code 2 and one line for a mistake that the user can mend."""
    parser = argparse.ArgumentParser(prog="headrace_jobs.trainer.worker")
    parser.add_argument("recipe")
    parser.add_argument("--run", default="", help="fingerprint that must come out, so that nothing moved since the launch")
    parser.add_argument("--settings", type=Path)
    words = parser.parse_args(argv)
    collect_rarely()

    from headrace_jobs.trainer.local import end_with_parent
    from headrace_lake.errors import HeadraceError

    end_with_parent()
    try:
        _train(words.recipe, words.run, words.settings)
    except HeadraceError as exc:
        print(f"headrace: {one_line(str(exc))}", file=sys.stderr)
        sys.exit(exc.exit_code)


def _train(recipe: str, run: str, settings: Path | None) -> None:
    from headrace_jobs.mix.compile import load_mix, newest_mix
    from headrace_jobs.mix.recipe import load_recipe
    from headrace_jobs.model.config import load_model_config
    from headrace_jobs.trainer.config import train_config
    from headrace_jobs.trainer.run import run_plan, train_here
    from headrace_lake.errors import ConfigError
    from headrace_lake.lake import Lake
    from headrace_lake.settings import load_settings

    lake = Lake.open(load_settings(settings))
    chosen = load_recipe(lake.settings, recipe)
    mix = load_mix(lake, newest_mix(lake, chosen.name))
    config = train_config(chosen.train, recipe=chosen.name)
    plan = run_plan(lake, mix, config, load_model_config(lake.settings, config.model))
    if run not in ("", plan.fingerprint):
        raise ConfigError(f"recipe {chosen.name} makes run {plan.fingerprint[:16]} here, {run[:16]} was asked for", "start it again")
    train_here(lake, mix, plan)


if __name__ == "__main__":
    main()
