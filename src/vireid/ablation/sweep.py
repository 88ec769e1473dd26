"""What a sweep trains: rows of config changes times seeds, all checked before anything is trained.

A row is a name and dotted config keys, `A: {method.dfw.enabled: false}`; a grid is the product of lists of values,
whose rows are named `S=50, lambda=1`. A row is compared with the first one, or with the row that `against` names.
"""

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from vireid import config as configuration
from vireid.ablation.file import LONGEST_NAME, SweepFile, plain, read
from vireid.config import ExperimentConfig
from vireid.errors import InputError

SEED = "train.seed"
# How a run is scored says nothing about what was trained.
SCORING = ("evaluation.direction", "evaluation.rerank", "evaluation.batch_size")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: as printed.
        slug: its folder's name.
        base: the config it starts from.
        changes: what it changes there, by dotted key.
        against: the row it is compared with; None for the first row.
    """

    name: str
    slug: str
    base: Path
    changes: dict[str, Any]
    against: str | None = None


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

    def trained(self) -> dict[str, Any]:
        """Every value of the config, by dotted key, that has a say in the trained weights."""
        return {key: value for key, value in self.config.flat().items() if key not in SCORING}


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
    """Read and check a sweep file; `overrides` (`key=value`) change every run, after the rows.

    Raises:
        InputError: the file, a key, a row or the config of any run is wrong.
    """
    file = read(path)
    last = dict(configuration.parse_override(text) for text in overrides)
    rows = _rows(file, path)
    _require_free(file, rows, last)
    runs = _runs(file, rows, last)
    _require_different(runs)
    return Sweep(
        path=path,
        title=file.title,
        base=file.base,
        rows=tuple(rows),
        seeds=tuple(file.seeds),
        repeat=file.repeat,
        common={**file.common, **last},
        grid=file.grid,
        keep_checkpoints=file.keep_checkpoints,
        runs=tuple(runs),
    )


def last_part(key: str) -> str:
    """`S` of `method.sln.S`."""
    return key.rpartition(".")[2]


def portable(value: Any) -> Any:
    """A value without what tells about one machine only: of an absolute path the last part stays."""
    if isinstance(value, dict):
        return {key: portable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [portable(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _rows(file: SweepFile, path: Path) -> list[Row]:
    """The named rows, then those of the grid."""
    wanted = dict(file.rows)
    for values in product(*file.grid.values()) if file.grid else ():
        changes = dict(zip(file.grid, values, strict=True))
        label = ", ".join(f"{_short(key, file.grid)}={plain(portable(value))}" for key, value in changes.items())
        if label in wanted:
            raise InputError(f"two rows are named '{label}', one of them by the grid; rename or remove one")
        wanted[label] = changes
    rows = [_row(name, changes, file.base, path) for name, changes in wanted.items()]
    for index, row in enumerate(rows):
        twin = next((other for other in rows[:index] if other.slug == row.slug), None)
        if twin is not None:
            raise InputError(f"rows '{twin.name}' and '{row.name}' would share the folder '{row.slug}'; rename one")
        others = [name for name in wanted if name != row.name]
        if row.against is not None and row.against not in others:
            raise InputError(
                f"row '{row.name}' has against: {row.against!r}, expected another row: {', '.join(others)}"
            )
    return rows


def _row(name: str, changes: dict[str, Any], common_base: str | None, path: Path) -> Row:
    base = changes.get("base", common_base)
    if not isinstance(base, str):
        raise InputError(f"{path}: row '{name}' has no base; give base: CONFIG.yaml, as a path from the sweep file")
    # A minus sign is the only thing that tells -1 from 1.
    slug = re.sub(r"[\W_]+", "-", name.lower().replace("=-", "=minus ")).strip("-")[: 2 * LONGEST_NAME]
    if not slug:
        raise InputError(f"row '{name}' needs a letter or a digit in its name, which names its folder")
    own = {key: value for key, value in changes.items() if key not in ("base", "against")}
    return Row(name, slug, path.parent / base, own, changes.get("against"))


def _short(key: str, keys: Mapping[str, Any]) -> str:
    """The last part of a key, or all of it where two keys end alike."""
    return last_part(key) if [last_part(other) for other in keys].count(last_part(key)) == 1 else key


def _require_free(file: SweepFile, rows: Sequence[Row], last: Mapping[str, Any]) -> None:
    """Nothing may be set in two places of which one would silently win."""
    if SEED in file.repeat:
        raise InputError(f"repeat sets {SEED}, whose values are those of seeds; remove one of them")
    varied = {"grid": file.grid, **{f"row '{row.name}'": row.changes for row in rows if row.name in file.rows}}
    sources: dict[str, Mapping[str, Any]] = {"set": file.common, "--set": last, **varied}
    for key, values in ((SEED, "seeds"), *((key, "repeat") for key in file.repeat)):
        for where, changes in sources.items():
            if any(_within(change, key) for change in changes):
                raise InputError(f"{where} sets {key}, whose values are those of {values}; remove one of them")
    for where, changes in varied.items():
        for key in last:
            if any(_within(change, key) or _within(key, change) for change in changes):
                raise InputError(f"--set {key}: {where} of the sweep file sets it too; change it there")


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _runs(file: SweepFile, rows: Sequence[Row], last: Mapping[str, Any]) -> list[PlannedRun]:
    """Seed by seed, so that an early table compares all rows."""
    bases = {path: _load_base(path) for path in dict.fromkeys(row.base for row in rows)}
    runs = []
    for seed, *values in product(file.seeds, *file.repeat.values()):
        repeat = {**dict(zip(file.repeat, values, strict=True)), SEED: seed}
        folder = "-".join(f"{_short(key, repeat)}-{plain(portable(value))}" for key, value in repeat.items())
        for row in rows:
            # The repeat comes last: a change of a whole section must not take the seed away.
            config = _resolve(bases[row.base], [file.common, row.changes, last, repeat], row)
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
        other = changes.get("method.name", base.method.name) != base.method.name and "'method." in str(error)
        hint = f" ({row.base.name} holds the options of another method: give this row a base of its own)"
        raise InputError(f"row '{row.name}': {error}{hint if other else ''}") from None


def _require_different(runs: Sequence[PlannedRun]) -> None:
    """No experiment twice, whose copies would pass for rows that agree or for seeds that do."""
    trained: dict[str, PlannedRun] = {}
    folders: dict[Path, PlannedRun] = {}
    for run in runs:
        twin = trained.setdefault(json.dumps(run.trained(), sort_keys=True), run)
        if twin is not run and twin.row is not run.row:
            raise InputError(
                f"rows '{twin.row.name}' and '{run.row.name}' are the same experiment; change or remove one"
            )
        if twin is not run:
            raise InputError(f"'{twin.label}' and '{run.label}' are the same experiment; remove one value")
        other = folders.setdefault(run.folder, run)
        if other is not run:
            raise InputError(f"'{other.label}' and '{run.label}' would share the folder {run.folder}; rename one value")
