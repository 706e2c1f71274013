"""`headrace doctor`: the secrets that the settings refer to, and the sources, pipelines and policies that they name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from headrace_cli.finding import Check
from headrace_lake.errors import HeadraceError
from headrace_lake.settings import Secret, Settings


def secrets_of(settings: Settings) -> dict[str, Secret]:
    """Every reference to a secret, by its key."""
    lake, found = settings.lake, {}
    if lake.catalog_password is not None:
        found["lake.catalog_password"] = lake.catalog_password
    if lake.s3 is not None:
        found |= {"lake.s3.access_key": lake.s3.access_key, "lake.s3.secret_key": lake.s3.secret_key}
    if settings.airflow.password is not None:
        found["airflow.password"] = settings.airflow.password
    if settings.airflow.database_password is not None:
        found["airflow.database_password"] = settings.airflow.database_password
    return found


def secret(key: str, reference: Secret) -> Check:
    """Whether a secret can be had; it is read and never shown."""
    if reference.env is not None:
        value = os.environ.get(reference.env)
        if value is None:
            return Check("secret", "missing", f"environment variable {reference.env} is not set", "set it where the command runs", key)
        if not value:
            return Check("secret", "missing", f"environment variable {reference.env} is empty", "set it where the command runs", key)
        return Check("secret", "ok", f"environment variable {reference.env} is set", setting=key)
    assert reference.file is not None
    return secret_file("secret", key, reference.file)


def secret_file(name: str, key: str, file: Path) -> Check:
    """A file that holds one secret: there, not empty, closed to others."""
    try:
        content = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        return Check(name, "missing", f"{file} is not text", "write the secret alone into it, in UTF-8", key)
    except OSError as exc:
        return Check(name, "missing", f"{file}: {exc.strerror}", "create it with mode 600, or correct the path", key)
    if not content:
        return Check(name, "missing", f"{file} is empty", "write the secret into it", key)
    if "\n" in content:
        return Check(name, "missing", f"{file} has several lines", "write the secret alone into it", key)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Check(name, "missing", f"{file} can be read by others", f"chmod 600 {file}", key)
    return Check(name, "ok", f"{file} is there and closed to others", setting=key)


def ray_token(settings: Settings) -> Check:
    """The token file of the Ray cluster, which starting Ray makes."""
    file = settings.resolve(settings.ray.token_file)
    if not file.exists():
        return Check("Ray token", "ok", "none yet: starting Ray makes one", setting="ray.token_file")
    return secret_file("Ray token", "ray.token_file", file)


# -- what the project's files say ----------------------------------------------------------------------------------------


def sources(settings: Settings) -> Iterator[Check]:
    """Every source file, each with its own finding if it is wrong."""
    from headrace_governance.sources.source import load_source

    yield from _files(settings, "sources", lambda file: load_source(file))


def pipelines(settings: Settings) -> Iterator[Check]:
    """Every pipeline file, its stages imported and their parameters checked."""
    from headrace_lake.engine import load_pipeline

    yield from _files(settings, "pipelines", lambda file: load_pipeline(settings, file))


def policies(settings: Settings) -> Iterator[Check]:
    """The policies of fetching, licences, the removal audit, the gates and the expectations."""
    from headrace_governance.audit.removals.policy import load_audit_policy
    from headrace_governance.expectations.suite import load_suites
    from headrace_governance.sources.fetch_policy import load_fetch_policy
    from headrace_governance.sources.licences.policy import load_licence_policy
    from headrace_jobs.gates.policy import known_gates, load_policy

    folder = settings.resolve(settings.policies)
    if not folder.is_dir():
        yield _no_folder("policies", folder)
        return
    readers: list[Callable[[], object]] = [
        lambda: load_fetch_policy(folder),
        lambda: load_licence_policy(folder),
        lambda: load_audit_policy(settings),
        lambda: load_suites(folder / "expectations"),
        *(lambda gate=gate: load_policy(settings, gate) for gate in known_gates(settings)),
    ]
    wrong = [problem for problem in map(_problem, readers) if problem is not None]
    for exc in wrong:
        yield Check("policies", "missing", exc.what, exc.way_out or "correct the file", "policies")
    if not wrong:
        yield Check("policies", "ok", f"{len(readers)} read at {folder}", setting="policies")


def _files(settings: Settings, key: str, read: Callable[[Path], object]) -> Iterator[Check]:
    folder = settings.resolve(getattr(settings, key))
    if not folder.is_dir():
        yield _no_folder(key, folder)
        return
    files = sorted(folder.glob("*.yaml"))
    if not files:
        yield Check(key, "missing", f"{folder} holds no YAML file", f"write one there, or correct {key}", key)
        return
    wrong = 0
    for file in files:
        exc = _problem(lambda file=file: read(file))  # type: ignore[misc]
        if exc is not None:
            wrong += 1
            yield Check(key, "missing", exc.what, exc.way_out or "correct the file", key)
    if not wrong:
        yield Check(key, "ok", f"{len(files)} read at {folder}", setting=key)


def _problem(read: Callable[[], object]) -> HeadraceError | None:
    try:
        read()
    except HeadraceError as exc:
        return exc
    return None


def _no_folder(key: str, folder: Path) -> Check:
    return Check(key, "missing", f"{folder}: no such folder", f"run in the checkout, or correct {key} in the settings", key)
