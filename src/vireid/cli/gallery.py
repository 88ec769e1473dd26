"""The commands of galleries: `vireid index`, `vireid search`, `vireid calibrate` and `vireid serve`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vireid.errors import InputError

if TYPE_CHECKING:
    from vireid.search.gallery import Added
    from vireid.search.where import Where

index_app = typer.Typer(no_args_is_help=True, help="Keep person crops in a gallery that can be searched.")

Gallery = Annotated[
    str, typer.Argument(metavar="GALLERY", help="A folder, or the address of a Milvus server: http://host:19530.")
]
Cameras = Annotated[list[str] | None, typer.Option("--camera", metavar="NAME", help="Of these cameras; repeat it.")]
People = Annotated[list[str] | None, typer.Option("--pid", metavar="PID", help="Of these people; repeat it.")]
Tracks = Annotated[list[str] | None, typer.Option("--track", metavar="NAME", help="Of these tracks; repeat it.")]
After = Annotated[str | None, typer.Option(metavar="TIME", help="Not before this time (ISO 8601, UTC).")]
Before = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time (ISO 8601, UTC).")]
Kind = Annotated[Literal["visible", "infrared"] | None, typer.Option("--of", help="Of this modality.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<index>.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Modality = Annotated[Literal["visible", "infrared", "auto"], typer.Option(help="auto: grey images are infrared.")]


@index_app.command()
def add(
    gallery: Gallery,
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE", help="Images, folders, manifest.csv files, or .parquet of `vireid embed`."),
    ],
    model: Annotated[
        str | None, typer.Option(help="A run folder, or `default`; for a new gallery. default: `default`.")
    ] = None,
    modality: Modality = "auto",
    camera: Annotated[str | None, typer.Option(metavar="NAME", help="Where all of it was taken.")] = None,
    time: Annotated[str | None, typer.Option(metavar="TIME", help="When all of it was taken (ISO 8601, UTC).")] = None,
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help="Keep a small picture of each crop.")] = False,
    device: Device = "auto",
) -> None:
    """Add crops; those that are there already are skipped, so that the same command goes on after an interruption.

    Example: vireid index add people crops/gate --camera gate --time 2026-03-01T18:30:00
    """
    from vireid.search.gallery import Gallery, find
    from vireid.search.store import exists
    from vireid.search.where import parse_time

    if time is not None:
        parse_time(time)
    batches = [(source, find(source, camera or "", time or "")) for source in sources]
    opened = Gallery.open(gallery, device=device) if exists(gallery) else None
    if opened is None:
        opened = Gallery.create(gallery, model=model or "default", device=device)
    elif model is not None:
        opened.require_model(model)
    for source, crops in batches:
        added = (
            opened.add_file(source) if crops is None else opened.add(crops, modality=modality, thumbnails=thumbnails)
        )
        _say(source, added)
    print(f"{gallery}: {opened.count()} crops")


@index_app.command()
def remove(
    gallery: Gallery,
    ids: Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="These crops; repeat it.")] = None,
    cameras: Cameras = None,
    pids: People = None,
    tracks: Tracks = None,
    after: After = None,
    before: Before = None,
    of: Kind = None,
) -> None:
    """Remove crops that fulfil all that is given.

    Example: vireid index remove people --camera gate --before 2026-02-01
    """
    from vireid.search.gallery import Gallery

    opened = Gallery.open(gallery)
    count = opened.remove(_where(ids, cameras, pids, tracks, after, before, of))
    print(f"{gallery}: {count} crops removed, {opened.count()} left")


@index_app.command(name="list")
def list_crops(
    gallery: Gallery,
    cameras: Cameras = None,
    pids: People = None,
    tracks: Tracks = None,
    after: After = None,
    before: Before = None,
    of: Kind = None,
    limit: Annotated[int, typer.Option(min=0, help="Crops to print; 0 for all.")] = 20,
    as_json: Json = False,
) -> None:
    """Say what a gallery holds, and list crops.

    Example: vireid index list people --camera gate --limit 5
    """
    from vireid.search.gallery import Gallery

    opened = Gallery.open(gallery)
    where = _where(None, cameras, pids, tracks, after, before, of)
    crops = list(opened.crops(where, limit or None))
    facts = {"gallery": gallery, **asdict(opened.facts), "crops": opened.count(), "indexed": opened.store.indexed}
    if as_json:
        print(
            json.dumps({**facts, "matching": opened.count(where), "rows": [crop.plain() for crop in crops]}, indent=2)
        )
        return
    print(f"{gallery}: {facts['crops']} crops, {facts['indexed']} of them in the index; model {facts['model']}")
    print(f"{opened.count(where)} match:" if where.restricts else "")
    _print([crop.plain() for crop in crops], ("id", "path", "pid", "camera", "time", "modality", "track"))


@index_app.command()
def optimize(gallery: Gallery) -> None:
    """Join what was added in pieces, and build the index that large galleries are searched with.

    Example: vireid index optimize people
    """
    from vireid.search.gallery import Gallery

    opened = Gallery.open(gallery)
    opened.store.optimize()
    print(f"{gallery}: {opened.count()} crops, {opened.store.indexed} of them in the index")


def search(
    gallery: Gallery,
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="A crop of the person.")],
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Crops to find.")] = 20,
    modality: Modality = "auto",
    cameras: Cameras = None,
    pids: People = None,
    tracks: Tracks = None,
    after: After = None,
    before: Before = None,
    of: Kind = None,
    fmr: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Only what reaches the threshold at this false match rate, such as 0.001."),
    ] = None,
    rerank: Annotated[
        Literal["off", "k-reciprocal"], typer.Option(help="Sort by mutual neighbours among the nearest crops.")
    ] = "off",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the crops of a gallery that look most like one.

    Example: vireid search people crops/unknown.jpg --camera gate --after 2026-03-01 -k 10
    """
    from vireid.search.gallery import Gallery

    where = _where(None, cameras, pids, tracks, after, before, of)
    opened = Gallery.open(gallery, device=device)
    hits = opened.search(query, k, where=where, modality=modality, rerank=rerank != "off", fmr=fmr)
    rows = [{"rank": rank, **hit.plain()} for rank, hit in enumerate(hits, start=1)]
    if as_json:
        print(json.dumps({"gallery": gallery, "query": str(query), "reranking": rerank, "hits": rows}, indent=2))
        return
    if not rows:
        print(f"{gallery}: {_why_nothing(opened.count(where), where.restricts)}")
    _print(rows, ("rank", "score", "probability", "path", "pid", "camera", "time", "modality", "track"))


def calibrate(
    model: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or `default`.")],
    data: Annotated[
        Path | None, typer.Option(help="Labelled crops; its kind is recognised. default: the run's test set.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="JSON file; default: RUN/calibration.json. GALLERY.calibration.json is for one gallery."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure which scores mean "the same person".

    Thresholds at false match rates, for each pair of modalities. Galleries of the run then give probabilities, and
    `vireid search --fmr` can answer that nobody matches.

    Example: vireid calibrate runs/mine --data crops/manifest.csv
    """
    from vireid.search.calibrate import FILE, calibrate_run, plain, table

    found = calibrate_run(model, data, output, device=device)
    print(json.dumps(plain(found), indent=2) if as_json else table(found))
    written = output or Path(model) / FILE
    print(f"{written}, .png and .svg", file=sys.stderr)


def serve(
    gallery: Gallery,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7860,
    tokens: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Lines name:token. default: the token in VIREID_TOKEN.")
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Without tokens, for this machine only.")] = False,
    audit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who searched what. default: GALLERY.audit.jsonl.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Serve a gallery over HTTP, with a search page.

    Search, embed, add and remove with a token; Ctrl-C stops.

    Example: vireid serve people --tokens tokens.txt
    """
    try:
        from vireid.app.serve import serve as serve_gallery
    except ModuleNotFoundError as error:
        raise InputError(f"this needs {error.name}: pip install 'vireid[app]'") from None

    serve_gallery(gallery, host=host, port=port, tokens=tokens, no_auth=no_auth, audit=audit, device=device)


def _why_nothing(matching: int, restricts: bool) -> str:
    if matching:
        return "nobody matches: no crop reaches the threshold"
    return "no crop matches the filter" if restricts else "no crop is there yet"


def _where(
    ids: list[str] | None,
    cameras: list[str] | None,
    pids: list[str] | None,
    tracks: list[str] | None,
    after: str | None,
    before: str | None,
    of: str | None,
) -> "Where":
    from vireid.data.manifest import MODALITIES
    from vireid.search.where import Where, parse_time

    return Where(
        ids=tuple(ids or ()),
        cameras=tuple(cameras or ()),
        start=None if after is None else parse_time(after),
        end=None if before is None else parse_time(before),
        modality=None if of is None else MODALITIES[of],
        tracks=tuple(tracks or ()),
        pids=tuple(pids or ()),
    )


def _say(source: Path, added: "Added") -> None:
    for path, reason in added.unreadable:
        print(f"skipped {path}: {reason}", file=sys.stderr)
    if added.timeless:
        print(f"{source}: {added.timeless} times are not ISO 8601; those crops are kept without one", file=sys.stderr)
    skipped = f", {len(added.unreadable)} skipped" if added.unreadable else ""
    print(f"{source}: {added.new} added, {added.known} were there already{skipped}")


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """A table of the columns in which anything is known."""
    cells = [[_text(row[name]) for name in columns] for row in rows]
    shown = [place for place in range(len(columns)) if any(row[place] for row in cells)]
    table = [[columns[place] for place in shown], *([row[place] for place in shown] for row in cells)]
    widths = [max(len(row[place]) for row in table) for place in range(len(shown))]
    for row in table if rows else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
