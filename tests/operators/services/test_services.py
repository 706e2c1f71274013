"""Local services: processes that can be found, stopped and never mistaken; loopback only; clear errors."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S

from headrace_lake.errors import ServiceError
from headrace_operators.launchers import JobSpec, Owner, launcher_of
from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.services import LocalServices
from headrace_operators.services.airflow import LocalAirflow, write_passwords
from headrace_operators.services.process import Daemon, free_port
from headrace_operators.services.ray_head import RayHead


def _daemon(folder: Path, code: str, **kwargs: float) -> Daemon:
    daemon = Daemon("thing", folder, signal.SIGTERM, kwargs.get("stop_within_s", 5.0))
    daemon.start([sys.executable, "-c", code], os.environ, folder)
    return daemon


def test_a_daemon_is_found_by_its_pid_file_and_stopped(tmp_path: Path) -> None:
    daemon = _daemon(tmp_path, "import time; time.sleep(900)")
    pid = Daemon("thing", tmp_path).pid()  # another command, later
    assert pid is not None and pid == daemon.pid()
    assert daemon.stop() and daemon.pid() is None and not psutil.pid_exists(pid)
    assert not daemon.stop()


def test_a_daemon_that_ignores_the_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal,subprocess,sys,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(900)'])\nopen('child','w').write(str(p.pid))\ntime.sleep(900)"
    )
    daemon = _daemon(tmp_path, code, stop_within_s=0.5)
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    child = int((tmp_path / "child").read_text())
    daemon.stop()
    time.sleep(0.3)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_what_a_killed_daemon_left_behind_goes_when_it_is_stopped(tmp_path: Path) -> None:
    code = "import os,subprocess,sys,time\np=subprocess.Popen(['sleep','900'])\nprint(p.pid, flush=True)\ntime.sleep(900)"
    daemon = _daemon(tmp_path, code)
    deadline = time.monotonic() + PATIENCE_S
    while not daemon.tail().isdigit():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    child, pid = psutil.Process(int(daemon.tail())), daemon.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while daemon.pid() is not None:
        time.sleep(0.05)
    assert child.is_running() and not daemon.stop()
    psutil.wait_procs([child], timeout=PATIENCE_S)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_recycled_pid_is_not_ours(tmp_path: Path) -> None:
    daemon = Daemon("thing", tmp_path)
    daemon.pid_file.write_text(f"{os.getpid()} 1")
    assert daemon.pid() is None
    assert not daemon.stop(), "this very process would have been stopped"


def test_a_daemon_that_dies_while_starting_says_why(tmp_path: Path) -> None:
    daemon = _daemon(tmp_path, "print('no disk'); raise SystemExit(1)")
    with pytest.raises(ServiceError, match=r"thing ended while starting: no disk.*thing.log"):
        daemon.wait_until(lambda: False, 10)


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        head = RayHead(tmp_path, f"http://127.0.0.1:{port}", tmp_path / "token", cpus=1)
        with pytest.raises(ServiceError, match=rf"port {port} \(ray.address\) is in use"):
            head.start(os.environ, tmp_path)
        airflow = LocalAirflow(tmp_path / "airflow", f"http://127.0.0.1:{port}", tmp_path, database=str)
        with pytest.raises(ServiceError, match=rf"port {port} \(airflow.address\) is in use"):
            airflow.start(os.environ, tmp_path)


def test_services_refuse_to_listen_beyond_loopback(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="not a loopback address"):
        RayHead(tmp_path, "http://0.0.0.0:8265", tmp_path / "token", cpus=1).start(os.environ, tmp_path)
    with pytest.raises(ServiceError, match="not a loopback address"):
        LocalAirflow(tmp_path, "http://0.0.0.0:8080", tmp_path, database=str).start(os.environ, tmp_path)


def test_ray_and_everything_it_starts_listens_on_loopback_only(ray_head: RayHead) -> None:
    pid = ray_head.daemon.pid()
    assert pid is not None
    family = {pid, *(p.pid for p in psutil.Process(pid).children(recursive=True))}
    listening = [c.laddr for c in psutil.net_connections("inet") if c.pid in family and c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5
    assert {a.ip.removeprefix("::ffff:") for a in listening} <= {"127.0.0.1", "::1"}, listening


def test_a_head_is_ready_when_its_node_is_there(ray_head: RayHead, tmp_path: Path) -> None:
    assert ray_head.jobs.has_node()
    (tmp_path / "token").write_text("f" * 64)
    assert not RayLauncher(ray_head.address, tmp_path / "token").has_node(), "nobody is told without the token"
    assert not RayLauncher(f"http://127.0.0.1:{free_port()}", ray_head.token_file).has_node()


def test_secrets_are_readable_by_their_owner_only(ray_head: RayHead, tmp_path: Path) -> None:
    assert stat.S_IMODE(ray_head.token_file.stat().st_mode) == 0o600
    write_passwords(tmp_path / "passwords.json")
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600
    passwords = json.loads((tmp_path / "passwords.json").read_text())
    assert set(passwords) == {"admin", "reviewer"} and len(set(passwords.values())) == 2


def test_a_folder_keeps_its_ports_and_settings(tmp_path: Path, checkout: Path) -> None:
    first = LocalServices(tmp_path / "poc", checkout, usual_ports=False)
    second = LocalServices(tmp_path / "poc", checkout, usual_ports=False)
    assert first.settings == second.settings
    assert first.settings.resolve(first.settings.pipelines) == first.settings.base / "governance/pipelines"
    assert Path(first.settings.resolve(first.settings.lake.root)).resolve() == (tmp_path / "poc" / "lake").resolve()


def test_services_that_go_down_stop_local_jobs_where_those_are_what_tasks_start(tmp_path: Path, checkout: Path) -> None:
    jobs = {"launcher": "local", "folder": str(tmp_path / "jobs")}
    services = LocalServices(tmp_path / "poc", checkout, usual_ports=False, overrides={"jobs": jobs})
    launcher = launcher_of(services.settings)
    spec = JobSpec(["python", "-c", "import time; time.sleep(900)"], {"test": "down"})
    sid = launcher.ensure(spec, Owner("d", "r", "t", user="alice")).job.submission_id
    services.down(("site",))
    assert not launcher.describe(sid).terminal  # type: ignore[union-attr]
    services.down(("ray",))
    assert launcher.describe(sid).status == "STOPPED"  # type: ignore[union-attr]


def test_free_ports_differ_from_busy_ones() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert free_port() != sock.getsockname()[1]


def test_a_stopped_head_takes_the_commands_of_its_jobs_along(tmp_path: Path) -> None:
    head = RayHead(tmp_path, f"http://127.0.0.1:{free_port()}", tmp_path / "token", cpus=1)
    head.start(dict(os.environ), tmp_path)
    try:
        code = f"import os, pathlib, time; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); time.sleep(900)"
        head.jobs.ensure(JobSpec(["python", "-c", code], {"test": "stop"}), Owner("d", "r", "t", generation=0, user="alice"))
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline, "the job did not start"
            time.sleep(0.1)
        command = psutil.Process(int((tmp_path / "pid").read_text()))
    finally:
        head.stop()
    assert not command.is_running() or command.status() == psutil.STATUS_ZOMBIE


def test_nothing_that_a_service_started_outlives_it_not_even_in_a_session_of_its_own(tmp_path: Path) -> None:
    stubborn = (
        "import os,signal,time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(900)"
    )
    daemon = _daemon(tmp_path, f"import subprocess,sys,time\nsubprocess.Popen([sys.executable,'-c',{stubborn!r}])\ntime.sleep(900)")
    deadline = time.monotonic() + PATIENCE_S
    while not daemon.tail().isdigit():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    child, pid = psutil.Process(int(daemon.tail())), daemon.pid()
    assert pid is not None and {p.pid for p in daemon.family()} == {pid, child.pid}
    os.kill(pid, signal.SIGKILL)  # its own end is not in good order either
    daemon.stop()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert daemon.family() == []


def test_a_head_whose_control_store_was_killed_leaves_no_process_when_it_is_stopped(tmp_path: Path) -> None:
    head = RayHead(tmp_path, f"http://127.0.0.1:{free_port()}", tmp_path / "token", cpus=1)
    head.start(dict(os.environ), tmp_path)
    try:
        # As a driver that hangs in C code: it answers no signal that can be ignored.
        code = "import os,pathlib,signal,sys,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        code += f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(900)"
        head.jobs.ensure(JobSpec(["python", "-c", code], {"test": "hang"}), Owner("d", "r", "t", generation=0, user="alice"))
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline, "the job did not start"
            time.sleep(0.1)
        driver = psutil.Process(int((tmp_path / "pid").read_text()))
        family = head.daemon.family()
        assert driver in family
        [store] = [process for process in family if process.name() == "gcs_server"]
        store.kill()
    finally:
        head.stop()
    assert head.daemon.family() == []
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
