"""Find the same person across visible and infrared cameras."""

from pathlib import Path
from typing import TYPE_CHECKING

from vireid.version import __version__

if TYPE_CHECKING:
    from vireid.embedder import Embedder

__all__ = ["__version__", "load"]


def load(run: str | Path, *, device: str = "auto") -> "Embedder":
    """The embedder of a run folder, or of the shipped model for `"default"`.

    The import is inside, so that `import vireid` does not load torch.
    """
    from vireid import embedder

    return embedder.load(run, device=device)
