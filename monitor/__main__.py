"""``python -m monitor`` is the command ``imgmon``."""

from monitor.cli import main

main()
