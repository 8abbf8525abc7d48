"""`zsmld check` in a terminal: what it prints and writes, and how it ends."""

import contextlib
import json
import os
import pty
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

USAGE, INPUT, PARTIAL, ENVIRONMENT = 2, 3, 4, 5


def write(name, *lines):
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def contents():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_a_sound_vocabulary_is_told_in_notes_and_ends_with_0(zsmld):
    told = zsmld("check", "labels.txt")
    assert (told.code, told.errors) == (0, [])
    lines = told.stdout.splitlines()
    assert lines[0] == "6 labels (4 seen, 2 unseen)" and lines[1].endswith("embeddings.safetensors")
    assert "distances not judged: 6 labels have vectors" in lines[2]
    assert lines[-1] == "0 errors, 0 warnings, 0 notes"


def test_warnings_end_with_4_and_errors_with_3(zsmld):
    write("unseen.txt", "dogs", "polar bear")
    told = zsmld("check", "--source", "vectors.txt", "--forms")
    assert told.code == PARTIAL and told.errors == ["zsmld: error: 2 warnings about the labels. They are listed above."]
    assert "WARNING  twins (1)" in told.stdout and "dogs  dog (plural)  unseen.txt:1" in told.stdout
    # Both have the vector of dog.
    assert "WARNING  identical-vectors (1)" in told.stdout
    assert "NOTE  other-form (1)" in told.stdout and "NOTE  composed (1)" in told.stdout
    told = zsmld("check", "--source", "vectors.txt")
    assert told.code == INPUT and told.errors[0].startswith("zsmld: error: 1 error and 1 warning about the labels")
    assert "ERROR  no-vector (1)" in told.stdout and "nearest: dog" in told.stdout


def test_all_faults_of_all_lists_are_told_at_once(zsmld):
    write("labels.txt", "dog", "Dog", "a\tb", "x" * 201)
    write("seen.txt", "cat", "cat")
    told = zsmld("check", "labels.txt")
    assert told.code == INPUT
    for place in ("labels.txt:2", "labels.txt:3", "labels.txt:4", "seen.txt:2"):
        assert sum(line.endswith(f"  {place}") for line in told.stdout.splitlines()) == 1
    assert "\t" not in told.stdout and "\x1b" not in told.stdout


def test_json_is_one_object_with_everything(zsmld):
    write("unseen.txt", *(f"dog{number}" for number in range(20)), "sea")
    told = zsmld("check", "--json")
    assert told.code == INPUT and told.stdout.count("\n") == 1
    report = json.loads(told.stdout)
    assert (report["labels"], report["seen"], report["unseen"], report["errors"]) == (24, 3, 21, 21)
    assert [finding["kind"] for finding in report["findings"]] == ["in-both"] + 20 * ["no-vector"]
    assert report["findings"][0]["place"] == "seen.txt:3" and report["overlap"].startswith("1 of 4 seen labels")
    assert "and 8 more, all with --json" in zsmld("check").stdout


def test_a_source_on_the_command_line_comes_before_embeddings(zsmld):
    assert zsmld("check", "labels.txt").stdout.splitlines()[1].endswith("embeddings.safetensors")
    assert zsmld("check", "labels.txt", "--source", "vectors.txt").stdout.splitlines()[1].endswith("vectors.txt")
    Path("embeddings.safetensors").unlink()
    assert zsmld("check", "labels.txt").stdout.splitlines()[1].endswith("vectors.txt")
    Path("zsmld.toml").unlink()
    told = zsmld("check", "labels.txt")
    assert told.stdout.splitlines()[1] == "vectors: none given" and told.code == 0


def test_embeddings_that_were_named_and_are_absent_are_an_error(zsmld):
    told = zsmld("check", "labels.txt", "--embeddings", "nope.safetensors")
    assert told.code == INPUT and "nope.safetensors" in told.errors[0]


def test_overlapping_lists_are_parted_and_the_other_commands_go_on_refusing_them(zsmld):
    write("unseen.txt", "sea", "wolf", "map")
    told = zsmld("check", "--split-into", "parted")
    assert told.code == INPUT
    assert "1 of 4 seen labels are unseen too" in told.stdout and "3 seen + 3 unseen = 6" in told.stdout
    assert Path("parted/seen.txt").read_text() == "dog\ncat\nsky\n"
    assert Path("parted/unseen.txt").read_text() == "sea\nwolf\nmap\n"
    assert Path("parted/labels.txt").read_text() == "dog\ncat\nsky\nsea\nwolf\nmap\n"
    assert zsmld("check", "--split-into", "parted").code == USAGE
    assert zsmld("check", "--split-into", "parted", "--force").code == INPUT
    assert zsmld("eval").code == INPUT
    clean = zsmld("check", "--seen", "parted/seen.txt", "--unseen", "parted/unseen.txt", "--source", "vectors.txt")
    assert "in-both" not in clean.stdout


def test_the_picture_is_written_and_replaced_only_by_force(zsmld):
    write("labels.txt", "dog", "[/foo]", "[red]", "=cmd()")
    given = ("check", "labels.txt", "--source", "vectors.txt", "--plot", "labels.svg")
    told = zsmld(*given)
    assert told.code == PARTIAL and "drawn: " in told.stderr and "not-listed (5)" in told.stdout
    texts = [each.text for each in ElementTree.parse("labels.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"[/foo]", "[red]", "=cmd()", "polar bear"} <= set(texts)
    before = Path("labels.svg").read_bytes()
    assert zsmld(*given).code == USAGE
    assert zsmld(*given, "--force").code == PARTIAL
    assert Path("labels.svg").read_bytes() == before


def test_many_labels_are_judged_by_distance(zsmld):
    random = np.random.default_rng(0)
    names = [f"word{number:02}q" for number in range(80)]
    vectors = random.normal(size=(80, 64))
    vectors[70] = vectors[5]
    rows = (f"{name} {' '.join(map(str, row.round(4)))}" for name, row in zip(names, vectors, strict=True))
    write("many.vec.txt", *rows)
    write("seen.txt", *names[:60])
    write("unseen.txt", *names[60:])
    told = zsmld("check", "--source", "many.vec.txt")
    assert told.code == PARTIAL
    assert "WARNING  identical-vectors (1)" in told.stdout and "figures are cosines of centred vectors" in told.stdout
    assert "word05q  and word70q  1.00  seen.txt:6" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 120


def test_a_file_name_that_is_no_text(zsmld):
    Path(os.fsdecode(b"caf\xe9.txt")).write_text("dog\nDOG\n")
    for form in ([], ["--json"]):
        told = zsmld.process("check", b"caf\xe9.txt", *form)
        assert told.code == INPUT and "caf\N{REPLACEMENT CHARACTER}.txt:2" in told.stdout
        assert "Traceback" not in told.stderr and "bug" not in told.stderr


def on_a_terminal(zsmld, *arguments):
    """What a terminal of 80 columns is sent."""
    leader, follower = pty.openpty()
    process = zsmld.start(*arguments, stdout=follower)
    os.close(follower)
    sent = b""
    # Linux answers EIO once the other end is closed.
    with contextlib.suppress(OSError):
        while piece := os.read(leader, 1 << 16):
            sent += piece
    os.close(leader)
    process.communicate(timeout=60)
    return sent.decode()


def test_a_terminal_of_80_columns_is_wrapped_between_words(zsmld):
    write("seen.txt", "dogs", "cat", "[red]")
    write("unseen.txt", "dog")
    zsmld.environment |= {"COLUMNS": "80", "TERM": "xterm-256color"}
    sent = on_a_terminal(zsmld, "check")
    assert "\x1b[" in sent and "[red]" in sent
    lines = re.sub(r"\x1b\[[0-9;]*m", "", sent).splitlines()
    assert max(map(len, lines)) <= 80
    words = set(zsmld("check").stdout.split())
    assert set(" ".join(lines).split()) == words
    zsmld.environment |= {"NO_COLOR": "1"}
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", on_a_terminal(zsmld, "check"))


BAD = [
    ("no list", "check", USAGE, "no label file", lambda: Path("zsmld.toml").unlink()),
    ("absent list", "check nope.txt", INPUT, "nope.txt", None),
    ("empty list", "check empty.txt", INPUT, "holds no label", lambda: write("empty.txt", "# nothing")),
    ("not UTF-8", "check latin.txt", INPUT, "UTF-8", lambda: Path("latin.txt").write_bytes(b"caf\xe9")),
    ("absent source", "check labels.txt --source nope.txt", INPUT, "nope.txt", None),
    ("two places of vectors", "check labels.txt --embeddings embeddings.safetensors --source vectors.txt", USAGE,
     "--embeddings", None),
    ("no embeddings", "check labels.txt --embeddings seen.txt", INPUT, "seen.txt", None),
    ("templates for words", "check labels.txt --source vectors.txt --templates clip", USAGE, "templates", None),
    ("split of one list", "check seen.txt --split-into x", USAGE, "--seen", lambda: Path("zsmld.toml").unlink()),
    ("split exists", "check --split-into .", USAGE, "exists already", None),
    ("split below a file", "check --split-into any.txt/x", ENVIRONMENT, "any.txt", None),
    ("plot exists", "check labels.txt --plot any.txt", USAGE, "any.txt", None),
    ("plot below a file", "check labels.txt --plot any.txt/x.svg", ENVIRONMENT, "any.txt", None),
    ("nothing to draw", "check labels.txt --plot x.svg", USAGE, "nothing to draw",
     lambda: [Path(name).unlink() for name in ("zsmld.toml", "embeddings.safetensors")]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "says", "prepare"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_bad_input_is_one_line_and_nothing_is_lost(arguments, code, says, prepare, zsmld):
    if prepare is not None:
        prepare()
    before = contents()
    told = zsmld(*shlex.split(arguments))
    assert (told.code, len(told.errors)) == (code, 1), told.stderr
    assert says in told.errors[0] and "Traceback" not in told.stderr and "bug of zsmld" not in told.stderr
    assert contents() == before


@pytest.mark.realdata
def test_the_official_lists_of_nus_wide(zsmld, shared_data):
    lists = shared_data / "nus_wide"
    told = zsmld(
        "check", "--seen", f"{lists}/TagList1k.txt", "--unseen", f"{lists}/Concepts81.txt", "--split-into", "split",
        "--source", f"{shared_data}/vectors/glove_nus_wide_1006.300d.txt.gz",
    )  # fmt: skip
    assert told.code == INPUT
    assert "925 seen + 81 unseen = 1006" in told.stdout
    assert "twins (35)" in told.stdout and "interestingness  and interesting  1.00" in told.stdout
    assert [len(Path(f"split/{name}.txt").read_text().split()) for name in ("seen", "unseen", "labels")] == [
        925,
        81,
        1006,
    ]
