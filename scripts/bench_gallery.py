"""Measure a gallery: how long it takes to write, how large it is, and how fast it is in a browser.

The photographs are a few JPEGs of random fields under many names, each with its best labels of a vocabulary (random
scores) and a heatmap for each. The browser (Chromium, without a window) loads the page from the disk and does what
people do; each time is until the frame after the change was drawn, and the shortest of all rounds: what else the
machine does only adds.

    python scripts/bench_gallery.py [--photographs 5000] [--labels 300] [--top-k 5] [--width 2048] [--rounds 5]
        [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zsmld.prediction.gallery import write_gallery
from zsmld.prediction.results import Heatmap, Prediction, ScoredLabel

DISTINCT, GRID = 20, 7
# Frames are drawn after requestAnimationFrame; the second one begins when the first is done.
SCRIPT = """
const frame = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
async function timed(change) {
  const began = performance.now();
  change();
  await frame();
  return performance.now() - began;
}
async function median(changes) {
  const times = [];
  for (const change of changes) times.push(await timed(change));
  return times.sort((one, other) => one - other)[times.length >> 1];
}
const loaded = gallery.whenLoaded;
gallery.whenLoaded = () => {
  loaded();
  if (gallery.filesLoaded === about.files) setTimeout(measure, 500, performance.now());
};
async function measure(complete) {
  const labels = [...page.labels.querySelectorAll("input")].slice(0, 5).map((box) => Number(box.value));
  const one = await median(labels.map((label) => () => (search.chosen.clear(), choose(label, true))));
  page.any.click();
  const three = await median(labels.slice(2).map((label) => () => choose(label, true)));
  const score = await median([30, 40, 60, 80, 90].map((cut) => () => setCut(cut / 100)));
  search.chosen.clear();
  const name = await timed(() => ((page.order.value = "name"), page.order.dispatchEvent(new Event("change"))));
  const end = await timed(() => addCards(photographs.length));
  const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  const heap = performance.memory.usedJSHeapSize / 2 ** 20;
  const times = { paint, complete, one, three, score, name, end, heap };
  console.log("measured " + JSON.stringify(times) + " end");
}
"""
TOLD = {
    "paint": "load to first paint", "complete": "load to all photographs searchable",
    "one": "choose a label", "three": "add a label, any of them", "score": "move the score",
    "name": "order by name", "end": "all cards at once",
}  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=5000)
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="write the gallery here, and leave it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        photographs = [Path(scratch, f"IMG_{number:05d}.jpg") for number in range(arguments.photographs)]
        drawing = multiprocessing.get_context("spawn").Process(target=draw, args=(photographs, arguments.width))
        drawing.start()  # in a process of its own, whose memory does not count
        drawing.join()
        folder = arguments.keep or Path(scratch) / "gallery"
        before = peak()
        began, computed = time.perf_counter(), time.process_time()
        write_gallery(predictions(photographs, arguments.labels, arguments.top_k), folder, title="5,000", force=True)
        seconds, computed = time.perf_counter() - began, time.process_time() - computed
        sizes = [path.stat().st_size for path in folder.rglob("*.*")]
        thumbnails = [path.stat().st_size for path in (folder / "thumbnails").iterdir()]
        print(f"{platform.machine()}, {os.cpu_count()} cores, {len(photographs)} photographs of {arguments.width} px\n")
        print("| | |\n|---|---|")
        each = 1e3 * computed / len(photographs)
        print(f"| write | {seconds:.0f} s; CPU time {computed:.0f} s, {each:.1f} ms a photograph |")
        print(f"| folder | {sum(sizes) / 1e6:.1f} MB, of which thumbnails {sum(thumbnails) / 1e6:.1f} MB |")
        print(f"| peak memory | {peak():.0f} MiB, of which {before:.0f} before |")
        rounds = [in_browser(folder, Path(scratch) / f"profile{turn}") for turn in range(arguments.rounds)]
        for key, told in TOLD.items():
            print(f"| {told} | {min(times[key] for times in rounds):.0f} ms |")
        print(f"| JavaScript heap | {max(times['heap'] for times in rounds):.0f} MiB |")


def draw(paths: list[Path], width: int) -> None:
    """Photographs, `DISTINCT` of them under many names."""
    from bench_photos import made

    for number, path in enumerate(paths):
        if number < DISTINCT:
            path.write_bytes(made(width, width * 3 // 4, 90, 2, number))
        else:
            path.hardlink_to(paths[number % DISTINCT])


def predictions(paths: list[Path], labels: int, top_k: int) -> Iterator[Prediction]:
    """Random scores, of which few are high, and random heatmaps."""
    generator = np.random.default_rng(0)
    words = [f"label {number}" for number in range(labels)]
    often = generator.beta(0.5, 3, size=labels)
    for path in paths:
        scores = generator.random(labels) ** (0.2 / often)
        heatmaps = generator.integers(0, 256, (top_k, GRID * GRID), dtype=np.uint8)
        best = np.argsort(-scores)[:top_k]
        ranked = (
            ScoredLabel(
                words[label], float(scores[label]), 0.5, bool(label % 3), (), Heatmap(GRID, GRID, bytes(levels))
            )
            for label, levels in zip(best, heatmaps, strict=True)
        )
        yield Prediction(path, tuple(ranked))


def peak() -> float:
    """MiB that the process has held at most."""
    divisor = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / divisor


def in_browser(folder: Path, profile: Path) -> dict[str, float]:
    """What the script measures, in milliseconds and MiB."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium is not None, "Chromium is not installed"
    page = folder / "bench.html"
    (folder / "bench.js").write_text(SCRIPT)
    html = (folder / "index.html").read_text("utf-8")
    first = '<script src="data/about.js">'
    page.write_text(html.replace(first, f'<script src="bench.js"></script>{first}'), "utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--window-size=1440,900", f"--user-data-dir={profile}", "--enable-logging=stderr", page.as_uri(),
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as browser:
        assert browser.stderr is not None
        try:
            for line in browser.stderr:
                if found := re.search(r"measured (\{.*\}) end", line):
                    times: dict[str, float] = json.loads(found[1])
                    return times
        finally:
            browser.terminate()
            page.unlink()
            (folder / "bench.js").unlink()
    raise SystemExit("the browser has measured nothing")


if __name__ == "__main__":
    main()
