"""The demo: what an untrained, the shipped and a fine-tuned model find among the people of SynthVI-mini."""

import json
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from vireid import config as configuration
from vireid.atomic import write_text
from vireid.config import ExperimentConfig
from vireid.embedder import Run, build_method, load_run
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.distance import distances
from vireid.evaluation.results import RANKS, Result, save_results, table
from vireid.experiment.evaluate import embed_test, evaluate_run
from vireid.experiment.sets import test_sets
from vireid.experiment.train import complete_run
from vireid.figures import page
from vireid.figures.charts import Series, line_chart
from vireid.figures.rank_sheet import rank_rows, rank_sheet
from vireid.sample import Direction

MODELS = UNTRAINED, SHIPPED, TUNED = "untrained", "default", "fine-tuned"
QUERIES_SHOWN = 6


def run_demo(output: Path, *, device: str = "auto") -> Path:
    """Evaluate, fine-tune, evaluate again and write `output/report.html`; returns its path.

    An interrupted demo goes on where it stopped; a finished one is only reported again.

    Raises:
        InputError: the folder holds something else, or the package lacks its assets.
    """
    started = time.perf_counter()
    config = configuration.load(Path(str(files("vireid"))) / "assets" / "demo.yaml")
    if output.exists() and any(output.iterdir()) and not (output / "run").is_dir():
        raise InputError(f"{output} is not empty and holds no demo; choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    shipped = load_run("default")
    rows = {}
    _say("1/4  untrained network")
    rows[UNTRAINED] = evaluate_run(_untrained(shipped), root=Path("mini"), device=device)
    _say(table(rows[UNTRAINED]))
    _say("\n2/4  shipped model (trained on other people)")
    rows[SHIPPED] = evaluate_run(shipped, root=Path("mini"), device=device)
    _say(table(rows[SHIPPED]))
    _say(f"\n3/4  fine-tuning on the {_training_identities(config)} training people of SynthVI-mini")
    tuned = load_run(complete_run(config, output / "run", device=device))
    _say("\n4/4  fine-tuned model, without and with re-ranking")
    rows[TUNED] = evaluate_run(tuned, reranks=("off", "k-reciprocal"), device=device)
    _say(table(rows[TUNED]))
    for name, part in rows.items():
        save_results(output / f"results-{name}.json", part)
    save_results(tuned.path / "results.json", rows[TUNED])
    path = output / "report.html"
    write_text(path, _report(rows, tuned, config, device))
    _say(f"\nreport: {path.absolute()}  ({time.perf_counter() - started:.0f} s)")
    _say(f"model:  {tuned.path}, for example: vireid evaluate {tuned.path}")
    return path


def _untrained(run: Run) -> Run:
    """The same network with the random weights it would start from."""
    torch.manual_seed(run.config.train.seed)
    options = run.config.method.options.model_copy(update={"weights": "none"})
    method = run.config.method.module.build(options, 1)
    return Run(run.path, run.config, method.state_dict(), num_identities=1, epoch=0)


def _training_identities(config: ExperimentConfig) -> int:
    samples = config.data.module.load(config.data.options)
    return len({sample.pid for sample in samples if sample.split == "train"})


def _report(rows: dict[str, list[Result]], tuned: Run, config: ExperimentConfig, device: str) -> str:
    sections = [
        ("Scores", _score_table(rows) + page.paragraph(_how_to_read(rows))),
        ("Curves", f'<div class="charts">{"".join(_charts(rows, tuned))}</div>'),
        *_rank_sections(tuned, device),
    ]
    intro = (
        "Searching people across cameras of different light on SynthVI-mini, a rendered data set. Each number is "
        "measured on people no model here was trained on. 'Fine-tuned' starts from the shipped model and trains "
        f"{config.train.epochs} epochs on SynthVI-mini's training people; its last epoch is reported."
    )
    return page.page("vireid demo", sections, intro=intro)


def _score_table(rows: dict[str, list[Result]]) -> str:
    columns = ["test", "direction", "model", "re-ranking", "Rank-1", "Rank-5", "Rank-10", "mAP", "mINP"]
    body = []
    keys = list(dict.fromkeys((row.protocol, row.direction) for row in rows[TUNED]))
    for protocol, direction in keys:
        everything = [(name, row) for name, part in rows.items() for row in part]
        chosen = [(name, row) for name, row in everything if (row.protocol, row.direction) == (protocol, direction)]
        where = {"test": protocol.split(",")[0], "direction": direction.words}
        level = chosen[0][1].chance
        body.append({**where, "model": "chance", "Rank-1": _percent(level["rank1"]), "mAP": _percent(level["mAP"])})
        for name, row in chosen:
            names = {"Rank-1": "rank1", "Rank-5": "rank5", "Rank-10": "rank10", "mAP": "mAP", "mINP": "mINP"}
            scores = {column: _spread(row, score) for column, score in names.items()}
            body.append({**where, "model": name, "re-ranking": row.rerank, **scores})
    return page.table(columns, body)


def _how_to_read(rows: dict[str, list[Result]]) -> str:
    nir, lwir = (next(row for row in rows[TUNED] if f"-{part}-" in row.protocol) for part in ("nir", "lwir"))
    return (
        f"All in percent. nir: near-infrared against visible cameras from any side, as in SYSU-MM01, mean and standard "
        f"deviation of {len(nir.trials)} galleries of {nir.trials[0].num_gallery} images for "
        f"{nir.trials[0].num_queries} queries. lwir: thermal against visible images, never of one instant, "
        f"{lwir.trials[0].num_queries} queries in {lwir.trials[0].num_gallery} images. chance: a random order."
    )


def _charts(rows: dict[str, list[Result]], tuned: Run) -> Iterator[str]:
    for key in dict.fromkeys((row.protocol, row.direction) for row in rows[TUNED]):
        series: dict[str, Series] = {}
        for name, part in rows.items():
            for row in part:
                if (row.protocol, row.direction) == key:
                    label = name if row.rerank == "off" else f"{name}, {row.rerank}"
                    series[label] = (range(1, len(row.cmc) + 1), [100 * value for value in row.cmc])
        title = f"{key[0].split(',')[0]}, {key[1].words}"
        yield line_chart(
            series, title=title, x_label="rank", y_label="found by that rank, %", y_range=(0, 101), x_ticks=RANKS
        )
    lines = [json.loads(line) for line in (tuned.path / "metrics.jsonl").read_text().splitlines()]
    losses = sorted({name for line in lines for name in line if name.startswith("loss/")})
    curves = {n.removeprefix("loss/"): ([r["epoch"] for r in lines], [r[n] for r in lines]) for n in losses}
    yield line_chart(curves, title="fine-tuning", x_label="epoch", y_label="loss")


def _rank_sections(run: Run, device: str) -> Iterator[tuple[str, str]]:
    """Rank sheets of queries drawn by the seed, not chosen."""
    method = build_method(run)
    for data in test_sets(run.config):
        samples, embeddings = embed_test(method, data, run.config, device)
        for direction in Direction:
            protocol = protocols.build(data.options, data.name, samples, direction)
            trial = protocol.trials[0]
            drawn = np.random.default_rng(run.config.train.seed).permutation(len(trial.query))[:QUERIES_SHOWN]
            query = trial.query[np.sort(drawn)]
            sheet = rank_rows(
                distances(embeddings[query], embeddings[trial.gallery]),
                protocol.ignore_mask(query, trial.gallery),
                [samples[index] for index in query],
                [samples[index] for index in trial.gallery],
            )
            heading = f"Found: {data.options.part}, {direction.words}"
            yield (
                heading,
                page.paragraph(
                    f"{QUERIES_SHOWN} queries drawn at random, fine-tuned model, no re-ranking. Solid green: the right "
                    "person; dashed red: another one. The number is the cosine similarity."
                )
                + rank_sheet(sheet),
            )


def _spread(row: Result, score: str) -> str:
    text = _percent(row.mean[score])
    return f"{text} ± {_percent(row.std[score])}" if len(row.trials) > 1 else text


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _say(text: str) -> None:
    print(text, flush=True)
