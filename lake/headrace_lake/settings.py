"""The settings file (`headrace.yaml`): where the lake lies, which catalog, which Ray, which Airflow.

Which file counts: what `--settings` or HEADRACE_SETTINGS names; else, in the working folder or the nearest folder above it that has one,
`headrace.yaml`, or `var/poc/headrace.yaml`, where `headrace poc` and `headrace services up` leave theirs; else none, and the defaults
hold, in the checkout that the working folder belongs to or in the working folder itself. The defaults put the lake where the services
would put it, so there is one lake before and after `make poc`.

Every field has a default that runs on one machine. Secrets are never values in this file: they are references
(`{file: path}` or `{env: NAME}`) resolved at the moment of use, so settings can travel to workers and into logs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator, model_validator

from headrace_lake.errors import ConfigError
from headrace_lake.settings_file import SERVICES_FOLDER, SETTINGS_ENV, SETTINGS_FILE, settings_file_of
from headrace_lake.strict import StrictModel, load_yaml, parse

__all__ = [
    "EMBEDDED", "SAMPLE_SITE", "SERVICES_FOLDER", "SETTINGS_ENV", "SETTINGS_FILE",
    "AirflowSettings", "JobSettings", "LakeSettings", "LauncherName", "PartSettings", "RaySettings", "S3Settings", "Secret", "Settings",
    "load_settings", "other_lake",
]  # fmt: skip


EMBEDDED = "embedded"
"""Value of `airflow.database` for the PostgreSQL that `headrace services` starts."""
SAMPLE_SITE = "http://127.0.0.1:8790"
"""Where the sample sources say that they are served: `headrace samples serve`, at its usual port."""


class Secret(StrictModel):
    """A reference to a secret: exactly one of a file that holds it or an environment variable's name."""

    file: Path | None = None
    env: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.file is None) == (self.env is None):
            raise ValueError("give exactly one of 'file' and 'env'")
        return self

    def reveal(self) -> str:
        """The secret itself. Never log it."""
        if self.file is not None:
            try:
                return self.file.read_text(encoding="utf-8").strip()
            except OSError as exc:
                raise ConfigError(f"secret file {self.file}: {exc.strerror}", "create it with mode 600") from exc
        value = os.environ.get(self.env or "")
        if not value:
            raise ConfigError(f"environment variable {self.env} is not set", "set it where the command runs")
        return value


def _secret_name(names: list[str]) -> str:
    """The first of some parameters' names that holds a secret, by what it is called; empty if none does."""
    return next((name for name in names if re.search(r"passw|pwd|secret|token|credential", name, re.IGNORECASE)), "")


class S3Settings(StrictModel):
    """An S3-compatible object store."""

    endpoint: str
    region: str = "us-east-1"
    access_key: Secret
    secret_key: Secret

    @field_validator("endpoint")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError as exc:
            raise ValueError("'endpoint' is not an address, such as https://s3.example.org") from exc
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("'endpoint' is not an address, such as https://s3.example.org")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("keep names and passwords out of 'endpoint': 'access_key' and 'secret_key' refer to them")
        return value


class PartSettings(StrictModel):
    """How a slice is cut when it is crawled or imported: a part is what one worker takes at a time, and one file of every table.

    Larger parts make fewer files and cost less besides the work; smaller ones need less memory and lose less with a worker.
    A part ends with whichever limit is reached first. Slices that are in the lake keep their parts until they are fetched anew.

    Attributes:
        rows: pages, documents or other items of a part.
        megabytes: of their bodies, decoded, in 10^6 bytes; one larger body has a part for itself.
    """

    rows: int = Field(default=2_000, ge=1, le=1_000_000)
    megabytes: float = Field(default=128, gt=0)


class LakeSettings(StrictModel):
    """Where the lake lies.

    Attributes:
        root: local folder or `s3://bucket/prefix`. The default is the services' own, or `var/lake` where only that holds a lake
            (it was the default once).
        catalog: SQLAlchemy address of the Iceberg catalog, `sqlite:///...` or `postgresql+psycopg2://...`;
            empty means `catalog.db` beside a local lake.
        catalog_password: password for a Postgres catalog, kept out of the address.
        parts: how slices are cut.
    """

    root: str = str(SERVICES_FOLDER / "lake")
    catalog: str = ""
    catalog_password: Secret | None = None
    s3: S3Settings | None = None
    parts: PartSettings = Field(default_factory=PartSettings)

    @model_validator(mode="after")
    def _remote_needs_catalog(self) -> LakeSettings:
        if self.root.startswith("s3://") and not (self.catalog and self.s3):
            raise ValueError("an s3:// lake needs 'catalog' and 's3'")
        if self.catalog:
            _no_password("catalog", self.catalog)
        return self


def _no_password(field: str, address: str) -> None:
    """Settings travel to workers and into logs: a reference to a file or variable may, a password may not."""
    from sqlalchemy.engine import make_url  # a third of a second, which most commands need not pay
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except ArgumentError as exc:
        raise ValueError(f"'{field}' is not an SQLAlchemy address, such as postgresql+psycopg2://user@host/database") from exc
    if url.password is not None or _secret_name(list(url.query)):  # libpq takes a password from the query too
        raise ValueError(f"keep the password out of '{field}': put it into a file and name that in '{field}_password'")


class RaySettings(StrictModel):
    """The Ray cluster that does the data work.

    Attributes:
        address: job API of the head, `http://host:port`.
        token_file: file with the cluster's token (`RAY_AUTH_MODE=token`).
        user: name of the user who runs it on this machine, where that is neither we nor root: the token goes to no other user's port.
    """

    address: str = "http://127.0.0.1:8265"
    token_file: Path = Path("var/ray/token")
    user: str = ""


LauncherName = Literal["ray", "local"]


class JobSettings(StrictModel):
    """How the command of a task is started.

    Attributes:
        launcher: `ray`: as a job of the Ray cluster. `local`: as a process of the machine that Airflow runs on.
        folder: where the launcher `local` keeps records and logs of its jobs.
    """

    launcher: LauncherName = "ray"
    folder: Path = SERVICES_FOLDER / "jobs"


class AirflowSettings(StrictModel):
    """The Airflow that schedules it all.

    Attributes:
        database: of the Airflow that `headrace services` starts: `embedded` for a PostgreSQL of its own, or the SQLAlchemy address of
            another PostgreSQL, `postgresql+psycopg2://user@host/database`.
        database_password: password for such an address, kept out of it.
    """

    address: str = "http://127.0.0.1:8080"
    user: str = "admin"
    password: Secret | None = None
    database: str = EMBEDDED
    database_password: Secret | None = None

    @model_validator(mode="after")
    def _a_postgres(self) -> AirflowSettings:
        if self.database == EMBEDDED:
            if self.database_password is not None:
                raise ValueError("'database_password' belongs to an address in 'database'; the embedded PostgreSQL makes its own")
            return self
        if not self.database.startswith("postgresql"):
            raise ValueError(f"'database' is '{EMBEDDED}' or a PostgreSQL, postgresql+psycopg2://user@host/database; SQLite held no load")
        _no_password("database", self.database)
        return self


class Settings(StrictModel):
    """The whole settings file.

    Attributes:
        sample_site: where the sample site is served here, on a loopback address; sources that declare `SAMPLE_SITE` are fetched there.
    """

    lake: LakeSettings = Field(default_factory=LakeSettings)
    ray: RaySettings = Field(default_factory=RaySettings)
    airflow: AirflowSettings = Field(default_factory=AirflowSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    sources: Path = Path("governance/sources")
    pipelines: Path = Path("governance/pipelines")
    policies: Path = Path("governance/policies")
    runs: Path = SERVICES_FOLDER / "runs"
    base: Path = Path(".")
    sample_site: str = SAMPLE_SITE

    @field_validator("sample_site")
    @classmethod
    def _on_loopback(cls, value: str) -> str:
        if not re.fullmatch(r"http://127\.0\.0\.1:[0-9]{1,5}", value):
            raise ValueError("the sample site is served on loopback: write http://127.0.0.1:PORT")
        return value

    _origin: str = PrivateAttr(default="")
    _searched: bool = PrivateAttr(default=False)

    @property
    def origin(self) -> str:
        """Where these settings come from, for people: a file, or that there was none and where one was looked for."""
        return self._origin

    @property
    def searched(self) -> bool:
        """Were they found by looking around, and not named by anybody?"""
        return self._searched

    def resolve(self, path: str | Path) -> Path:
        """A path of this file, relative to the folder the file lies in."""
        p = Path(path)
        return p if p.is_absolute() else (self.base / p)


def load_settings(path: str | Path | None = None) -> Settings:
    """Read the settings: from a file if one is given, else from the one that counts here (see the top of this module), or the defaults.

    Relative paths in it count from the file's own folder, or from the `base` that it names.
    """
    file = Path(path) if path is not None else settings_file_of(Path.cwd())
    if file is None:
        settings = parse({"base": str(_checkout(Path.cwd()) or Path.cwd())}, Settings, where="(defaults)")
        settings._origin = f"defaults: no {SETTINGS_FILE} or {SERVICES_FOLDER / SETTINGS_FILE} in {Path.cwd()} or above"
    else:
        settings = load_yaml(file, Settings)
        settings = settings.model_copy(update={"base": (file.resolve().parent / settings.base).resolve()})
        settings._origin = f"from {file.resolve()}"
    settings._searched = path is None and not os.environ.get(SETTINGS_ENV)
    return _as_before(settings)


def _checkout(here: Path) -> Path | None:
    """The checkout that a folder lies in."""
    return next((folder for folder in (here, *here.parents) if (folder / Settings().pipelines).is_dir()), None)


def _as_before(settings: Settings) -> Settings:
    """Settings that do not name the lake or the runs find those of a time when the default was another, if they hold something."""
    changes: dict[str, object] = {}
    lake = settings.lake
    if "root" not in lake.model_fields_set and _only(settings, "var/lake/catalog.db", f"{lake.root}/catalog.db"):
        changes["lake"] = lake.model_copy(update={"root": "var/lake"})
    if "runs" not in settings.model_fields_set and _only(settings, "var/runs", str(settings.runs)):
        changes["runs"] = Path("var/runs")
    return settings.model_copy(update=changes) if changes else settings


def _only(settings: Settings, before: str, now: str) -> bool:
    return settings.resolve(before).exists() and not settings.resolve(now).exists()


def other_lake(settings: Settings) -> Path | None:
    """A lake at one of the two default places that is not the one of these settings: what was written there is not seen."""
    mine = settings.resolve(settings.lake.root).resolve() if not settings.lake.root.startswith("s3://") else None
    for root in ("var/lake", str(SERVICES_FOLDER / "lake")):
        place = settings.resolve(root).resolve()
        if place != mine and (place / "catalog.db").exists():
            return place
    return None
