"""``python -m relayhub``."""

from relayhub.cli import main

main()
