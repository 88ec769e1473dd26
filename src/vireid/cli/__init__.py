"""The command line: parse, call, print.

Exit status: 0 done, 1 failed, 2 bad input (one line on stderr that says how to mend it). Heavy modules are imported
inside the commands so that `vireid --help` answers at once.
"""

import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from vireid.cli import figures, gallery, method
from vireid.errors import InputError, Stopped
from vireid.version import __version__

# To be set before torch is imported. Spinning threads ruin each other where cores are shared; with large pages of
# memory training and embedding on a CPU are faster.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "THP_MEM_ALLOC_ENABLE": "1"}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find the same person across visible and infrared cameras: train, evaluate, look, search.",
    epilog="Begin with `vireid demo`, or with crops of your own: `vireid evaluate default --data crops`.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before using it.")
app.add_typer(data_app, name="data")
app.add_typer(gallery.index_app, name="index")
app.add_typer(figures.app, name="figures")
app.add_typer(method.method_app, name="method")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<index>.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options of `vireid` itself; its help text is the application's."""


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the run and the report.")] = Path("runs/demo"),
    device: Device = "auto",
) -> None:
    """Train, evaluate and search on the shipped SynthVI-mini.

    Writes a report page. Takes some minutes.

    Example: vireid demo
    """
    from vireid.demo import run_demo

    run_demo(output, device=device)


@app.command()
def synth(
    out: Annotated[
        Path, typer.Argument(help="Folder to write; an interrupted set is continued, a finished one can grow.")
    ],
    preset: Annotated[
        Literal["mini", "nir", "lwir"], typer.Option(help="nir is SYSU-like, lwir RegDB-like, mini both and small.")
    ] = "nir",
    identities: Annotated[
        int | None,
        typer.Option(help="People, 2 to 9999; 100, 400 and 1000 have a protocol; default: 400, of mini 100."),
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Pixels; default: 288x144, of mini 128x64.")] = None,
    seed: Annotated[int, typer.Option(help="0 to 1000000; another seed gives other people and places.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
    layout: Annotated[
        Literal["manifest", "sysu", "regdb"],
        typer.Option(help="Also write the files of sysu or regdb; code for regdb does not hide a query's own instant."),
    ] = "manifest",
    masks: Annotated[bool, typer.Option("--masks", help="Also write silhouettes, as PNG under masks/.")] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where to render; auto: a CUDA GPU if there is one.")
    ] = "auto",
) -> None:
    """Render SynthVI, people in three kinds of light.

    Half of the people train, half test. The first people of a large set are the small one: call again with more
    --identities and the set grows; `data.size` picks a smaller one to train on or evaluate.

    \b
    Example: vireid synth data/synthvi-nir --identities 100
    More:
      vireid synth data/synthvi-nir --identities 400      # the same folder grows
      vireid synth data/synthvi-lwir --preset lwir --masks
      vireid synth data/as-sysu --preset nir --layout sysu
      vireid synth data/try --preset mini --identities 10 --size 128x64 --seed 3
    """  # noqa: D301 (this is how click keeps lines apart)
    from vireid.synth.dataset import render

    print(
        render(
            out,
            preset=preset,
            identities=identities,
            size=_size(size, least=(32, 16)),
            seed=seed,
            workers=workers,
            layout=layout,
            masks=masks,
            device=device,
        )
    )


@data_app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="sysu_mm01, regdb, llcm, synthvi or manifest.")],
    root: Annotated[str, typer.Argument(help="The data set's folder (or the manifest's CSV file).")],
    as_json: Json = False,
) -> None:
    """Count what is there against what is expected; say what is missing and where to ask for it.

    Example: vireid data check regdb data/RegDB
    """
    from vireid.config import find_module

    module = find_module("data", name)
    if not hasattr(module, "check"):
        raise InputError(f"{name} has no check; look at one of sysu_mm01, regdb, llcm, synthvi, manifest")
    report = module.check(Path(root))
    print(json.dumps(report.to_dict(), indent=2) if as_json else report.table())
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def train(
    config: Annotated[Path | None, typer.Argument(help="A YAML file; not needed with --resume.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key.")] = None,
    output: Annotated[Path | None, typer.Option(help="Run folder; default: runs/<config name>.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue this run folder.")] = None,
    device: Device = "auto",
) -> None:
    """Train a model into a run folder. Ctrl-C leaves a checkpoint to resume from.

    Example: vireid train configs/agw_regdb.yaml --set data.trial=2 --output runs/agw-regdb-2
    """
    from vireid import config as configuration
    from vireid.experiment.train import resume_run, train_run

    if resume is not None:
        if config is not None or output is not None:
            raise InputError("--resume continues a run with its own config: leave out CONFIG and --output")
        run = resume_run(resume, overrides or [], device=device)
    elif config is None:
        raise InputError("nothing to train: give a config, for example configs/baseline_synthvi.yaml, or --resume RUN")
    else:
        experiment = configuration.load(config, overrides or [])
        run = train_run(experiment, output if output is not None else _fresh(Path("runs") / config.stem), device=device)
    print(f"{run}: trained; evaluate it with: vireid evaluate {run}")


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, or `default` for the shipped model.")],
    data: Annotated[Path | None, typer.Option(help="Other data than the run's own; its kind is recognised.")] = None,
    direction: Annotated[
        Literal["i2v", "v2i", "both"] | None, typer.Option(help="Query to gallery; default: the config's.")
    ] = None,
    rerank: Annotated[
        Literal["off", "k-reciprocal", "both"] | None,
        typer.Option(help="Re-ranking, both: a plain row and an (RK) row; default: the config's."),
    ] = None,
    gallery: Annotated[
        Literal["cross", "mixed"],
        typer.Option(
            help="mixed: both kinds of light answer, less the query's own camera; ours, no published protocol."
        ),
    ] = "cross",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="data.search, data.shots, ..."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Result file; default: RUN/results.json.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate a run by its data set's protocol.

    Every trial is kept; the table has mean and standard deviation.

    Example: vireid evaluate runs/agw_sysu_mm01 --direction i2v --rerank k-reciprocal
    """
    from vireid.evaluation.results import table
    from vireid.experiment.evaluate import evaluate_to_file

    rows = evaluate_to_file(
        run,
        root=data,
        direction=direction,
        rerank=rerank,
        mixed_gallery=gallery == "mixed",
        overrides=overrides or [],
        output=output,
        device=device,
    )
    print(json.dumps([row.model_dump(mode="json") for row in rows], indent=2) if as_json else table(rows))


@app.command()
def profile(
    configs: Annotated[
        list[Path] | None, typer.Argument(metavar="CONFIG", help="YAML files; none: the DFW-SLN paper's table.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key.")] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Pixels, e.g. 288x144; default: config's.")] = None,
    images: Annotated[
        int | None,
        typer.Option(help="In a step, a multiple of 8, 16 or more; default: the config's batch, 16 when comparing."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=0, help="Timed rounds; 0 counts only.")] = 3,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Also write there what --json prints.")
    ] = None,
    device: Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: rows, or of a single config its keys at the top level.")
    ] = False,
) -> None:
    """Count and time what a config costs.

    Parameters, multiply-adds per visible + infrared pair, training step and embedding speed here.

    Several configs are timed in turn and compared with the first one. Without a config, --set of a method's key
    changes the rows that have it.

    Example: vireid profile configs/agw_sysu_mm01.yaml
    """
    from vireid.atomic import require_writable
    from vireid.costs import report
    from vireid.costs.cases import compare_cases, config_cases, paper_cases

    changes = overrides or []
    if pixels := _size(size):
        changes = [*changes, f"images.height={pixels[0]}", f"images.width={pixels[1]}"]
    cases = config_cases(configs, changes) if configs else paper_cases(changes)
    if output is not None:
        require_writable(output)
    compared = compare_cases(cases, repeats=repeats, images=images, device=device, progress=True)
    costs = report.make_report(cases, compared, repeats)
    single = len(cases) == 1
    if single:
        costs = report.flat_report(costs)
    if output is not None:
        report.save(output, costs)
    text = report.text_list(costs) if single else report.text_table(costs)
    print(json.dumps(costs, indent=2) if as_json else text)


@app.command()
def ablate(
    sweep: Annotated[Path, typer.Argument(help="A YAML file with base, seeds and rows or grid.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of every run.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of all runs; default: runs/<sweep name>.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train and evaluate a table of runs with several seeds.

    The same command goes on after Ctrl-C.

    Example: vireid ablate configs/sweeps/dfw_sln_table1_regdb.yaml --set data.root=data/RegDB
    """
    from vireid.ablation.runner import run_sweep
    from vireid.ablation.tables import failed_runs, text

    ablation = run_sweep(sweep, overrides or [], output, device=device)
    print(json.dumps(ablation, indent=2) if as_json else text(ablation))
    failed = failed_runs(ablation)
    if failed:
        raise Stopped(f"{len(failed)} runs failed and are not tried again until their folders go: {', '.join(failed)}")


@app.command()
def embed(
    source: Annotated[Path, typer.Argument(help="An image, a folder of images, or a manifest.csv.")],
    output: Annotated[Path, typer.Option(help="FILE.npz or FILE.parquet.")],
    model: Annotated[str, typer.Option(help="A run folder, `default`, or FILE.onnx of `vireid export`.")] = "default",
    modality: Annotated[
        Literal["visible", "infrared", "auto"], typer.Option(help="auto: grey images are infrared.")
    ] = "auto",
    runtime: Annotated[
        Literal["torch", "onnx", "openvino"] | None,
        typer.Option(help="onnx and openvino take a FILE.onnx; default: torch, and onnx for such a file."),
    ] = None,
    engine: Annotated[
        Literal["plain", "ray"],
        typer.Option(help="ray: many processes, on a cluster if RAY_ADDRESS names one; goes on where it was killed."),
    ] = "plain",
    device: Device = "auto",
) -> None:
    """Embed images into a file.

    It holds embeddings (N, D) float32, paths and modality. Unreadable images are listed and skipped.

    Example: vireid embed crops/ --modality auto --output crops.npz
    """
    if engine == "ray":
        from vireid.bulk_ray import embed_on_ray

        embed_on_ray(source, output, model=model, modality=modality, device=device, runtime=runtime)
    else:
        from vireid.bulk import embed_source

        embed_source(source, output, model=model, modality=modality, device=device, runtime=runtime)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A run folder, or `default` for the shipped model.")],
    output: Annotated[Path, typer.Option(help="FILE.onnx; FILE.parity.json is written beside it.")],
    to: Annotated[Literal["onnx"], typer.Option("--format", help="Of the file.")] = "onnx",
    as_json: Json = False,
) -> None:
    """Write a model that runs without torch.

    It is compared with PyTorch on real crops before.

    \b
    Example: vireid export runs/agw_regdb --format onnx --output agw.onnx
    More:
      vireid embed crops/ --model agw.onnx --runtime openvino --output crops.npz
    """  # noqa: D301 (this is how click keeps lines apart)
    from vireid.export import export_run

    report = export_run(run, output)
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for name, found in report["runtimes"].items():
        cosine, difference = found["smallest_cosine"], found["largest_difference"]
        print(f"{name}: smallest cosine to PyTorch {cosine:.6f}, largest difference {difference:.1e}")
    print(f"{output}: {report['method']}, checked on {report['images']} crops")


app.command()(figures.report)
app.command()(gallery.search)
app.command()(gallery.calibrate)
app.command()(gallery.serve)


def _size(text: str | None, least: tuple[int, int] = (16, 8)) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text.lower())
    height, width = map(int, sides.groups()) if sides else (0, 0)
    if height < least[0] or width < least[1]:
        smallest = "x".join(map(str, least))
        raise InputError(f"--size {text}: expected HEIGHTxWIDTH in pixels, at least {smallest}, for example 128x64")
    return height, width


def _fresh(folder: Path) -> Path:
    number = 2
    candidate = folder
    while candidate.exists():
        candidate = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return candidate


def main(arguments: list[str] | None = None) -> None:
    """Entry point: turns errors into one line and the right exit status."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.showwarning = _show_warning
    try:
        status = app(args=arguments, prog_name="vireid", standalone_mode=False)
    except InputError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted", 1)
    except OSError as error:
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}; check the path and the disk", 2)
    except Stopped as error:
        _fail(str(error), 1)
    except Exception as error:
        _explain(error)
        raise
    if status == 130:  # how typer reports Ctrl-C
        _fail("interrupted", 1)
    sys.exit(status or 0)


def _explain(error: Exception) -> None:
    """One line for a wrong call and for memory that does not suffice; their classes are torch's and typer's own."""
    kind = type(error).__name__
    if kind == "Abort":
        _fail("interrupted", 1)
    if kind == "NoArgsIsHelpError":
        print(error)
        sys.exit(2)
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "vireid"
        _fail(f"{error.format_message().rstrip('.')}; see `{command} --help`", 2)
    if kind in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error):
        settings = "images_per_modality, identities, evaluation.batch_size, the image size or profile's --images"
        _fail(f"out of memory; lower {settings}", 1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning):
        print(f"vireid: warning: {message}", file=sys.stderr)


def _fail(message: str, status: int) -> NoReturn:
    print(f"vireid: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
