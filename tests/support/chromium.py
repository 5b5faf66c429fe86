"""Whether there is a browser here, and a page to look at. Told without Playwright, which takes its time to be imported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE_FILES = ROOT / "app" / "api" / "page_files"
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find_chromium() -> str | None:
    """The path of a Chromium: what PODRUN_TEST_CHROMIUM names, or the first on PATH."""
    named = os.environ.get("PODRUN_TEST_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, _CHROMIUMS)), None)


def missing_browser() -> str | None:
    """Why no page can be looked at here, or None."""
    if find_chromium() is None:
        return "there is no Chromium on this machine (PODRUN_TEST_CHROMIUM names one)"
    if not (PAGE_FILES / "index.html").is_file():
        return "the page is not built (`make setup` builds it where Node.js is)"
    return None
