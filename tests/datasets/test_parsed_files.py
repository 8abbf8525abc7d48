"""What was read is kept until a file changes; a cache that is damaged or cannot be written to changes nothing."""

import os

import numpy as np
import pytest

from zsmld.datasets.parsed_files import parsed_once
from zsmld.errors import InputError


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def parse(tmp_path):
    """Lengths of the files, and how often they were read."""
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text("1")

    def parsed(what="lengths"):
        def compute():
            parsed.runs += 1
            return {"lengths": np.array([len(path.read_bytes()) for path in paths])}

        return parsed_once(paths, what, compute)["lengths"].tolist()

    parsed.paths, parsed.runs = paths, 0
    return parsed


def test_unchanged_files_are_read_once(parse):
    assert [parse(), parse()] == [[1, 1], [1, 1]]
    assert parse.runs == 1
    parse("something else")
    assert parse.runs == 2


def test_a_change_is_seen_even_if_size_and_date_stay(parse):
    parse()
    path = parse.paths[1]
    before = path.stat()
    path.write_text("2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    parse()
    assert parse.runs == 2
    path.write_text("22")
    assert parse() == [1, 2]


def test_one_place_for_the_same_files(parse, cache):
    parse()
    parse.paths[0].write_text("longer")
    parse()
    assert len(list((cache / "tables").iterdir())) == 1


def test_damage_means_reading_again(parse, cache):
    parse()
    (kept,) = (cache / "tables").iterdir()
    whole = kept.read_bytes()
    for broken in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1]), b"", b"\xff" * 40):
        kept.write_bytes(broken)
        assert parse() == [1, 1]
        assert kept.read_bytes() == whole
    assert parse.runs == 5


def test_a_cache_that_cannot_be_written_to_is_told_of(parse, cache, capsys):
    cache.write_text("a file")
    assert [parse(), parse()] == [[1, 1], [1, 1]]
    assert parse.runs == 2
    assert "the next start reads the data set again" in capsys.readouterr().err


def test_a_missing_file_is_an_error(parse):
    parse()
    parse.paths[0].unlink()
    with pytest.raises(InputError, match="no such file"):
        parse()
