"""`headrace doctor`: Ray with its token, Airflow with its user and password, and the database of a local Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from headrace_cli.finding import ANSWER_SECONDS, Check, State
from headrace_lake.catalog_address import with_password
from headrace_lake.errors import HeadraceError, ServiceError
from headrace_lake.loopback import BearerToken, OwnListener
from headrace_lake.settings import EMBEDDED, SERVICES_FOLDER, Settings

_HERE = ("127.0.0.1", "localhost", "::1")


def ray(settings: Settings) -> Iterator[Check]:
    """Does a Ray head answer there, and take our token?"""
    import httpx

    address, key = settings.ray.address, "ray.address"
    if (wrong := _no_address("Ray", address, key)) is not None:
        yield wrong
        return
    file = settings.resolve(settings.ray.token_file)
    trusted = [settings.ray.user] if settings.ray.user else []
    headers: OwnListener | None = None
    if file.exists():
        with suppress(OSError, ValueError):  # told with the token
            file.read_text(encoding="ascii")
            headers = BearerToken(file, trusted)
    try:
        asking = headers or OwnListener(trusted)
        answer = httpx.get(f"{address.rstrip('/')}/api/version", auth=asking, timeout=ANSWER_SECONDS - 1, trust_env=False)
    except ServiceError as exc:
        yield Check("Ray", "missing", exc.what, "change ray.address, or name that user in ray.user", key)
        return
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        yield _silent("Ray", address, key, exc)
        return
    if answer.status_code in (401, 403):
        way_out = "put the token of the cluster that runs there into the file, or correct ray.address"
        if headers:
            yield Check("Ray", "missing", f"{address} refuses the token of {file}", way_out, "ray.token_file")
        else:  # on this machine it may be somebody else's, beside which `services up` takes other ports
            state: State = "optional" if urlsplit(address).hostname in _HERE else "missing"
            yield Check("Ray", state, f"{address} asks for a token, and {file} does not exist", way_out, "ray.token_file")
    elif "ray_version" not in (said := _json(answer)):
        yield _stranger("Ray", address, key)
    else:
        taken = "takes our token" if headers else "asks for no token: set RAY_AUTH_MODE=token where it is started"
        yield Check("Ray", "ok", f"{address}: Ray {said['ray_version']}, {taken}", setting=key)


def airflow(settings: Settings) -> Iterator[Check]:
    """Does Airflow's API server answer there, and let our user in?"""
    import httpx

    address, key = settings.airflow.address, "airflow.address"
    if (wrong := _no_address("Airflow", address, key)) is not None:
        yield wrong
        return
    try:
        with httpx.Client(base_url=address.rstrip("/"), timeout=ANSWER_SECONDS / 2, trust_env=False, auth=OwnListener()) as client:
            said = _json(client.get("/api/v2/version"))
            if "version" not in said:
                yield _stranger("Airflow", address, key)
                return
            yield _login(client, settings, f"{address}: Airflow {said['version']}")
    except ServiceError as exc:
        yield Check("Airflow", "missing", exc.what, "change airflow.address, or stop what listens there", key)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        yield _silent("Airflow", address, key, exc)


def database(settings: Settings) -> Iterator[Check]:
    """Airflow's database: can the embedded PostgreSQL be started, or does another let us in?"""
    if settings.airflow.database != EMBEDDED:
        yield _other_database(settings)
        return
    from headrace_operators.services.embedded_postgres import UNPRIVILEGED, EmbeddedPostgres, programs

    name, key = "PostgreSQL", "airflow.database"
    try:
        where = programs()
        server = EmbeddedPostgres(settings.resolve(SERVICES_FOLDER) / "postgres")
        user = server.run_as
    except ServiceError as exc:
        yield Check(name, "optional", f"{exc.what} (needed by `headrace services`)", exc.way_out, key)
        return
    state = f"runs at {server.socket_folder}" if server.made and server.healthy() else "not running"
    if user is not None and user.name == UNPRIVILEGED[-1]:
        what = f"embedded, {state}; as user '{user.name}', whose other processes could read it"
        yield Check(name, "optional", what, f"give it a user of its own: useradd --system {UNPRIVILEGED[0]}", key)
    else:
        yield Check(name, "ok", f"embedded, {state}; as user '{user.name if user else 'you'}', programs in {where}", setting=key)


def _other_database(settings: Settings) -> Check:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    key, shown = "airflow.database", str(make_url(settings.airflow.database).set(password=None))
    try:
        address = with_password(settings.airflow.database, settings.airflow.database_password)
        engine = create_engine(address, poolclass=NullPool, connect_args={"connect_timeout": int(ANSWER_SECONDS) - 1})
        with engine.connect():
            return Check("PostgreSQL", "ok", f"{shown}: lets us in", setting=key)
    except HeadraceError as exc:
        return Check("PostgreSQL", "missing", exc.what, exc.way_out, "airflow.database_password")
    except ImportError as exc:
        return Check("PostgreSQL", "missing", f"driver not installed: {exc}", "make setup (or the extra `airflow`: pyproject.toml)", key)
    except SQLAlchemyError as exc:
        said = " ".join(str(getattr(exc, "orig", None) or type(exc).__name__).split())[:300]
        return Check("PostgreSQL", "missing", f"{shown}: {said}", "correct airflow.database and airflow.database_password", key)


def _login(client: Any, settings: Settings, there: str) -> Check:
    if settings.airflow.password is None:
        return Check("Airflow", "ok", f"{there}; the settings name no airflow.password, so nobody was logged in", setting="airflow.address")
    try:
        password = settings.airflow.password.reveal()
    except (HeadraceError, ValueError):
        return Check("Airflow", "ok", f"{there}; not logged in, for airflow.password cannot be read", setting="airflow.address")
    user = settings.airflow.user
    status = client.post("/auth/token", json={"username": user, "password": password}).status_code
    if status in (401, 403):
        way_out = "correct airflow.user, or what airflow.password refers to"
        return Check("Airflow", "missing", f"{there} refuses user '{user}' with this password", way_out, "airflow.password")
    if status >= 400:
        way_out = "see the log of Airflow's API server"
        return Check("Airflow", "missing", f"{there} answers {status} to a login", way_out, "airflow.address")
    return Check("Airflow", "ok", f"{there}, lets '{user}' in", setting="airflow.password")


def _json(answer: Any) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _no_address(name: str, address: str, key: str) -> Check | None:
    try:
        url = urlsplit(address)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return None
    except ValueError:  # a port that is not a number
        pass
    return Check(name, "missing", f"'{address}' is not an address", f"write http://host:port in {key}", key)


def _silent(name: str, address: str, key: str, exc: Exception) -> Check:
    """Nothing listens: on this machine it can be started, elsewhere it should run."""
    import httpx

    if isinstance(exc, httpx.ConnectError) and urlsplit(address).hostname in _HERE and "refused" in str(exc).lower():
        return Check(name, "ok", f"not running; {address} is free for it", setting=key)
    if isinstance(exc, httpx.ReadTimeout | httpx.RemoteProtocolError | httpx.ReadError):
        return _stranger(name, address, key)
    words = " ".join(str(exc).split())[:200] or type(exc).__name__
    return Check(name, "missing", f"{address} does not answer: {words}", f"start it there, or correct {key}", key)


def _stranger(name: str, address: str, key: str) -> Check:
    what = f"something listens at {address}, and does not answer as {name}"
    return Check(name, "missing", what, f"stop it, or write another port in {key}", key)
