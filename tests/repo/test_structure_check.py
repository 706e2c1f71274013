"""`scripts/structure` names what climbs, what turns in a circle and what is too long; the tree itself holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Check = Callable[..., subprocess.CompletedProcess[str]]
COMPONENTS = {"headrace_operators": "operators", "headrace_governance": "governance", "headrace_lake": "lake"}


@pytest.fixture
def check(checkout: Path, tmp_path: Path) -> Check:
    """Runs the check over a tree of the given files, in three components and a folder of DAGs that are empty otherwise."""

    def run(files: dict[str, str], **declared: object) -> subprocess.CompletedProcess[str]:
        layers = {"components": [["dags"], *COMPONENTS]}
        written = {f"{folder}/{package}/__init__.py": "" for package, folder in COMPONENTS.items()}
        written |= {"dags/empty.py": "", **files}
        written["scripts/structure.yaml"] = yaml.safe_dump({"components": COMPONENTS, "layers": layers, "long_files": {}, **declared})
        for name, text in written.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        words = [sys.executable, str(checkout / "scripts" / "structure.py"), "--root", str(tmp_path)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    return run


def test_this_tree_holds(checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(checkout / "scripts" / "structure.py")], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "headrace_lake" in done.stdout and "wrong" not in done.stdout


def test_a_tree_whose_imports_go_down_holds(check: Check) -> None:
    done = check(
        {
            "lake/headrace_lake/low.py": "X = 1\n",
            "governance/headrace_governance/mid.py": "from headrace_lake.low import X\n",
            "operators/headrace_operators/top.py": "import headrace_governance.mid\n",
            "dags/one.py": "from headrace_operators.top import headrace_governance\n",
        }
    )
    assert done.returncode == 0, done.stdout
    assert "operators 1" in next(line for line in done.stdout.splitlines() if line.startswith("dags"))


@pytest.mark.parametrize(
    "how", ["from headrace_operators.top import X\n", "def late():\n    from headrace_operators import top\n    return top\n"]
)
def test_an_import_that_climbs_is_named_with_its_line_even_inside_a_function(check: Check, how: str) -> None:
    done = check({"operators/headrace_operators/top.py": "X = 1\n", "governance/headrace_governance/mid.py": f'"""Doc."""\n{how}'})
    line = 2 if how.startswith("from") else 3
    assert done.returncode == 1
    assert f"governance/headrace_governance/mid.py:{line} headrace_governance.mid imports headrace_operators.top" in done.stdout
    assert "way out: move" in done.stdout


def test_a_layering_inside_a_component_binds_and_neighbours_do_not_know_each_other(check: Check) -> None:
    files = {
        "lake/headrace_lake/a.py": "from headrace_lake.b import X\n",
        "lake/headrace_lake/b.py": "from headrace_lake.c import X\n",
        "lake/headrace_lake/c.py": "X = 1\n",
    }
    inner = {"lake": ["headrace_lake.a", "headrace_lake.b", "headrace_lake.c"]}
    assert check(files, layers=inner).returncode == 0
    renamed = check(files, layers={"lake": ["headrace_lake.a", "headrace_lake.older"]})
    assert renamed.returncode == 1 and "names headrace_lake.older in the layers 'lake', which is not there" in renamed.stdout
    turned = check(files, layers={"lake": ["headrace_lake.b", "headrace_lake.a", "headrace_lake.c"]})
    assert turned.returncode == 1 and "headrace_lake.a stands below headrace_lake.b" in turned.stdout
    beside = check(files, layers={"lake": [["headrace_lake.a", "headrace_lake.b"], "headrace_lake.c"]})
    assert beside.returncode == 1 and "headrace_lake.a and headrace_lake.b stand side by side" in beside.stdout


def test_the_lake_may_not_import_a_component_even_for_types(check: Check) -> None:
    text = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from headrace_governance.mid import X\n"
    done = check({"lake/headrace_lake/low.py": text, "governance/headrace_governance/mid.py": "X = 1\n"}, layers={})
    assert done.returncode == 1 and "lake/headrace_lake/low.py:4 headrace_lake.low imports headrace_governance.mid" in done.stdout


def test_a_circle_of_modules_is_shown_whole(check: Check) -> None:
    done = check(
        {
            "lake/headrace_lake/a.py": "from headrace_lake import b\n",
            "lake/headrace_lake/b.py": "def late():\n    from headrace_lake import c\n    return c\n",
            "lake/headrace_lake/c.py": "import headrace_lake.a\n",
        }
    )
    assert done.returncode == 1
    assert (
        "headrace_lake.a (lake/headrace_lake/a.py:1) -> headrace_lake.b (lake/headrace_lake/b.py:2) -> "
        "headrace_lake.c (lake/headrace_lake/c.py:1) -> headrace_lake.a" in done.stdout
    )


def test_a_circle_of_folders_is_found_where_no_module_is_in_one(check: Check) -> None:
    done = check(
        {
            "lake/headrace_lake/x/__init__.py": "",
            "lake/headrace_lake/x/one.py": "from headrace_lake.y import one\n",
            "lake/headrace_lake/x/two.py": "",
            "lake/headrace_lake/y/__init__.py": "",
            "lake/headrace_lake/y/one.py": "",
            "lake/headrace_lake/y/two.py": "from headrace_lake.x import two\n",
        }
    )
    assert done.returncode == 1 and "no circle of folders" in done.stdout
    assert "lake/headrace_lake/y/two.py:1 (of headrace_lake.x.two)" in done.stdout
    assert "no circle of modules" in done.stdout and done.stdout.count("way out") == 1


def test_a_circle_that_only_types_close_is_told_and_is_no_fault(check: Check) -> None:
    done = check(
        {
            "lake/headrace_lake/a.py": "from headrace_lake import b\n",
            "lake/headrace_lake/b.py": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from headrace_lake.a import b\n",
        }
    )
    assert done.returncode == 0, done.stdout
    assert "1 imports under TYPE_CHECKING; 1 circles close only through them" in done.stdout
    assert "lake/headrace_lake/b.py:4" in done.stdout


def test_a_long_file_needs_a_reason_and_a_reason_needs_a_long_file(check: Check) -> None:
    long, short = {"lake/headrace_lake/long.py": "X = 1\n" * 401}, {"lake/headrace_lake/long.py": "X = 1\n" * 400}
    assert "long.py has 401 lines" in check(long).stdout
    listed = {"lake/headrace_lake/long.py": "one table"}
    assert check(long, long_files=listed).returncode == 0
    assert "without a reason" in check(long, long_files=dict.fromkeys(listed, " ")).stdout
    stale = check(short, long_files=listed)
    assert stale.returncode == 1 and "which has 400 lines" in stale.stdout
    gone = check(short, long_files={"lake/headrace_lake/gone.py": "one table"})
    assert gone.returncode == 1 and "gone.py, which is not there" in gone.stdout
