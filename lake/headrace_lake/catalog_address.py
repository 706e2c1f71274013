"""Address of the lake's catalog, a SQLite file or a Postgres database, as SQLAlchemy takes it."""

from __future__ import annotations

from headrace_lake.errors import ConfigError
from headrace_lake.settings import Secret, Settings


def catalog_address(settings: Settings) -> str:
    """The address, with its password; never log it.

    Raises:
        ConfigError: another kind of database.
    """
    uri = settings.lake.catalog
    if not uri:
        return f"sqlite:///{settings.resolve(settings.lake.root).resolve()}/catalog.db?timeout=60"
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///")
        return f"sqlite:///{settings.resolve(path).resolve()}?timeout=60"
    if not uri.startswith("postgresql"):
        raise ConfigError(
            f"lake.catalog: '{uri.partition(':')[0]}' is not supported", "use sqlite:///file.db or postgresql+psycopg2://user@host/database"
        )
    return with_password(uri, settings.lake.catalog_password)


def with_password(address: str, password: Secret | None) -> str:
    """An address with the password that a secret holds; never log it."""
    if password is None:
        return address
    from sqlalchemy.engine import make_url

    return make_url(address).set(password=password.reveal()).render_as_string(hide_password=False)
