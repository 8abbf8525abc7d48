"""No layout takes the data of another."""

from importlib import import_module

import biam_files
import pytest
import test_biam
import test_coco
import test_ml_decoder
import test_nus_wide
import test_open_images
import test_yolo
from layout_cases import CONTENT, as_jsonl, photograph
from nus_wide_files import publish

MODULES = ("tables", "biam", "nus_wide", "coco", "open_images", "yolo", "ml_decoder", "csv_tables", "folders")


def _csv(root):
    root.mkdir()
    (root / "a.csv").write_text("image,labels\na.jpg,dog\n")
    return root / "a.csv"


def _jsonl(root):
    as_jsonl(root, CONTENT)
    return root / "annotations.jsonl"


def _biam(root):
    return biam_files.publish(root, test_nus_wide.RECORDS, test_nus_wide.SEEN, test_nus_wide.UNSEEN, test_biam.features)


def _nus_wide(root):
    for record in test_nus_wide.RECORDS:
        photograph(root / "Flickr" / record.image)
    return publish(root, test_nus_wide.RECORDS, test_nus_wide.SEEN, test_nus_wide.UNSEEN)


def _coco(root):
    test_coco.coco(root)
    return root


def _coco_file(root):
    return _coco(root) / "annotations" / "instances_val2017.json"


def _open_images(root):
    for record in test_open_images.RECORDS:
        photograph(root / record.image)
    return test_open_images.publish(root)


def _open_images_file(root):
    return _open_images(root) / "test-annotations-human-imagelabels.csv"


def _ml_decoder(root):
    return test_ml_decoder.publish(root)


def _ml_decoder_file(root):
    return test_ml_decoder.publish(root) / "data.csv"


def _ml_decoder_swapped(root):
    return test_ml_decoder.publish(root, names=test_ml_decoder.NAMES[::-1])


def _yolo(root):
    test_yolo.publish(root)
    return root


def _yolo_inside_out(root):
    test_yolo.publish(root, "data.yaml", inside_out=True)
    return root


def _label_folders(root):
    photograph(root / "train/dog/1.jpg")
    photograph(root / "test/sea/2.jpg")
    return root


def _label_file(root):
    root.mkdir()
    (root / "labels.txt").write_text("1.jpg: dog\n")
    return root


@pytest.mark.parametrize(
    ("make", "module"),
    [
        (_jsonl, "tables"), (_biam, "biam"), (_nus_wide, "nus_wide"), (_coco, "coco"), (_coco_file, "coco"),
        (_open_images, "open_images"),
        (_open_images_file, "open_images"), (_csv, "csv_tables"), (_yolo, "yolo"), (_yolo_inside_out, "yolo"),
        (_label_folders, "folders"), (_label_file, "folders"), (_ml_decoder, "ml_decoder"),
        (_ml_decoder_file, "ml_decoder"), (_ml_decoder_swapped, "ml_decoder"),
    ],
)  # fmt: skip
def test_one_module_takes_what_is_its_own(tmp_path, make, module):
    path = make(tmp_path / "set")
    takers = [name for name in MODULES if import_module(f"zsmld.datasets.{name}").recognise(path) is not None]
    assert takers == [module]
