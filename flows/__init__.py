"""When and how the pipeline runs: one flow per file."""

import os
from pathlib import Path
from urllib.parse import quote

import diminuendo  # noqa: F401  switches reports to the makers of tools off, before Prefect is imported

# Prefect reads it on import. A value that the user has set is kept.
os.environ.setdefault("PREFECT_HOME", str(Path(__file__).resolve().parents[1] / ".prefect"))
if "?" in os.environ["PREFECT_HOME"]:  # where SQLAlchemy would take the path to end; see diminuendo.tracking.address
    _place = quote(os.path.join(os.environ["PREFECT_HOME"], "prefect.db"))
    os.environ.setdefault("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///file:{_place}?uri=true")
