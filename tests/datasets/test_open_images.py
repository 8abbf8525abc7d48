"""Open Images: what was verified is true or false, all else unknown; classes go by names, told apart."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import as_jsonl, facts, photograph, read

from zsmld.datasets.open_images import read_classes, read_names, recognise, verified_rows
from zsmld.datasets.records import ImageRecord
from zsmld.errors import InputError

HEADER = "ImageID,Source,LabelName,Confidence\n"
DOG, SEA, BUN, HAIR, WHALE = "/m/0bt9lr", "/m/06npx", "/m/0119x1zy", "/m/06q_t_", "/m/084zz"
NAMES = {DOG: "Dog", SEA: "Sea", BUN: "Bun", HAIR: "Bun", WHALE: '"Whale, blue"'}
LABELS = ("Dog", "Sea", f"Bun ({BUN})", f"Bun ({HAIR})", "Whale, blue")
SPLIT_NAMES = {"train": "train", "validation": "val", "test": "test"}
RECORDS = (
    ImageRecord("train/000a.jpg", ("Dog", f"Bun ({HAIR})"), "train", None, 0, ("Sea",)),
    ImageRecord("train/000b.jpg", (), "train", None, 0, ("Dog",)),
    ImageRecord("validation/000c.jpg", ("Sea",), "val", None, 0, ()),
    ImageRecord("test/000d.jpg", ("Dog",), "test", None, 0, ("Sea", f"Bun ({BUN})")),
)


def publish(root, records=RECORDS, prefix="", header=False):
    """As the publisher writes: a file a split, verified and crowdsourced sources, what machines said in between."""
    root.mkdir(parents=True, exist_ok=True)
    ids = dict(zip(LABELS, NAMES, strict=True))
    for split, ours in SPLIT_NAMES.items():
        rows = []
        for record in (record for record in records if record.split == ours):
            image = Path(record.image).stem
            for source, labels, confidence in (
                ("verification", record.labels, "1"), ("crowdsource-verification", record.negatives or (), "0"),
            ):  # fmt: skip
                rows += [f"{image},{source},{ids[label]},{confidence}\n" for label in labels]
            rows.append(f"{image},machine,{WHALE},0.7\n")
        (root / f"{prefix}{split}-annotations-human-imagelabels.csv").write_text(HEADER + "".join(rows))
    names = "".join(f"{label},{name}\n" for label, name in NAMES.items())
    (root / f"{prefix}class-descriptions.csv").write_text(("LabelName,DisplayName\n" if header else "") + names)
    (root / f"{prefix}classes-trainable.txt").write_text(f"{SEA}\n{HAIR}\n")
    return root


@pytest.mark.parametrize(("prefix", "header"), [("", False), ("oidv6-", True), ("oidv7-", True)])
def test_the_same_content_as_jsonl_gives_the_same_data_set(tmp_path, prefix, header):
    root = publish(tmp_path / "oi", prefix=prefix, header=header)
    for record in RECORDS:
        photograph(root / record.image)
    layout = recognise(root)
    dataset = read(layout)
    assert facts(dataset, LABELS) == facts(as_jsonl(tmp_path / "jsonl", RECORDS), LABELS)
    assert all(path.is_file() for path in dataset.image_paths())
    assert layout.lists == {"trainable": ("Sea", f"Bun ({HAIR})")}
    assert f"{prefix}validation-annotations-human-imagelabels.csv: val" in layout.told
    assert "Whale, blue" not in dataset.vocabulary


def test_labels_may_lie_in_a_folder_of_their_own_and_images_in_another(tmp_path):
    publish(tmp_path / "annotations")
    photograph(tmp_path / "flat" / "000a.jpg")
    dataset = read(recognise(tmp_path), images=tmp_path / "flat")
    assert tmp_path / "flat/000a.jpg" in dataset.image_paths()
    assert {r.image: r.split for r in dataset.records()}["000c.jpg"] == "val"


def test_without_names_classes_keep_their_identifiers(tmp_path):
    publish(tmp_path)
    (tmp_path / "class-descriptions.csv").unlink()
    layout = recognise(tmp_path)
    assert any("class-descriptions.csv: not there, labels keep their identifiers" in line for line in layout.told)
    assert set(read(layout).vocabulary) == {DOG, SEA, BUN, HAIR}
    assert layout.lists["trainable"] == (SEA, HAIR)


def test_the_files_of_boxes_are_read_only_alone(tmp_path):
    publish(tmp_path)
    for split in SPLIT_NAMES:
        path = tmp_path / f"{split}-annotations-human-imagelabels.csv"
        (tmp_path / f"{split}-annotations-human-imagelabels-boxable.csv").write_bytes(path.read_bytes())
    assert len(read(recognise(tmp_path))) == len(RECORDS)
    for split in SPLIT_NAMES:
        (tmp_path / f"{split}-annotations-human-imagelabels.csv").unlink()
    assert len(read(recognise(tmp_path))) == len(RECORDS)


def test_verifiers_that_contradict_each_other_leave_a_label_unknown(tmp_path, capsys):
    publish(tmp_path)
    path = tmp_path / "train-annotations-human-imagelabels.csv"
    path.write_text(path.read_text() + f"000a,crowdsource-verification,{DOG},0\n000a,verification,{HAIR},1.0\n")
    dataset = read(recognise(tmp_path))
    split, _, truth, known = facts(dataset, LABELS)["000a.jpg"]
    assert (split, truth, known) == ("train", [False, False, False, True, False], [False, True, False, True, False])
    assert "1 labels were found true and false" in capsys.readouterr().err


def test_one_file_under_any_name_is_known_by_its_header(tmp_path):
    publish(tmp_path)
    path = (tmp_path / "test-annotations-human-imagelabels.csv").rename(tmp_path / "mine.csv")
    layout = recognise(path)
    assert "--split-file" in layout.told[0]
    with pytest.raises(InputError, match=r"mine\.csv: has a name that tells no split"):
        read(layout)
    (tmp_path / "split").write_text("000d.jpg,test\n")
    assert [record.split for record in read(layout, split_file=tmp_path / "split").records()] == ["test"]
    assert recognise(tmp_path / "class-descriptions.csv") is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (f"000a,verification,{DOG}", r":2: has 3 cells, expected 4"),
        (f"000a,verification,{DOG},1,x", r":2: has 5 cells"),
        (f"000a,verification,{DOG},0.6", r":2: confidence '0\.6' is neither 0 nor 1"),
        (f"../a,verification,{DOG},1", r":2: '\.\./a' and"),
        ("000a,verification,Dog,1", r":2: '000a' and 'Dog': expected the identifiers"),
        (f"000d,verification,{DOG},1", r"train-.*csv:\d: image '000d' is of the split test already"),
        (f'000a,"verification,{DOG},1', r":2: is not CSV"),
        ("\udcff", r":2: is not UTF-8 text"),
    ],
)
def test_a_bad_row_is_told_with_its_line(tmp_path, row, told):
    publish(tmp_path)
    for split in ("train", "validation", "test"):
        path = tmp_path / f"{split}-annotations-human-imagelabels.csv"
        if split == "train":
            text = path.read_text().removeprefix(HEADER)
            path.write_text(HEADER + row + "\n" + text, "utf-8", "surrogateescape")
    with pytest.raises(InputError, match=told):
        read(recognise(tmp_path))


def test_files_without_verified_labels_or_with_another_header_are_refused(tmp_path):
    path = tmp_path / "test-annotations-human-imagelabels.csv"
    path.write_text(HEADER + f"a,machine,{DOG},0.9\n")
    with pytest.raises(InputError, match="holds no verified label"):
        read(recognise(tmp_path))
    for text in ("", "ImageID,LabelName\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r":1: has the header"):
            read(recognise(tmp_path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{DOG},Dog\n{DOG},Hound\n", ":2: /m/0bt9lr stands there twice"),
        ("dog,Dog\n", ":1: 'dog' is no class identifier"),
        (f"{DOG},Dog,Hound\n", ":1: has 3 cells"),
        (f"\n{DOG}, \n", ":2: '' is no label"),
    ],
)
def test_bad_descriptions_are_told_with_their_line(tmp_path, text, told):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        read_names(tmp_path / "names.csv")


def test_a_class_twice_in_a_list_is_refused(tmp_path):
    (tmp_path / "c.txt").write_text(f"{DOG}\n\n{DOG}\n")
    with pytest.raises(InputError, match=r"c\.txt:3: /m/0bt9lr stands in line 1 already"):
        read_classes(tmp_path / "c.txt")


verified = st.tuples(
    st.from_regex(r"[0-9a-f]{4}", fullmatch=True), st.sampled_from(["verification", "crowdsource-verification"]),
    st.sampled_from(sorted(NAMES)), st.booleans(),
)  # fmt: skip


@given(st.lists(verified, max_size=8))
def test_what_is_written_is_read(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test-annotations-human-imagelabels.csv"
        path.write_text(HEADER + "".join(f"{i},{source},{label},{int(yes)}\n" for i, source, label, yes in rows))
        assert [row[1:] for row in verified_rows(path)] == [(i, label, yes) for i, _, label, yes in rows]
        assert [row[0] for row in verified_rows(path)] == list(range(2, len(rows) + 2))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test-annotations-human-imagelabels.csv"
        for start in (b"", HEADER.encode()):
            path.write_bytes(start + data)
            with pytest.raises(InputError) as caught:
                read(recognise(path.parent))
            assert "\n" not in str(caught.value)


@pytest.mark.realdata
def test_the_published_classes_are_told_apart(shared_data):
    names = read_names(shared_data / "splits/open_images_v4_class_descriptions.csv")
    trainable = read_classes(shared_data / "splits/open_images_v4_trainable_7186.txt")
    assert len(names) == 19995 and len(trainable) == 7186 and set(trainable) <= set(names)
    assert len({names[each] for each in names}) == len(names)
    assert names["/m/0bt9lr"] == "Dog" and names["/m/06q_t_"] == "Bun (/m/06q_t_)"
