"""What is in the wheel and the sdist, built from a tree as git has it, with a page that git has not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ("index.html", "index.html.br", "assets/index-1a2b.js", "assets/index-1a2b.js.gz")
#: Stands for the rest of the tree: hatchling looks at names alone.
FILES = {
    "app/__init__.py": "", "app/api/__init__.py": "", "podrun/__init__.py": "", "alembic/env.py": "", "CHANGELOG.md": "",
    "Makefile": "",
    "docs/generated/openapi.json": "{}", "docs/generated/rest.md": "", "ui/package.json": "{}", "ui/src/main.tsx": "",
    "ui/src/api/schema.d.ts": "", "ui/node_modules/react/index.js": "", "tests/test_x.py": "",
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    for name, text in {**FILES, **{f"app/api/page_files/{name}": name for name in PAGE}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(tree: Path, target: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "../dist"],
        cwd=tree, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (tree.parent / "dist").glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


def test_wheel__with_a_built_page__carries_it(tree: Path) -> None:
    with zipfile.ZipFile(build(tree, "wheel")) as wheel:
        names = set(wheel.namelist())
    assert {f"app/api/page_files/{name}" for name in PAGE} <= names
    assert "app/storage/migrations/env.py" in names
    assert not [name for name in names if name.startswith(("ui/", "docs/", "tests/"))]


def test_sdist__has_the_page_and_what_it_is_made_of(tree: Path) -> None:
    with tarfile.open(build(tree, "sdist")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {f"app/api/page_files/{name}" for name in PAGE} <= names
    assert {"ui/package.json", "ui/src/main.tsx", "docs/generated/openapi.json", "Makefile"} <= names
    assert not [name for name in names if name.startswith(("ui/node_modules", "tests/"))]
    assert "ui/src/api/schema.d.ts" not in names
