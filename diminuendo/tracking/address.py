"""Addresses of a local store, whatever characters its path has: a URI is a path only where nothing in it is quoted."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

ARTIFACTS = "mlartifacts"  # beside the database


def sqlite_uri(database: Path) -> str:
    """The tracking URI of a SQLite file.

    SQLAlchemy ends a path at a ``?``, and quotes nothing: such a path is handed to SQLite as a URI of its own
    (https://www.sqlite.org/uri.html).
    """
    path = str(database.absolute())
    return f"sqlite:///file:{quote(path)}?uri=true" if "?" in path else f"sqlite:///{path}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a store that is SQLite, None of any other."""
    scheme, _, rest = uri.partition(":///")
    path, _, query = rest.partition("?")
    if path.startswith("file:") and parse_qs(query).get("uri", ["false"])[0].lower() in ("true", "1", "yes"):
        path = unquote(path.removeprefix("file:").partition("#")[0])
    return Path(path) if scheme.startswith("sqlite") and path not in ("", ":memory:") else None


def local_path(address: str) -> Path | None:
    """The path that an artifact's address names: a ``file:`` URI or a plain path; None of a remote one."""
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address).path))
    return None if "://" in address or not address.startswith("/") else Path(address)
