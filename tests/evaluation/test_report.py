"""The report as JSON, table, Markdown and HTML: complete, and with every name as text."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import in_browser, needs_browser, parsed

from zsmld import evaluate_scores
from zsmld.evaluation import charts
from zsmld.evaluation.charts import Axis, Mark, plot
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.measure import measure, measure_closed_set
from zsmld.evaluation.protocols import PROTOCOLS, Protocol
from zsmld.evaluation.report import REPORTS, LabelPictures, Photo
from zsmld.evaluation.report_html import html
from zsmld.evaluation.report_text import SETS, markdown, notes, terminal

_PARTS = (
    "<script>document.title='HIT'</script>", "<img src=x onerror=\"document.title='HIT'\">", "</script><b>",
    "</title>", "\"><svg onload=document.title='HIT'>", "' onmouseover='document.title=`HIT`", "{{ 7*7 }}",
    "{% raw %}", "&lt;b&gt;", "]]>", "<!--", "javascript:document.title='HIT'", "[x](javascript:alert)",
    "![x](http://example.invalid/x.png)", "|", "`code`", "</td></tr></table>", "\\", "$x$", "# head",
)  # fmt: skip
HOSTILE = tuple(f"{_PARTS[at % len(_PARTS)]} {at} {_PARTS[(at * 7 + 3) % len(_PARTS)]}" for at in range(200))


def table(labels=("dogs", "cat", "sea", "dog", "boat", "sun"), images=60, seed=0):
    draw = np.random.default_rng(seed)
    truth = draw.random((images, len(labels))) < 0.25
    scores = (draw.normal(size=truth.shape) + truth - 1).astype(np.float32)
    return ScoreTable(tuple(labels), np.arange(len(labels)) < len(labels) // 2, scores, truth)


def report(protocol=Protocol(), *, labels=None, **more):  # noqa: B008
    scored = table() if labels is None else table(labels)
    given = {"gzsl": True, "resamples": 30, "about": {"title": "run 1", "digests": {"labels": "sha256:1"}}} | more
    return measure(scored, protocol, **given)


def test_the_report_as_json_has_the_promised_keys():
    values = json.loads(json.dumps(report(offset=0.5).to_json(), allow_nan=False))
    headline = {"map", "labels", "images", "f1@3", "precision@3", "recall@3", "f1@5", "precision@5", "recall@5"}
    assert values["format_version"] == 2
    for name in ("zsl", "zsl_without_twins", "seen"):
        assert headline <= values[name].keys() and "map" in values[name]["intervals"]
    both = headline | {"seen_map", "unseen_map", "harmonic_map"}
    assert both <= values["gzsl"].keys() and both <= values["gzsl_calibrated"].keys()
    assert values["protocol"]["name"] == "strict" and values["protocol"]["ks"] == [3, 5]
    assert "gzsl" not in report(gzsl=False).to_json()
    assert "intervals" not in report(resamples=0).to_json()["zsl"]
    full = json.loads(json.dumps(report(offset=0.5).full_json(), allow_nan=False))
    assert set(full["details"]) == {
        "twins", "exchanged_words_map", "calibration_error", "probabilities", "offset_curve", "offset", "confusions",
    }  # fmt: skip
    assert full["details"]["twins"] == {"dog": "dogs"} and full["labels"][3]["twin"] == "dogs"


def test_an_offset_moves_the_order_of_labels_and_no_average_precision():
    found = report(offset=2.0).sets
    assert found["gzsl_calibrated"]["map"] == pytest.approx(found["gzsl"]["map"])
    assert found["gzsl_calibrated"]["f1@3"] != found["gzsl"]["f1@3"]
    lowered = table().scores - 2 * table().seen.astype(np.float32)
    alone = measure(replace(table(), scores=lowered), Protocol(), gzsl=True, resamples=0).sets["gzsl"]
    assert found["gzsl_calibrated"] == alone


def test_the_table_shows_every_set_in_percent(capsys):
    from rich.console import Console

    found = report(offset=0.3)
    Console(width=160, markup=False).print(terminal(found))
    shown = capsys.readouterr().out
    for name in found.sets:
        assert SETS[name] in shown and f"{100 * found.sets[name]['map']:.1f}" in shown
    low, high = found.intervals["zsl"]["map"]
    assert f"{100 * low:.1f}–{100 * high:.1f}" in shown and "harmonic mean" in shown
    assert "weighted by positives" not in shown
    Console(width=160, markup=False).print(terminal(report(PROTOCOLS["open-images"])))
    assert "weighted by positives" in capsys.readouterr().out


def test_what_must_be_known_beside_the_table_is_said():
    told = "\n".join(notes(report()))
    for word in ("exchanged words", "dog/dogs", "calibration error", "area under"):
        assert word in told


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_form_prints_every_rule_and_the_digests(name):
    found = report(PROTOCOLS[name])
    text, page = markdown(found), parsed(html(found)).text
    for rule, told in PROTOCOLS[name].rules().items():
        assert f"- {rule}: " in text and rule in page and told in page
        assert re.sub(r"\W", "", told) in re.sub(r"\W", "", text)
    assert "sha256:1" in page and "sha256" in text


def test_a_closed_set_report_has_its_own_set_and_accuracy():
    scored = table()
    scored.truth[:] = np.eye(6, dtype=bool)[np.arange(60) % 6]
    found = measure_closed_set(scored, Protocol(), single_label=True, resamples=10, about={"title": "closed"})
    assert set(found.sets) == {"closed_set"} and "accuracy@1" in found.sets["closed_set"]
    assert found.protocol.normalisation == "softmax"
    assert "accuracy" in html(found) and "accuracy" in markdown(found)
    several = measure_closed_set(table(), Protocol(), single_label=False, resamples=0, about={})
    assert "accuracy@1" not in several.sets["closed_set"] and several.details["calibration_error"]["closed_set"]


def hostile():
    found = report(labels=HOSTILE, nearest_seen=dict.fromkeys(HOSTILE[100:], (HOSTILE[0], 0.5)))
    photo = Photo(HOSTILE[3], 0.5, True, "data:image/jpeg;base64,AAAA")
    about = {"title": HOSTILE[0], "model": HOSTILE[1], "differences": [HOSTILE[2]], "versions": {"x": HOSTILE[4]}}
    return replace(found, about=found.about | about, pictures=(LabelPictures(HOSTILE[5], 0.5, (photo,)),))


def test_two_hundred_hostile_names_are_text_in_html():
    plain = parsed(html(replace(report(labels=[f"label {at}" for at in range(200)]), pictures=hostile().pictures)))
    page = parsed(html(hostile()))
    # Rows of confusions and twins may differ in number; kinds of elements and attributes may not.
    assert set(page.elements) == set(plain.elements)
    assert page.attributes == plain.attributes and not any(name.startswith("on") for name in page.attributes)
    assert page.elements.count("script") == 1 and "HIT" not in "".join(page.scripts)
    for name in HOSTILE:
        assert " ".join(name.split()) in " ".join(page.text.split())


def test_hostile_names_are_text_in_markdown():
    text = markdown(hostile())
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    # No row has more cells than its table has columns (headline, confusions, labels), and nothing is a link or a tag.
    assert cells == {len(hostile().sets) + 2, 4, 6}
    assert not re.search(r"(?<!\\)<|(?<!\\)\]\(", text)


@needs_browser
def test_hostile_names_do_nothing_in_a_browser(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(html(hostile()), "utf-8")
    dom = in_browser(page, tmp_path)
    found = parsed(dom)
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]
    assert title.startswith("&lt;script&gt;") and len(found.elements) > 1000
    assert set(found.elements) <= set(parsed(page.read_text("utf-8")).elements) | {"tbody"}


@needs_browser
def test_labels_are_sorted_and_found_in_a_browser(tmp_path):
    def order(script):
        page = tmp_path / "report.html"
        page.write_text(html(report()).replace("</body>", f"<script>{script}</script></body>"), "utf-8")
        rows = re.findall(
            r'<tr class="(?:seen|unseen)"( hidden="")?><td class="text">(\w+)', in_browser(page, tmp_path)
        )
        return [name for hidden, name in rows if not hidden]

    by_precision = sorted(report().labels, key=lambda each: -(each.average_precision or -1))
    assert order("") == [each.label for each in by_precision]
    click = "document.querySelectorAll('#labels th button')[{}].click();"
    assert order(click.format(0)) == sorted(table().labels)
    assert order(click.format(0) * 2) == sorted(table().labels, reverse=True)
    counts = {each.label: each.positives for each in report().labels}
    assert [counts[name] for name in order(click.format(2) * 2)] == sorted(counts.values())
    typed = "const box = document.getElementById('find'); box.value = 'DOG'; box.dispatchEvent(new Event('input'));"
    assert set(order(typed)) == {"dog", "dogs"}


def test_what_was_left_out_is_said():
    scored = table()
    scored.truth[:, 1] = False
    found = measure(scored, Protocol(images="with a positive"), gzsl=True, resamples=0, about={"images_missing": 7})
    page = parsed(html(found)).text
    assert "7 images that are not on the disk" in page
    assert "seen only: 1 labels, which have no positive image" in page
    assert re.search(r"ZSL \(unseen\): \d+ images without a true label of the set", page)


def test_the_page_needs_nothing_from_outside():
    page = html(hostile())
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert all(address.startswith("data:") for address in addresses)
    assert "url(" not in page and "@import" not in page and "default-src 'none'" in page


def test_all_three_forms_are_written(tmp_path):
    draw = np.random.default_rng(0)
    found = evaluate_scores(draw.normal(size=(9, 2)), draw.random((9, 2)) < 0.5, ["a", "b"], ["a"], resamples=0)
    found.write(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(REPORTS)
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == found.full_json()


def test_a_plot_places_and_names_its_points():
    x, y = Axis("<x>", 0, 10), Axis("y", 0, 1, fraction=True)
    picture = plot(x, y, about='a "plot"', lines=[("seen", [(0, 0), (10, 1)])], marks=[Mark(5, 0.5, "<a>", "note")])
    assert "&lt;x&gt;" in picture and "<a>" not in picture and picture.count("&lt;a&gt;") == 2
    left, right = charts._LEFT, charts._WIDTH - charts._RIGHT
    top, bottom = charts._TOP, charts._HEIGHT - charts._BOTTOM
    assert f'points="{left:.1f},{bottom:.1f} {right:.1f},{top:.1f}"' in picture
    assert f'cx="{(left + right) / 2:.1f}" cy="{(top + bottom) / 2:.1f}"' in picture
    assert ">100<" in picture and ">40<" in picture


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (0.2, 0.21), (0, 0), (1e-6, 3e5)])
def test_ticks_are_few_round_and_in_range(low, high):
    ticks, near = Axis("x", low, high).ticks(), 1e-9 * (high - low + 1)
    assert len(ticks) <= 11 and all(low - near <= value <= high + near for value, _ in ticks)
    logarithmic = Axis("x", 1, 25_000, logarithmic=True)
    assert [told for _, told in logarithmic.ticks()] == ["1", "10", "100", "1,000", "10,000"]
    assert logarithmic.place(1) == 0 and logarithmic.place(25_000) == 1
