"""What can be held about the images and the chart without a Docker engine or a cluster."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from headrace_lake.settings import Settings

IMAGES = ("airflow", "data", "train")


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest, checkout: Path) -> str:
    """Text of a role's Dockerfile."""
    return (checkout / "docker" / f"{request.param}.Dockerfile").read_text(encoding="utf-8")


def test_every_path_an_image_copies_exists(image: str, checkout: Path) -> None:
    sources = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", image, re.M) for word in line.split()]
    assert sources and [s for s in sources if not (checkout / s).exists()] == []


def test_every_extra_an_image_installs_exists_and_excludes_the_other_side(image: str, checkout: Path) -> None:
    extras = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.search(r'"\.\[([\w,]+)\]"', image)
    assert named
    chosen = named[1].split(",")
    assert set(chosen) <= set(extras) and "dev" not in chosen
    assert not ("airflow" in chosen and {"data", "train"} & set(chosen))


def test_no_image_runs_as_root(image: str) -> None:
    assert re.search(r"^USER 10001$", image.rsplit("FROM ", 1)[1], re.M)


def test_torch_in_the_train_image_is_the_one_of_the_project(checkout: Path) -> None:
    text = (checkout / "docker/train.Dockerfile").read_text(encoding="utf-8")
    extras = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert re.findall(r"torch==[\d.]+", text) == [r for r in extras["train"] if r.startswith("torch==")]


def test_no_dependency_brings_torch_into_the_data_image(checkout: Path) -> None:
    text = (checkout / "docker/data.Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    [command] = re.findall(r"uv pip install .*", text)
    assert "--override requirements/overrides.txt" in command
    assert 'torch ; sys_platform == "never"' in (checkout / "requirements/overrides.txt").read_text(encoding="utf-8").splitlines()


def test_the_settings_in_the_chart_are_settings(checkout: Path) -> None:
    values = yaml.safe_load((checkout / "charts/headrace/values.yaml").read_text(encoding="utf-8"))
    assert Settings.model_validate(values["settings"]).lake.root == "s3://headrace/lake"


def test_hadolint_finds_nothing_in_the_images_files(checkout: Path) -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, *sorted((checkout / "docker").glob("*.Dockerfile"))], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_role_without_a_file_is_refused_by_name(checkout: Path) -> None:
    done = subprocess.run(["bash", "scripts/images", "--role", "nosuch"], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no docker/nosuch.Dockerfile" in done.stderr and "airflow, data, train" in done.stderr


def test_the_check_inside_an_image_knows_every_role_and_its_files(checkout: Path) -> None:
    smoke = checkout / "docker/smoke"
    text = (smoke / "run.sh").read_text(encoding="utf-8")
    assert set(re.findall(r"^  (\w+)\) #", text, re.M)) == set(IMAGES)
    assert [name for name in re.findall(r'"\$here/([\w.]+)"', text) if not (smoke / name).is_file()] == []
