"""What every command has in common, held by walking the tree of commands: JSON, help, completion, signals, pipes, silence."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
import yaml
from patience import PATIENCE_S
from typer.testing import CliRunner

from headrace_cli import main
from headrace_jobs.evaluation.bits_per_byte import DEFINITION
from headrace_jobs.gates.judge import evaluate_gate
from headrace_jobs.gates.policy import load_policy
from headrace_lake.errors import HeadraceError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.nearest import did_you_mean, nearest
from headrace_lake.receipts import Artifact, Counts, Receipt, here, new_run_id
from headrace_lake.settings import load_settings
from headrace_lake.slices import Slice
from headrace_lake.terminal import completion
from headrace_lake.terminal.choosing import slices_of_lake

# Commands that print nothing a program would read: they serve, start, stop, or write files whose names were given.
WITHOUT_JSON = {"poc", "services up", "services down", "samples build", "samples serve", "tokenizer export", "tokenizer bench"}
# Commands that change something; every other one lists or shows, and is run below.
ACTIONS = {
    *(
        "crawl",
        "compile",
        "slice run",
        "stage run",
        "stage prove-equal",
        "stage revoke",
        "table tag",
        "table vacuum",
        "audit sample",
        "audit page",
        "audit judge",
        "audit model",
    ),
    *("audit verdict", "audit waive", "decontaminate register", "decontaminate register-held-out", "decontaminate forget"),
    *("decontaminate count-common", "docs build", "quality train", "mix compile", "train", "eval run", "gate evaluate", "gate sign"),
    *("release build", "generate", "backfill", "jobs ls", "jobs logs", "jobs stop"),
}
# Listing → its words; `None` where the small lake below has nothing to show: then it refuses in one line and prints no document.
# Those of `jobs` need a cluster: test_stopping_jobs.py.
EXAMPLES: dict[str, list[str] | None] = {
    "doctor": ["--role", "airflow"],
    "services status": ["--folder", "no-services"],
    "source ls": [],
    "source check": [],
    "slice preview": ["text", "mine/.."],
    "slice check": ["text", "mine/2026-11-01"],
    "slice status": [],
    "slice stale": ["mine/.."],
    "stage ls": [],
    "stage equivalences": [],
    "table ls": [],
    "table show": ["documents", "--slice", "mine/2026-11-01"],
    "table history": ["documents"],
    "lineage up": ["mine/2026-11-01"],
    "lineage down": ["mine/2026-11-01"],
    "doc": ["UID"],
    "drops": ["--samples", "1"],
    "what-if": None,
    "audit drop-rate": [],
    "ledger": [],
    "decontaminate sets": [],
    "decontaminate report": [],
    "quality show": [],
    "jobs plan": ["ledger"],
    "tokenizer show": [],
    "tokenizer encode": ["water"],
    "tokenizer decode": ["1", "2"],
    "mix show": None,
    "mix ls": [],
    "eval show": None,
    "eval ls": [],
    "gate show": ["EVIDENCE"],
    "gate ls": [],
    "gate policies": [],
    "release verify": None,
    "release ls": [],
}
NO_SETTINGS = {"services status", "tokenizer show", "tokenizer encode", "tokenizer decode"}
NAMES_FOR_NONE = {"what-if": "no-such-pipeline", "mix show": "nothing", "eval show": "nothing", "release verify": "nothing"}
PROSE = "The river carries water to the wheel, and the wheel turns the stones that grind the grain of the whole valley. "
LICENCE = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "the test says so"}}


def _leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with its words."""
    children = getattr(command, "commands", None)
    if not children or getattr(command, "invoke_without_command", False):
        yield path, command
    for name, child in (children or {}).items():
        yield from _leaves(child, f"{path} {name}".strip())


LEAVES = dict(_leaves(typer.main.get_command(main.build())))


@dataclass(frozen=True)
class Desk:
    """A folder with a small lake, and the command run in it."""

    folder: Path
    settings: Path
    evidence: str
    uid: str
    said: str

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return _run(self.folder, *words, **environment)


def _run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace_cli", *words]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=env)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "sources").mkdir()
    (folder / "pages").mkdir()
    for i in range(3):
        body = "".join(f"<p>{PROSE} Page {i}, paragraph {p}.</p>" for p in range(6))
        (folder / "pages" / f"{i}.html").write_text(f"<html lang=en><body><main><h1>{i}</h1>{body}</main></body></html>", encoding="utf-8")
    for name in ("mine", "mine-too"):
        source = {"id": name, "title": "a test's own", "modality": "text", "languages": ["en"], "licence": LICENCE, "declared_tokens": 1000}
        fetch = {"kind": "folder", "path": str(folder / "pages")}
        (folder / "sources" / f"{name}.yaml").write_text(yaml.safe_dump({**source, "fetch": fetch}), encoding="utf-8")
    file = folder / "headrace.yaml"
    configuration = {name: str(checkout / "governance" / name) for name in ("pipelines", "policies")}
    file.write_text(yaml.safe_dump({"lake": {"root": "lake"}, "sources": "sources", "runs": "runs", **configuration}), encoding="utf-8")
    (folder / "small").mkdir()
    small = {"name": "small", "stages": [{"use": "stages_for_tests:Length", "params": {"minimum": 200}}]}
    (folder / "small" / "small.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    fetched = _run(folder, "crawl", "mine*/2026-11-01")
    assert fetched.returncode == 0, fetched.stderr
    lake = Lake.open(load_settings(file))
    for name in ("mine", "mine-too"):
        _documents(lake, Slice(name, "2026-11-01"))
    cleaned = _run(folder, "slice", "run", "small/small.yaml", "mine*/..", PYTHONPATH=str(checkout / "tests" / "lake"))
    assert cleaned.returncode == 0, cleaned.stderr
    interval = {"value": 0.7, "low": 0.6, "high": 0.8}
    row = {"language": "en", "advantage": interval, "documents": 96, "training_bytes": 2_400_000}
    parents: tuple[str, ...] = ()
    for kind in ("mix", "run", "checkpoint", "evaluation"):
        payload = {"definition": DEFINITION, "languages": [row], "overall": row} if kind == "evaluation" else {}
        lake.record_artifact(Artifact(kind=kind, name="tiny", fingerprint=digest_of(kind), parents=parents, payload=payload))
        parents = (*parents, digest_of(kind))
    evidence, _ = evaluate_gate(lake, load_policy(lake.settings, "release"), "tiny")
    uid = digest_of(["mine/2026-11-01", 2])
    return Desk(folder, file, evidence.fingerprint, uid, fetched.stderr + cleaned.stderr)


def _documents(lake: Lake, slice_: Slice) -> None:
    """Documents as if the stage `extract` had made them, whose real libraries take half a minute."""
    texts = ["short", *(PROSE * n for n in (3, 6))]
    rows = {
        "uid": [digest_of([str(slice_), i]) for i in range(3)],
        "url": [f"https://example.org/{slice_.source}/{i}" for i in range(3)],
        "text": pa.array(texts, pa.large_string()),
        "characters": [len(t) for t in texts],
        "bytes": [len(t) for t in texts],
        "replaced_characters": [0] * 3,
        "licence": ["CC0-1.0"] * 3,
        "licence_class": ["public"] * 3,
        "content_digest": [digest_of(t) for t in texts],
    }
    shard = lake.write_shard("documents", slice_, 0, pa.table(rows))
    now = datetime.now(UTC)
    receipt = Receipt(
        run_id=new_run_id(),
        stage="extract",
        version="1",
        source=slice_.source,
        slice=slice_.interval,
        fingerprint=digest_of(shard.digest),
        code="",
        params={},
        params_digest="",
        inputs=(),
        outputs=(shard,),
        tables=("documents",),
        counts=Counts(read=3, kept=3),
        started_at=now,
        finished_at=now,
        **here(),
    )
    lake.commit(StageCommit(receipt))


# -- JSON ----------------------------------------------------------------------------------------------------------------


def test_every_command_is_an_action_or_a_listing_that_is_tried_here() -> None:
    assert set(LEAVES) - ACTIONS - WITHOUT_JSON - set(EXAMPLES) == set()


def test_every_command_takes_json_but_the_few_that_print_nothing_for_programs() -> None:
    lacking = {name for name, command in LEAVES.items() if not any("--json" in p.opts for p in command.params)}
    assert lacking - WITHOUT_JSON == set()


def test_every_command_and_group_explains_itself_at_h(desk: Desk) -> None:
    runner = CliRunner()
    for name, command in LEAVES.items():
        done = runner.invoke(main.app, [*name.split(), "-h"])
        assert done.exit_code == 0 and "Usage:" in done.stdout and command.help, name


@pytest.mark.parametrize("name", [n for n, words in EXAMPLES.items() if words is not None])
def test_a_listing_prints_one_json_document_and_nothing_else(
    name: str, desk: Desk, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    monkeypatch.chdir(checkout)  # the vocabulary's default path
    words = [{"UID": desk.uid, "EVIDENCE": desk.evidence}.get(w, w) for w in EXAMPLES[name] or []]
    where = [] if name in NO_SETTINGS else ["--settings", str(desk.settings)]
    done = CliRunner().invoke(main.app, [*name.split(), *words, *where, "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    document = json.loads(done.stdout)
    assert isinstance(document, dict | list) and document, name
    keys = set(_keys(document))
    assert not [k for k in keys if "\n" in k] and "…" not in done.stdout
    assert done.stderr == ""


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


@pytest.mark.parametrize("name", [n for n, words in EXAMPLES.items() if words is None])
def test_a_listing_that_has_nothing_to_show_prints_no_half_document(name: str, desk: Desk) -> None:
    done = CliRunner().invoke(main.app, [*name.split(), NAMES_FOR_NONE[name], "--settings", str(desk.settings), "--json"])
    assert isinstance(done.exception, HeadraceError) and done.stdout == "", (done.exception, done.stdout)


def test_numbers_are_numbers_and_times_say_their_zone(desk: Desk) -> None:
    done = CliRunner().invoke(main.app, ["slice", "status", "--settings", str(desk.settings), "--json"])
    receipts = json.loads(done.stdout)["receipts"]
    assert {r["slice"] for r in receipts} == {"mine/2026-11-01", "mine-too/2026-11-01"}
    for r in receipts:
        assert isinstance(r["read"], int) and r["read"] == 3 and isinstance(r["seconds"], float | int)
        assert r["finished"].endswith(("Z", "+00:00")) and len(r["fingerprint"]) == 32


# -- tables and silence --------------------------------------------------------------------------------------------------


def test_a_table_in_a_pipe_has_whole_values_on_lines_of_their_own(desk: Desk) -> None:
    done = desk.run("table", "show", "documents", COLUMNS="60")
    assert done.returncode == 0 and not set(done.stdout) & set("…│┃━╭")
    rows = [line for line in done.stdout.split("\n") if line.startswith(desk.uid[:8]) or desk.uid in line]
    assert len(rows) == 1 and (PROSE * 6).strip() in rows[0] and "https://example.org/mine/2" in rows[0]
    listed = desk.run("source", "ls", COLUMNS="40").stdout.split("\n")
    assert len({line.index("text") for line in listed[2:4]}) == 1 and listed[2].split()[-1] == "1000"


def test_crawl_and_slice_run_say_nothing_on_standard_error_when_they_are_quick_and_well(desk: Desk) -> None:
    assert desk.said == ""


def test_reading_commands_say_nothing_on_standard_error_and_load_nothing_of_other_commands(desk: Desk) -> None:
    probe = "import atexit, sys; atexit.register(lambda: print(sorted({'httpx', 'ray', 'torch'} & set(sys.modules))))\n"
    for name in ("drops", "ledger"):
        code = f"{probe}from headrace_cli.main import main; sys.argv = ['headrace', '{name}']; main()"
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, cwd=desk.folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "[]"), name


def test_a_reader_that_leaves_early_ends_the_command_quietly(desk: Desk) -> None:
    command = f"{sys.executable} -m headrace_cli table show documents; echo $? >&2"
    done = subprocess.run(
        ["sh", "-c", f"{{ {command}; }} | true"], cwd=desk.folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr and "Exception" not in done.stderr
    assert int(done.stderr.split()[-1]) in (0, 1, 141)


def _at_terminal(folder: Path, code: str, **environment: str) -> str:
    """What a Python program prints at a terminal."""
    leader, follower = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    env |= {"TERM": "xterm-256color", "COLUMNS": "120", **environment}
    child = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdin=follower, stdout=follower, stderr=follower, env=env)
    os.close(follower)
    said = b""
    while True:
        try:
            got = os.read(leader, 65536)
        except OSError:
            break
        if not got:
            break
        said += got
    os.close(leader)
    assert child.wait(PATIENCE_S) == 0
    return said.decode()


BAR = """
import time
from headrace_lake.terminal.progress import progress
with progress("fetch a/b", 40, "pages") as bar:
    for _ in range(40):
        time.sleep(0.02)
        bar.advance(1, note="3 dropped")
print("the result")
"""


def test_at_a_terminal_progress_is_a_bar_with_rate_and_time_left_and_no_color_is_heeded(tmp_path: Path) -> None:
    said = _at_terminal(tmp_path, BAR)
    assert "fetch a/b" in said and "/40" in said and "pages/s" in said and "3 dropped" in said and "the result" in said
    assert any(f"\x1b[{colour}" in said for colour in ("38;5", "35m", "36m", "32m"))
    plain = _at_terminal(tmp_path, BAR, NO_COLOR="1")
    assert "pages/s" in plain and not any(f"\x1b[{colour}" in plain for colour in ("38;5", "35m", "36m", "32m"))


def test_in_a_log_progress_is_lines_that_come_also_while_nothing_moves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace_lake.terminal import progress

    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.05)
    with progress.progress("text a/b", 200, "rows") as bar:
        time.sleep(0.3)
        bar.update(50, 200, note="1/2 slices")
        time.sleep(0.3)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and lines[0].startswith("text a/b: 0/200 rows (0%)") and "left" not in lines[0]
    assert "50/200 rows (25%), " in lines[-1] and "rows/s" in lines[-1] and " left, after " in lines[-1] and "1/2 slices" in lines[-1]
    with progress.progress("quick", 1, "rows") as bar:
        bar.advance()
    assert capsys.readouterr().err == ""


# -- help, version, completion, names ------------------------------------------------------------------------------------


def test_the_list_of_commands_says_what_the_commands_say_of_themselves() -> None:
    root: Any = typer.main.get_command(main.build())
    for name in main._COMMANDS:
        first = " ".join((root.commands[name].help or "").split("\n\n")[0].split())
        assert main._SUMMARIES.get(name, first) == first, name
    assert set(main._SUMMARIES) - set(main._COMMANDS) == set()


def test_help_imports_no_component_and_cuts_no_line(tmp_path: Path) -> None:
    probe = (
        "import sys, headrace_cli.main as m\nsys.argv = ['headrace', '--help']\ntry: m.main()\nexcept SystemExit: pass\n"
        "print(sorted({'pydantic', 'pyarrow', 'rich.console', 'yaml', 'headrace_lake.settings', 'headrace_lake.cli'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout.splitlines()[-1] == "[]" and "..." not in done.stdout.replace("[ARGS]...", "")
    grouped = _run(tmp_path, "slice", "--help").stdout
    assert "..." not in grouped.replace("[ARGS]...", "") and "without doing it." in grouped


def test_the_version_names_the_package_and_the_commit(checkout: Path) -> None:
    said = _run(checkout, "--version").stdout
    assert said.startswith("headrace 0.")
    if (checkout / ".git").exists():
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True).stdout
        assert f"commit {commit[:12]}" in said


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("headrace sl", "slice"),
        ("headrace slice st", "status"),
        ("headrace crawl mine-", "mine-too/"),
        ("headrace slice status mine/", "mine/2026-11-01"),
        ("headrace source check mine-", "mine-too"),
        ("headrace table show doc", "documents"),
        ("headrace slice run te", "text"),
        ("headrace gate evaluate rel", "release"),
        ("headrace drops --stage gopher_q", "gopher_quality"),
        ("headrace gate show EVIDENCE", "EVIDENCE"),
    ],
)
def test_names_are_completed_and_nothing_is_created(words: str, found: str, desk: Desk, tmp_path: Path) -> None:
    mark = desk.evidence[:16]
    words, found = words.replace("EVIDENCE", mark[:4]), found.replace("EVIDENCE", mark)
    env = {"_HEADRACE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    code = "import sys; sys.argv = ['headrace']; from headrace_cli.main import main; main()"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=desk.folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env={**os.environ, **env})
    assert found in done.stdout.split(), (done.stdout, done.stderr)
    subprocess.run(run, cwd=tmp_path, capture_output=True, check=False, timeout=PATIENCE_S, env={**os.environ, **env})
    assert list(tmp_path.iterdir()) == []


def test_completion_of_slices_and_sources_needs_no_heavy_import(desk: Desk) -> None:
    probe = (
        "import sys\nfrom headrace_lake.terminal import completion\nfound = completion.slices('mine/') + completion.recipes('')\n"
        "print(found, sorted({'pydantic', 'pyarrow', 'pyiceberg', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=desk.folder, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout == "['mine/', 'mine/2026-11-01'] []\n"


def test_the_stages_that_are_completed_are_those_of_the_pipeline(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace_lake.engine import load_pipeline
    from headrace_lake.settings import Settings

    monkeypatch.chdir(checkout)
    monkeypatch.delenv("HEADRACE_SETTINGS", raising=False)
    real = {s.name for s in load_pipeline(Settings(base=checkout), "text").stages}
    assert set(completion.stages("")) == real


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sorce", "ls"], "'source'"),
        (["table", "shwo"], "'show'"),
        (["table", "show", "document"], "did you mean 'documents'"),
        (["crawl", "mien/2026-11-01"], "did you mean 'mine'"),
        (["slice", "run", "txt", "mine/2026-11-01"], "did you mean 'text'"),
        (["slice", "run", "text", "mine/2026-11-01", "--stages", "gopher_qualty"], "did you mean 'gopher_quality'"),
        (["slice", "status", "mien*/.."], "did you mean 'mine/2026-11-01'"),
        (["mix", "compile", "tyni"], "did you mean 'tiny'"),
        (["gate", "evaluate", "relase", "--recipe", "tiny"], "did you mean 'release'"),
    ],
)
def test_a_name_that_is_not_known_is_answered_with_the_nearest(words: list[str], said: str, desk: Desk, checkout: Path) -> None:
    folder = desk.folder
    if words[0] == "mix" and not (folder / "megatron_jobs").exists():
        (folder / "megatron_jobs").symlink_to(checkout / "megatron_jobs")
    done = desk.run(*words)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_the_nearest_names_come_first_and_all_are_listed_where_none_is_near() -> None:
    assert nearest("documnts", ["admitted", "documents", "Documents-2"])[0] == "documents"
    assert nearest("gopher", ["c4", "gopher_below_alpha_threshold"]) == ["gopher_below_alpha_threshold"]
    assert did_you_mean("zzz", ["a", "b"], of="tables") == "tables: a, b"
    assert did_you_mean("zzz", [f"name{i:02d}" for i in range(20)], of="tables").endswith("name11 and 8 more")
    assert did_you_mean("x", [], of="tables") == "tables: none"


def test_patterns_mean_the_slices_of_the_lake(desk: Desk) -> None:
    lake = Lake.open(load_settings(desk.settings))
    both = ["mine-too/2026-11-01", "mine/2026-11-01"]
    for pattern in ("mine*/..", "*/2026-11-01", "*/*", "m?ne*/2026-1[01]-01"):
        assert sorted(map(str, slices_of_lake(lake, [pattern]))) == both, pattern
    assert list(map(str, slices_of_lake(lake, ["mine/..", "mine/2026-11-01", "new/day"]))) == ["mine/2026-11-01", "new/day"]
    with pytest.raises(InputError, match="no slice in the lake at .* matches 'yours-"):
        slices_of_lake(lake, ["yours-*/.."])


# -- signals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_a_run_with_one_line_that_says_what_stays_and_the_same_command_goes_on(
    number: int, code: int, name: str, desk: Desk, tmp_path: Path, checkout: Path
) -> None:
    (tmp_path / "pipelines").mkdir()
    stage = {"use": "stages_for_tests:Length", "params": {"pause_seconds": 90}}
    (tmp_path / "pipelines" / "slow.yaml").write_text(yaml.safe_dump({"name": "slow", "stages": [stage]}), encoding="utf-8")
    content = yaml.safe_load(desk.settings.read_text(encoding="utf-8"))
    content |= {"base": str(desk.folder), "pipelines": str(tmp_path / "pipelines")}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    code_ = "import headrace_lake.terminal.progress as p; p.FIRST_SECONDS = 0.2\nfrom headrace_cli.main import main; main()"
    words = ["slice", "run", "slow", "mine/2026-11-01"]
    env = {**os.environ, "PYTHONPATH": str(checkout / "tests" / "lake")}
    run, pipe = [sys.executable, "-c", code_, *words], subprocess.PIPE
    child = subprocess.Popen(run, cwd=tmp_path, text=True, stderr=pipe, stdout=pipe, env=env)
    assert child.stderr is not None
    assert child.stderr.readline().startswith("mine/2026-11-01 length: 0/3 rows")
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE_S)
    told = [line for line in err.splitlines() if line.startswith("headrace: ")]
    assert (child.returncode, out, "Traceback" in err) == (code, "", False), err
    assert told == [
        f"headrace: {name}: 0 of 1 stage runs are committed, 0 of 1 slices are through; finished parts of the others are recorded. "
        "Go on with: headrace slice run slow mine/2026-11-01"
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_says_nothing_of_its_own_still_ends_in_one_line(number: int, tmp_path: Path) -> None:
    code = (
        "import os, sys\nimport headrace_cli.main as m\n"
        "m._COMMANDS['wait'] = ('waiting', 'wait')\nsys.argv = ['headrace', 'wait']\nm.main()"
    )
    waiting = f"import os, time\ndef wait() -> None:\n    '''Wait.'''\n    os.kill(os.getpid(), {int(number)})\n    time.sleep(900)\n"
    (tmp_path / "waiting.py").write_text(waiting, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=env
    )
    assert done.returncode == 128 + number and done.stderr.count("\n") == 1 and "Go on with: headrace wait" in done.stderr
