"""One self-contained HTML page: no script, no outside request; light, dark and printed."""

import html
from collections.abc import Mapping, Sequence

from vireid.figures.sheet import STYLE as SHEET_STYLE

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --dim: #555; --line: #ddd; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #17191d; --ink: #e4e4e4; --dim: #a8adb6; --line: #3a3f48; } a { color: #7fb8e6; } }
@media print { body { max-width: none; } .scroll, .sheet { overflow: visible; } th, td { white-space: normal;
  overflow-wrap: anywhere; font-size: 9px; } .sheet { grid-auto-flow: row; break-inside: avoid;
  grid-template-columns: repeat(auto-fill, 62px); } .sheet img { width: 52px; height: 104px; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1060px;
  margin: 0 auto; padding: 24px 16px; overflow-wrap: break-word; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 34px 0 8px; }
h3 { font-size: 14px; margin: 14px 0 4px; }
p { max-width: 75ch; } .note { color: var(--dim); }
nav { font-size: 13.5px; display: flex; flex-wrap: wrap; gap: 2px 14px; } summary { cursor: pointer; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
th, td { padding: 3px 8px; font-size: 13.5px; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.charts { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start; }
.charts svg { flex: 1 1 min(420px, 100%); max-width: 510px; height: auto; background: #fff; border-radius: 6px; }
"""


def page(title: str, sections: Sequence[tuple[str, str]], *, intro: str = "") -> str:
    """A page of `(heading, HTML)` sections under a title, an introduction in plain text and a table of contents."""
    links = "".join(f'<a href="#s{n}">{html.escape(name)}</a>' for n, (name, _) in enumerate(sections))
    body = "\n".join(
        f'<section id="s{n}"><h2>{html.escape(name)}</h2>\n{content}</section>'
        for n, (name, content) in enumerate(sections)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An empty icon keeps the browser from asking a server for one.
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{SHEET_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1><p>{html.escape(intro)}</p>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )


def table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """An HTML table; cells are plain text."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(row.get(column, ''))}</td>" for column in columns) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f'<p class="note">{html.escape(text)}</p>'


def heading(text: str) -> str:
    """A small heading of plain text within a section."""
    return f"<h3>{html.escape(text)}</h3>"


def folded(summary: str, content: str) -> str:
    """HTML that is shown when its summary, plain text, is clicked."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"
