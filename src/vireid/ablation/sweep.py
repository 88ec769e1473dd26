"""A sweep file: rows of config changes times seeds, all checked before anything is trained.

A row is a name and dotted config keys, `A: {method.dfw.on: false}`; a grid is the product of lists of values, whose
rows are named `separation=50, overlap=1`. The first row is the one that the others are compared with.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from vireid import config as configuration
from vireid.config import ExperimentConfig
from vireid.errors import InputError

KEYS = ("title", "base", "seeds", "repeat", "set", "rows", "grid", "keep_checkpoints")
SEED = "train.seed"


@dataclass(frozen=True)
class Row:
    """A line of the table: its name, its folder's name, the file it starts from and what it changes there."""

    name: str
    slug: str
    base: Path
    changes: dict[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One training: a row with the values of this repeat, its resolved config and its folder below the output."""

    row: Row
    repeat: dict[str, Any]
    config: ExperimentConfig
    folder: Path

    @property
    def label(self) -> str:
        """As printed: `C seed 1`."""
        return " ".join([self.row.name, *(f"{last_part(key)} {plain(v)}" for key, v in self.repeat.items())])


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file and its runs in the order they are trained in."""

    path: Path
    title: str
    base: str | None
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    repeat: dict[str, list[Any]]
    common: dict[str, Any]
    grid: dict[str, list[Any]]
    keep_checkpoints: bool
    runs: tuple[PlannedRun, ...]


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read and check a sweep file; `overrides` (`key=value`) change every run, last of all.

    Raises:
        InputError: the file, a key, a row or the config of any run is wrong.
    """
    content = _read(path)
    last = dict(configuration.parse_override(text) for text in overrides)
    common = _changes(content.get("set"), "set")
    repeat, grid = (_axes(content.get(name), name) for name in ("repeat", "grid"))
    rows = _rows(content, grid, path)
    _require_free_repeats(repeat, rows, {**common, **last}, grid)
    sweep = Sweep(
        path=path,
        title=str(content.get("title") or path.stem),
        base=str(content["base"]) if content.get("base") is not None else None,
        rows=tuple(rows),
        seeds=tuple(_seeds(content.get("seeds"))),
        repeat=repeat,
        common={**common, **last},
        grid=grid,
        keep_checkpoints=_switch(content.get("keep_checkpoints", True)),
        runs=(),
    )
    runs = tuple(_runs(sweep, common, last))
    _require_different(runs)
    return Sweep(**{**vars(sweep), "runs": runs})


def last_part(key: str) -> str:
    """`separation` of `method.sln.separation`."""
    return key.rpartition(".")[2]


def plain(value: Any) -> str:
    """A value as it is written in YAML."""
    return value if isinstance(value, str) else json.dumps(value)


class _OnceLoader(yaml.SafeLoader):
    """YAML that names a key given twice, of which only the last would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"'{twice}' is given twice in line {node.start_mark.line + 1} ff.; rename or remove one")
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"sweep file not found: {path}; give a YAML file with base, seeds and rows or grid")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)  # a safe loader
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {type(content).__name__}, expected keys such as base, seeds and rows")
    for key in content:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.5)
            hint = f", did you mean '{close[0]}'?" if close else ""
            raise InputError(f"{path}: unknown key '{key}'{hint}; known: {', '.join(KEYS)}")
    return content


def _seeds(value: Any) -> list[int]:
    whole = isinstance(value, list) and all(type(seed) is int and seed >= 0 for seed in value)
    if not whole or not value or len(set(value)) < len(value):
        raise InputError(f"seeds: got {value!r}, expected a list of different whole numbers, for example [0, 1, 2]")
    seeds: list[int] = value
    return seeds


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"keep_checkpoints: got {value!r}, expected true or false")
    return value


def _changes(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{where}: got {value!r}, expected config keys and values, for example {{train.epochs: 5}}")
    return {str(key): change for key, change in (value or {}).items()}


def _axes(value: Any, where: str) -> dict[str, list[Any]]:
    axes = _changes(value, where)
    for key, values in axes.items():
        texts = list(map(plain, values)) if isinstance(values, list) else []
        if not texts or len(set(texts)) < len(texts):
            raise InputError(f"{where}: {key} is {values!r}, expected a list of different values, for example [1, 2]")
    return axes


def _rows(content: Mapping[str, Any], grid: Mapping[str, list[Any]], path: Path) -> list[Row]:
    """The named rows, then those of the grid."""
    named = content.get("rows")
    if named is not None and not (isinstance(named, dict) and named):
        raise InputError(f"rows: got {named!r}, expected names with config keys, for example A: {{train.epochs: 5}}")
    if not named and not grid:
        raise InputError(f"{path} has no rows and no grid; give one of them, for example rows: {{A: {{}}}}")
    wanted = {str(name): _changes(changes, f"row '{name}'") for name, changes in (named or {}).items()}
    for values in product(*grid.values()) if grid else ():
        changes = dict(zip(grid, values, strict=True))
        label = ", ".join(f"{_short(key, grid)}={plain(value)}" for key, value in changes.items())
        if label in wanted:
            raise InputError(f"row '{label}' is also a row of the grid; rename or remove it")
        wanted[label] = changes
    rows = [_row(name, changes, content, path) for name, changes in wanted.items()]
    for index, row in enumerate(rows):
        twin = next((other for other in rows[:index] if other.slug == row.slug), None)
        if twin is not None:
            raise InputError(f"rows '{twin.name}' and '{row.name}' would share the folder '{row.slug}'; rename one")
    return rows


def _row(name: str, changes: dict[str, Any], content: Mapping[str, Any], path: Path) -> Row:
    base = changes.get("base", content.get("base"))
    if not isinstance(base, str):
        raise InputError(f"{path}: row '{name}' has no base; give base: CONFIG.yaml, as a path from the sweep file")
    # A minus sign is the only thing that tells -1 from 1.
    slug = re.sub(r"[\W_]+", "-", name.lower().replace("=-", "=minus ")).strip("-")
    if not slug:
        raise InputError(f"row '{name}' needs a letter or a digit in its name, which names its folder")
    return Row(name, slug, path.parent / base, {key: value for key, value in changes.items() if key != "base"})


def _short(key: str, keys: Mapping[str, Any]) -> str:
    """The last part of a key, or all of it where two keys end alike."""
    return last_part(key) if [last_part(other) for other in keys].count(last_part(key)) == 1 else key


def _require_free_repeats(
    repeat: Mapping[str, Any], rows: Sequence[Row], common: Mapping[str, Any], grid: Mapping[str, Any]
) -> None:
    sources = {"set": common, "grid": grid, **{f"row '{row.name}'": row.changes for row in rows}}
    for key in (SEED, *repeat):
        where = next((name for name, changes in sources.items() if key in changes), None)
        if where is not None or (key == SEED and key in repeat):
            origin = "seeds" if key == SEED else "repeat"
            raise InputError(f"{where or 'repeat'} sets {key}, whose values are those of {origin}; remove one of them")


def _runs(sweep: Sweep, common: Mapping[str, Any], last: Mapping[str, Any]) -> list[PlannedRun]:
    """Seed by seed, so that an early table compares all rows."""
    bases = {path: _load_base(path) for path in dict.fromkeys(row.base for row in sweep.rows)}
    runs = []
    for seed, *values in product(sweep.seeds, *sweep.repeat.values()):
        repeat = {**dict(zip(sweep.repeat, values, strict=True)), SEED: seed}
        folder = "-".join(f"{_short(key, repeat)}-{plain(value)}" for key, value in repeat.items())
        for row in sweep.rows:
            changes = [common, row.changes, repeat, last]
            config = _resolve(bases[row.base], changes, row)
            runs.append(PlannedRun(row, repeat, config, Path(row.slug) / _slug_of_repeat(folder)))
    return runs


def _load_base(path: Path) -> ExperimentConfig:
    if not path.is_file():
        raise InputError(f"base {path} does not exist; give the path of a config as seen from the sweep file")
    try:
        return configuration.load(path)
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"base {path}: {error}") from None


def _slug_of_repeat(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text.lower()).strip("-")


def _resolve(base: ExperimentConfig, parts: Sequence[Mapping[str, Any]], row: Row) -> ExperimentConfig:
    changes: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            changes.pop(key, None)  # a later change also comes later
            changes[key] = value
    try:
        # A copy: a later key may reach into a section that an earlier one brought.
        return base.override(deepcopy(changes))
    except InputError as error:
        other = changes.get("method.name", base.method.name) != base.method.name
        hint = f" ({row.base.name} holds the options of another method: give this row a base of its own)"
        raise InputError(f"row '{row.name}': {error}{hint if other else ''}") from None


def _require_different(runs: Sequence[PlannedRun]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for run in runs:
        key = (json.dumps(run.config.to_dict(), sort_keys=True), plain(run.repeat))
        twin = seen.setdefault(key, run.row.name)
        if twin != run.row.name:
            raise InputError(f"rows '{twin}' and '{run.row.name}' are the same experiment; change or remove one")
