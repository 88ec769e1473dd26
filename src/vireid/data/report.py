"""What `vireid data check` found: counts against expectations, remarks, and where the data comes from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vireid.data.cache import find_unreadable


@dataclass(frozen=True)
class Row:
    """One line of a report.

    Attributes:
        what: what was counted.
        found: the count, or a short word.
        expected: what it should be; None where any value will do.
        ok: whether the two agree.
    """

    what: str
    found: int | str
    expected: int | str | None
    ok: bool


@dataclass
class Report:
    """The state of one data set folder.

    Attributes:
        name: the data set.
        root: the folder or file that was looked at.
        contact: where to ask for the data, or what it is.
        rows: counts.
        notes: what is missing, what that disables, which files cannot be read.
    """

    name: str
    root: Path
    contact: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, what: str, found: int | str, expected: int | str | None) -> None:
        """Add a row that is right when both values are equal, or when nothing particular is expected."""
        self.rows.append(Row(what, found, expected, expected is None or found == expected))

    def require(self, what: str, found: int, at_least: int = 1) -> None:
        """Add a row that is right from a least count on."""
        self.rows.append(Row(what, found, f"at least {at_least}", found >= at_least))

    def expect_readable(self, what: str, paths: Sequence[Path]) -> None:
        """Decode every image; add a row with the number of those that cannot be, and a note for each."""
        unreadable = find_unreadable(paths)
        self.expect(what, len(unreadable), 0)
        self.notes += [f"unreadable: {path} ({reason})" for path, reason in unreadable]

    @property
    def ok(self) -> bool:
        """Whether every row is as expected."""
        return all(row.ok for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {
            "name": self.name,
            "root": str(self.root),
            "ok": self.ok,
            "rows": [asdict(row) for row in self.rows],
            "notes": list(self.notes),
            "contact": self.contact,
        }

    def table(self) -> str:
        """Text of several lines: a row per count, then the notes, then the contact."""
        head = [("", "found", "expected", "")]
        body = [(row.what, _show(row.found), _show(row.expected), "ok" if row.ok else "DIFFERS") for row in self.rows]
        return "\n".join(
            [
                f"{self.name} in {self.root}: {'as expected' if self.ok else 'NOT as expected'}",
                *_columns(head + body),
                *(f"- {note}" for note in self.notes),
                f"Source: {self.contact}",
            ]
        )

    def __str__(self) -> str:
        return self.table()


def _show(value: int | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else value


def _columns(lines: Sequence[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return [
        f"  {what:<{widths[0]}}  {found:>{widths[1]}}  {expected:>{widths[2]}}  {state}".rstrip()
        for what, found, expected, state in lines
    ]
