"""Write the tables of README.md and docs/ from result files: `python tools/make_tables.py [--check]`.

Every table stands between a pair of marks, `<!-- name:begin -->` and `<!-- name:end -->`, and comes from files that
`vireid demo`, `ablate`, `profile` and `evaluate` or a script in `benchmarks/` wrote into `benchmarks/results`, or,
where it quotes a paper, from `benchmarks/published`. With `--check` nothing is written and the exit status is 1 if a
table is not the one the files give.
"""

import json
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import leaderboard_tables
import performance_tables
import results_tables
import search_tables
import synthvi_tables
import yaml

from vireid.ablation import tables
from vireid.ablation.file import plain
from vireid.costs import report
from vireid.demo import MODELS
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.chance import chance
from vireid.evaluation.results import Result, load_results
from vireid.sample import Direction, Modality, Sample

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DFW_SLN = RESULTS / "dfw_sln"
SHIPPED = ROOT / "src" / "vireid" / "assets" / "default"
# A method after the one it grows from.
ORDER = ("baseline", "agw", "hct", "dfw_sln", "mmn", "psmg", "emif", "pmt", "cm_dasn")

# Sweeps that the README compares methods by, and their trunks.
COMPARED = {"methods/methods_synthvi_nir": "ResNet-18", "methods/cm_dasn_components_synthvi_nir": "small ViT"}
LEFT_OUT = ("MS", "DASM in turns", "DASM shared", "DASM specific", "DASM at once")  # parts, on the method's page


def demo_table() -> str:
    """What `vireid demo` reached, with the level of chance."""
    rows = [(model, row) for model in MODELS for row in load_results(RESULTS / "demo" / f"results-{model}.json")]
    lines = ["| SynthVI-mini | search | model | re-ranking | Rank-1 | mAP | mINP |", "|---|---|---|---|---|---|---|"]
    for protocol, direction in dict.fromkeys((row.protocol, row.direction) for _, row in rows):
        chosen = [(model, row) for model, row in rows if (row.protocol, row.direction) == (protocol, direction)]
        level = chosen[0][1].chance
        where = f"| {protocol} | {direction.words} "
        lines.append(f"{where}| chance | | {100 * level['rank1']:.1f} | {100 * level['mAP']:.1f} | |")
        for model, row in chosen:
            scores = " | ".join(_score(row, name) for name in ("rank1", "mAP", "mINP"))
            lines.append(f"{where}| {model} | {row.rerank} | {scores} |")
    lines += ["", f"In percent, mean ± standard deviation over gallery draws; {_measured(rows)}."]
    return "\n".join(lines)


def default_table() -> str:
    """What the shipped model reached on the shipped people, with the level of chance."""
    rows = load_results(SHIPPED / "results.json")
    columns = ("protocol", "search", "Rank-1", "mAP", "mINP", "Rank-1 by chance", "mAP by chance")
    lines = [f"| {' | '.join(columns)} |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in (row for row in rows if row.rerank == "off"):
        scores = [_score(row, name) for name in ("rank1", "mAP", "mINP")]
        level = [f"{100 * row.chance[name]:.1f}" for name in ("rank1", "mAP")]
        lines.append(f"| {' | '.join((row.protocol, row.direction.words, *scores, *level))} |")
    return "\n".join([*lines, "", "In percent, no re-ranking, mean ± standard deviation over gallery draws, one seed."])


def chance_table() -> str:
    """What a random order scores on the licensed sets, from the published numbers of test images alone."""
    counts = json.loads((ROOT / "tests" / "golden" / "sysu_counts.json").read_text(encoding="utf-8"))["counts"]
    sysu = [
        Sample(Path(), int(pid), Modality.INFRARED if camid in (3, 6) else Modality.VISIBLE, camid, "test")
        for pid, cameras in counts.items()
        for camid, count in enumerate(cameras, 1)
        for _ in range(count)
    ]
    regdb = [Sample(Path(), pid, modality, 0, "test") for pid in range(206) for modality in Modality for _ in range(10)]
    i2v = Direction.I2V
    rows = {
        f"SYSU-MM01, {search} search, `i2v`, {words}": protocols.sysu_mm01(
            sysu, i2v, search=search, shots=shots, gallery="agw", trials=1
        )
        for search in ("all", "indoor")
        for shots, words in ((1, "one shot"), (10, "ten shots"))
    }
    rows["RegDB, either direction"] = protocols.regdb(regdb, i2v)
    lines = ["| | Rank-1 | mAP |", "|---|---:|---:|"]
    for name, protocol in rows.items():
        level = chance(protocol)
        lines.append(f"| {name} | {100 * level['rank1']:.2f} | {100 * level['mAP']:.2f} |")
    return "\n".join(lines)


def _score(row: Result, name: str) -> str:
    return _with_spread(row.mean[name], row.std[name] if len(row.trials) > 1 else None)


def _with_spread(mean: float, spread: float | None) -> str:
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def _measured(rows: list[tuple[str, Result]]) -> str:
    sizes = {
        row.protocol: f"{row.protocol.split(',')[0]}: {row.trials[0].num_queries} queries, "
        f"{row.trials[0].num_gallery} gallery images, {len(row.trials)} draws"
        for _, row in rows
        if row.direction == "i2v"
    }
    return "infrared to visible, " + "; ".join(sizes.values())


JOURNAL = re.compile(r"/journal(/|$)")  # the front page of one: no address of the paper itself is known


def method_table() -> str:
    """Every method: what it is, where it is from, what it costs."""
    content = json.loads((RESULTS / "methods" / "costs.json").read_text(encoding="utf-8"))
    rows = sorted(content["methods"].items(), key=lambda item: ORDER.index(item[0]))
    lines = ["| method | what it is | paper | settings | input | params | MACs |", "|---|---|---|---|---|---:|---:|"]
    for name, cost in rows:
        about = str(import_module(f"vireid.methods.{name}").__doc__)
        title, _, what = about.splitlines()[0].partition(": ")
        page = f"docs/methods/{name}.md"
        link = f"[`{name}`]({page})" if (ROOT / page).is_file() else f"`{name}`"
        basis = " (abstract only)" if "from the abstract" in " ".join(about.split()) else ""
        url = re.findall(r"https://[^\s,;)]+", about)[0].rstrip(".")
        cells = [
            link,
            (what or title)[0].upper() + (what or title)[1:].rstrip("."),
            f"[{'journal' if JOURNAL.search(url) else 'paper'}]({url}){basis}",
            f"[config](configs/{name}_sysu_mm01.yaml)",
            f"{cost['height']}x{cost['width']}",
            f"{cost['parameters'] / 1e6:.2f} M" + _training_only(cost["training_parameters"]),
            f"{cost['macs_per_pair'] / 2e9:.2f} G",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    note = (
        "Settings are those for SYSU-MM01; each method has files for RegDB, LLCM and SynthVI too. Params: what an "
        "embedding is computed from, + what serves training only, without the identity classifiers. MACs: "
        "multiply-accumulates per image at the input size of the settings."
    )
    return "\n".join([*lines, "", note])


def _training_only(parameters: int) -> str:
    return f" + {parameters / 1e6:.2f} M" if parameters >= 5000 else ""


def ablation(folder: str) -> dict[str, Any]:
    """What `vireid ablate` wrote."""
    content: dict[str, Any] = json.loads((RESULTS / folder / "ablation.json").read_text(encoding="utf-8"))
    return content


def tuning_table() -> str:
    """What each setting reached on held-out training people."""
    content = json.loads((RESULTS / "methods" / "tuning.json").read_text(encoding="utf-8"))
    lines = ["| method | setting | Rank-1 | mAP | Rank-1 | mAP |", "|---|---|---:|---:|---:|---:|"]
    for row in content["rows"]:
        settings = ", ".join(f"`{key}: {plain(value)}`" for key, value in row["settings"].items())
        scores = [f"{100 * row[f'{way}/{name}']:.1f}" for way in ("i2v", "v2i") for name in ("rank1", "mAP")]
        lines.append(f"| {row['method']} | {settings} | {' | '.join(scores)} |")
    held_out = " or ".join(map(str, content["held_out"]))
    remark = f"In percent, on {held_out} held-out people; infrared to visible, then visible to infrared."
    return "\n".join([*lines, "", remark])


def sweep(folder: str, up: str = "../..") -> str:
    """All tables of a sweep, its chart first, for a page in docs/methods."""
    chart = f"![{folder}]({up}/benchmarks/results/{folder}/ablation.svg)"
    _, _, body = tables.markdown(ablation(folder), level=3).partition("\n\n")
    return f"{chart}\n\n{body.rstrip()}"


def start(*only: str) -> str:
    """The model of generator 1, shipped when the sweeps were run, on their people: where runs on a ResNet come from."""
    rows = load_results(DFW_SLN / "default.json")
    texts = [
        f"{row.direction.words}, re-ranking {row.rerank}: Rank-1 {_score(row, 'rank1')}, mAP {_score(row, 'mAP')}"
        for row in rows
        if not only or (row.direction, row.rerank) == only
    ]
    return (
        "For comparison, the model shipped then, as it was (commit `19cd7a1`), on the same test people: "
        + "; ".join(texts)
        + "."
    )


def dfw_sln_measured() -> str:
    """The ablation of Table 1 and its starting point."""
    return f"{sweep('dfw_sln/table1_synthvi_nir')}\n\n{start()}"


def dfw_sln_published() -> str:
    """The paper's tables, as it prints them."""
    published = yaml.safe_load((ROOT / "benchmarks/published/dfw_sln.yaml").read_text(encoding="utf-8"))
    blocks = []
    for content in published.values():
        columns = content["columns"]
        lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        for row, values in content["rows"].items():
            lines.append(f"| {row} | " + " | ".join(map(_printed, values)) + " |")
        blocks += [f"**{content['title']}**", "\n".join(lines)]
    note = (
        "As the paper prints them. RE: random erasing. (RK): with k-reciprocal re-ranking. The paper's citations of the"
    )
    return "\n\n".join([*blocks, f"{note} other methods are left out."])


def _printed(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value}" if isinstance(value, int) else f"{value:.2f}" if round(value, 2) == value else f"{value:.3f}"


def dfw_sln_gate() -> str:
    """What the gate of Eq. 3 lets through, by matrix."""
    found = json.loads((DFW_SLN / "gate.json").read_text(encoding="utf-8"))
    lines = ["| matrix | f, strong cells | f, weak cells | gate, strong | gate, weak |", "|---|---:|---:|---:|---:|"]
    for row in found["rows"]:
        cells = [row[name] for name in ("response_strong", "response_weak", "gate_strong", "gate_weak")]
        lines.append(f"| {row['matrix']} | " + " | ".join(f"{value:.3f}" for value in cells) + " |")
    note = (
        f"Means over {found['images']} images of SynthVI-mini's test people ({found['height']}x{found['width']}), map "
        f"after layer3 of the trunk shipped with generator 1 (commit `19cd7a1`); `benchmarks/gate.py` writes the file."
    )
    return "\n".join([*lines, "", note])


def dfw_sln_costs() -> str:
    """The paper's Table 2, counted and timed."""
    return report.markdown(json.loads((DFW_SLN / "costs.json").read_text(encoding="utf-8")))


def comparison() -> str:
    """One table for the README: every method against the row it is compared with, infrared to visible."""
    columns = ("SynthVI nir", "trunk", "Rank-1", "mAP", "mAP against", "difference, 95 % interval")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for folder, trunk in COMPARED.items():
        for row in (each for each in ablation(folder)["rows"] if each["row"] not in LEFT_OUT):
            (entry,) = (each for each in row["summary"] if (each["direction"], each["rerank"]) == ("i2v", "off"))
            scores = [_with_spread(entry["mean"][name], entry["std"][name]) for name in ("rank1", "mAP")]
            name = {"MS DASM in turns": "CM-DASN"}.get(row["row"], row["row"])
            cells = [name, trunk, *scores, row["against"] or "", _against(entry["difference"])]
            lines.append(f"| {' | '.join(cells)} |")
    count = len(ablation(next(iter(COMPARED)))["seeds"])
    remark = f"In percent, infrared to visible, no re-ranking, mean ± standard deviation over {count} seeds."
    return "\n".join([*lines, "", f"{remark} {start('i2v', 'off')}"])


def _against(difference: dict[str, Any] | None) -> str:
    if difference is None or difference["mAP"]["low"] is None:
        return ""
    # + 0.0: never -0.0
    mean, low, high = (round(100 * difference["mAP"][name], 1) + 0.0 for name in ("mean", "low", "high"))
    return f"{mean:+.1f}, {low:+.1f} to {high:+.1f}"


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"results": demo_table, "methods": method_table, "compared": comparison},
    "docs/methods/dfw_sln.md": {
        "published": dfw_sln_published,
        "gate": dfw_sln_gate,
        "synthvi": dfw_sln_measured,
        "scratch": lambda: sweep("dfw_sln/scratch_synthvi_nir"),
        "costs": dfw_sln_costs,
    },
    "docs/comparison.md": {
        "methods_measured": lambda: f"{sweep('methods/methods_synthvi_nir', up='..')}\n\n{start()}",
        "tuning": tuning_table,
    },
    "docs/methods/psmg.md": {
        "psmg_measured": lambda: sweep("methods/psmg_components_synthvi_nir"),
        "psmg_terms": lambda: sweep("methods/psmg_terms_synthvi_nir"),
    },
    "docs/methods/emif.md": {
        "emif_measured": lambda: sweep("methods/emif_components_synthvi_nir"),
        "emif_consistency": lambda: sweep("methods/emif_consistency_synthvi_nir"),
        "plug_and_play": lambda: sweep("methods/plug_and_play_synthvi_nir"),
    },
    "docs/methods/pmt.md": {"pmt_measured": lambda: sweep("methods/pmt_components_synthvi_nir")},
    "docs/methods/cm_dasn.md": {
        "cm_dasn_measured": lambda: sweep("methods/cm_dasn_components_synthvi_nir"),
        "cm_dasn_heads": lambda: sweep("methods/cm_dasn_heads_synthvi_nir"),
    },
    "docs/default_model.md": {"default_synthvi": default_table, "default_real": synthvi_tables.default_transfer},
    "docs/synthvi.md": {
        "probes": synthvi_tables.probes,
        "transfer": synthvi_tables.transfer,
        "speed": synthvi_tables.speed,
        "constants": synthvi_tables.constants,
    },
    "docs/protocols.md": {"chance": chance_table},
    "docs/performance.md": {
        "machine": performance_tables.machine,
        "metrics": performance_tables.metrics,
        "draws": performance_tables.draws,
        "rerank": performance_tables.rerank,
        "inputs": performance_tables.inputs,
        "training": performance_tables.training,
        "extraction": performance_tables.extraction,
        "start": performance_tables.start,
        "growth": performance_tables.growth,
    },
    "docs/scaling.md": {
        "gallery": search_tables.gallery,
        "embedding": search_tables.embedding,
        "bulk": search_tables.bulk,
    },
    "docs/leaderboard.md": {
        "counts": leaderboard_tables.counts,
        "sysu_mm01": lambda: leaderboard_tables.dataset("sysu_mm01"),
        "regdb": lambda: leaderboard_tables.dataset("regdb"),
        "llcm": lambda: leaderboard_tables.dataset("llcm"),
        "synthvi_methods": leaderboard_tables.synthvi_methods,
        "synthvi_demo": leaderboard_tables.synthvi_demo,
    },
    "docs/results.md": {
        "demo": lambda: results_tables.part("demo"),
        "synthvi": lambda: results_tables.part("synthvi"),
        "sweeps": lambda: results_tables.part("sweeps"),
        "charts": results_tables.charts,
        "speed": lambda: results_tables.part("speed"),
    },
}


def filled(file: str) -> str:
    """The text of a file with every table as the result files give it."""
    text = (ROOT / file).read_text(encoding="utf-8")
    for name, make in TABLES[file].items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{make()}\n{end}{rest.split(end)[1]}"
    return text


def main(check: bool) -> int:
    """Write the files, or say whether they are as they should be."""
    wanted = {file: filled(file) for file in TABLES}
    if check:
        return int(any((ROOT / file).read_text(encoding="utf-8") != text for file, text in wanted.items()))
    for file, text in wanted.items():
        (ROOT / file).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main("--check" in sys.argv[1:]))
    except InputError as error:
        print(f"make_tables: {error}", file=sys.stderr)
        sys.exit(2)
