"""torchrun, and beside it a note of which rank failed first, for ``launch`` to read.

``python -m nnopt_lab.distributed.agent folder arguments...`` is ``torchrun arguments...``; it may
leave ``folder/failed.json``.
"""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

AT_ONCE = 10  # seconds; torchrun waits longer before it kills


def main(folder: str, arguments: Sequence[str]) -> int:
    """Be torchrun; return its exit code."""
    try:
        run.main(list(arguments))
    except ChildFailedError as error:
        Path(folder, "failed.json").write_text(json.dumps(_first(error)))
        return 1
    return 0


def _first(error: Any) -> str:
    """Return which rank failed first, and how.

    One that was killed comes before those that raised, which may have missed it. Others are ended
    by what came first: by torchrun (SIGTERM, and SIGKILL much later) or by a watchdog (SIGABRT).
    """
    begin = min(failure.timestamp for failure in error.failures.values())

    def place(item: tuple[int, Any]) -> tuple[int, int]:
        code, when = item[1].exitcode, item[1].timestamp
        is_late = code == -signal.SIGTERM or (code == -signal.SIGKILL and when > begin + AT_ONCE)
        order = 3 if is_late else 2 if code == -signal.SIGABRT else 1 if code > 0 else 0
        return order, when

    rank, first = min(error.failures.items(), key=place)
    if first.exitcode < 0:
        return f"rank {rank} was ended by {first.signal_name()}."
    return f"rank {rank} raised {_words(first.message)}"


def _words(message: Any) -> str:
    """Return what a rank raised; one that recorded it did so with its traceback."""
    return str(message["message"] if isinstance(message, dict) else message)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
