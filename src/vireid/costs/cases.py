"""What is compared: the rows of the DFW-SLN paper's cost table, or configs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from vireid import config as configuration
from vireid.config import ExperimentConfig
from vireid.costs.measure import Compared, Profile, Setting, compare, count
from vireid.embedder import without_download
from vireid.errors import InputError
from vireid.methods.base import Method
from vireid.models.precision import resolve_device, resolve_precision

IDENTITIES = 395  # of SYSU-MM01; their classifiers are counted apart
STEP_IMAGES = 16  # a comparison holds its methods at once and must end in minutes on a CPU
EMBEDDING_BATCH = 64  # of a single method
MOST_IMAGES = 65536
# What must be the same for costs to be comparable.
SAME = ("images.height", "images.width", "train.precision", "train.channels_last")


@dataclass(frozen=True)
class Published:
    """A row of Table 2 of the DFW-SLN paper, as printed.

    Attributes:
        parameters: without the identity classifiers.
        macs_per_pair: the paper's FLOPs, which are multiply-accumulates of a visible and an infrared image.
        training_minutes: about, on RegDB.
    """

    parameters: float
    macs_per_pair: float
    training_minutes: float


@dataclass(frozen=True)
class Case:
    """One line of a comparison: a method to build, and what was published about its cost."""

    name: str
    config: ExperimentConfig
    paper: Published | None = None
    note: str | None = None


MISPRINT = (
    "26.71 M is probably a misprint of 38.71 M; this is our inference, not the authors' word. The printed FLOPs are "
    "those of two full layer4 passes per image, and an independent second layer4 alone adds 14.96 M parameters: with "
    "a neck for each branch 38.71 M."
)
# Name, method section, published figures, note. The paper's MMG is MMN with `fuse: sum`, but at 384x192.
PAPER: tuple[tuple[str, dict[str, Any], Published | None, str | None], ...] = (
    ("Baseline", {"name": "baseline", "split": 2, "pool": "gem"}, Published(23.74e6, 10.301e9, 45), None),
    ("AGW", {"name": "agw"}, Published(23.55e6, 10.318e9, 47), None),
    ("HCT", {"name": "hct"}, None, "Not in the paper's table."),
    ("DFW-SLN", {"name": "dfw_sln"}, Published(26.71e6, 15.150e9, 58), MISPRINT),
)


def paper_cases(overrides: Sequence[str] = ()) -> list[Case]:
    """The rows of the paper's table at 288x144, less what is not built here.

    `key=value` overrides apply to all rows, those of `method` to the rows whose method has the key. The published
    figures are left out where an override makes another network or another image size of a row.

    Raises:
        InputError: no row's method has the key of an override, or a value does not fit.
    """
    changes = dict(configuration.parse_override(override) for override in overrides)
    published = [_published(*row) for row in PAPER]
    for key in changes:
        if not any(_has(case, key) for case in published):
            names = ", ".join(case.name for case in published)
            raise InputError(
                f"--set {key}: no method of the table ({names}) has this key; give one of theirs, or a CONFIG"
            )
    return [_changed(case, {key: value for key, value in changes.items() if _has(case, key)}) for case in published]


def _published(name: str, method: dict[str, Any], paper: Published | None, note: str | None) -> Case:
    images = {"height": 288, "width": 144}
    plain = {"method": {**method, "weights": "none"}, "data": {"name": "synthvi"}, "images": images}
    return Case(name, configuration.from_dict(plain), paper, note)


def _has(case: Case, key: str) -> bool:
    """False where `key` is a method's that this case's method does not have."""
    known = case.config.flat()
    return not key.startswith("method.") or any(each == key or each.startswith(f"{key}.") for each in known)


def _changed(case: Case, changes: Mapping[str, Any]) -> Case:
    with _naming(case.name):
        config = case.config.override(changes)
    same = config.method == case.config.method and config.images == case.config.images
    return replace(case, config=config) if same else Case(case.name, config)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Input errors of the block begin with the case they are about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def config_cases(paths: Sequence[Path], overrides: Sequence[str] = ()) -> list[Case]:
    """One case per YAML file, named after it; where two have one name, after as many folders as tell them apart."""
    return [Case(_name(path, paths), _load(path, overrides)) for path in paths]


def _name(path: Path, paths: Sequence[Path]) -> str:
    for length in range(1, 1 + max(len(each.parts) for each in paths)):
        names = [_ending(each, length) for each in set(paths)]
        if names.count(_ending(path, length)) == 1:
            return _ending(path, length)
    return str(path)  # one name with two suffixes


def _ending(path: Path, length: int) -> str:
    return Path(*[*path.parts[:-1], path.stem][-length:]).as_posix()


def _load(path: Path, overrides: Sequence[str]) -> ExperimentConfig:
    try:
        return configuration.load(path, overrides)
    except InputError as error:
        if _is_sweep(path):
            raise InputError(f"{path} is a sweep file, for `vireid ablate`; give a config, such as its base") from None
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _is_sweep(path: Path) -> bool:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and "method" not in content and not content.keys().isdisjoint(("rows", "grid"))


def compare_cases(
    cases: Sequence[Case], *, repeats: int = 3, images: int | None = None, device: str = "auto", progress: bool = False
) -> list[Compared]:
    """Count and time the cases' methods with random weights, at the images, precision and layout of their configs.

    Args:
        cases: what to compare, the reference first.
        repeats: timed rounds; 0 counts only.
        images: in a training step and in an embedding batch. Default: 16, but the config's own batch and 64 for
            a single case.
        device: `auto` or a torch device.
        progress: show a bar on stderr.

    Raises:
        InputError: `images` is not a multiple of 8 or below 16, the cases differ in what must be the same, or one of
            them cannot be built for images of this size.
    """
    if images is not None and (images % 8 or not 16 <= images <= MOST_IMAGES):
        raise InputError(
            f"--images {images}: expected 16, 24, 32, ... {MOST_IMAGES} (two people or more, 4 images each per "
            "modality)"
        )
    _require_same(cases)
    setting = _setting(cases, images, repeats, device)
    built = [_build(case, setting) for case in cases]
    return compare([method for method, _ in built], [profile for _, profile in built], setting, progress=progress)


def _require_same(cases: Sequence[Case]) -> None:
    for key in SAME:
        section, name = key.split(".")
        values = [getattr(getattr(case.config, section), name) for case in cases]
        for case, value in zip(cases, values, strict=True):
            if value != values[0]:
                raise InputError(
                    f"{key} is {values[0]} in {cases[0].name} and {value} in {case.name}; costs compare only at the "
                    f"same: add --set {key}={values[0]}"
                )


def _setting(cases: Sequence[Case], images: int | None, repeats: int, device: str) -> Setting:
    config, single = cases[0].config, len(cases) == 1
    place = resolve_device(device)
    own_batch = 2 * config.train.identities * config.train.images_per_modality
    return Setting(
        height=config.images.height,
        width=config.images.width,
        num_identities=IDENTITIES,
        step_images=images or (own_batch if single else STEP_IMAGES),
        embedding_batch=images or (EMBEDDING_BATCH if single else STEP_IMAGES),
        repeats=repeats,
        device=str(place),
        precision=resolve_precision(config.train.precision, place),
        channels_last=config.train.channels_last,
    )


def _build(case: Case, setting: Setting) -> tuple[Method, Profile]:
    """The case's method, counted."""
    section = case.config.method
    with _naming(case.name):
        method: Method = section.module.build(without_download(section.options), setting.num_identities)
        return method, count(method, setting)
