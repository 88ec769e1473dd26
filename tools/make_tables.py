"""Write the result table of README.md from `benchmarks/results/demo/*.json`: `python tools/make_tables.py [--check]`.

The files are those of `vireid demo` (`results-untrained.json` and so on). With `--check` nothing is written and the
exit status is 1 if the table in README.md is not the one the files give.
"""

import sys
from pathlib import Path

from vireid.demo import MODELS
from vireid.evaluation.results import Result, load_results

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
DIRECTIONS = {"i2v": "infrared to visible", "v2i": "visible to infrared"}


def table(folder: Path) -> str:
    """The rows of all models as Markdown, with the level of chance."""
    rows = [(model, row) for model in MODELS for row in load_results(folder / f"results-{model}.json")]
    lines = ["| SynthVI-mini | search | model | re-ranking | Rank-1 | mAP | mINP |", "|---|---|---|---|---|---|---|"]
    for protocol, direction in dict.fromkeys((row.protocol, row.direction) for _, row in rows):
        chosen = [(model, row) for model, row in rows if (row.protocol, row.direction) == (protocol, direction)]
        level = chosen[0][1].chance
        where = f"| {protocol} | {DIRECTIONS[direction]} "
        lines.append(f"{where}| chance | | {100 * level['rank1']:.1f} | {100 * level['mAP']:.1f} | |")
        for model, row in chosen:
            scores = " | ".join(_score(row, name) for name in ("rank1", "mAP", "mINP"))
            lines.append(f"{where}| {model} | {row.rerank} | {scores} |")
    lines += ["", f"In percent, mean ± standard deviation over gallery draws; {_measured(rows)}."]
    return "\n".join(lines)


def _score(row: Result, name: str) -> str:
    spread = f" ± {100 * row.std[name]:.1f}" if len(row.trials) > 1 else ""
    return f"{100 * row.mean[name]:.1f}{spread}"


def _measured(rows: list[tuple[str, Result]]) -> str:
    sizes = {
        row.protocol: f"{row.protocol.split(',')[0]}: {row.trials[0].num_queries} queries, "
        f"{row.trials[0].num_gallery} gallery images, {len(row.trials)} draws"
        for _, row in rows
        if row.direction == "i2v"
    }
    return "infrared to visible, " + "; ".join(sizes.values())


def main(check: bool) -> int:
    """Write README.md, or say whether it is as it should be."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    wanted = f"{before}{BEGIN}\n{table(ROOT / 'benchmarks/results/demo')}\n{END}{after}"
    if check:
        return int(wanted != text)
    readme.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
