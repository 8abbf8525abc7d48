"""The gallery: complete, made while predictions arrive, and with every name as text."""

import json
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlparse

import numpy as np
import pytest
from browser import parsed
from hostile_gallery import HOSTILE, hostile
from PIL import Image, ImageCms

from zsmld.errors import EnvironmentFailure, UsageError
from zsmld.images.ahead import DECODERS
from zsmld.images.opening import ImageError
from zsmld.prediction import gallery_data
from zsmld.prediction.gallery import link_to, write_gallery
from zsmld.prediction.gallery_data import as_json
from zsmld.prediction.heatmaps import heatmap_of
from zsmld.prediction.results import Heatmap, Prediction, ScoredLabel


def read(folder, name):
    """The JSON values of the script files of one kind, in order."""
    values = []
    for path in sorted((folder / "data").glob(f"{name}*.js")):
        text = path.read_text("ascii")
        call = re.fullmatch(r"gallery\.(\w+)\((?:(\d+), )?(.*)\);\n", text, re.DOTALL)
        assert call[1] == {"about": "begin"}.get(name, name) and "<" not in text
        assert call[2] is None or path.name == f"{name}-{int(call[2]):05d}.js"
        values.append(json.loads(call[3]))
    return values


def records(folder):
    return [record for part in read(folder, "photographs") for record in part]


def photograph(path, size=(64, 48), **more):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", size, "gray").save(path, "JPEG", **more)
    return path


def scored(*pairs, **more):
    return tuple(ScoredLabel(label, score, **more) for label, score in pairs)


def test_a_gallery_says_what_the_predictions_say(tmp_path):
    path = photograph(tmp_path / "photos" / "a b#.jpg")
    first, second = Heatmap(2, 2, bytes([0, 1, 2, 255])), Heatmap(3, 2, bytes(6))
    labels = (
        ScoredLabel("sea", 0.75, 0.25, True, heatmap=first),
        ScoredLabel("boat", 1e-7, 0.5, False, (("ship", 0.87654),)),
        ScoredLabel("sun", 0.4, 0.4, False, heatmap=second),
    )
    bad = Prediction(tmp_path / "bad.jpg", error=ImageError("is empty", path="x"))
    given = Prediction(Path("image 1"), scored(("sea", 0.5)), picture=Image.new("RGBA", (10, 1000)))
    gone = Prediction(tmp_path / "gone.jpg", scored(("dog", 0.5)))
    index = write_gallery([Prediction(path, labels), bad, given, gone], tmp_path / "g", title="Hols & <b>")
    assert index == tmp_path / "g" / "index.html"
    ((about,),) = [read(tmp_path / "g", "about")]
    assert (about["photographs"], about["errors"], about["files"]) == (3, 1, 1)
    assert about["labels"] == [
        {"label": "sea", "threshold": 0.25, "seen": True, "nearest": []},
        {"label": "boat", "threshold": 0.5, "seen": False, "nearest": [["ship", 0.877]]},
        {"label": "sun", "threshold": 0.4, "seen": False, "nearest": []},
        {"label": "dog", "threshold": 0.5, "seen": False, "nearest": []},
    ]
    one, error, two, three = records(tmp_path / "g")
    assert one == {
        "path": str(path), "link": "../photos/a%20b%23.jpg", "number": 0, "size": [64, 48], "labels": [0, 1, 2],
        "scores": [0.75, 1e-7, 0.4], "heatmaps": 0,
    }  # fmt: skip
    assert error == {"path": str(tmp_path / "bad.jpg"), "link": "../bad.jpg", "error": "is empty"}
    assert two["link"] is None and two["size"] == [3, 320] and "heatmaps" not in two
    assert three["size"] is None and three["problem"] == "no such file" and three["labels"] == [3]
    assert read(tmp_path / "g", "heatmaps") == [[[0, [[2, 2, "AAEC/w=="], None, [3, 2, "AAAAAAAA"]]]]]
    assert {path.name for path in (tmp_path / "g" / "thumbnails").iterdir()} == {"000000.jpg", "000002.jpg"}
    marker = json.loads((tmp_path / "g" / "zsmld-gallery.json").read_text())
    assert marker["kind"] == "gallery" and marker["photographs"] == 3 and marker["errors"] == 1


def test_thumbnails_are_small_upright_and_without_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    path = photograph(tmp_path / "a.jpg", (1600, 800), exif=exif)
    write_gallery([Prediction(path, ())], tmp_path / "g", title="t")
    with Image.open(tmp_path / "g" / "thumbnails" / "000000.jpg") as image:
        assert image.size == (160, 320) and not image.getexif() and image.format == "JPEG"


def test_thumbnails_have_the_colours_of_a_profile_and_carry_none(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    blue_is_red = profile.replace(b"rXYZ", b"-XYZ").replace(b"bXYZ", b"rXYZ").replace(b"-XYZ", b"bXYZ")
    Image.new("RGB", (64, 48), (0, 0, 255)).save(tmp_path / "a.jpg", icc_profile=blue_is_red)
    write_gallery([Prediction(tmp_path / "a.jpg", ())], tmp_path / "g", title="t")
    with Image.open(tmp_path / "g" / "thumbnails" / "000000.jpg") as image:
        assert "icc_profile" not in image.info
        red, _, blue = image.getpixel((0, 0))
        assert red > 240 and blue < 15


def test_no_rounding_moves_a_score_over_its_threshold(tmp_path):
    threshold = 0.45678912
    near = [threshold + step * 1e-12 for step in (-1, 0, 1)] + [0.123456789]
    labels = tuple(ScoredLabel(f"{at}", score, threshold) for at, score in enumerate(near))
    write_gallery([Prediction(tmp_path / "gone", labels)], tmp_path / "g", title="t")
    (record,) = records(tmp_path / "g")
    assert [score >= threshold for score in record["scores"]] == [each.is_there for each in labels]
    assert record["scores"][3] == 0.123457 and len(set(record["scores"])) >= 3


def test_predictions_are_taken_one_after_another_and_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_data, "FULL", 2000)
    alive, least_done, chunks = [], [], []
    heatmap = heatmap_of(np.arange(49))

    def predictions():
        for number in range(200):
            picture = Image.new("RGB", (30, 20))
            alive.append(weakref.ref(picture))
            yield Prediction(Path(f"{number}"), scored(("dog", number / 200), heatmap=heatmap), picture=picture)
            del picture
            (temporary,) = tmp_path.glob(".zsmld-*")
            least_done.append(len(list(temporary.glob("thumbnails/*"))) - number)
            chunks.append(len(list(temporary.glob("data/photographs-*"))))
            assert sum(each() is not None for each in alive) < 10 * DECODERS and not (tmp_path / "g").exists()

    write_gallery(predictions(), tmp_path / "g", title="t")
    assert min(least_done) >= -3 * DECODERS
    assert chunks[0] == 0 and chunks[100] > 2 and len(read(tmp_path / "g", "photographs")) > chunks[100]
    assert [record["path"] for record in records(tmp_path / "g")] == [f"{number}" for number in range(200)]
    files = read(tmp_path / "g", "heatmaps")
    assert len(files) > 2
    for record in records(tmp_path / "g"):
        assert record["number"] in dict(files[record["heatmaps"]])


def test_the_same_predictions_give_the_same_bytes(tmp_path):
    paths = [photograph(tmp_path / f"{number}.jpg", (40 + number, 40)) for number in range(20)]
    for name in "gh":
        write_gallery([Prediction(path, scored(("dog", 0.5))) for path in paths], tmp_path / name, title="t")
    found = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in "gh"
    ]
    assert found[0] == found[1] and len(found[0]) > 30


def test_only_a_gallery_is_replaced_and_only_with_force(tmp_path):
    write_gallery([], tmp_path / "g", title="old")
    with pytest.raises(UsageError, match="exists already"):
        write_gallery([], tmp_path / "g", title="new")
    write_gallery([], tmp_path / "g", title="new", force=True)
    assert "<title>new</title>" in (tmp_path / "g" / "index.html").read_text()
    photograph(tmp_path / "g" / "thumbnails" / "mine.jpeg")
    photograph(tmp_path / "p" / "a.jpg")
    for folder, told in (("g", r"holds thumbnails/mine\.jpeg"), ("p", "is no gallery")):
        with pytest.raises(UsageError, match=told):
            write_gallery([], tmp_path / folder, title="new", force=True)
    assert (tmp_path / "p" / "a.jpg").exists() and (tmp_path / "g" / "thumbnails" / "mine.jpeg").exists()


def test_a_folder_that_is_refused_is_refused_before_any_work(tmp_path):
    def predictions():
        raise AssertionError("taken")
        yield

    (tmp_path / "g").mkdir()
    (tmp_path / "g/letter.txt").touch()
    with pytest.raises(UsageError):
        write_gallery(predictions(), tmp_path / "g", title="t", force=True)


def test_a_failure_leaves_nothing(tmp_path):
    def predictions():
        yield Prediction(photograph(tmp_path / "photos" / "a.jpg"), ())
        raise KeyError("of the model")

    with pytest.raises(KeyError):
        write_gallery(predictions(), tmp_path / "g", title="t")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure):
        write_gallery([], tmp_path / "file" / "g", title="t")


KILLED = """
import os, sys
from pathlib import Path
from PIL import Image
from zsmld.prediction.gallery import write_gallery
from zsmld.prediction.results import Prediction
def predictions():
    for number in range(100):
        if number == 60:
            os._exit(9)
        yield Prediction(Path(str(number)), picture=Image.new("RGB", (9, 9)))
write_gallery(predictions(), Path(sys.argv[1]), title="t")
"""


def test_a_kill_leaves_no_gallery_and_the_next_run_cleans_up(tmp_path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "g")], timeout=120)
    (left,) = tmp_path.iterdir()
    assert ended.returncode == 9 and left.name.startswith(".zsmld-") and list(left.glob("thumbnails/*"))
    write_gallery([], tmp_path / "g", title="t")
    assert [path.name for path in tmp_path.iterdir()] == ["g"] and not (tmp_path / "g" / "thumbnails").exists()


LINKS = (
    ("p/a.jpg", "g", "../p/a.jpg"), ("p/q/a.jpg", "p/g", "../q/a.jpg"), ("p/../q/a.jpg", "g", "../q/a.jpg"),
    ("a?b#c%41.jpg", "g", "../a%3Fb%23c%2541.jpg"), ("a:b.jpg", "g", "../a%3Ab.jpg"),
    (os.fsdecode(b"caf\xe9.jpg"), "g", "../caf%E9.jpg"),
    ("javascript:alert(1)", "g", "../javascript%3Aalert%281%29"), ("/a.jpg", "/g", "../a.jpg"),
    ("q/a.jpg", "p/g", None), ("a.jpg", "p/g", None), (os.fsdecode(b"q/caf\xe9 .jpg"), "p/g", None),
    ("/elsewhere/a.jpg", "g", None),
)  # fmt: skip


@pytest.mark.parametrize(("photograph", "gallery", "link"), LINKS)
def test_links_are_relative_beside_the_gallery_and_quoted_always(tmp_path, monkeypatch, photograph, gallery, link):
    monkeypatch.chdir(tmp_path)
    found = link_to(Path(photograph), Path(gallery))
    assert found.isascii() and not set(found) & set("\"'<>\\ #?")
    if link is not None:
        assert found == link
    else:
        url = urlparse(found)
        assert url.scheme == "file" and unquote_to_bytes(url.path) == os.fsencode(Path(photograph).absolute())


def test_hostile_names_are_text_in_the_files(tmp_path):
    folder = hostile(tmp_path)
    write_gallery([], tmp_path / "plain", title="plain")
    page, plain = (parsed((tmp_path / name / "index.html").read_text("utf-8")) for name in ("g", "plain"))
    assert page.elements == plain.elements and page.attributes == plain.attributes
    assert not "".join(page.scripts).strip() and HOSTILE[0] in page.text
    (about,) = read(folder, "about")
    shown = [each["label"] for each in about["labels"]]
    assert shown[:5] == list(HOSTILE[:5]) and "a\ufffdb\ufffd[31m" in shown and "\ufffd\ufffd" in shown
    assert any(record["path"].endswith("caf\ufffd.jpg") for record in records(folder))
    assert as_json("</script>\u2028\u202e\ud800") == r'"\u003c/script>\u2028\u202e\ud800"'


def test_nothing_comes_from_outside_and_no_text_becomes_markup(tmp_path):
    folder = hostile(tmp_path)
    page = (folder / "index.html").read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "://" not in page
    for address in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page):
        assert address == "#cards" or (folder / address).is_file()
    for path in [*folder.glob("*.js"), *folder.glob("*.css")]:
        text = path.read_text("utf-8")
        assert not re.search(
            r"https?:|innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|fetch\(|url\(", text
        )
        assert "@import" not in text
