"""What members of a family are called, and the folders of further families."""

from __future__ import annotations

import re
from pathlib import Path

TEACHER = "teacher"
LONGEST_NAME = 100  # characters: names of files and of tables in MLflow are made of a name and more
MEMBER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")

FAMILIES = Path("families")  # their homes
SOURCES = Path("params")  # their parameter files
