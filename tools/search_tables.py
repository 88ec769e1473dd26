"""The tables of docs/scaling.md: what benchmarks/search.py, embedding_speed.py and bulk_speed.py measured."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "search"
MEASURED = {"exact": "all compared", "optimized": "index"}


def gallery() -> str:
    """How fast a gallery takes in and finds crops, by its size."""
    content = json.loads((RESULTS / "gallery.json").read_text(encoding="utf-8"))
    about, machine = content["settings"], content["machine"]
    k, batch = about["k"], about["batch"]
    columns = (
        "crops",
        "added a second",
        "added again",
        "index made in",
        "search by",
        "one query",
        f"{batch} at once, each",
        f"recall@{k}",
        "behind a filter, each",
        f"recall@{k}",
        "bytes a crop",
        "peak memory",
    )
    lines = [f"| {' | '.join(columns)} |", "|" + "---:|" * 4 + "---|" + "---:|" * 7]
    for size in content["sizes"]:
        lines += [f"| {' | '.join(cells)} |" for cells in _rows_of(size)]
    note = (
        f"{about['dimensions']} numbers a crop, {k} hits asked for, {machine['cores']} cores of {machine['cpu']}. Peak "
        "memory is the benchmark's, which holds all embeddings too, to compare with. Adding is from one Parquet file; "
        "again: the same file once more, of which nothing is new."
    )
    return "\n".join([*lines, "", note])


def _rows_of(size: dict[str, Any]) -> list[list[str]]:
    """One line for each way to search; what does not depend on it stands in the first."""
    lines = []
    for name, words in MEASURED.items():
        found = size[name]
        behind = found["filtered"]
        first = name == next(iter(MEASURED))
        added = [f"{size['rows']:,}", f"{size['add']['rows a second']:,.0f}", f"{size['add']['again']:,.0f}"]
        lines.append(
            [
                *(added if first else [""] * 3),
                "" if first else f"{size['optimize']['seconds']:.0f} s",
                words,
                _milliseconds(found["one"]["seconds"]),
                _milliseconds(found["batch"]["each"]),
                f"{found['recall']:.3f}",
                _milliseconds(behind["each"]),
                f"{behind['recall']:.3f}",
                f"{size['bytes a row']:,.0f}" if first else "",
                f"{size['peak memory, GB']:.1f} GB" if first else "",
            ]
        )
    return lines


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def embedding() -> str:
    """Images per second of each way to embed, beside plain PyTorch."""
    content = json.loads((RESULTS / "embedding.json").read_text(encoding="utf-8"))
    lines = [
        "| way | images/s (slowest and fastest turn) | ratio | smallest cosine to PyTorch f32 |",
        "|---|---:|---:|---:|",
    ]
    for row in content["rows"]:
        rates = f"{row['images_per_second']:.0f} ({row['slowest']:.0f} to {row['fastest']:.0f})"
        lines.append(f"| {row['way']} | {rates} | {row['ratio']:.2f} | {row['smallest_cosine']:.5f} |")
    packages = ", ".join(f"{name} {number}" for name, number in content["packages"].items())
    height, width = content["size"]
    note = (
        f"Model `{content['run']}`, {content['images']} crops of {height}x{width} in batches of {content['batch']}, "
        f"{content['threads']} threads of {content['device']}, median of {content['turns']} turns; {packages}."
    )
    return "\n".join([*lines, "", note])


def bulk() -> str:
    """Images per second of whole commands in one process and on Ray."""
    content = json.loads((RESULTS / "bulk.json").read_text(encoding="utf-8"))
    words = {"plain": "one process", "ray": "Ray, an actor for each core"}
    lines = ["| `vireid embed` | images/s with start-up | ratio |", "|---|---:|---:|"]
    for name, rate in content["rates"].items():
        lines.append(f"| {words[name]} | {rate:.0f} | {rate / content['rates']['plain']:.2f} |")
    machine, turns = content["machine"], len(content["seconds"]["plain"])
    note = f"{content['images']:,} images, {machine['cores']} cores of {machine['cpu']}, median of {turns} turns."
    return "\n".join([*lines, "", note])
