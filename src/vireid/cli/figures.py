"""`vireid figures`, pictures of runs as PNG and SVG, and `vireid report`, one page of them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vireid.errors import InputError

if TYPE_CHECKING:
    from vireid.report.pictures import Pictures
    from vireid.report.runs import Tests

app = typer.Typer(no_args_is_help=True, help="Draw what was found and why, as PNG and SVG.")

RunNames = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Run folders, or `default`; several are shown side by side.")
]
Data = Annotated[Path | None, typer.Option(help="Other data than the first run's own; its kind is recognised.")]
Output = Annotated[Path | None, typer.Option(help="Folder; default: RUN/figures of the first run.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the draw of who is shown.")]
People = Annotated[int, typer.Option(min=1, help="How many at most, drawn at random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<index>.")]


@app.command()
def rank(
    runs: RunNames,
    data: Data = None,
    direction: Annotated[Literal["i2v", "v2i", "both"], typer.Option(help="Query to gallery.")] = "both",
    choose: Annotated[
        Literal["random", "best", "worst"], typer.Option(help="Queries, by the first run's average precision or drawn.")
    ] = "random",
    queries: Annotated[int, typer.Option(min=1, help="Rows at most, each of another person.")] = 6,
    k: Annotated[int, typer.Option("-k", min=1, help="Hits in a row.")] = 10,
    seed: Seed = 0,
    output: Output = None,
    device: Device = "auto",
) -> None:
    """Queries and their first hits, right and wrong ones framed.

    Example: vireid figures rank runs/agw --choose worst
    """
    from vireid.report.pictures import draw_ranks
    from vireid.sample import Direction

    sets, folder = _embedded(runs, data, output, device)
    _save(draw_ranks(sets, directions=Direction.of(direction), choice=choose, queries=queries, k=k, seed=seed), folder)


@app.command()
def heatmap(
    runs: RunNames,
    data: Data = None,
    people: People = 6,
    seed: Seed = 0,
    output: Output = None,
    device: Device = "auto",
) -> None:
    """What makes a person's images similar across the modalities.

    HiResCAM (Grad-CAM family) of a convolutional network, attention rollout of a transformer.

    Example: vireid figures heatmap runs/baseline runs/dfw_sln
    """
    from vireid.report.pictures import draw_heat

    sets, folder = _embedded(runs, data, output, device)
    _save(draw_heat(sets, people=people, seed=seed), folder)


@app.command("map")
def embedding_map(
    runs: RunNames,
    data: Data = None,
    people: People = 12,
    seed: Seed = 0,
    output: Output = None,
    device: Device = "auto",
) -> None:
    """A t-SNE map: do images of one person meet?

    Example: vireid figures map runs/agw --people 20
    """
    from vireid.report.pictures import draw_map

    sets, folder = _embedded(runs, data, output, device)
    _save(draw_map(sets, people=people, seed=seed), folder)


@app.command()
def distances(runs: RunNames, data: Data = None, output: Output = None, device: Device = "auto") -> None:
    """Histograms of distances within and between people.

    Between visible and infrared images, with the gap of the means.

    Example: vireid figures distances runs/baseline runs/dfw_sln
    """
    from vireid.report.pictures import draw_distances

    sets, folder = _embedded(runs, data, output, device)
    _save(draw_distances(sets), folder)


@app.command()
def cmc(runs: RunNames, output: Output = None) -> None:
    """Cumulative matching curves of what `vireid evaluate` found.

    Example: vireid figures cmc runs/baseline runs/dfw_sln
    """
    from vireid.report.pictures import draw_cmc
    from vireid.report.runs import open_runs

    _save(draw_cmc(open_runs(runs)), _folder(runs, output))


@app.command()
def training(runs: RunNames, output: Output = None) -> None:
    """Losses, learning rate and held-out scores by epoch.

    Example: vireid figures training runs/agw
    """
    from vireid.report.pictures import draw_training
    from vireid.report.runs import open_runs

    _save(draw_training(open_runs(runs)), _folder(runs, output))


@app.command()
def weakening(
    runs: RunNames,
    data: Data = None,
    people: People = 6,
    seed: Seed = 0,
    output: Output = None,
    device: Device = "auto",
) -> None:
    """DFW-SLN: weakened cells, and where each branch looks.

    Example: vireid figures weakening runs/dfw_sln
    """
    from vireid.report.pictures import draw_weakening

    sets, folder = _embedded(runs, data, output, device)
    _save(draw_weakening(sets, people=people, seed=seed), folder)


@app.command()
def heads(runs: RunNames, output: Output = None) -> None:
    """CM-DASN: the attention heads selected, by epoch.

    Example: vireid figures heads runs/cm_dasn
    """
    from vireid.report.pictures import draw_heads
    from vireid.report.runs import open_runs

    _save(draw_heads(open_runs(runs)), _folder(runs, output))


@app.command()
def sweep(
    folder: Annotated[Path, typer.Argument(help="A folder that `vireid ablate` wrote.")],
    output: Annotated[Path | None, typer.Option(help="Folder; default: the sweep's own.")] = None,
) -> None:
    """The chart of an ablation, from its `ablation.json`.

    Example: vireid figures sweep runs/dfw_sln_figure3_regdb
    """
    from vireid.report.pictures import draw_sweep

    _save(draw_sweep(folder), output or folder)


@app.command("all")
def everything(
    runs: RunNames, data: Data = None, seed: Seed = 0, output: Output = None, device: Device = "auto"
) -> None:
    """Every picture that the runs have.

    Those that do not apply are named with the reason.

    Example: vireid figures all runs/demo/run
    """
    from vireid.report import pictures
    from vireid.report.runs import open_runs

    opened = open_runs(runs)
    sets, folder = _embedded(runs, data, output, device)
    kinds: dict[str, Callable[[], Pictures]] = {
        "rank": lambda: pictures.draw_ranks(sets, seed=seed),
        "heatmap": lambda: pictures.draw_heat(sets, seed=seed),
        "map": lambda: pictures.draw_map(sets, seed=seed),
        "distances": lambda: pictures.draw_distances(sets, seed=seed),
        "cmc": lambda: pictures.draw_cmc(opened),
        "training": lambda: pictures.draw_training(opened),
        "weakening": lambda: pictures.draw_weakening(sets, seed=seed),
        "heads": lambda: pictures.draw_heads(opened),
    }
    for kind, draw in kinds.items():
        try:
            _save(draw(), folder)
        except InputError as error:
            print(f"{kind}: none, as {error}")


def report(
    runs: RunNames,
    output: Annotated[Path | None, typer.Option(help="HTML file; default: RUN/report.html of the first run.")] = None,
    data: Data = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Compare runs on one page that needs no network.

    Scores, settings that differ, curves, hits, heat maps, data, environment.

    Example: vireid report runs/baseline runs/dfw_sln --output compared.html
    """
    from vireid.report.page import write_report

    print(write_report(runs, output, root=data, seed=seed, device=device))


def _embedded(names: list[str], data: Path | None, output: Path | None, device: str) -> "tuple[list[Tests], Path]":
    """The test sets that the runs share, embedded by each, and where the pictures go."""
    from vireid.report.runs import embed_all, open_runs

    runs = open_runs(names)
    folder = _folder(names, output)
    return embed_all(runs, root=data, device=device), folder


def _folder(names: list[str], output: Path | None) -> Path:
    """Where the pictures go; raises `InputError` now rather than after the work if they cannot."""
    from vireid.atomic import require_writable

    if output is None and names[0] == "default":
        raise InputError("the shipped model is not written to; say with --output where the pictures go")
    folder = output or Path(names[0]) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    require_writable(folder / "picture.png")
    return folder


def _save(pictures: "Pictures", folder: Path) -> None:
    """Write each picture as soon as it is drawn and say where it lies."""
    from vireid.figures.style import save

    for name, figure in pictures:
        print("\n".join(str(path) for path in save(figure, folder / name)), flush=True)
