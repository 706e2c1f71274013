"""Which launcher starts the jobs: a word in the settings, and nothing else of them changes."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from headrace_lake.errors import ConfigError
from headrace_lake.settings import LauncherName, Settings, load_settings
from headrace_operators.launchers import LAUNCHERS, Launcher, Patience, launcher_of, settings_digest
from headrace_operators.templates import stage_executor


def _settings(tmp_path: Path, **jobs: str) -> Settings:
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"jobs": jobs} if jobs else {}), encoding="utf-8")
    return load_settings(file)


def test_each_name_of_the_setting_is_a_launcher_of_that_name(tmp_path: Path) -> None:
    assert set(get_args(LauncherName)) == set(LAUNCHERS)
    for name in LAUNCHERS:
        launcher = launcher_of(_settings(tmp_path, launcher=name))
        assert isinstance(launcher, Launcher) and launcher.name == name and launcher.ledger is not None
    assert launcher_of(_settings(tmp_path)).name == "ray"


@pytest.mark.parametrize(("wrong", "near"), [("rya", "ray"), ("Local", "local"), ("locale", "local")])
def test_a_wrong_name_is_answered_by_the_nearest_right_one(tmp_path: Path, wrong: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"headrace.yaml: field 'jobs.launcher': .*did you mean '{near}'\?"):
        _settings(tmp_path, launcher=wrong)
    with pytest.raises(ConfigError, match=rf"no launcher '{wrong}'\. did you mean '{near}'\?"):
        launcher_of(_settings(tmp_path), name=wrong)
    with pytest.raises(ConfigError, match=r"unknown key 'jobs\.launcer'\. did you mean 'launcher'\?"):
        _settings(tmp_path, launcer="ray")


def test_a_job_is_found_where_it_was_submitted_also_when_the_setting_has_changed(tmp_path: Path) -> None:
    before = launcher_of(_settings(tmp_path, launcher="local", folder="jobs"))
    place = json.loads(json.dumps(before.place()))
    after = _settings(tmp_path, launcher="ray")
    again = launcher_of(after, place=place, patience=Patience(answer_s=1))
    assert again.name == "local" and again.place() == place and again.address == str(tmp_path / "jobs")
    assert launcher_of(after, name="local").name == "local"
    place = launcher_of(after).place()
    assert launcher_of(_settings(tmp_path, launcher="local"), place=place).place() == place and place["launcher"] == "ray"


def test_the_same_work_has_the_same_id_whatever_starts_it(tmp_path: Path) -> None:
    """And the id that it had before there was a choice: a digest of all settings but this one."""
    ray, local = _settings(tmp_path), _settings(tmp_path, launcher="local", folder="elsewhere")
    assert settings_digest(ray) == settings_digest(local)
    others = {key: value for key, value in json.loads(ray.model_dump_json()).items() if key != "jobs"}
    text = json.dumps(others, separators=(",", ":"), ensure_ascii=False)
    assert settings_digest(ray) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_stages_run_on_ray_only_where_ray_runs_the_command(local_settings: Path, tmp_path: Path) -> None:
    assert stage_executor() == "local"
    _settings(tmp_path)
    assert stage_executor() == "ray"


def test_a_launcher_is_imported_when_it_is_chosen(tmp_path: Path) -> None:
    code = "import sys\nfrom headrace_operators.launchers import launcher_of\nfrom headrace_lake.settings import Settings\n"
    code += "chosen = lambda: [m.rpartition('.')[2] for m in sys.modules if m in ('headrace_operators.launchers.ray', "
    code += "'headrace_operators.launchers.local', 'httpx', 'sqlalchemy', 'airflow')]\n"
    code += "print(chosen())\nlauncher_of(Settings(), name='local')\nprint(chosen())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    first, then = done.stdout.splitlines()
    assert first == "[]" and then == "['sqlalchemy', 'local']"
    for target in LAUNCHERS.values():
        module, _, attribute = target.partition(":")
        assert issubclass(getattr(importlib.import_module(module), attribute), Launcher)
