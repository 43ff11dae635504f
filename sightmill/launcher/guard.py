"""First program of every child: ties its life to the launcher's, then becomes the real program.

Run as ``python -I -S guard.py LAUNCHER_PID PROGRAM ARGUMENT...``. It sets the signal after its own start,
because code between fork and exec of a process with threads may hang. The tie survives the exec, and SIGKILL
needs nobody's help: a launcher that was killed leaves nothing behind. Linux only; elsewhere it just goes on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
EXIT_NOT_FOUND = 127


def main() -> None:
    """Never returns."""
    launcher, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        raise SystemExit("the launcher is gone")
    try:
        os.execvp(command[0], command)  # noqa: S606  the whole point
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        raise SystemExit(EXIT_NOT_FOUND) from None


if __name__ == "__main__":
    main()
