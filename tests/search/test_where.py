import pytest

from vireid.errors import InputError
from vireid.sample import Modality
from vireid.search.where import EVERYTHING, Where, parse_time, show_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86400),
        ("1970-01-01T00:01:00", 60),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00.25Z", 0.25),
        ("12.5", 12.5),
    ],
)
def test_times_are_seconds_since_1970(text, seconds):
    assert parse_time(text) == seconds
    assert parse_time(show_time(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["day0", "", "2026-13-01", "nan", "inf", "1e300", "-1e11", "0001-01-01", "9999-12-31T23:59:59-12:00"]
)
def test_what_is_no_time_is_told(text):
    with pytest.raises(InputError, match="expected ISO 8601"):
        parse_time(text)


def test_only_what_is_given_restricts():
    assert not EVERYTHING.restricts
    for where in (Where(start=0.0), Where(modality=Modality.VISIBLE), Where(cameras=("a",)), Where(pids=("",))):
        assert where.restricts


def test_an_empty_range_is_told():
    with pytest.raises(InputError, match="is empty"):
        Where(start=5.0, end=5.0)
