"""An exported model as an object: images or paths in, embeddings out, without torch.

Shapes: N images, B images of a batch, D embedding size, H and W image height and width.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vireid.data.pixels import resized, resolve_modalities
from vireid.errors import InputError
from vireid.sample import Modality

Runtime = Literal["onnx", "openvino"]
Precision = Literal["f32", "auto"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
FORMAT = 1  # raise when a file of the same name in the metadata means something else
PREFIX = "vireid."  # of the keys of the metadata

Infer = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.int64]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Metadata:
    """What an exported file says of itself, each field under `vireid.<field>` as JSON.

    Attributes:
        format: of the file; `FORMAT`.
        version: of vireid.
        method: its name.
        fingerprint: of the run's weights and image size, as `vireid.embedder.fingerprint` gives it.
        height: H.
        width: W.
        dimensions: D.
        modalities: the number that stands for each modality.
        preprocessing: step by step, and whether the file does it (`in_graph`) or its caller must.
        preprocessing_in_words: the same as a sentence.
    """

    format: int
    version: str
    method: str
    fingerprint: str
    height: int
    width: int
    dimensions: int
    modalities: dict[str, int]
    preprocessing: dict[str, Any]
    preprocessing_in_words: str

    def to_properties(self) -> dict[str, str]:
        """Keys and values for the file; texts as they are, everything else as JSON."""
        values = vars(self).items()
        return {PREFIX + key: value if isinstance(value, str) else json.dumps(value) for key, value in values}

    @classmethod
    def of_properties(cls, properties: Mapping[str, str], path: Path) -> "Metadata":
        """The metadata of the file `path`; raises `InputError` if vireid did not write it, or a later one did."""
        own = {key.removeprefix(PREFIX): value for key, value in properties.items() if key.startswith(PREFIX)}
        kinds = {name: field.type for name, field in cls.__dataclass_fields__.items()}
        try:
            number = int(own["format"])
            if number == FORMAT:
                values: dict[str, Any] = {n: own[n] if kind is str else json.loads(own[n]) for n, kind in kinds.items()}
                return cls(**values)
        except (KeyError, ValueError):
            raise InputError(
                f"{path} is no model of vireid: its metadata does not say how it wants its images; write one with "
                "`vireid export RUN --format onnx --output FILE.onnx`"
            ) from None
        raise InputError(f"{path} is of format {number}, this vireid reads {FORMAT}; export the run anew, or upgrade")


class OnnxEmbedder:
    """Turns person crops into L2-normalised embeddings with ONNX Runtime or OpenVINO; made by `vireid.load`.

    It has the methods and attributes of `vireid.embedder.Embedder` that are not torch's.

    Args:
        path: a file of `vireid export`.
        runtime: `onnx` (ONNX Runtime) or `openvino`; both on the CPU.
        threads: to compute with; 0 for one per core.
        precision: of OpenVINO: `auto` lets it compute in bf16 where the CPU does, faster and good to about 1 in 100;
            ONNX Runtime always computes in f32.
        batch_size: images at once; changes speed and memory only.

    Raises:
        InputError: the file is missing, damaged or of another program, or the runtime is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        runtime: Runtime = "onnx",
        *,
        threads: int = 0,
        precision: Precision = "f32",
        batch_size: int = 128,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path}: no such file; write it with `vireid export RUN --format onnx --output {path}`")
        if runtime == "onnx":
            self._infer, properties = _with_onnxruntime(self.path, threads)
        elif runtime == "openvino":
            self._infer, properties = _with_openvino(self.path, threads, precision)
        else:
            raise InputError(f"runtime '{runtime}': expected {' or '.join(RUNTIMES)}")
        self.runtime = runtime
        self.metadata = Metadata.of_properties(properties, self.path)
        self.batch_size = batch_size

    @property
    def fingerprint(self) -> str:
        """Of the run that was exported; equal to that of its `Embedder`."""
        return self.metadata.fingerprint

    @property
    def height(self) -> int:
        """H."""
        return self.metadata.height

    @property
    def width(self) -> int:
        """W."""
        return self.metadata.width

    @property
    def dimensions(self) -> int:
        """D."""
        return self.metadata.dimensions

    def embed(
        self,
        images: Sequence[str | Path | npt.NDArray[np.uint8]],
        modality: str | Modality | Sequence[Modality],
    ) -> npt.NDArray[np.float32]:
        """Embeddings `(N, D)` float32, each row of length 1.

        Args:
            images: paths, or uint8 arrays `(H, W, 3)` or `(H, W)` of any size.
            modality: `"visible"`, `"infrared"`, `"auto"` (grey images count as infrared), or one per image.

        Raises:
            InputError: an image cannot be read (the first such is named), or the modality is not one of these.
        """
        decoded = [resized(image, self.height, self.width) for image in images]
        pixels = np.stack(decoded) if decoded else np.empty((0, 3, self.height, self.width), np.uint8)
        return self.embed_pixels(pixels, resolve_modalities(modality, pixels))

    def embed_pixels(self, pixels: npt.ArrayLike, modalities: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Embeddings `(N, D)` float32 of decoded images `(N, 3, H, W)` uint8 with modalities `(N,)`.

        Args:
            pixels: at the model's input size, as an array or a tensor in main memory.
            modalities: values of `Modality`.

        Raises:
            InputError: the images have another shape or type, or the modalities are not one of each image's.
        """
        images, kinds = np.ascontiguousarray(pixels), np.asarray(modalities, np.int64)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (3, self.height, self.width):
            expected = f"uint8 (N, 3, {self.height}, {self.width})"
            raise InputError(f"got images {images.shape} {images.dtype}, expected {expected}, values 0 to 255")
        if kinds.shape != (len(images),) or not np.isin(kinds, list(Modality)).all():
            raise InputError(f"got modalities {kinds.shape} for {len(images)} images; give 0 or 1 for each image")
        rows = [np.empty((0, self.dimensions), np.float32)]
        starts = range(0, len(images), self.batch_size)
        for start in tqdm(starts, "embed", unit="batch", leave=False, disable=len(starts) < 2):
            part = slice(start, start + self.batch_size)
            rows.append(self._infer(images[part], kinds[part]))
        return np.concatenate(rows)


def load(path: str | Path, *, runtime: Runtime = "onnx", device: str = "auto") -> OnnxEmbedder:
    """The embedder of a file of `vireid export`, in the runtime's fastest precision.

    Raises:
        InputError: `device` is not the CPU, or as `OnnxEmbedder`.
    """
    if device not in ("auto", "cpu"):
        raise InputError(f"--device {device}: --runtime {runtime} computes on the CPU; use --runtime torch and the run")
    return OnnxEmbedder(path, runtime, precision="auto")


def _with_onnxruntime(path: Path, threads: int) -> tuple[Infer, dict[str, str]]:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("this needs onnxruntime: pip install 'vireid[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings are about the graph's form
    # Spinning threads ruin each other where cores are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _refusing_damaged(path):
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def infer(images: npt.NDArray[np.uint8], modalities: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        (embeddings,) = session.run(None, {"images": images, "modalities": modalities})
        return np.asarray(embeddings, np.float32)

    return infer, dict(session.get_modelmeta().custom_metadata_map)


@cache
def _openvino_core() -> Any:
    """The process's only one.

    Each gives the calling thread a signal stack and puts back the one it found; if an older one is gone by then, that
    one is freed memory, and the next Ctrl-C crashes the process.
    """
    import openvino

    return openvino.Core()


def _with_openvino(path: Path, threads: int, precision: Precision) -> tuple[Infer, dict[str, str]]:
    try:
        core = _openvino_core()
    except ImportError:
        raise InputError("this needs openvino: pip install 'vireid[openvino]'") from None
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    if precision == "f32":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    with _refusing_damaged(path):
        model = core.read_model(path)
        compiled = core.compile_model(model, "CPU", settings)
    # OpenVINO's place for what the file's own metadata says.
    told = model.get_rt_info(["framework"]).value if model.has_rt_info(["framework"]) else {}
    properties = {key: str(value) for key, value in told.items()}

    def infer(images: npt.NDArray[np.uint8], modalities: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        embeddings = compiled({"images": images, "modalities": modalities})[0]
        return np.array(embeddings, np.float32)  # a copy: the next call writes to the same place

    return infer, properties


@contextmanager
def _refusing_damaged(path: Path) -> Iterator[None]:
    """Both runtimes have errors of their own for what they cannot read, some of many lines."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:160]
        raise InputError(f"{path} is damaged or no ONNX model ({reason}); export the run anew") from None
