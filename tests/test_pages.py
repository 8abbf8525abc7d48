"""Templates of ours: filled with text, never with markup."""

import jinja2
import pytest

from zsmld import pages


def test_what_is_filled_in_is_escaped_and_the_look_is_found():
    page = pages.template("zsmld.prediction", "index.html.j2").render(title="<b>&", scripts=['"><script>'])
    assert "<b>&" not in page and "&lt;b&gt;&amp;" in page and '"><script>' not in page
    assert "--ink" in pages.template("zsmld.prediction", "look.css").render()


def test_what_is_not_filled_in_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        pages.template("zsmld.prediction", "index.html.j2").render(title="a")
