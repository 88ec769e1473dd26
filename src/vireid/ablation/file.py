"""Reads a sweep file and checks the shape of what it holds, before any config is looked at."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vireid.config import WordLoader, nearest
from vireid.errors import InputError

KEYS = ("title", "base", "seeds", "repeat", "set", "rows", "grid", "keep_checkpoints")
LONGEST_NAME = 60  # of a row: it names a folder and stands beside a chart


@dataclass(frozen=True)
class SweepFile:
    """The content of a sweep file; `rows`, `repeat`, `common` and `grid` hold dotted config keys."""

    title: str
    base: str | None
    seeds: list[int]
    repeat: dict[str, list[Any]]
    common: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    grid: dict[str, list[Any]]
    keep_checkpoints: bool


def read(path: Path) -> SweepFile:
    """The checked content of a sweep file.

    Raises:
        InputError: the file is missing or not YAML, a key is unknown, or a value has the wrong shape.
    """
    content = _content(path)
    rows = content.get("rows")
    if rows is not None and not (isinstance(rows, dict) and rows):
        raise InputError(f"rows: got {rows!r}, expected names with config keys, for example A: {{train.epochs: 5}}")
    grid = _axes(content.get("grid"), "grid")
    if not rows and not grid:
        raise InputError(f"{path} has no rows and no grid; give one of them, for example rows: {{A: {{}}}}")
    base = content.get("base")
    if base is not None and not isinstance(base, str):
        raise InputError(f"base: got {base!r}, expected the path of a config as seen from the sweep file")
    return SweepFile(
        title=_line(content.get("title", path.stem), "title"),
        base=base,
        seeds=_seeds(content.get("seeds")),
        repeat=_axes(content.get("repeat"), "repeat"),
        common=_changes(content.get("set"), "set"),
        rows={_line(name, "row"): _changes(changes, f"row '{name}'") for name, changes in (rows or {}).items()},
        grid=grid,
        keep_checkpoints=_switch(content.get("keep_checkpoints", True)),
    )


def plain(value: Any) -> str:
    """A value as it is written in YAML."""
    return value if isinstance(value, str) else json.dumps(value)


class _TextKeyLoader(WordLoader):
    """YAML whose keys are texts as they stand, `no` and `1.0` too; reads 1e-3 as a number and refuses double keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"'{twice}' is given twice in line {node.start_mark.line + 1} ff.; rename or remove one")
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_TextKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"sweep file not found: {path}; give a YAML file with base, seeds and rows or grid")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _TextKeyLoader)  # a safe loader
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {type(content).__name__}, expected keys such as base, seeds and rows")
    for key in content:
        if key not in KEYS:
            raise InputError(f"{path}: unknown key '{key}'{nearest(str(key), KEYS)}; known: {', '.join(KEYS)}")
        _require_plain(content[key], key)
    return content


def _require_plain(value: Any, where: str, depth: int = 0) -> None:
    """Only what a config can hold: no dates, sets or bytes, and no anchor that contains itself."""
    if depth > 20:
        raise InputError(f"{where}: nested too deeply; write its value out")
    if isinstance(value, dict | list):
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            _require_plain(each, where, depth + 1)
    elif value is not None and not isinstance(value, str | bool | int | float):
        raise InputError(f"{where}: {value!r} is a {type(value).__name__}; expected text, numbers, lists; quote a text")


def _line(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InputError(f"{what}: got {value!r}, expected one line of text; quote it")
    if what == "row" and len(value) > LONGEST_NAME:
        raise InputError(f"row '{value[:LONGEST_NAME]}...' has {len(value)} letters; shorten it to {LONGEST_NAME}")
    return value


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
    return dict(value or {})


def _axes(value: Mapping[str, Any] | None, where: str) -> dict[str, list[Any]]:
    axes = _changes(value, where)
    for key, values in axes.items():
        texts = list(map(plain, values)) if isinstance(values, list) else []
        if not texts or len(set(texts)) < len(texts):
            raise InputError(f"{where}: {key} is {values!r}, expected a list of different values, for example [1, 2]")
    return axes
