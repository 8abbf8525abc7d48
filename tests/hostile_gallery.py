"""A gallery whose names and labels are all hostile."""

import os

from PIL import Image

from zsmld.images.opening import ImageError
from zsmld.prediction.gallery import write_gallery
from zsmld.prediction.results import Heatmap, Prediction, ScoredLabel

HOSTILE = (
    "</script><script>document.title='HIT'</script>", "<img src=x onerror=\"document.title='HIT'\">", "</title><b>",
    "\"><svg onload=document.title='HIT'>", "' onmouseover='document.title=`HIT`", "{{ 7*7 }}", "{% raw %}", "<!--",
    "]]>", "&lt;b&gt;", "javascript:document.title='HIT'", "line\u2028break\u2029", "\u202egpj.exe", "a\0b\x1b[31m",
    "\\u003c/script>", "${document.title='HIT'}", "`", "\\", "\udcff\ud800", "__proto__", "constructor", "💥" * 99,
)  # fmt: skip


def hostile(folder):
    """Write it below `folder`: photographs of 400 × 300 and as many errors; return the gallery's folder."""
    paths = [folder / "photos" / part.replace("/", "_").replace("\0", "0")[:60] for part in HOSTILE]
    paths = [path for path in paths if "\ud800" not in str(path)] + [folder / "photos" / os.fsdecode(b"caf\xe9.jpg")]
    (folder / "photos").mkdir()
    for path in paths:
        Image.new("RGB", (400, 300), "gray").save(path, "JPEG")
    near = tuple((name, 0.5) for name in HOSTILE[:3])
    labels = tuple(
        ScoredLabel(name, 0.9 - at / 100, 0.6, at % 2 == 0, near, Heatmap(2, 2, bytes([0, 99, 9, 255])))
        for at, name in enumerate(HOSTILE)
    )
    good = [Prediction(path, labels) for path in paths]
    bad = [Prediction(path.with_suffix(".bad"), error=ImageError(HOSTILE[0], path=path)) for path in paths]
    return write_gallery([*good, *bad], folder / "g", title=HOSTILE[0]).parent
