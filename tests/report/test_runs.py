import re
import shutil

import numpy as np
import pytest

from vireid.errors import InputError
from vireid.experiment.embedded import Search
from vireid.models.weights import SHIPPED
from vireid.report.runs import choose_queries, open_runs, read_log

PIDS = np.array([1, 1, 2, 3, 9, 1, 2, 3])
# Five queries (samples 0 to 4) search three gallery images of people 1, 2 and 3 (samples 5 to 7).
DISTANCES = np.array(
    [
        [0.3, 0.1, 0.2],  # person 1 comes third: average precision 1/3
        [0.1, 0.2, 0.3],  # first: 1
        [0.2, 0.3, 0.4],  # person 2 comes second: 1/2
        [0.2, 0.3, 0.1],  # person 3 comes first: 1
        [0.1, 0.2, 0.3],  # person 9 is not there
    ],
    np.float32,
)


def search(ignore=None):
    return Search(np.arange(5), np.arange(5, 8), DISTANCES, ignore)


def test_the_best_and_the_worst_come_first_and_each_person_once():
    best = choose_queries(search(), PIDS, "best", 5, seed=0).tolist()
    assert set(best[:2]) == {1, 3} and best[2:] == [2]  # query 0 is person 1 again, 4 has no match
    assert choose_queries(search(), PIDS, "worst", 5, seed=0).tolist() == [0, 2, 3]
    assert choose_queries(search(), PIDS, "worst", 1, seed=0).tolist() == [0]


def test_queries_are_drawn_by_the_seed_among_those_with_a_match():
    drawn = [tuple(choose_queries(search(), PIDS, "random", 2, seed).tolist()) for seed in range(40)]
    assert drawn == [tuple(choose_queries(search(), PIDS, "random", 2, seed).tolist()) for seed in range(40)]
    assert {row for rows in drawn for row in rows} == {0, 1, 2, 3}
    assert all(len({PIDS[row] for row in rows}) == 2 for rows in drawn)


def test_a_match_that_the_protocol_hides_is_none():
    hidden = np.zeros((5, 3), bool)
    hidden[[0, 1], 0] = True
    assert 1 not in PIDS[choose_queries(search(hidden), PIDS, "worst", 5, seed=0)]
    hidden[:] = True
    with pytest.raises(InputError, match="no query has an image of its person in the gallery"):
        choose_queries(search(hidden), PIDS, "worst", 5, seed=0)


@pytest.fixture
def folders(tmp_path):
    """The shipped model's folder three times, two of them called alike."""
    places = [tmp_path / "x" / "r", tmp_path / "y" / "r", tmp_path / "default"]
    for place in places:
        shutil.copytree(SHIPPED, place)
    return places


def test_runs_are_named_by_the_end_of_their_paths(folders):
    x, y, other = map(str, folders)
    assert list(open_runs(["default"])) == ["default"]
    assert list(open_runs([x, other])) == ["r", "default"]
    assert list(open_runs([x, y])) == ["x/r", "y/r"]
    with pytest.raises(InputError, match="stands there twice"):
        open_runs([x, f"{x}/../r"])
    with pytest.raises(InputError, match="stands there twice"):
        open_runs(["default", "default"])
    with pytest.raises(InputError, match="run not found"):
        open_runs(["nowhere"])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{half", "a line is not JSON"),
        ("[1, 2]", "line 2: got [1, 2], expected an object"),
        ("5", "expected an object"),
        ('{"loss/a": 1}', "with the number of an epoch"),
        ('{"epoch": 2, "stage": 5}', "stage is 5, expected a word"),
        ('{"epoch": 2, "loss/a": "y"}', "loss/a is 'y', expected a number"),
        ('{"epoch": 2, "val/i2v/mAP": [1]}', "val/i2v/mAP is '[1]', expected a number"),
        ('{"epoch": 2, "heads/shared/block1": [0.5, "x"]}', "expected a list of numbers"),
    ],
)
def test_a_damaged_line_of_the_log_is_named(folders, line, fault):
    (folders[0] / "metrics.jsonl").write_text('{"epoch": 1, "loss/a": NaN}\n' + line + "\n")
    (run,) = open_runs([str(folders[0])]).values()
    with pytest.raises(InputError, match=re.escape(fault)):
        read_log(run)
