"""Build the documentation site: `python tools/make_site.py [FOLDER]`, into `build/site` without a FOLDER.

docs/ is copied, pages made of docstrings and of the command line join it, and Zensical makes a site of all. Files
elsewhere in the repository that a page links to get a page too, so that the same link is good on both sides. Formulas
become MathML: nothing is fetched by whoever reads or builds the site. The exit status is 1 if a link, an anchor or an
image of the site leads nowhere.
"""

import ast
import html
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import griffe
import typer
from latex2mathml.converter import convert

from vireid.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ICON = ROOT / "src" / "vireid" / "app" / "page" / "icon.svg"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml", ".toml": "toml", ".sh": "sh", "": "text"}

# Pages of the Python reference: title, and what is on it; of a module or package all that is public.
REFERENCE = {
    "load": ("Load and embed", ["vireid.load", "vireid.embedder.Embedder", "vireid.onnx_embedder.OnnxEmbedder"]),
    "search": ("Galleries", ["vireid.search.gallery", "vireid.search.hits.Hit", "vireid.search.where.Where"]),
    "evaluation": (
        "Evaluation",
        [f"vireid.evaluation.{name}" for name in ("metrics", "protocols", "rerank", "distance", "results")],
    ),
    "sample": ("Samples and batches", ["vireid.sample"]),
    "data": (
        "Data sets and samplers",
        [
            f"vireid.data.{name}"
            for name in ("sysu_mm01", "regdb", "llcm", "synthvi", "manifest", "samplers", "augment")
        ],
    ),
    "methods": ("Methods", ["vireid.methods.base", "vireid.testing"]),
    "losses": ("Losses", ["vireid.losses"]),
    "models": ("Models", ["vireid.models"]),
    "figures": ("Figures", ["vireid.figures", "vireid.explain"]),
}


def main(folder: Path = ROOT / "build") -> int:
    """Build, check, and say what is wrong; returns the exit status."""
    source, site = folder / "docs", folder / "site"
    for stale in (source, site):
        shutil.rmtree(stale, ignore_errors=True)
    shutil.copytree(DOCS, source)
    shutil.copy(ICON, source / "style" / "icon.svg")
    write_reference(source / "reference")
    bring_linked_files(source)
    shutil.copy(ROOT / "zensical.toml", folder)
    if faults := faults_of_navigation(source):
        return told(faults)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--config-file", folder / "zensical.toml"],
        capture_output=True,
        text=True,
    )
    if built.returncode:
        print(built.stdout + built.stderr)
        return built.returncode
    (site / "404.html").unlink()  # its links begin at the root of a server, and there may be none
    for page in site.rglob("*.html"):
        page.write_text(with_formulas(page.read_text()))
    if faults := faults_of_links(site):
        return told(faults)
    print(f"{site / 'index.html'}: {len(list(site.rglob('*.html')))} pages, every link is good")
    return 0


def told(faults: list[str]) -> int:
    """Print what is wrong; returns the exit status."""
    print("\n".join([*faults, f"{len(faults)} faults of the site"]), file=sys.stderr)
    return 1


# Links out of docs/


def bring_linked_files(source: Path) -> None:
    """Turn every link out of docs/ into one to a copy of the file under `source/`, and bring the copies."""
    waiting = {page: page.relative_to(source) for page in source.rglob("*.md")}
    waiting = {page: DOCS / place for page, place in waiting.items()}
    while waiting:
        page, origin = waiting.popitem()

        def redirect(link: re.Match[str], page: Path = page, origin: Path = origin) -> str:
            target, mark, anchor = link[1].partition("#")
            linked = (origin.parent / target).resolve()
            if "://" in target or target.startswith("mailto:") or not target or not linked.exists():
                return link[0]  # what leads nowhere is found in the built site
            if linked.is_relative_to(DOCS):
                place = source / linked.relative_to(DOCS)
            else:
                place = source / "source" / linked.relative_to(ROOT)
                if linked.is_dir():
                    place /= "index.md"
                elif linked.suffix in LANGUAGES:
                    place = place.with_name(place.name + ".md")
                if not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(copy_of(linked))
                    if linked.is_dir() or linked.suffix == ".md":
                        waiting[place] = linked / "index.md" if linked.is_dir() else linked
            return f"]({relpath(place, page.parent)}{mark}{anchor})"

        # Fenced and inline code is passed over: what looks like a link in it is none.
        pieces = re.split(r"(^```.*?^```$|`[^`\n]+`)", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        pieces[::2] = [re.sub(r"\]\(([^)\s]+)\)", redirect, piece) for piece in pieces[::2]]
        page.write_text("".join(pieces))


def copy_of(file: Path) -> bytes:
    """What of a repository's file or folder goes onto the site: a page that shows it, if it is code."""
    if file.is_dir():
        files = sorted(each.name for each in file.iterdir() if each.is_file() and not each.name.startswith("."))
        return "\n".join([f"# {file.relative_to(ROOT)}\n", *(f"- [{name}]({name})" for name in files)]).encode()
    if file.suffix not in LANGUAGES:
        return file.read_bytes()
    name, language = file.relative_to(ROOT).as_posix(), LANGUAGES[file.suffix]
    fence = "`" * 6
    return f"---\nsearch:\n  exclude: true\n---\n# {name}\n\n{fence}{language}\n{file.read_text()}{fence}\n".encode()


# The Python reference


def write_reference(folder: Path) -> None:
    """A page for each entry of `REFERENCE`, and one for the command line."""
    folder.mkdir()
    package = griffe.load("vireid", search_paths=[ROOT / "src"], docstring_parser="google", try_relative_path=False)
    contents = []
    for name, (title, paths) in REFERENCE.items():
        shown = list(flat(package[path.partition(".")[2]] for path in paths))
        alone = len([each for each in shown if each.is_module]) == 0
        text = "\n\n".join(described(each, 2 if alone or each.is_module else 3) for each in shown)
        (folder / f"{name}.md").write_text(f"# {title}\n\n{text}\n")
        names = ", ".join(f"[`{each.name}`]({name}.md#{each.path})" for each in shown if not each.is_module)
        contents.append(f"## [{title}]({name}.md)\n\n{names}")
    (folder / "index.md").write_text(
        "# Python reference\n\nMade of the docstrings. Shapes are given in letters that each module explains.\n\n"
        + "\n\n".join(contents)
    )
    (folder / "command_line.md").write_text(command_line())


def flat(objects: Iterable[griffe.Object]) -> Iterator[griffe.Object]:
    """Modules with their public classes and functions, packages with their modules, in order."""
    for each in objects:
        if each.is_module and each.is_init_module:
            yield from flat(each.modules[name] for name in sorted(each.modules) if not name.startswith("_"))
        else:
            own = [member for member in each.members.values() if not member.is_alias and member.is_public]
            own = [member for member in own if member.is_class or member.is_function] if each.is_module else []
            if own or not each.is_module:
                yield each
                yield from own


def described(each: griffe.Object, level: int) -> str:
    """Heading, signature, docstring and public members of a module, class or function."""
    heading = f"{'#' * level} {each.path if each.is_module else each.name} {{ #{each.path} }}"
    parts = [heading]
    if not each.is_module:
        parts.append(f"```python\n{signature(each)}\n```")
    documented = {}
    for section in each.docstring.parsed if each.docstring else ():
        if each.is_class and section.kind.value == "attributes":
            documented = {item.name: item.description for item in section.value}
        else:
            parts.append(shown_section(section))
    if each.is_class:
        fields = {name: member for name, member in each.attributes.items() if name in documented or is_field(member)}
        rows = [[f"`{name}`", code(member.annotation), *default_of(member)] for name, member in fields.items()]
        rows = [[*row[:3], documented.get(name, row[3])] for name, row in zip(fields, rows, strict=True)]
        parts.append(table(["field", "type", "default", ""], rows))
        methods = [member for name, member in each.members.items() if not name.startswith("_") and not member.is_alias]
        methods = [m for m in methods if m.is_function or (m.is_attribute and "property" in m.labels)]
        parts += [described(method, level + 1) for method in methods]
    return "\n\n".join(part for part in parts if part)


def is_field(member: griffe.Attribute) -> bool:
    """Whether an attribute is one that is given to the class, as those of a dataclass are."""
    return bool(member.annotation) and member.is_public and "property" not in member.labels


def default_of(member: griffe.Attribute) -> tuple[str, str]:
    """The default of a field, and what pydantic's `Field` says of it."""
    value = ast.parse(str(member.value), mode="eval").body
    if not isinstance(value, ast.Call) or ast.unparse(value.func) != "Field":
        return code(member.value), ""
    named = {keyword.arg: keyword.value for keyword in value.keywords}
    default = value.args[0] if value.args else named.get("default", named.get("default_factory"))
    words = ast.literal_eval(named["description"]) if "description" in named else ""
    return code(ast.unparse(default) if default else None), words


def signature(each: griffe.Object) -> str:
    """The head of a class or function as it stands in the code, decorators included."""
    lines = inspect.cleandoc("\n" + each.source).splitlines()
    node = ast.parse("\n".join(lines)).body[0]
    end = node.body[0].lineno - 1
    if end < node.lineno:  # the body is on the head's own line
        return lines[-1].removesuffix("...").rstrip(": ")
    return "\n".join(lines[:end]).rstrip().removesuffix(":")


def shown_section(section: Any) -> str:
    """A section of a docstring as Markdown."""
    kind = section.kind.value
    if kind == "text":
        return section.value
    if kind == "parameters":
        rows = [
            [f"`{item.name}`", code(item.annotation), code(item.default), item.description] for item in section.value
        ]
        return table(["argument", "type", "default", ""], rows)
    if kind == "examples":
        return "\n\n".join(text if of.value == "text" else f"```pycon\n{text}\n```" for of, text in section.value)
    if kind == "raises":
        return "\n".join(f"**Raises** {code(item.annotation)}: {item.description}  " for item in section.value)
    if kind in ("returns", "yields"):
        return "\n".join(f"**{kind.capitalize()}** {item.description}  " for item in section.value)
    return f"**{section.title or kind}** {section.value.description}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table without the columns that are empty; nothing without rows."""
    used = [column for column in range(len(head)) if any(row[column] for row in rows)]
    lines = [[head[column] for column in used], ["---"] * len(used)]
    lines += [[" ".join(row[column].split()) for column in used] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def code(value: object) -> str:
    """In code style; empty for nothing."""
    return f"`{value}`" if value is not None else ""


# The command line's reference


def command_line() -> str:
    """A page with the help of every command."""
    parts = ["# Command line", "Exit status: 0 done, 1 failed, 2 bad input, told in one line. `-h` is `--help`."]
    for name, command in commands(typer.main.get_command(app), "vireid"):
        text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
        example = "\n".join(line.strip() for line in example.splitlines() if line.strip() != "More:")
        parts += [f"## {name}", in_words(text.replace("\b", ""))]
        parts.append(f"```sh\n{example}\n```" if example else "")
        context = command.make_context(name, [], resilient_parsing=True)
        records = [parameter.get_help_record(context) for parameter in command.params]
        rows = [[f"`{names}`", in_words(words)] for names, words in filter(None, records)]
        parts.append(table(["argument or option", ""], rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def in_words(text: str) -> str:
    """A help text as Markdown: options in code style, nothing taken for HTML."""
    pieces = re.split(r"(`[^`]+`)", text.strip())
    pieces[::2] = [re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", html.escape(piece)) for piece in pieces[::2]]
    return "".join(pieces)


def commands(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command with its whole name."""
    if not hasattr(node, "commands"):
        yield name, node
    for word, command in getattr(node, "commands", {}).items():
        yield from commands(command, f"{name} {word}")


# The built site


def with_formulas(page: str) -> str:
    """The page with MathML in the place of TeX."""

    def formula(found: re.Match[str]) -> str:
        tex, display = html.unescape(found[2]), "block" if found[1] == "div" else "inline"
        tex = re.sub(r"\\[Bb]ig(?![A-Za-z])", "", tex)  # brackets stretch by themselves
        tex = re.sub(r"\\tag\{(.*?)\}", r"\\qquad (\1)", tex)  # else the number touches the formula
        return convert(tex, display=display).replace('<mo stretchy="false">&#x0007B;', '<mo stretchy="true">&#x0007B;')

    return re.sub(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', formula, page, flags=re.DOTALL)


class Page(HTMLParser):
    """The anchors of a page, and all it points at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note `id`, `name`, `href` and `src`."""
        found = dict(attrs)
        self.anchors |= {found.get("id") or "", (found.get("name") if tag == "a" else "") or ""}
        self.targets += [value for name in ("href", "src") if (value := found.get(name))]


def faults_of_links(site: Path) -> list[str]:
    """Links, anchors and images that lead nowhere, each in a line."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            base = site if parts.path.startswith("/") else path.parent
            linked = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            linked = linked / "index.html" if linked.is_dir() else linked
            if not linked.is_file():
                faults.append(f"{path.relative_to(site)}: {target} does not exist")
            elif parts.fragment and linked in pages and unquote(parts.fragment) not in pages[linked].anchors:
                faults.append(f"{path.relative_to(site)}: {target} has no such anchor")
    return faults


def faults_of_navigation(source: Path) -> list[str]:
    """Pages that the navigation names and that do not exist, and the reverse."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    named = set(re.findall(r"'([^']+\.md)'", str(project["nav"])))
    there = {page.relative_to(source).as_posix() for page in source.rglob("*.md")}
    lost = {page for page in there - named if not page.startswith("source/")}
    return [f"zensical.toml: the navigation names {page}, which does not exist" for page in sorted(named - there)] + [
        f"zensical.toml: {page} is missing in the navigation" for page in sorted(lost)
    ]


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
