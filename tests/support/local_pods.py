"""What local pods keep in their folders, as tests look at it."""

from __future__ import annotations

import json
from pathlib import Path


def folder_of(root: Path, name: str) -> Path:
    return root / "pods" / "default" / name


def read(path: Path) -> dict:
    return json.loads(path.read_text())
