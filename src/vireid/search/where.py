"""Which crops of a gallery are meant: by camera, time, modality, track, person or id."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime

from vireid.errors import InputError
from vireid.sample import Modality

# Years of four digits, as ISO 8601 writes them: 1 to 9999, less a day at each end for other zones.
EARLIEST, LATEST = -62_135_510_400.0, 253_402_214_400.0


@dataclass(frozen=True)
class Where:
    """A filter; what is left empty does not restrict.

    Attributes:
        ids: these crops.
        cameras: names of cameras.
        start: earliest time, seconds since 1970 (UTC), included. Crops without a time are outside of any range.
        end: latest time, excluded.
        modality: visible or infrared.
        tracks: names of tracklets.
        pids: people, as they were named when added.
    """

    ids: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    modality: Modality | None = None
    tracks: tuple[str, ...] = ()
    pids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and not self.start < self.end:
            raise InputError(f"the time range from {show_time(self.start)} to {show_time(self.end)} is empty")

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The columns that must hold one of some texts, with these texts; times are apart."""
        modality = () if self.modality is None else (self.modality.name.lower(),)
        columns = {"id": self.ids, "camera": self.cameras, "track": self.tracks, "pid": self.pids, "modality": modality}
        return {column: values for column, values in columns.items() if values}

    @property
    def restricts(self) -> bool:
        """Whether anything is filtered out."""
        return any(getattr(self, field.name) not in ((), None) for field in fields(self))


EVERYTHING = Where()


def parse_time(text: str) -> float:
    """Seconds since 1970 of a date or time in ISO 8601 (UTC where it names no zone), or of a plain number of them.

    Raises:
        InputError: it is neither.
    """
    wrong = InputError(f"time '{text}': expected ISO 8601 such as 2026-03-01T18:30:00 or seconds since 1970")
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise wrong from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not EARLIEST <= seconds < LATEST:  # nor where it is not a number
        raise wrong
    return seconds


def show_time(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond where there are any."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
