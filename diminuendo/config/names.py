"""What members of a family are called."""

from __future__ import annotations

import re

TEACHER = "teacher"
MEMBER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
