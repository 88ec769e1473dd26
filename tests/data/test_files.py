import pytest

from vireid.data.files import read_description, read_lines
from vireid.errors import InputError


def test_a_folder_is_no_list(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\); expected numbers"):
        read_lines(tmp_path, "numbers")


@pytest.mark.parametrize("read", [lambda folder: read_lines(folder / "dataset.json", "numbers"), read_description])
def test_files_of_others(tmp_path, monkeypatch, read):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(InputError, match=r"dataset\.json cannot be read \(Permission denied\)"):
        read(tmp_path)
