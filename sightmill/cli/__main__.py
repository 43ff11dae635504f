"""``python -m sightmill.cli``."""

from __future__ import annotations

from sightmill.cli.app import main

if __name__ == "__main__":
    main()
