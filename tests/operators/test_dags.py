"""The DAG files: they load, fast and light, and every command in them is a command that `headrace` has."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import yaml
from airflow._shared.timezones.timezone import coerce_datetime
from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.types import DagRunType
from patience import PATIENCE_S

from headrace_lake.engine import load_pipeline
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.terminal.choosing import sources_of_group
from headrace_operators.gate import GateOperator
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import known_sources, slice_words, slices_of, source_choices
from headrace_operators.timetable import DailySlices

EXPECTED = {"ingest_text", "pretrain", "evaluate", "release", "poc"}


@pytest.fixture
def dags(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """All DAGs of the checkout."""
    monkeypatch.chdir(checkout)
    bag = DagBag(str(checkout / "dags"))
    assert bag.import_errors == {}
    return dict(bag.dags)


def test_no_dag_names_a_stage_so_a_new_filter_needs_no_edit_of_one(dags: dict[str, Any], settings: Settings, tmp_path: Path) -> None:
    shipped = load_pipeline(settings, "text")
    names = {stage.name for stage in shipped.stages}
    for dag in dags.values():
        for task in dag.tasks:
            words = [str(word) for word in getattr(task, "argv", [])]
            assert not names & {part for word in words for part in word.split(",")}, f"{dag.dag_id}.{task.task_id} names stages"
    for dag_id, task_id in (("ingest_text", "clean"), ("poc", "clean_1"), ("poc", "clean_2")):
        assert "--slice-local" in dags[dag_id].get_task(task_id).argv
    folder = settings.resolve(settings.pipelines)
    text = yaml.safe_load((folder / "text.yaml").read_text(encoding="utf-8"))
    for entry in text["stages"]:
        if "params_from" in entry:
            entry["params_from"] = str(folder / entry["params_from"])
    place = next(i for i, entry in enumerate(text["stages"]) if entry["use"].endswith(":Minhash"))
    text["stages"][place:place] = [
        {"use": "headrace_governance.duplicates.near.simhash:Simhash"},  # looks at its own slice
        {"use": "headrace_governance.duplicates.near.simhash:NearDuplicateSimhash"},  # looks at others
    ]
    (tmp_path / "text.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    longer = load_pipeline(settings, tmp_path / "text.yaml")
    added = {stage.name for stage in longer.stages} - names
    assert added == {"simhash", "near_duplicate_simhash"}
    before, now = ([stage.name for stage in line.slice_local().stages] for line in (shipped, longer))
    assert [name for name in now if name not in before] == ["simhash"] and [name for name in now if name in before] == before


def test_duplicates_and_what_needs_them_wait_for_the_other_slices(settings: Settings) -> None:
    first, second = (([stage.name for stage in layer.stages]) for layer in load_pipeline(settings, "text").layers())
    duplicates = ["exact_duplicate", "duplicate_paragraph", "exact_substring", "near_duplicate"]
    assert second == [*duplicates, "decontamination", "quality", "select", "tokenise"]
    assert first[0] == "extract" and {"text_digests", "minhash", "pii"} <= set(first)


def test_training_and_evaluation_get_every_core_of_their_machine(dags: dict[str, Any]) -> None:
    for dag_id, task_id in (("poc", "train"), ("poc", "evaluate"), ("pretrain", "train"), ("evaluate", "evaluate")):
        task = dags[dag_id].get_task(task_id)
        assert task.program[:3] == ["env", "-u", "OMP_NUM_THREADS"] and task.cpus == 1, f"{dag_id}.{task_id}"


def test_the_dags_are_there_and_connected_by_assets(dags: dict[str, Any]) -> None:
    assert set(dags) == EXPECTED
    out = {dag_id: {asset.name for task in dag.tasks for asset in task.outlets} for dag_id, dag in dags.items()}
    assert out["ingest_text"] == {"text_tokens"} and out["pretrain"] == {"checkpoint"} and out["release"] == {"release"}
    assert "checkpoint" in repr(dags["evaluate"].timetable.asset_condition)


def test_a_dag_file_parses_in_milliseconds_without_the_heavy_parts(checkout: Path) -> None:
    probe = (
        "import sys,time,runpy,pathlib\nimport airflow.sdk, headrace_operators.gate, headrace_operators.operator\n"
        "for f in sorted(pathlib.Path('dags').glob('*.py')):\n t=time.process_time(); runpy.run_path(str(f))\n"
        " print(f.stem, time.process_time()-t)\n"
        "print('heavy', sorted({'torch','ray','megatron','datatrove','pyiceberg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=checkout, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    *times, heavy = done.stdout.strip().splitlines()
    assert heavy == "heavy []"
    assert {t.split()[0] for t in times} == EXPECTED
    assert all(float(t.split()[1]) < 0.5 for t in times), times


def test_every_command_in_a_dag_is_one_that_headrace_has(dags: dict[str, Any]) -> None:
    from headrace_cli.main import build

    root: Any = typer.main.get_command(build())
    checked = 0
    for dag in dags.values():
        for task in dag.tasks:
            if not isinstance(task, GateOperator | HeadraceOperator):
                continue
            words = ["gate", "sign"] if isinstance(task, GateOperator) else task.argv
            command: Any = root
            rest = list(words)
            while rest and hasattr(command, "commands"):
                name = rest.pop(0)
                assert name in command.commands, f"{dag.dag_id}.{task.task_id}: no command {name!r} in {words}"
                command = command.commands[name]
            options = {o for p in command.params for o in p.opts}
            used = {w.split("=")[0] for w in rest if isinstance(w, str) and w.startswith("--")}
            assert used <= options, f"{dag.dag_id}.{task.task_id}: {used - options} unknown"
            checked += 1
    assert checked >= 10


def test_a_day_is_a_slice(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    day = datetime(2026, 11, 3, tzinfo=UTC)
    run = SimpleNamespace(data_interval_start=day, data_interval_end=day + timedelta(days=1))
    assert slices_of({"source": "debian-handbook-en", "slice": None}, run) == ["debian-handbook-en/2026-11-03"]
    assert slices_of({"source": "scheduled", "slice": None}, run) == []  # no shipped source asks to be taken each day
    everything = slices_of({"source": "all", "slice": "x"}, run)
    assert everything == [f"{s}/x" for s in known_sources("text")] and len(everything) >= 20


def test_the_slices_of_a_run_are_one_word_of_its_commands_and_mean_the_same(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    day = datetime(2026, 11, 3, tzinfo=UTC)
    run = SimpleNamespace(data_interval_start=day, data_interval_end=day + timedelta(days=1))
    assert slice_words({"source": "debian-handbook-en", "slice": None}, run) == ["debian-handbook-en/2026-11-03"]
    assert slice_words({"source": "scheduled", "slice": None}, run) == ["@text:daily/2026-11-03"]
    (word,) = slice_words({"source": "all", "slice": "x"}, run)
    name, _, interval = word.partition("/")
    listed = [f"{s}/{interval}" for s in sources_of_group(checkout / "governance" / "sources", name)]
    assert listed == slices_of({"source": "all", "slice": "x"}, run)
    with pytest.raises(AirflowFailException, match="set the parameter 'slice'"):
        slice_words({"source": "all", "slice": None}, SimpleNamespace(data_interval_start=None, data_interval_end=None))


@pytest.mark.parametrize(
    ("params", "why"), [({"source": "a", "slice": None}, "set the parameter 'slice'"), ({"source": "a", "slice": "../x"}, "not valid")]
)
def test_a_run_without_a_valid_slice_fails_at_once(params: dict[str, Any], why: str) -> None:
    run = SimpleNamespace(data_interval_start=None, data_interval_end=None)
    with pytest.raises(AirflowFailException, match=why):
        slices_of(params, run)


def test_no_template_of_a_dag_reads_what_another_task_left_in_xcom(dags: dict[str, Any]) -> None:
    """A user may write it: what a task is to do follows from the run's parameters, which each task works out anew."""
    for dag in dags.values():
        for task in dag.tasks:
            templates = repr([getattr(task, field, None) for field in task.template_fields])
            assert "xcom" not in templates and "conf" not in templates.replace("config", ""), f"{dag.dag_id}.{task.task_id}: {templates}"
    macros = dags["ingest_text"].user_defined_macros
    assert macros["slices_of"] is slices_of and macros["slice_words"] is slice_words


@pytest.mark.parametrize("wrong", ["a\n", "a/b", "../x", "a b", "", "-x", "a" * 64, "--base-url=http://127.0.0.1:9"])
def test_the_form_refuses_a_slice_that_is_no_name(dags: dict[str, Any], wrong: str) -> None:
    slice_ = dags["ingest_text"].params.get_param("slice")
    with pytest.raises(ParamValidationError):
        slice_.resolve(wrong)
    for good in ("2026-11-01", "poc", None):
        assert slice_.resolve(good) == good


def test_results_that_later_tasks_rely_on_are_looked_up_in_the_lake(dags: dict[str, Any]) -> None:
    leaves = {(dag.dag_id, t.task_id): t.makes for dag in dags.values() for t in dag.tasks if isinstance(t, HeadraceOperator) and t.makes}
    line = {"mix": "mix", "train": "run", "evaluate": "evaluation", "judge": "gate-evidence", "release": "release"}
    assert {task: kind for (dag, task), kind in leaves.items() if dag == "poc"} == line
    assert leaves["release", "judge"] == "gate-evidence" and leaves["release", "build"] == "release"
    assert leaves["pretrain", "train"] == "run" and leaves["evaluate", "evaluate"] == "evaluation"


def test_unpausing_ingest_text_takes_only_the_sources_that_ask_to_be_taken_each_day(
    dags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    day = datetime(2026, 11, 3, tzinfo=UTC)
    run = SimpleNamespace(data_interval_start=day, data_interval_end=day + timedelta(days=1))
    dag = dags["ingest_text"]
    default = {name: dag.params.get_param(name).value for name in dag.params}
    assert dag.get_task("slices").python_callable(params=default, dag_run=run) == []
    assert "no source says 'schedule: daily'" in caplog.text
    assert dag.get_task("crawl").upstream_task_ids == {"slices"}
    for name, more in (("often", "schedule: daily\n"), ("seldom", ""), ("tomorrow", "# schedule: daily\n")):
        (tmp_path / f"{name}.yaml").write_text(f"id: {name}\nmodality: text\n{more}", encoding="utf-8")
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump({"sources": str(tmp_path)}), encoding="utf-8")
    monkeypatch.setenv("HEADRACE_SETTINGS", str(tmp_path / "headrace.yaml"))
    assert dag.get_task("slices").python_callable(params=default, dag_run=run) == ["often/2026-11-03"]
    assert source_choices("text")["scheduled"] == "scheduled: sources with 'schedule: daily' (now: often)"
    named = default | {"source": "seldom"}
    assert dag.get_task("slices").python_callable(params=named, dag_run=run) == ["seldom/2026-11-03"]


def test_run_ids_name_the_day_of_the_slice(dags: dict[str, Any]) -> None:
    dag = DagSerialization.from_dict(DagSerialization.to_dict(dags["ingest_text"]))  # as the scheduler and the API server know it
    assert isinstance(dag.timetable, DailySlices) and not dag.catchup
    first, last = datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)
    infos = list(dag.iter_dagrun_infos_between(first, last))
    assert len(infos) == 2
    for info, name in zip(infos, ("2026-11-03", "2026-11-04"), strict=True):
        assert str(Slice.of_interval("s", *info.data_interval)) == f"s/{name}"
        scheduled = dag.timetable.generate_run_id(run_type=DagRunType.SCHEDULED, run_after=info.run_after, data_interval=info.data_interval)
        assert scheduled == f"scheduled__{name}"
        backfilled = DagRun.generate_run_id(run_type=DagRunType.BACKFILL_JOB, logical_date=info.logical_date, run_after=info.run_after)
        assert backfilled == f"backfill__{name}T23:59:59+00:00"
    noon = coerce_datetime(datetime(2026, 11, 3, 12, 30, tzinfo=UTC))
    interval = dag.timetable.infer_manual_data_interval(run_after=noon)
    now = coerce_datetime(datetime(2026, 12, 1, 8, 5, 6, 789, tzinfo=UTC))
    assert str(Slice.of_interval("s", *interval)) == "s/2026-11-03"
    by_hand = dag.timetable.generate_run_id(run_type=DagRunType.MANUAL, run_after=now, data_interval=interval)
    assert by_hand == "manual__2026-11-03__080506000789"
    nameless = dag.timetable.generate_run_id(run_type=DagRunType.MANUAL, run_after=now, data_interval=None)
    assert nameless == "manual__2026-12-01T08:05:06.000789+00:00"


def test_the_form_of_release_offers_only_gates_that_a_human_signs_and_the_recipes_own_with_what_each_is(dags: dict[str, Any]) -> None:
    gate = dags["release"].params.get_param("gate")
    assert gate.schema["enum"] == ["release", "own"] and gate.value == "release"
    shown = gate.schema["values_display"]
    assert shown["release"] == "release: signed by a person, never by who triggered the run; a decision holds for 72 hours"
    assert shown["own"] == "the recipe's own: tiny → poc (AUTOMATIC, no human is asked)"
    assert all(words in gate.schema["description_md"] for words in shown.values())


def test_every_dag_says_whose_it_is_and_what_it_and_its_tasks_do(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.description and dag.doc_md, dag.dag_id
        for task in dag.tasks:
            assert task.doc_md and task.owner != "airflow", f"{dag.dag_id}.{task.task_id}"
        for name in dag.params:
            param = dag.params.get_param(name)
            assert param.description or param.schema.get("description_md"), f"{dag.dag_id}: {name}"
