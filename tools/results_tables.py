"""The tables and charts of docs/results.md: every file in `benchmarks/results`, with what it says in a line.

A file that nothing here describes stops `make_tables.py`: describe it in FILES.
"""

import json
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from vireid.ablation import tables
from vireid.errors import InputError
from vireid.evaluation.results import Result, load_results

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
LEVEL = 0.05  # of the corrected p-value below which a difference counts as one
COLUMNS = ("file", "question", "main figure", "written by", "machine", "in full")


class About(NamedTuple):
    """What a file is: the question it answers, the command that wrote it, its page in docs/ and its main figure."""

    part: str
    question: str
    command: str
    page: str
    figure: Callable[[Path], str]
    machine: str = ""  # where the file does not say it


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _with_interval(row: dict[str, float]) -> str:
    return f"{_percent(row['mean'])} [{_percent(row['low'])}, {_percent(row['high'])}]"


def _result(row: Result) -> str:
    spread = {name: f" ± {_percent(row.std[name])}" if len(row.trials) > 1 else "" for name in ("rank1", "mAP")}
    scores = [
        f"{words} {_percent(row.mean[name])}{spread[name]}" for name, words in (("rank1", "Rank-1"), ("mAP", "mAP"))
    ]
    chance = f" (chance {_percent(row.chance['rank1'])}, {_percent(row.chance['mAP'])})" if row.chance else ""
    return f"{row.protocol}, {row.direction.words}, re-ranking {row.rerank}: {', '.join(scores)}{chance}"


def _first_result(file: Path) -> str:
    return _result(load_results(file)[0])


def _environment(file: Path) -> str:
    return "versions " + ", ".join(f"{name} {_read(file)[name]}" for name in ("vireid", "torch", "timm"))


def _probes(file: Path) -> str:
    rows = _read(file)["parts"]["nir"]
    seen = {kind: rows[f"network: {kind}"]["i2v"]["rank1"] for kind in ("whole image", "background")}
    texts = [f"{kind} {_with_interval(row)}" for kind, row in seen.items()]
    chance = _percent(seen["background"]["chance"])
    return f"near infrared to visible, Rank-1 of networks that see the {', the '.join(texts)}; chance {chance}"


def _transfer(file: Path) -> str:
    """The shipped model, and the best line with what its scene alone gives away."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    shipped = next(line for line in lines if line["label"] == "the default model")
    best = max(lines, key=lambda line: line["trained"]["i2v"]["rank1"]["mean"])
    texts = [
        f"{words} {_with_interval(row)}"
        for words, row in (
            ("the default model", shipped["trained"]["i2v"]["rank1"]),
            (f"the highest of {len(lines)} lines ({best['label']})", best["trained"]["i2v"]["rank1"]),
            ("that one with the person faded out", best.get("scene", {}).get("i2v", {}).get("rank1")),
        )
        if row
    ]
    chance = _percent(shipped["trained"]["i2v"]["rank1"]["chance"])
    return f"Rank-1, infrared to visible: {'; '.join(texts)}; chance {chance}"


def _rendering(file: Path) -> str:
    content = _read(file)
    own, before = content["median"].values()
    return f"{own['rate']:,.0f} images an hour, {content['ratio']:.1f} times the first version's {before['rate']:,.0f}"


def _gate(file: Path) -> str:
    row = _read(file)["rows"][0]
    strong, weak = row["gate_strong"], row["gate_weak"]
    return f"{row['matrix']}: strong cells are multiplied by {strong:.3f}, weak ones by {weak:.3f}"


def _paper_costs(file: Path) -> str:
    row = _read(file)["rows"][-1]
    counted, printed = (count["parameters"] / 1e6 for count in (row, row["paper"]))
    return (
        f"{row['name']}: {counted:.2f} M parameters counted, {printed:.2f} M printed; a step takes "
        f"{row['step_ratio']:.2f} times the baseline's"
    )


def _costs(file: Path) -> str:
    counts = {name: cost["parameters"] / 1e6 for name, cost in _read(file)["methods"].items()}
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    return f"from {counts[least]:.2f} M parameters (`{least}`) to {counts[most]:.2f} M (`{most}`)"


def _tuning(file: Path) -> str:
    scores = [row["i2v/mAP"] for row in _read(file)["rows"]]
    return f"{len(scores)} settings, mAP {_percent(min(scores))} to {_percent(max(scores))} on held-out training people"


def _small_vit(file: Path) -> str:
    content = _read(file)
    return f"loss {content['first_loss']:.2f} at first, {content['last_losses']:.2f} after {content['steps']:,} steps"


def _gallery(file: Path) -> str:
    size = _read(file)["sizes"][-1]
    texts = [
        f"{words} {1000 * size[way]['one']['seconds']:.0f} ms (recall {size[way]['recall']:.3f})"
        for way, words in (("exact", "all compared"), ("optimized", "by the index"))
    ]
    return f"a query among {size['rows']:,} crops: {', '.join(texts)}"


def _embedding(file: Path) -> str:
    rows = {row["way"]: row["ratio"] for row in _read(file)["rows"]}
    most, least = max(rows, key=rows.__getitem__), min(rows, key=rows.__getitem__)
    return f"of plain PyTorch's images a second: {most} {rows[most]:.2f} times, {least} {rows[least]:.2f} times"


def _bulk(file: Path) -> str:
    rates = _read(file)["rates"]
    return f"Ray embeds {rates['ray'] / rates['plain']:.2f} times what one process does on one machine"


def _metrics(file: Path) -> str:
    cases = _read(file)["matrix"]
    return "beside query by query, beside `argsort` alone: " + "; ".join(
        f"{name} {case['plain over vireid']:.1f} and {1 / case['vireid over argsort']:.2f} times as fast"
        for name, case in cases.items()
    )


def _rerank(file: Path) -> str:
    cases = _read(file)["cases"]
    return "beside whole matrices: " + "; ".join(
        f"{name} {case['plain over vireid']:.1f} times as fast" for name, case in cases.items()
    )


def _inputs(file: Path) -> str:
    ratios = [f"{name} {row['vireid over plain']:.1f}" for name, row in _read(file)["rows"].items()]
    return f"times a torchvision pipeline's images a second: {'; '.join(ratios)}"


def _training(file: Path) -> str:
    content = _read(file)
    ratios = [f"{name} {row['plain over vireid']:.1f}" for name, row in content["rows"].items()]
    return f"times as fast as a plain script in 32 bits, in {content['precision']}: {'; '.join(ratios)}"


def _extraction(file: Path) -> str:
    rows = [
        f"{name} {row['images a second']:.0f} a second ({row['over plain']:.1f} times)"
        for name, row in _read(file)["rows"].items()
    ]
    return "; ".join(rows)


def _start(file: Path) -> str:
    return ", ".join(f"`{name}` {1000 * seconds:.0f} ms" for name, seconds in _read(file)["seconds"].items())


def _growth(file: Path) -> str:
    found = _read(file)["growth"]
    return "; ".join(f"{name}: exponent {row['exponent']:.2f}" for name, row in found.items())


WITHIN = {"plug_and_play_synthvi_nir"}  # sweeps that ask what a part adds to its own method


def _ablation(file: Path) -> str:
    """How many rows differ from the row they are compared with, and which most, from infrared to visible."""
    content = _read(file)
    bases = {row["row"]: row.get("changes", {}).get("base") for row in content["rows"]}
    entries = [
        (row["row"], against, entry["difference"]["mAP"])
        for row in content["rows"]
        for entry in row["summary"]
        if (entry["direction"], entry["rerank"]) == ("i2v", "off") and entry["difference"]
        for against in [row.get("against", content["reference"])]
        if file.parent.name not in WITHIN or bases[row["row"]] == bases[against]
    ]
    clear = [each["mean"] for *_, each in entries if each["p_holm"] is not None and each["p_holm"] < LEVEL]
    better, worse = sum(mean > 0 for mean in clear), sum(mean < 0 for mean in clear)
    name, against, most = max(entries, key=lambda entry: abs(entry[2]["mean"]))
    count = (
        f"of {len(entries)} compared: {better} better, {worse} worse, {len(entries) - better - worse} not told apart"
    )
    mean, low, high = (f"{100 * most[end]:+.1f}" for end in ("mean", "low", "high"))
    p = "" if most["p_holm"] is None else f", p {most['p_holm']:.3f}"
    return f"{count}; largest difference {mean} [{low}, {high}]{p} ({name} against {against})"


DEMO, SYNTHVI, SWEEPS, CHARTS, SPEED = "demo", "synthvi", "sweeps", "charts", "speed"  # parts of the page
MODELS = {
    "default": "the shipped model",
    "fine-tuned": "that model, fine-tuned,",
    "untrained": "the same network, untrained,",
}


def _benchmark(name: str) -> str:
    return f"`benchmarks/{name}.py`"


def _timed(question: str, script: str, page: str, figure: Callable[[Path], str]) -> About:
    return About(SPEED, question, _benchmark(script), page, figure)


FILES = {
    "leaderboard/*.json": About(
        DEMO,
        "What does a method reach on licensed data?",
        "`vireid evaluate --output`",
        "leaderboard.md",
        _first_result,
    ),
    **{
        f"demo/results-{model}.json": About(
            DEMO, f"What does {words} find on SynthVI-mini?", "`vireid demo`", "leaderboard.md#synthvi", _first_result
        )
        for model, words in MODELS.items()
    },
    "demo/environment.json": About(DEMO, "With which versions?", "`vireid demo`", "", _environment),
    "synthvi/probes.json": About(
        SYNTHVI,
        "Can SynthVI be solved without looking at the person?",
        _benchmark("synthvi_probes"),
        "synthvi.md#can-it-be-solved-without-looking-at-the-person",
        _probes,
    ),
    "synthvi/transfer.jsonl": About(
        SYNTHVI,
        "What do models trained on SynthVI find in real pairs?",
        _benchmark("synthvi_transfer"),
        "synthvi.md#what-it-is-worth-for-real-cameras",
        _transfer,
    ),
    "synthvi/speed*.json": About(
        SYNTHVI, "How fast does it render?", _benchmark("synth_speed"), "synthvi.md#speed", _rendering
    ),
    "*/ablation.json": About(SWEEPS, "", "", "", _ablation),
    "*/ablation.svg": About(CHARTS, "", "", "", _ablation),
    "dfw_sln/default.json": About(
        SWEEPS,
        "What did the model that the sweeps start from reach on their people?",
        "`vireid evaluate default`",
        "comparison.md",
        _first_result,
    ),
    "dfw_sln/gate.json": About(
        SWEEPS,
        "Does the gate of DFW weaken strong cells?",
        _benchmark("gate"),
        "methods/dfw_sln.md#what-the-gate-does",
        _gate,
    ),
    "dfw_sln/costs.json": About(
        SWEEPS,
        "What does DFW-SLN cost beside its paper's table?",
        "`vireid profile`",
        "methods/dfw_sln.md#costs",
        _paper_costs,
    ),
    "methods/costs.json": About(
        SWEEPS,
        "How large is each method?",
        _benchmark("method_costs"),
        "../README.md#published-methods-and-their-ablations",
        _costs,
        machine="counted, not timed",
    ),
    "methods/tuning.json": About(
        SWEEPS,
        "Which settings did held-out training people prefer?",
        _benchmark("tuning"),
        "comparison.md#settings-chosen-on-training-people",
        _tuning,
    ),
    "methods/small_vit.json": About(
        SWEEPS, "Did the start of PMT and CM-DASN learn anything?", _benchmark("small_vit"), "comparison.md", _small_vit
    ),
    "speed/metrics.json": _timed("How long do metrics take?", "metrics_speed", "performance.md#evaluation", _metrics),
    "speed/rerank.json": _timed("How long does re-ranking take?", "rerank_speed", "performance.md#re-ranking", _rerank),
    "speed/input.json": _timed(
        "How many training images are read?", "input_speed", "performance.md#training-images", _inputs
    ),
    "speed/training.json": _timed(
        "How long does a training step take?", "training_speed", "performance.md#training-steps", _training
    ),
    "speed/extraction.json": _timed(
        "How many images are embedded?", "extraction_speed", "performance.md#embedding", _extraction
    ),
    "speed/start.json": _timed("How soon does it answer?", "start_speed", "performance.md#start", _start),
    "speed/growth.json": _timed("How does cost grow?", "growth", "performance.md#how-cost-grows", _growth),
    "search/gallery.json": _timed("How fast is a gallery searched?", "search", "scaling.md#one-machine", _gallery),
    "search/embedding.json": _timed(
        "Which way to embed is fastest?", "embedding_speed", "scaling.md#embedding-faster", _embedding
    ),
    "search/bulk.json": _timed("Does Ray help on one machine?", "bulk_speed", "scaling.md#embedding-faster", _bulk),
}

# What each sweep asks; a sweep that is not here is named by its title.
QUESTIONS = {
    "methods_synthvi_nir": "Does a method help its own baseline, all from one start?",
    "plug_and_play_synthvi_nir": "Do DFW and the consistency loss help other methods?",
    "table1_synthvi_nir": "Do the parts of DFW-SLN add up as in its Table 1?",
    "scratch_synthvi_nir": "Does DFW-SLN help when trained from random weights?",
    "psmg_components_synthvi_nir": "Which parts of PSMG help?",
    "psmg_terms_synthvi_nir": "Which terms of its centre alignment loss help?",
    "emif_components_synthvi_nir": "Which parts of EMIF help?",
    "emif_consistency_synthvi_nir": "Which consistency loss helps, if any?",
    "pmt_components_synthvi_nir": "Which parts of PMT help?",
    "cm_dasn_components_synthvi_nir": "Which parts of CM-DASN help?",
    "cm_dasn_heads_synthvi_nir": "How many heads should CM-DASN keep?",
}


def _files() -> list[str]:
    """Relative to `benchmarks/results`, in the order of FILES."""
    names = sorted(file.relative_to(RESULTS).as_posix() for file in RESULTS.rglob("*") if file.is_file())
    patterns = list(FILES)
    sweeps = list(QUESTIONS)

    def place(name: str) -> tuple[int, int]:
        folder = Path(name).parent.name
        return patterns.index(_pattern(name)), sweeps.index(folder) if folder in sweeps else len(sweeps)

    return sorted(names, key=place)


def _pattern(name: str) -> str:
    for pattern in FILES:
        if fnmatch(name, pattern):
            return pattern
    raise InputError(
        f"benchmarks/results/{name}: nothing says what it is; describe it in FILES of tools/results_tables.py"
    )


def _about(name: str) -> About:
    about = FILES[_pattern(name)]
    if not name.endswith("ablation.json"):
        return about
    content, folder = _read(RESULTS / name), Path(name).parent
    question = QUESTIONS.get(folder.name, content["title"])
    command = f"`vireid ablate configs/sweeps/{content['sweep']}`"
    return about._replace(question=question, command=command, page=_page_of(folder.as_posix()))


@cache
def _page_of(folder: str) -> str:
    """The page that shows a sweep in full: the one with its chart and its marks."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    showing = [page for page in pages if page.name != "results.md" and f"results/{folder}/" in page.read_text("utf-8")]
    return showing[0].relative_to(ROOT / "docs").as_posix() if showing else ""


def part(name: str) -> str:
    """The table of one part."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for file in _files():
        about = _about(file)
        if about.part != name:
            continue
        cells = (
            _link(f"`{file}`", f"../benchmarks/results/{file}"),
            about.question,
            about.figure(RESULTS / file),
            about.command,
            about.machine or _machine(RESULTS / file),
            _link(_words(about.page), about.page) if about.page else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _link(text: str, target: str) -> str:
    return f"[{text}]({target})"


def _words(page: str) -> str:
    return Path(page.partition("#")[0]).name


def _machine(file: Path) -> str:
    """What the file, or the one beside it, says of where it was written."""
    beside = file.with_name("environment.json")
    content = _read(beside) if beside.is_file() else {} if file.suffix == ".jsonl" else _read(file)
    about = (
        content.get("environment") or content.get("machine") or content.get("settings", {}).get("machine") or content
    )
    name = next((about[key] for key in ("cpu", "device_name", "processor", "device") if about.get(key)), "")
    count = next((f"{about[key]} {key} of " for key in ("cores", "threads") if about.get(key)), "")
    commits = ", ".join(f"`{commit[:7]}`" for commit in str(about.get("commit", "")).split(", ") if commit)
    if not name:
        return "not recorded"
    return ", ".join(filter(None, [f"{count}{name}", commits and f"commit {commits}"]))


def charts() -> str:
    """The sweeps' charts with captions."""
    blocks = []
    for file in _files():
        if not file.endswith(".svg"):
            continue
        content = _read(RESULTS / file.replace(".svg", ".json"))
        tests = {", ".join(group[:2]): None for group in tables.groups(content)}
        caption = f"**{content['title']}.** {'; '.join(tests)}; {len(content['seeds'])} seeds."
        page = _page_of(Path(file).parent.as_posix())
        blocks += [
            f"![{content['title']}](../benchmarks/results/{file})",
            f"{caption} Numbers: {_link(_words(page), page)}.",
        ]
    return "\n\n".join(blocks)
