"""Find the same person across visible and infrared cameras."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vireid.version import __version__

if TYPE_CHECKING:
    from vireid.embedder import Embedder
    from vireid.onnx_embedder import OnnxEmbedder

__all__ = ["__version__", "load"]


def load(
    run: str | Path,
    *,
    device: str = "auto",
    runtime: Literal["torch", "onnx", "openvino"] | None = None,
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto",
) -> "Embedder | OnnxEmbedder":
    """The embedder of a run folder, of the shipped model for `"default"`, or of an exported `FILE.onnx`.

    The imports are inside, so that `import vireid` does not load torch, nor does an exported file.

    Args:
        run: a folder that `vireid train` wrote, `"default"`, or a file of `vireid export`.
        device: a torch device, or `"auto"` for the GPU where there is one; exported files run on the CPU.
        runtime: what computes; by default torch, and for an exported file ONNX Runtime.
        precision: of torch: `"auto"` is the fastest of the device, `"32-true"` is what runs are evaluated with.

    Raises:
        InputError: the run or file cannot be used, or the runtime is not for it.
    """
    from vireid.errors import InputError

    exported = Path(run).suffix == ".onnx"
    runtime = runtime or ("onnx" if exported else "torch")
    if runtime == "torch":
        if exported:
            raise InputError(f"{run} is an exported file; use --runtime onnx or openvino, or give the run itself")
        from vireid import embedder

        return embedder.load(run, device=device, precision=precision)
    if not exported:
        raise InputError(
            f"--runtime {runtime} needs an exported file, not {run}: vireid export {run} --format onnx "
            "--output FILE.onnx, then --model FILE.onnx"
        )
    from vireid import onnx_embedder

    return onnx_embedder.load(run, runtime=runtime, device=device)
