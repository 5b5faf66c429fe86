"""`podrun serve` that notes when it passes which failpoint: `python benchmarks/cluster/traced_service.py FILE serve`.

FILE is written at its end: a line of JSON for each, `[seconds of the machine's monotonic clock, name]`.
"""

from __future__ import annotations

import atexit
import json
import sys
import time
from pathlib import Path

from app import failpoints


def main() -> None:
    """Trace the service that the rest of the command line starts."""
    file = Path(sys.argv.pop(1))
    passed: list[tuple[float, str]] = []
    failpoints.arm(lambda name: passed.append((time.monotonic(), name)))
    atexit.register(lambda: file.write_text("".join(json.dumps(one) + "\n" for one in passed)))
    from podrun.cli import main as cli  # noqa: PLC0415 - after it was armed

    sys.argv[0] = "podrun"
    cli()


if __name__ == "__main__":
    main()
