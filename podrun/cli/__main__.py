"""`python -m podrun.cli` is `podrun`."""

from podrun.cli import main

main()
