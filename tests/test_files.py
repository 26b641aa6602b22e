"""Files are written whole or not at all."""

import pytest

from hitherto import files


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    files.write(path, b"one")
    files.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    files.write(path, b"one")
    with pytest.raises(TypeError):
        files.write(path, "not bytes")
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        files.write(tmp_path / "none" / "a.txt", b"")
