"""`headrace doctor`: names what is missing and the way out, and changes nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from headrace_cli.doctor import checks, doctor
from headrace_cli.finding import Check
from headrace_lake.settings import Settings


def _by_name(settings: Settings, *, measure: bool = False, **more: object) -> dict[str, Check]:
    return {check.name: check for check in checks(settings, measure=measure, **more)}


def _with(settings: Settings, **sections: object) -> Settings:
    return Settings.model_validate({**settings.model_dump(mode="json"), **sections})


def test_the_environment_the_tests_run_in_is_complete_and_locked(settings: Settings) -> None:
    found = _by_name(settings)
    for name in ("Python", "pyarrow", "ray", "apache-airflow", "megatron-core", "torch", "transformer-engine", "lock"):
        assert found[name].state == "ok", found[name]


def test_what_is_ok_needs_no_way_out_and_what_is_missing_has_one(settings: Settings) -> None:
    for check in checks(_with(settings, ray={"address": "nonsense"}), measure=False):
        assert bool(check.way_out) == (check.state != "ok"), check


def test_it_leaves_no_trace(settings: Settings, tmp_path: Path) -> None:
    checks(settings, measure=False)
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_asked_for_its_own_packages_only(settings: Settings) -> None:
    assert "apache-airflow" not in _by_name(settings, role="data")
    assert "torch" not in _by_name(settings, role="airflow")
    assert {"pyarrow", "ray"} <= set(_by_name(settings, role="data"))


def test_a_token_that_others_can_read_is_a_fault(settings: Settings, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("planted-secret", encoding="utf-8")
    token.chmod(0o644)
    check = _by_name(_with(settings, ray={"token_file": str(token)}))["Ray token"]
    assert (check.state, check.way_out) == ("missing", f"chmod 600 {token}")
    assert "planted-secret" not in check.found
    token.chmod(0o600)
    assert _by_name(_with(settings, ray={"token_file": str(token)}))["Ray token"].state == "ok"


def test_ray_is_asked_only_where_it_is_what_starts_jobs(settings: Settings) -> None:
    assert {"Ray", "Ray token"} <= set(_by_name(settings))
    assert not {"Ray", "Ray token"} & set(_by_name(_with(settings, jobs={"launcher": "local"})))


def test_a_service_is_seen_listening_free_or_out_of_reach(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        listening = _by_name(_with(settings, ray={"address": address}))["Ray"]
    free = _by_name(_with(settings, ray={"address": address}))["Ray"]
    assert ("something listens" in listening.found, "is free" in free.found) == (True, True)
    away = _by_name(_with(settings, airflow={"address": "http://nowhere.invalid:80"}))["Airflow"]
    assert away.state == "missing"


def test_a_store_whose_key_cannot_be_had_is_missing(settings: Settings) -> None:
    lake = {
        "root": "s3://bucket/lake",
        "catalog": "sqlite:///x.db",
        "s3": {"endpoint": "http://127.0.0.1:1", "access_key": {"env": "A"}, "secret_key": {"env": "B"}},
    }
    found = {(c.name, c.state) for c in checks(_with(settings, lake=lake), measure=False)}
    assert ("secret", "missing") in found and ("object store", "ok") not in found


def test_the_precision_that_training_would_choose_is_shown_with_its_figures(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ATEN_CPU_CAPABILITY", "avx2"), ("MKL_ENABLE_INSTRUCTIONS", "AVX2")):
        monkeypatch.setenv(name, value)
    check = _by_name(settings, measure=True)["precision"]
    assert check.state == "ok" and "model tiny: layers fp32, softmax fp32; fp32 is" in check.found and "GFLOP/s" in check.found


def test_a_model_file_that_asks_for_what_the_processor_emulates_is_pointed_at(
    settings: Settings, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ATEN_CPU_CAPABILITY", "avx2"), ("MKL_ENABLE_INSTRUCTIONS", "AVX2")):
        monkeypatch.setenv(name, value)
    models = tmp_path / "base" / "megatron_jobs" / "configs" / "models"
    models.mkdir(parents=True)
    text = (checkout / "megatron_jobs" / "configs" / "models" / "tiny.yaml").read_text(encoding="utf-8")
    (models / "tiny.yaml").write_text(text.replace("softmax_precision: auto", "softmax_precision: bf16"), encoding="utf-8")
    check = _by_name(_with(settings, base=str(tmp_path / "base")), measure=True)["precision"]
    assert check.state == "optional" and "times as long as fp32 on this processor" in check.found and "write 'auto'" in check.way_out


def test_a_measurement_that_fails_or_hangs_is_said_and_bounded(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = _by_name(_with(settings, base=str(tmp_path / "nothing here")), measure=True)["precision"]
    assert check.state == "optional" and "no model 'tiny'" in check.found
    monkeypatch.setattr("headrace_cli.doctor.CHILD_SECONDS", 0.0)
    check = _by_name(settings, measure=True)["precision"]
    assert check.state == "optional" and "not measured within 0 s" in check.found


def test_only_a_machine_that_trains_is_asked_for_its_precision(settings: Settings) -> None:
    assert "precision" not in _by_name(settings, role="data", measure=True)
    assert "precision" not in _by_name(settings, role="airflow", measure=True)


def test_a_stale_lock_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "lock.txt").write_text("pyarrow==1.0.0 \\\n    --hash=sha256:00\n", encoding="utf-8")
    check = _by_name(settings, root=tmp_path)["lock"]
    assert (check.state, check.found) == ("missing", "1 of 1 packages differ: pyarrow")


@pytest.mark.parametrize(("address", "code"), [("http://127.0.0.1:1", 0), ("nonsense", 2)])
def test_the_command_exits_2_only_if_something_is_missing(address: str, code: int, checkout: Path, tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"base": str(checkout), "ray": {"address": address}}), encoding="utf-8")
    app = typer.Typer()
    app.command()(doctor)
    done = CliRunner().invoke(app, ["--settings", str(file), "--json"])
    states = {check["name"]: check["state"] for check in json.loads(done.stdout)}
    assert (done.exit_code, states["Ray"]) == (code, "ok" if code == 0 else "missing")
