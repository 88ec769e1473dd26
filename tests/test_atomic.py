"""A file is replaced whole or stays as it was."""

import pytest

from vireid.atomic import replacing, require_writable, write_text
from vireid.errors import InputError


def test_a_text_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_text(path, "new ±\n")
    assert path.read_text(encoding="utf-8") == "new ±\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_cannot_be_written_is_refused_and_one_that_can_leaves_no_trace(tmp_path):
    with pytest.raises(InputError, match="is a folder; give a file in it"):
        require_writable(tmp_path)
    with pytest.raises(InputError, match="none does not exist; make it first"):
        require_writable(tmp_path / "none" / "a.json")
    (tmp_path / "a.json").write_text("old")
    require_writable(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
