"""How soon vireid answers: `python benchmarks/start_speed.py --output FILE.json`.

New processes, in turns: Python that does nothing, `import vireid`, `vireid --help`, and beside them `import torch`,
which neither of the two needs.
"""

import subprocess
import sys
from functools import partial
from typing import Any

from timing import in_turns, median, run

COMMANDS = {
    "python": ["-c", "pass"],
    "import vireid": ["-c", "import vireid"],
    "vireid --help": ["-m", "vireid", "--help"],
    "import torch": ["-c", "import torch"],
}


def measure(turns: int = 7) -> dict[str, Any]:
    """Seconds of each, the start of Python included."""
    actions = {
        name: partial(subprocess.run, [sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        for name, words in COMMANDS.items()
    }
    return {"seconds": median(in_turns(actions, turns))}


if __name__ == "__main__":
    run(measure)
