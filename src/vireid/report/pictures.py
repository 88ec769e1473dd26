"""Draws runs: each function yields pictures with a name that is fit for a file."""

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from vireid.ablation.pictures import chart
from vireid.errors import InputError
from vireid.evaluation.protocols import Protocol
from vireid.evaluation.results import RANKS, Result, by_test, labelled, load_results
from vireid.experiment.embedded import EmbeddedTest, Search
from vireid.explain.heat import heat_maps, kind_of_map
from vireid.explain.weakening import weakening_of
from vireid.figures.charts import LABEL_WIDTH, Series, line_chart
from vireid.figures.distances import PairDistances, distance_histograms, pair_distances
from vireid.figures.embedding_map import Places, map_chart, tsne
from vireid.figures.rank_sheet import KEY, rank_rows, two_digits
from vireid.figures.sheet import Cell, overlay, sheet
from vireid.figures.training import head_chart, training_curves
from vireid.report.runs import (
    Choice,
    Runs,
    Tests,
    center_of,
    choose_pairs,
    choose_queries,
    read_log,
)
from vireid.sample import Direction, Modality

Pictures = Iterator[tuple[str, Figure]]
MOST_IMAGES = 5000  # of a modality whose distances are counted, so that the pairs fit in memory; more are drawn from
MOST_MARKS = 2000  # on a map
CHOSEN: dict[Choice, str] = {
    "best": "highest average precision",
    "worst": "lowest average precision",
    "random": "drawn at random",
}


def draw_ranks(
    sets: Sequence[Tests],
    *,
    directions: Sequence[Direction] = tuple(Direction),
    choice: Choice = "random",
    queries: int = 6,
    k: int = 10,
    seed: int = 0,
) -> Pictures:
    """Rank sheets: the queries are chosen by the first run, and the others are asked the same by its protocol."""
    for tests in sets:
        first = next(iter(tests.values()))
        for protocol in first.protocols(directions):
            searches = search_all(tests, protocol, seed)
            for name, rows in ranked(tests, searches, choice, queries, k, seed).items():
                what = f"{len(rows)} queries, {CHOSEN[choice]}"
                title = f"{first.name}, {protocol.name}, {protocol.direction.words}, {name}: {what}"
                stem = _stem("rank", tests, name, first.name, protocol.direction)
                yield stem, sheet(rows, title=title, key=KEY, gap_after=1)


def search_all(tests: Tests, protocol: Protocol, seed: int) -> dict[str, Search]:
    """The same search by each run."""
    return {name: test.search(protocol, seed=seed) for name, test in tests.items()}


def ranked(
    tests: Tests, searches: Mapping[str, Search], choice: Choice, queries: int, k: int, seed: int
) -> dict[str, list[list[Cell]]]:
    """For each run the rows of its rank sheet; which queries, the first one decides."""
    first = next(iter(tests))
    samples = tests[first].samples
    chosen = choose_queries(searches[first], tests[first].pids, choice, queries, seed)
    sheets = {}
    for name, search in searches.items():
        ignore = None if search.ignore is None else search.ignore[chosen]
        query, gallery = ([samples[i] for i in part] for part in (search.query[chosen], search.gallery))
        sheets[name] = rank_rows(search.distances[chosen], ignore, query, gallery, k)
    return sheets


def draw_heat(sets: Sequence[Tests], *, people: int = 6, seed: int = 0) -> Pictures:
    """Heat maps: each person in both kinds of light, and beside each image the map of every run."""
    for tests in sets:
        rows, title, key = heat_rows(tests, people, seed)
        columns = ["visible", *tests, "infrared", *tests]
        test = next(iter(tests.values()))
        yield f"heatmap-{test.name}", sheet(rows, title=title, columns=columns, key=key, gap_after=1 + len(tests))


def heat_rows(tests: Tests, people: int, seed: int) -> tuple[list[list[Cell]], str, str]:
    """Rows of a sheet, its title, and how to read it."""
    first = next(iter(tests.values()))
    pairs = choose_pairs(first, people, seed)
    maps = {name: _maps(test, pairs) for name, test in tests.items()}
    rows = []
    for number, pair in enumerate(pairs):
        row = []
        for side, index in enumerate(pair):
            image, sample = _pixels(first, index), first.samples[index]
            row.append(Cell(image, f"id {sample.pid}", f"{sample.modality.name.lower()}, person {sample.pid}"))
            for name, (heat, scores) in maps.items():
                alt = f"heat map of {name}, {sample.modality.name.lower()}, person {sample.pid}"
                place = 2 * number + side
                row.append(Cell(overlay(image, heat[place]), two_digits(scores[place]), alt))
        rows.append(row)
    kinds = list(dict.fromkeys(kind_of_map(test.method) for test in tests.values()))
    title = f"{first.name}: {' and '.join(kinds)}, people drawn at random: {len(pairs)}"
    meaning = {
        "HiResCAM": "HiResCAM, light: speaks for the person's images of the other kind of light",
        "attention rollout": "rollout, light: what the class token saw most of, whatever it is compared with",
    }
    scale = "each map is scaled to its own highest place"
    score = "number: cosine similarity to the mean of the person's images of the other kind"
    return rows, title, "; ".join([*(meaning[kind] for kind in kinds), scale, score])


def _maps(test: EmbeddedTest, pairs: Sequence[tuple[int, int]]) -> tuple[npt.NDArray[np.float32], list[float]]:
    """Heat maps of the pairs' images, one after the other, and the similarity to what each is compared with."""
    indices = [index for pair in pairs for index in pair]
    samples = [test.samples[index] for index in indices]
    targets = np.stack([center_of(test, sample.pid, sample.modality.other) for sample in samples])
    heat = heat_maps(test.method, test.images.gather(indices), test.modalities[indices], targets)
    return heat, (test.embeddings[indices] * targets).sum(1).tolist()


def draw_map(sets: Sequence[Tests], *, people: int = 12, seed: int = 0) -> Pictures:
    """Maps of the embeddings of people drawn at random."""
    for tests in sets:
        first = next(iter(tests.values()))
        both = choose_pairs(first, people, seed)
        if len(both) < 2:
            raise InputError(f"map: {first.name} has one person with images of both modalities; expected two or more")
        pids = first.pids
        shown = np.isin(pids, [pids[visible] for visible, _ in both]) & first.images.readable
        rows = _at_most(np.flatnonzero(shown), MOST_MARKS, seed)
        panels = {
            name: Places(tsne(test.embeddings[rows], seed=seed), pids[rows], first.modalities[rows])
            for name, test in tests.items()
        }
        count = _of(len(rows), int(shown.sum()))
        title = f"{first.name}: {count} test images of {len(set(pids[rows].tolist()))} people drawn at random"
        yield f"map-{first.name}", map_chart(panels, title=title)


def draw_distances(sets: Sequence[Tests], *, seed: int = 0) -> Pictures:
    """Histograms of the distances between visible and infrared test images, less the pairs that a protocol hides."""
    for tests in sets:
        first = next(iter(tests.values()))
        all_infrared, all_visible = (first.of(modality) for modality in (Modality.INFRARED, Modality.VISIBLE))
        infrared, visible = (_at_most(indices, MOST_IMAGES, seed) for indices in (all_infrared, all_visible))
        panels = {name: _cross_distances(test, infrared, visible) for name, test in tests.items()}
        counts = _of(len(infrared), len(all_infrared)), _of(len(visible), len(all_visible))
        title = f"{first.name}: {counts[0]} infrared against {counts[1]} visible test images"
        yield f"distances-{first.name}", distance_histograms(panels, title=title)


def _at_most(indices: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """These, or as many of them drawn at random."""
    if len(indices) <= count:
        return indices
    return np.sort(np.random.default_rng(seed).choice(indices, count, replace=False))


def _of(shown: int, there: int) -> str:
    """How many are shown, and of how many if some are left out."""
    return f"{shown:,}" if shown == there else f"{shown:,} (drawn from {there:,})"


def _cross_distances(
    test: EmbeddedTest, infrared: npt.NDArray[np.int64], visible: npt.NDArray[np.int64]
) -> PairDistances:
    pids = test.pids
    ignore = test.protocols()[0].ignore_mask(infrared, visible)  # the rules are the same both ways
    apart = np.clip(1 - test.embeddings[infrared] @ test.embeddings[visible].T, 0, 2)  # rounding goes beyond
    return pair_distances(apart, pids[infrared], pids[visible], ignore)


def draw_cmc(runs: Runs) -> Pictures:
    """Cumulative matching curves from each run's `results.json`, a picture for each protocol and direction."""
    tests = by_test({name: load_results(run.path / "results.json") for name, run in runs.items()})
    if not tests:
        raise InputError(f"{', '.join(runs)}: the results hold no row; write some with `vireid evaluate`")
    for number, rows in enumerate(tests, start=1):
        first = next(row for each in rows.values() for row in each)
        yield f"cmc-{number}-{first.dataset}-{first.direction}", cmc_chart(rows)


def cmc_chart(rows: dict[str, list[Result]]) -> Figure:
    """The curves of results of one test, by the names of the runs."""
    chosen = labelled(rows)
    series: dict[str, Series] = {
        textwrap.fill(label, LABEL_WIDTH): (range(1, len(row.cmc) + 1), [100 * value for value in row.cmc])
        for label, row in chosen
    }
    row = chosen[0][1]
    trial, unit = row.trials[0], "identities" if row.cmc_unit == "identity" else "images"
    counts = f"{trial.num_valid_queries} queries, {trial.num_gallery} gallery images, trials: {len(row.trials)}"
    return line_chart(
        series,
        title=f"{row.title}\n{counts}",
        x_label=f"rank, in {unit}",
        y_label="queries whose person is found, %",
        y_range=(0, 101),
        x_ticks=RANKS,
    )


def draw_training(runs: Runs) -> Pictures:
    """Losses, rate and held-out scores by epoch, a picture for each run."""
    for name, run in runs.items():
        title = f"{name}: {run.config.method.name} on {run.config.data.name}"
        yield _stem("training", runs, name), training_curves(read_log(run), title=title)


def draw_heads(runs: Runs) -> Pictures:
    """The attention heads that CM-DASN selected, epoch by epoch, a picture for each run."""
    for name, run in runs.items():
        dasm = getattr(run.config.method.options, "dasm", None)
        log = read_log(run)
        heads = next((len(row[key]) for row in log for key in row if key.startswith("heads/")), 0)
        # Ranked image by image, none is selected for all.
        keep = 0 if dasm is None or dasm.select == "per_sample" else dasm.k or max(1, heads // 2)
        yield _stem("heads", runs, name), head_chart(log, keep=keep, title=f"{name}: attention heads")


def draw_weakening(sets: Sequence[Tests], *, people: int = 6, seed: int = 0) -> Pictures:
    """The cells that feature weakening turns down, and where each branch looks, for people in both kinds of light."""
    for tests in sets:
        for name, test in tests.items():
            yield _stem("weakening", tests, name, test.name), _weakening_sheet(name, test, people, seed)


def _weakening_sheet(name: str, test: EmbeddedTest, people: int, seed: int) -> Figure:
    pairs = choose_pairs(test, people, seed)
    indices = [index for pair in pairs for index in pair]
    found = weakening_of(test.method, test.images.gather(indices), test.modalities[indices])
    rows = []
    for number in range(len(pairs)):
        row = []
        for place in (2 * number, 2 * number + 1):
            image = _pixels(test, indices[place])
            marks = [(float(peak[place, 0]), float(peak[place, 1])) for peak in found.peaks]
            apart = f"{math.dist(*marks):.0f} px" if len(marks) > 1 else ""
            row.append(Cell(image, f"id {test.samples[indices[place]].pid}"))
            row += [Cell(overlay(image, 1 - factors[place])) for factors in found.factors.values()]
            row.append(Cell(image, apart, marks=marks))
        rows.append(row)
    columns = [*(f"M, {stage}" for stage in found.factors), "peaks"]
    weakened = "weakened" if found.enabled else "would be weakened (DFW is off in this run)"
    key = f"light: {weakened}; numbered: where each branch responds most"
    if found.separation is not None:
        key += f", expected {found.separation:g} px apart"
    title = f"{test.name}, {name}: weakening matrix M and peaks, {len(pairs)} people drawn at random"
    return sheet(
        rows, title=title, columns=["visible", *columns, "infrared", *columns], key=key, gap_after=1 + len(columns)
    )


def draw_sweep(folder: Path) -> Pictures:
    """The chart of a sweep, from its `ablation.json`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    file = folder / "ablation.json"
    if not file.is_file():
        raise InputError(f"{folder} holds no ablation.json; give the folder that `vireid ablate` wrote")
    try:
        yield "ablation", chart(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file} is damaged; call `vireid ablate` again, which writes it anew") from None


def _pixels(test: EmbeddedTest, index: int) -> npt.NDArray[np.uint8]:
    """An image `(H, W, 3)` as the network sees it."""
    pixels: npt.NDArray[np.uint8] = test.images.gather([index])[0].permute(1, 2, 0).numpy()
    return pixels


def _stem(kind: str, runs: Mapping[str, object], name: str, *parts: str) -> str:
    """For example `rank-synthvi-nir-i2v`; the run's name stands behind it if there are several."""
    return "-".join([kind, *parts, *([name.replace("/", "--")] if len(runs) > 1 else [])])
