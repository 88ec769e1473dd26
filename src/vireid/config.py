"""One YAML file describes one experiment: reads it, checks every key, names the nearest one on a typo.

A method or a data set is found by its file name: `method.name: agw` is `vireid/methods/agw.py`, `data.name: regdb`
is `vireid/data/regdb.py`; a dotted name such as `mylab.mymethod` is imported as it stands.
"""

import difflib
import pkgutil
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vireid.atomic import write_text
from vireid.data.augment import AugmentConfig
from vireid.errors import InputError
from vireid.evaluation.results import RerankChoice
from vireid.models.precision import AnyPrecision
from vireid.training.loop import TrainConfig

Model = TypeVar("Model", bound=BaseModel)


class ImageConfig(BaseModel):
    """Input size in pixels, and what is done to training images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(288, ge=16, le=1024)
    width: int = Field(144, ge=8, le=1024)
    augment: AugmentConfig = AugmentConfig()


class EvaluationConfig(BaseModel):
    """How a finished run is evaluated; `vireid evaluate` can override direction and re-ranking."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    direction: Literal["i2v", "v2i", "both"] = "both"
    rerank: RerankChoice = "off"
    batch_size: int = Field(128, ge=1)
    select: Literal["last", "val"] = "last"
    precision: AnyPrecision = Field("32-true", description="of the embeddings; auto: the device's fastest")


@dataclass(frozen=True)
class Named:
    """A section that names a module: the module and its checked options."""

    name: str
    module: ModuleType
    options: Any

    @property
    def root(self) -> str:
        """Where a data set lies, as results name it; its name where it has no folder."""
        return str(getattr(self.options, "root", self.name))

    def to_dict(self) -> dict[str, Any]:
        """Back to what the YAML file holds."""
        return {"name": self.name, **self.options.model_dump(mode="json")}


@dataclass(frozen=True)
class ExperimentConfig:
    """A whole experiment, every value checked."""

    method: Named
    data: Named
    images: ImageConfig
    train: TrainConfig
    evaluation: EvaluationConfig

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, every default written out."""
        sections = {"images": self.images, "train": self.train, "evaluation": self.evaluation}
        plain = {name: section.model_dump(mode="json") for name, section in sections.items()}
        return {"method": self.method.to_dict(), "data": self.data.to_dict(), **plain}

    def save(self, path: Path) -> None:
        """Write the resolved YAML."""
        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    def flat(self) -> dict[str, Any]:
        """Every value by its dotted key, for example `train.optimizer.lr`."""
        return _flat(self.to_dict(), "")

    def override(self, changes: Mapping[str, Any]) -> "ExperimentConfig":
        """A copy with dotted keys changed, for example `{"data.root": "/data/RegDB"}`."""
        plain = self.to_dict()
        for key, value in changes.items():
            _set(plain, key, value)
        return from_dict(plain)


class WordLoader(yaml.SafeLoader):
    """Safe YAML in which `off`, `on`, `no` and `yes` are words, as in YAML 1.2; only `true` and `false` are not."""


BOOL = "tag:yaml.org,2002:bool"
WordLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
WordLoader.add_implicit_resolver(BOOL, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def _flat(plain: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def load(path: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a YAML file and apply `key=value` overrides, for example `train.epochs=2`.

    Raises:
        InputError: the file is missing or not YAML, a key is unknown or a value does not fit.
    """
    if not path.is_file():
        raise InputError(f"config not found: {path}; give a YAML file; vireid's own lie in configs/ of its checkout")
    try:
        plain = yaml.load(path.read_text(), WordLoader)  # a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(plain, dict):
        raise InputError(f"{path} holds {type(plain).__name__}, expected sections such as method, data, train")
    for override in overrides:
        _set(plain, *parse_override(override))
    return from_dict(plain)


def parse_override(text: str) -> tuple[str, Any]:
    """Dotted key and value of a `key=value` text; the value is read as YAML."""
    key, separator, value = text.partition("=")
    if not separator:
        raise InputError(f"--set got '{text}', expected key=value, for example train.epochs=2")
    try:
        return key.strip(), yaml.load(value, WordLoader)
    except yaml.YAMLError:
        raise InputError(f"--set {key}: '{value}' is not a YAML value") from None


def from_dict(plain: Mapping[str, Any]) -> ExperimentConfig:
    """Check plain sections and return the experiment; raises `InputError` on the first fault."""
    known = list(ExperimentConfig.__dataclass_fields__)
    for name, section in plain.items():
        if name not in known:
            raise InputError(f"unknown section '{name}'{nearest(str(name), known)}; known: {', '.join(known)}")
        if section is None:
            raise InputError(f"section '{name}' is empty; give it keys and values, or leave it out")
        if not isinstance(section, Mapping):
            raise InputError(f"section '{name}' holds {type(section).__name__}, expected keys and values")
    for name in ("method", "data"):
        if "name" not in plain.get(name, {}):
            raise InputError(f"missing key '{name}.name': say which one, for example {name}: {{name: ...}}")
    return ExperimentConfig(
        method=named("method", plain["method"]),
        data=named("data", plain["data"]),
        images=_check("images", ImageConfig, plain.get("images", {})),
        train=_check("train", TrainConfig, plain.get("train", {})),
        evaluation=_check("evaluation", EvaluationConfig, plain.get("evaluation", {})),
    )


def find_module(section: str, name: str) -> ModuleType:
    """The module behind `method.name` or `data.name`; raises `InputError` with the known names."""
    package, entry = {"method": ("vireid.methods", "build"), "data": ("vireid.data", "load")}[section]
    target = name if "." in name else f"{package}.{name}"
    if "." in name and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that nothing there stands in for an installed package
    module = _import(section, target)
    missing = _missing(module, entry)
    if module is None or (missing and "." not in name):
        known = _named_modules(package, entry)
        hint = _own_file(name) or nearest(name, known)
        raise InputError(f"unknown {section}.name '{name}'{hint}; known: {', '.join(known)}")
    if missing:
        raise InputError(f"{section}.name '{name}': {module.__file__} has no {missing}; add it")
    return module


def _import(section: str, target: str) -> ModuleType | None:
    """The module, or None if there is none; `InputError` if it is there and fails."""
    try:
        return import_module(target) if find_spec(target) is not None else None
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        if not isinstance(error, ModuleNotFoundError) or (error.name and target.startswith(error.name)):
            return None
        reason = str(error)
    except Exception as error:  # somebody's own code
        reason = f"{type(error).__name__}: {error}"
    raise InputError(f"{section}.name '{target}' cannot be imported: {reason}; mend that file")


def _missing(module: ModuleType | None, entry: str) -> str:
    """What a module lacks to be a method or a data set; empty if nothing."""
    kind = getattr(module, "Config", None)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return "class Config(BaseModel)"
    return "" if hasattr(module, entry) else f"function {entry}"


def _own_file(name: str) -> str:
    """What to do about a name that is that of somebody's own file, or was meant to be."""
    file = Path(f"{name.replace('.', '/')}.py")
    if "." in name:
        return f": there is no {file} in {Path.cwd()}, nor is it installed; call vireid in the folder that holds it"
    return f": put {file} in a folder and name both, as mylab.{name} for mylab/{file}" if file.is_file() else ""


def _named_modules(package: str, entry: str) -> list[str]:
    folder = import_module(package).__path__
    names = [info.name for info in pkgutil.iter_modules(folder)]
    modules = {name: import_module(f"{package}.{name}") for name in names}
    return [name for name, module in modules.items() if hasattr(module, "Config") and hasattr(module, entry)]


def named(section: str, plain: Mapping[str, Any]) -> Named:
    """A checked section `{name: ..., **options}` of `method` or `data`."""
    options = dict(plain)
    name = str(options.pop("name"))
    module = find_module(section, name)
    return Named(name, module, _check(section, module.Config, options))


def _check(section: str, model: type[Model], plain: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(dict(plain))
    except ValidationError as error:
        fault = error.errors()[0]
        location = ".".join([section, *map(str, fault["loc"])])
        if fault["type"] == "extra_forbidden":
            known = _keys_at(model, fault["loc"][:-1])
            hint = nearest(str(fault["loc"][-1]), known)
            raise InputError(f"unknown key '{location}'{hint}; known: {', '.join(known)}") from None
        if fault["type"] == "missing":
            raise InputError(f"missing key '{location}'; set it in the file or with --set {location}=...") from None
        message = fault["msg"].removeprefix("Value error, ")
        got = repr(fault["input"])
        got = got if len(got) <= 100 else f"{got[:100]} ..."
        raise InputError(f"bad value for '{location}': got {got}; {message}") from None


def _keys_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for step in path:
        field = model.model_fields.get(str(step))
        if field is None:
            break
        candidates = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner:
            model = inner[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def nearest(name: str, known: Sequence[str]) -> str:
    """`, did you mean 'x'?` for the known name that is most like `name`; nothing where none is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ""


def _set(plain: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for step in parents:
        child = plain.setdefault(step, {})
        if not isinstance(child, dict):
            raise InputError(f"cannot set '{dotted}': '{step}' is a value, not a section")
        plain = child
    plain[last] = value
