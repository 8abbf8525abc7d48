"""The gallery's page in a browser: what is shown, in which order, and where a label looked."""

import json
import re
from pathlib import Path

import numpy as np
from browser import in_browser, needs_browser, parsed
from hostile_gallery import HOSTILE, hostile
from PIL import Image

from zsmld.prediction import gallery_data
from zsmld.prediction.gallery import write_gallery
from zsmld.prediction.heatmaps import heatmap_of, palette, upsampled
from zsmld.prediction.results import Prediction, ScoredLabel

pytestmark = needs_browser
# Runs in the page when all of it is loaded; what it returns is written into the page.
DRIVER = """
const wait = async (met) => { while (!met()) await new Promise((next) => setTimeout(next, 20)); };
async function drive() { %s }
let done = false;
// A page that still loads something is not written out yet: no virtual time, which races ahead of decoded pictures.
const loading = (at) => {
  const nothing = element("img", { src: `nothing-${at}.jpg` });
  nothing.addEventListener("error", () => done || performance.now() > 60_000 || loading(at + 1));
};
loading(0);
(async () => {
  await wait(() => about !== null && gallery.filesLoaded === about.files);
  const found = await drive().catch((error) => String(error.stack));
  document.body.append(element("pre", { id: "driven" }, JSON.stringify(found)));
  done = true;
})();
"""


def driven(folder, script):
    """The page after a script was run in it, and what the script returned."""
    page = folder / "driven.html"
    (folder / "driven.js").write_text(DRIVER % script, "utf-8")
    index = (folder / "index.html").read_text("utf-8")
    page.write_text(index.replace("</body>", '<script src="driven.js"></script>\n</body>'), "utf-8")
    dom = in_browser(page, folder.parent, budget=None)
    found = re.search(r'<pre id="driven">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    return dom, json.loads(parsed(found[1]).text)


def test_hostile_names_do_nothing_in_a_browser(tmp_path):
    folder = hostile(tmp_path)
    script = """
        setCut(0);
        page.errors.open = true;
        for (const label of [0, 1, 2, 3]) choose(label, true);
        await wait(() => page["errors-list"].children.length);
        for (const chip of page.cards.querySelectorAll(".card:first-child .chip")) chip.click();
        const inline = document.createElement("script");
        inline.textContent = "document.title = 'HIT'";
        document.head.append(inline);
        const titles = [];
        for (const photograph of photographs) {
          enlarged.open(photograph);
          await wait(() => document.querySelector("#enlarged img").naturalWidth === 400); // no more the small picture
          titles.push(document.querySelector("#enlarged-title").textContent);
        }
        const paths = photographs.map((each) => each.path);
        return { title: document.title, titles, paths, labels: page.labels.children.length };
    """
    dom, found = driven(folder, script)
    assert found["title"] == HOSTILE[0] and found["labels"] == len(HOSTILE)
    # The photographs themselves were found and shown, whatever the bytes of their names.
    assert found["titles"] == [path.rpartition("/")[2] for path in found["paths"]] and len(found["titles"]) > 20
    page, plain = parsed(dom), parsed((folder / "index.html").read_text("utf-8"))
    assert set(page.elements) <= {*plain.elements, "li", "bdi", "img", "canvas", "small", "pre", "h2"}
    assert not any(name.startswith("on") for name in page.attributes)
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[3]):
        assert name in page.text


LABELS = ("sea", "boat", "sun", "rare")
THRESHOLDS = (0.5, 0.2, 0.9, 0.5)


def many(folder, count=150):
    """Random scores of all labels, and names whose order is neither that of the numbers nor of the letters."""
    draw = np.random.default_rng(0)
    scores = draw.random((count, len(LABELS))).round(3)
    scores[:, 3] = 0.01
    names = [f"IMG {number}.jpg" for number in draw.permutation(count)]
    predictions = (
        Prediction(Path(name), tuple(map(ScoredLabel, LABELS, row, THRESHOLDS)), picture=Image.new("RGB", (30, 20)))
        for name, row in zip(names, scores.tolist(), strict=True)
    )
    return write_gallery(predictions, folder / "g", title="t").parent, names, scores


def test_labels_scores_and_names_choose_and_order_the_photographs(tmp_path):
    folder, names, scores = many(tmp_path)
    script = """
        const shown = () => {
          addCards(1000);
          return [...page.cards.querySelectorAll(".name")].map((each) => each.textContent);
        };
        const lines = () => [...page.labels.querySelectorAll("label")];
        const press = (name) => lines().find((each) => each.innerText.startsWith(name)).click();
        const counts = () => Object.fromEntries(lines().map((each) => each.innerText.split(/\\s+/)));
        const set = (control, value) => {
          control.value = value;
          for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind));
        };
        const found = { none: shown(), counts: counts() };
        set(page.order, "name"), (found.byName = shown()), set(page.order, "score");
        press("sea"), (found.sea = shown()), (found.told = page.told.textContent);
        press("boat"), (found.both = shown());
        page.any.click(), (found.any = shown());
        set(page.cut, STOPS.indexOf(0.95)), (found.high = shown()), (found.highCounts = counts());
        page.own.click(), (found.own = shown());
        set(page.find, "SU"), (found.listed = Object.keys(counts())), set(page.find, "");
        page.chosen.querySelector("button").click(), (found.removed = shown());
        page.chosen.querySelector("button").click();
        press("rare"), (found.rare = [shown(), page.none.hidden]);
        page["any-score"].click(), (found.every = shown().length);
        return found;
    """
    _, found = driven(folder, script)
    sea, boat = scores[:, 0], scores[:, 1]

    def ordered(there, key):
        return [names[at] for at in sorted(np.flatnonzero(there), key=lambda at: (-key[at], at))]

    assert found["none"] == names
    own = (scores >= THRESHOLDS).sum(axis=0)
    assert found["counts"] == {label: str(count) for label, count in zip(LABELS, own, strict=True)}
    assert found["byName"] == sorted(names, key=lambda name: int(name.split()[1][:-4]))
    assert found["sea"] == ordered(sea >= 0.5, sea) and found["told"] == f"{own[0]} of 150 photographs"
    assert found["both"] == ordered((sea >= 0.5) & (boat >= 0.2), np.minimum(sea, boat))
    either = np.maximum(np.where(sea >= 0.5, sea, 0), np.where(boat >= 0.2, boat, 0))
    assert found["any"] == found["own"] == ordered(either > 0, either)
    assert found["high"] == ordered((sea >= 0.95) | (boat >= 0.95), np.maximum(sea, boat))
    assert found["highCounts"]["sun"] == str((scores[:, 2] >= 0.95).sum())
    assert found["listed"] == ["sun"] and found["removed"] == ordered(boat >= 0.2, boat)
    assert found["rare"] == [[], False] and found["every"] == 150


def test_only_what_is_near_the_window_is_made(tmp_path):
    folder, _, _ = many(tmp_path, 400)
    _, found = driven(
        folder, "return [page.cards.children.length, page.cards.querySelectorAll('[loading=lazy]').length]"
    )
    assert 0 < found[0] < 400 and found[1] == found[0]


def test_a_label_shows_where_it_looked(tmp_path):
    draw = np.random.default_rng(0)
    heatmap = heatmap_of(draw.random(49))
    labels = (ScoredLabel("sea", 0.9, heatmap=heatmap), ScoredLabel("boat", 0.8))
    picture = Image.new("RGB", (640, 400))
    predictions = [Prediction(Path("a"), each, picture=picture) for each in (labels, (ScoredLabel("sun", 0.5),))]
    write_gallery(predictions, tmp_path / "g", title="t")
    script = """
        const [sea, boat] = document.querySelectorAll(".card:first-child .chip");
        const frame = document.querySelector(".frame");
        const looking = () => frame.classList.contains("looking");
        const found = [];
        sea.dispatchEvent(new PointerEvent("pointerenter", { pointerType: "mouse" }));
        await wait(looking);
        sea.dispatchEvent(new PointerEvent("pointerleave"));
        await wait(() => !looking());
        sea.click();
        await wait(looking);
        found.push(sea.getAttribute("aria-pressed"));
        boat.dispatchEvent(new PointerEvent("pointerenter", { pointerType: "mouse" }));
        await wait(() => !looking());
        boat.dispatchEvent(new PointerEvent("pointerleave"));
        await wait(looking);
        sea.dispatchEvent(new PointerEvent("pointerenter", { pointerType: "touch" }));
        sea.click();
        await wait(() => !looking());
        sea.focus({ focusVisible: true });
        await wait(looking);
        const canvas = frame.querySelector("canvas");
        found.push(canvas.width, canvas.height);
        const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        found.push([...image.slice(0, 4)]);
        found.push([...upsampled(await heatmapOf(photographs[0], 0), 90, 60)]);
        found.push(document.querySelectorAll(".card:last-child button.chip").length);
        return found;
    """
    _, (pressed, width, height, pixel, levels, buttons) = driven(tmp_path / "g", script)
    assert (pressed, width, height, buttons) == ("true", 256, 160, 0)
    ours = upsampled(heatmap, 90, 60).astype(int)
    assert np.abs(np.array(levels).reshape(60, 90) - ours).max() <= 1
    expected = palette()[upsampled(heatmap, 256, 160)[0, 0]]
    assert np.abs(np.array(pixel) - expected).max() <= 3


def test_a_gallery_that_lacks_a_file_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_data, "FULL", 2000)
    folder, _, _ = many(tmp_path)
    (folder / "data" / "photographs-00001.js").unlink()
    _, found = driven(folder, "return [page.missing.textContent, photographs.length, page.told.textContent]")
    assert found[0].startswith("data/photographs-00001.js is missing")
    assert 0 < found[1] < 150 and found[2] == f"{found[1]} photographs"
