"""COCO's instances: what they say, and every way in which they can be wrong."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import CONTENT, LABELS, as_jsonl, facts, photograph, read

from zsmld.datasets.coco import SEEN, UNSEEN, recognise
from zsmld.datasets.records import ImageRecord
from zsmld.errors import InputError

IDS = {label: 3 + 7 * at for at, label in enumerate(LABELS)}


def instances_of(records, first_id=100):
    """As the publisher writes them: polygons, boxes, crowds as run lengths, ids with gaps; an instance may repeat."""
    images, annotations = [], []
    for number, record in enumerate(records, start=first_id):
        name = Path(record.image).name
        images.append({"license": 4, "file_name": name, "height": 8, "width": 8, "id": number})
        for label in (*record.labels, *record.labels[:1]):
            shape = {"segmentation": [[1.5, 2.0, 3.25, 4.0, 5.0, 6.0]], "iscrowd": 0}
            if label == "sea":
                shape = {"segmentation": {"counts": [3, 5, 56], "size": [8, 8]}, "iscrowd": 1}
            annotation = {"area": 9.5, "image_id": number, "bbox": [1.0, 2.0, 3.0, 4.0], "category_id": IDS[label]}
            annotations.append({**shape, **annotation, "id": len(annotations) + 1000 * first_id})
    categories = [{"supercategory": "thing", "id": number, "name": label} for label, number in IDS.items()]
    info = {"description": "COCO 2017 Dataset", "year": 2017}
    return {
        "info": info, "licenses": [{"id": 4, "name": "by"}], "images": images, "annotations": annotations,
        "categories": categories,
    }  # fmt: skip


def write(root, name, value):
    path = root / "annotations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


def of(split, folder):
    """The content of one split, in COCO's folder of images."""
    names = [record for record in CONTENT if record.split == split]
    return [ImageRecord(f"{folder}/{Path(r.image).name}", r.labels, split) for r in names]


def coco(root, year="2017"):
    train, test = of("train", f"train{year}"), of("test", f"val{year}")
    write(root, f"instances_train{year}.json", instances_of(train))
    write(root, f"instances_val{year}.json", instances_of(test, 900))
    write(root, f"captions_train{year}.json", {"images": []})
    for record in (*train, *test):
        photograph(root / record.image)
    return [*train, *test]


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_the_same_content_as_jsonl_gives_the_same_data_set(tmp_path, year):
    records = coco(tmp_path / "coco", year)
    layout = recognise(tmp_path / "coco")
    dataset = read(layout)
    assert facts(dataset) == facts(as_jsonl(tmp_path / "jsonl", records))
    assert all(path.is_file() for path in dataset.image_paths())
    assert f"instances_train{year}.json: train" in layout.told and f"instances_val{year}.json: test" in layout.told
    assert not any("unpack" in line for line in layout.told)
    assert facts(read(recognise(tmp_path / "coco" / "annotations"))) == facts(dataset)


def test_the_published_split_is_of_cocos_categories():
    assert (len(SEEN), len(UNSEEN), len({*SEEN, *UNSEEN})) == (48, 17, 65)


def test_lists_come_with_cocos_own_names_only(tmp_path):
    coco(tmp_path / "coco")
    assert recognise(tmp_path / "coco").lists == {"seen": SEEN, "unseen": UNSEEN}
    write(tmp_path / "own", "instances_train.json", instances_of(of("train", "train")))
    assert recognise(tmp_path / "own").lists == {}


def test_images_may_lie_elsewhere(tmp_path):
    coco(tmp_path / "coco")
    (tmp_path / "coco/train2017").rename(tmp_path / "flat")
    layout = recognise(tmp_path / "coco")
    assert any("no folder train2017" in line and "unpack train2017.zip" in line for line in layout.told)
    assert {"1.jpg", "val2017/5.jpg"} <= set(read(layout).images)
    one = recognise(tmp_path / "coco/annotations/instances_train2017.json")
    assert all(path.is_file() for path in read(one, images=tmp_path / "flat").image_paths())
    with pytest.raises(InputError, match="no such folder of images"):
        read(one, images=tmp_path / "absent")


def test_val_stays_val_where_there_is_a_test(tmp_path):
    for split in ("train", "val", "test"):
        write(tmp_path, f"instances_{split}.json", instances_of(of(split, split)))
    dataset = read(recognise(tmp_path))
    assert {record.image: record.split for record in dataset.records()}["4.jpg"] == "val"


def test_a_split_file_has_the_last_word(tmp_path):
    coco(tmp_path)
    (tmp_path / "split.txt").write_text("# mine\ntrain2017/1.jpg\ttest\nval2017/5.jpg, Training\n")
    dataset = read(recognise(tmp_path), split_file=tmp_path / "split.txt")
    assert {r.image: r.split for r in dataset.records()} == {"train2017/1.jpg": "test", "val2017/5.jpg": "train"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("9.jpg\ttest", r"split\.txt:2: image '9\.jpg' is not in"),
        ("train2017/1.jpg\ttest", r"split\.txt:2: .* stands there twice"),
        ("train2017/2.jpg\tTEST SET", r"split\.txt:2: expected an image"),
        ("train2017/2.jpg", r"split\.txt:2: expected an image"),
        ("../2.jpg,test", r"split\.txt:2: .*leaves the images folder"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(tmp_path, line, told):
    coco(tmp_path)
    (tmp_path / "split.txt").write_text(f"train2017/1.jpg\ttest\n{line}\n")
    with pytest.raises(InputError, match=told):
        read(recognise(tmp_path), split_file=tmp_path / "split.txt")


def test_a_file_whose_name_tells_no_split_needs_a_split_file(tmp_path):
    path = write(tmp_path, "export.json", instances_of(of("train", "x")))
    layout = recognise(path)
    assert "--split-file" in layout.told[0]
    with pytest.raises(InputError, match=r"export\.json: has a name that tells no split"):
        read(layout)
    (tmp_path / "split").write_text("1.jpg\ttest\n")
    assert read(layout, split_file=tmp_path / "split").images == ("1.jpg",)


def test_years_are_not_mixed_and_no_image_is_in_two_files(tmp_path):
    coco(tmp_path)
    coco(tmp_path, "2014")
    with pytest.raises(InputError, match="instances of 2014 and 2017"):
        read(recognise(tmp_path))
    again = tmp_path / "again"
    write(again, "instances_train2017.json", instances_of(CONTENT))
    write(again, "instances_val2017.json", instances_of(CONTENT[:1]))
    with pytest.raises(InputError, match=r"val2017\.json:1: image '1\.jpg' is also in .*train2017\.json"):
        read(recognise(again))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v["images"].append(7), r":1: images\[5\] is no object"),
        (lambda v: v["images"][1].pop("id"), r"images\[1\] has id None, expected a whole number"),
        (lambda v: v["images"][1].update(id=100), r"images\[1\] has the id 100"),
        (lambda v: v["images"][1].update(file_name=3), r"images\[1\] has file_name 3"),
        (lambda v: v["images"][1].update(file_name="../x.jpg"), "leaves the images folder"),
        (lambda v: v["images"][1].update(file_name="C:\\x.jpg"), "has a backslash"),
        (lambda v: v["images"][1].update(file_name="1.jpg"), r"image '1\.jpg' stands in line 1 already"),
        (lambda v: v["annotations"][0].update(image_id=True), r"annotations\[0\] has image_id True"),
        (lambda v: v["annotations"][0].update(image_id=2**70), "expected a whole number"),
        (lambda v: v["annotations"][0].update(image_id=4), "an annotation is of image 4, which is not there"),
        (lambda v: v["annotations"][0].update(category_id=4), "of category 4, which is not there"),
        (lambda v: v["categories"][0].update(name=" "), "is no label"),
        (lambda v: v["categories"][0].update(name="Sea"), "'Sea' and 'sea' are one label"),
        (lambda v: v["categories"][0].update(id=10), "has the id 10"),
        (lambda v: v.pop("categories"), "has no categories"),
        (lambda v: v.update(annotations=[]), "has no annotations"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, change, told):
    value = instances_of(CONTENT)
    change(value)
    path = write(tmp_path, "instances_train2017.json", value)
    with pytest.raises(InputError, match=told) as caught:
        read(recognise(path))
    assert caught.value.path == path


@given(
    st.lists(st.sets(st.sampled_from(LABELS)), min_size=1, max_size=6).filter(any),
    st.permutations(["images", "annotations", "categories"]),
)
def test_what_is_written_is_read_in_any_order(labels, order):
    records = [ImageRecord(f"{at}.jpg", tuple(sorted(each)), "train") for at, each in enumerate(labels)]
    value = instances_of(records)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), "instances_train.json", {key: value[key] for key in order})
        dataset = read(recognise(path))
        assert facts(dataset) == facts(as_jsonl(Path(folder) / "jsonl", records))


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances_train2017.json"
        path.write_bytes(data)
        with pytest.raises(InputError) as caught:
            read(recognise(path))
        assert "\n" not in str(caught.value)


def test_other_files_and_folders_are_not_coco(tmp_path):
    (tmp_path / "a.json").write_text('{"train class": []}')
    (tmp_path / "a.jsonl").write_text('{"images": []}')
    assert recognise(tmp_path) is recognise(tmp_path / "a.json") is recognise(tmp_path / "a.jsonl") is None
