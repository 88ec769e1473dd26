"""The commands for a method of your own: `vireid method new` and `vireid method check`."""

import keyword
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from vireid.atomic import write_text
from vireid.errors import InputError

method_app = typer.Typer(no_args_is_help=True, help="Write a method of your own, in one file.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="mylab.mymethod is the file mylab/mymethod.py.")]


@method_app.command()
def new(name: Name) -> None:
    """Write a small complete method to change, its config, an ablation and its tests, here.

    Example: vireid method new mylab.mymethod
    """
    _require_free(name)
    last = name.rpartition(".")[2]
    written = {
        "mymethod.py": Path(*name.split(".")).with_suffix(".py"),
        "mymethod.yaml": Path(f"{last}.yaml"),
        "ablation.yaml": Path(f"{last}_ablation.yaml"),
        "test_mymethod.py": Path(f"test_{last}.py"),
    }
    there = [str(path) for path in written.values() if path.exists()]
    if there:
        raise InputError(f"{', '.join(there)} exists already and is not overwritten; choose another name or folder")
    for template, path in written.items():
        text = (files("vireid") / "assets" / "method" / template).read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text.replace("mylab.mymethod", name).replace("mymethod", last))
        print(path)
    print(f"change them, then: vireid method check {name}")


@method_app.command()
def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="mylab.mymethod, mylab/mymethod.py or, of the package, agw.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change an option, method.KEY.")
    ] = None,
) -> None:
    """Put a method file through the checks that every method of the package passes; about half a minute.

    Example: vireid method check mylab.mymethod --set method.dfw.enabled=true
    """
    from vireid.config import parse_override
    from vireid.testing import CHECKS, outcomes, small

    name = name.removesuffix(".py").replace("/", ".")
    faults = 0
    for outcome in outcomes(small(name, dict(map(parse_override, overrides or [])))):
        faults += bool(outcome.fault)
        print(f"{'FAILED' if outcome.fault else 'ok    '} {outcome.what}", flush=True)
        if outcome.fault:
            print(f"       {outcome.fault}", flush=True)
    print(f"{name}: {len(CHECKS) - faults} of {len(CHECKS)} checks passed")
    if faults:
        raise typer.Exit(1)


def _require_free(name: str) -> None:
    parts = name.split(".")
    if len(parts) < 2 or not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise InputError(
            f"NAME is '{name}'; expected a folder and a file with a dot between, of letters, digits and underscores, "
            "for example mylab.mymethod"
        )
    found = find_spec(parts[0]) if parts[0] not in sys.modules else sys.modules[parts[0]].__spec__
    places = [] if found is None else [found.origin, *(found.submodule_search_locations or ())]
    if found is not None and str(Path.cwd() / parts[0]) not in places:
        raise InputError(
            f"a package '{parts[0]}' is installed, which would hide your folder of that name; choose another name"
        )
