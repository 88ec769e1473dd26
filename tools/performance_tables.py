"""The tables of docs/performance.md, from what the speed benchmarks measured."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "speed"


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table whose first column is words and whose others are numbers."""
    marks = ["---"] + ["---:"] * (len(columns) - 1)
    return [f"| {' | '.join(line)} |" for line in (columns, marks, *rows)]


def _noted(lines: list[str], note: str) -> str:
    return "\n".join([*lines, "", note])


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.1f} ms"


def _where(shares: Mapping[str, float]) -> str:
    return ", ".join(f"`{name}` {100 * share:.0f} %" for name, share in shares.items())


def _on(content: Mapping[str, Any]) -> str:
    about = content["machine"]
    return f"{about['cores']} cores of {about['cpu']}, PyTorch {about['torch']}, NumPy {about['numpy']}"


def machine() -> str:
    """What the machine can do, which the other tables are held against."""
    content = _read("metrics")
    rates = content["rates"]
    kinds = ("f64", "f32", "bf16")
    rows = [
        *([f"matrix product, {kind}", f"{rates[kind] / 1e9:,.0f} billion operations a second"] for kind in kinds),
        ["copy in memory", f"{rates['copy'] / 1e9:.1f} GB a second, read and written"],
    ]
    return _noted(
        _table(("", "at most"), rows), f"{_on(content)}; `benchmarks/timing.py` measures them in every script."
    )


def metrics() -> str:
    """Metrics from distance matrices."""
    content = _read("metrics")
    rows = [
        [
            name,
            _time(case["seconds"]["plain"]),
            _time(case["seconds"]["argsort"]),
            _time(case["seconds"]["vireid"]),
            f"{case['vireid over argsort']:.2f}",
            f"{case['plain over vireid']:,.0f}",
        ]
        for name, case in content["matrix"].items()
    ]
    columns = ("matrix", "query by query", "`argsort` alone", "vireid", "vireid / `argsort`", "query by query / vireid")
    return _noted(_table(columns, rows), f"Medians; float64 distances; the scores agree to 1e-12. {_on(content)}.")


def draws() -> str:
    """Evaluations from embeddings."""
    content = _read("metrics")
    draws, large, f32 = content["draws"], content["large"], content["rates"]["f32"]
    rows = [
        [
            "SYSU-MM01, four protocols, ten draws each",
            _time(draws["seconds"]["vireid"]),
            _time(draws["operations"] / f32),
            "",
            f"{draws['plain over vireid, one draw']:.0f}",
        ],
        [
            f"{large['queries']:,} x {large['gallery']:,}",
            _time(large["seconds"]),
            _time(large["operations"] / f32),
            f"{large['peak, GB']:.1f} GB (distances alone {large['whole matrix, GB']:.0f} GB)",
            "",
        ],
    ]
    columns = (
        "from embeddings of 2,048 numbers",
        "vireid",
        "its matrix products at the limit",
        "peak memory",
        "plain / vireid",
    )
    note = (
        "Plain: the evaluator that goes query by query, on one draw. Of the first row's time: "
        f"{_where(draws['where'])} (time of their own, of functions; the matrix products are in `distance.distances`)."
    )
    return _noted(_table(columns, rows), note)


def rerank() -> str:
    """Re-ranking beside whole matrices."""
    content = _read("rerank")
    f32 = content["rates"]["f32"]
    rows = []
    for name, case in content["cases"].items():
        seconds, difference = case["seconds"], case["largest difference from 64 bits"]
        rows.append(
            [
                name,
                _time(seconds["plain"]),
                _time(seconds["vireid"]),
                f"{case['plain over vireid']:.1f}",
                f"{difference['plain']:.0e}",
                f"{difference['vireid']:.0e}",
                _time(case["operations"] / f32),
                "",
            ]
        )
    for name in ("large", "huge"):
        case = content[name]
        size = f"{case['images']:,} + {case['images']:,}" + (", in blocks" if name == "huge" else "")
        limit = _time(case["operations"] / f32)
        rows.append([size, "", _time(case["seconds"]), "", "", "", limit, f"{case['peak, GB']:.2f} GB"])
    columns = (
        "queries + gallery",
        "whole matrices, f32",
        "vireid",
        "ratio",
        "its largest error",
        "vireid's",
        "matrix products at the limit",
        "peak memory",
    )
    note = (
        "Embeddings of 2,048 numbers. Errors: largest difference from the same algorithm with whole matrices in "
        f"64 bits. Where the time goes: {_where(content['where'])}."
    )
    return _noted(_table(columns, rows), note)


def inputs() -> str:
    """The input pipeline."""
    content = _read("input")
    # A byte of each value is read and four are written.
    height, width = content["size"]
    limit = content["rates"]["copy"] / (5 * 3 * height * width)
    rows = [
        [
            name,
            f"{row['images a second']['plain']:,.0f}",
            f"{row['images a second']['vireid']:,.0f}",
            f"{row['vireid over plain']:.1f}",
            f"{limit:,.0f}",
        ]
        for name, row in content["rows"].items()
    ]
    columns = ("augmentation", "torchvision, two workers", "vireid", "ratio", "memory's limit")
    note = (
        f"Images a second of {height}x{width}, in batches of {content['batch']}. The limit: reading each value as a "
        f"byte and writing it as a float, once. {content['decoded images, GB']:.2f} GB of decoded images lay in a "
        f"mapped file; the process took {content['memory taken, GB']:.2f} GB of memory of its own. {_on(content)}."
    )
    return _noted(_table(columns, rows), note)


def training() -> str:
    """Training steps."""
    content = _read("training")
    rate = content["rates"]["bf16" if content["precision"] == "bf16-mixed" else "f32"]
    rows, wheres = [], []
    for name, row in content["rows"].items():
        rows.append(
            [
                f"{name} (`{row['method']}`)",
                _time(row["seconds"]["plain"]),
                _time(row["seconds"]["vireid"]),
                f"{row['plain over vireid']:.1f}",
                _time(row["operations"] / rate),
                _time(row["loop alone"]),
                f"{100 * row['loop over step']:.1f} %",
                f"{row['peak, GB']['vireid']:.1f} GB",
            ]
        )
        wheres.append(f"{name}: {_where(row['where'])}")
    columns = (
        f"{content['images']} images a step",
        "plain script, f32",
        "vireid",
        "ratio",
        "products at the limit",
        "loop alone",
        "of the step",
        "peak memory",
    )
    note = (
        f"Medians; vireid in {content['precision']}. Loop alone: reading and augmenting the images, checks and logs, "
        f"without a checkpoint. Where a step's time goes, by PyTorch's operators: {'; '.join(wheres)}."
    )
    return _noted(_table(columns, rows), note)


def extraction() -> str:
    """Embeddings a second."""
    content = _read("extraction")
    rows = [
        [name, f"{row['images a second']:.1f}", f"{row['over plain']:.2f}", f"{row['smallest cosine to plain']:.5f}"]
        for name, row in content["rows"].items()
    ]
    limit = content["rates"]["bf16"] / content["operations of an image"]
    note = f"Batches of 64. The products in bf16 at the machine's limit: {limit:.0f} images a second."
    return _noted(_table(("ResNet-50, 288x144", "images a second", "ratio", "smallest cosine"), rows), note)


def start() -> str:
    """How soon vireid answers."""
    rows = [[f"`{name}`", _time(seconds)] for name, seconds in _read("start")["seconds"].items()]
    return "\n".join(_table(("new process", "median"), rows))


def growth() -> str:
    """Cost by size."""
    rows = []
    for name, found in _read("growth")["growth"].items():
        sizes = [f"{int(size):,}: {_time(seconds)}" for size, seconds in found["seconds"].items()]
        rows.append([name, *sizes, f"{found['exponent']:.2f}"])
    return "\n".join(_table(("", *["size: time"] * (len(rows[0]) - 2), "exponent"), rows))
