"""HTML pages as a parser and as a browser see them."""

import shutil
import subprocess
from html.parser import HTMLParser

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser")


class parsed(HTMLParser):  # noqa: N801
    """The text and the elements of a page."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.elements, self.attributes, self.scripts = [], [], set(), []
        self.feed(page)
        self.text = "".join(self.texts)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)
        if self.elements and self.elements[-1] == "script":
            self.scripts.append(data)


def in_browser(page, folder, *, budget=2000):
    """What a browser makes of a page: after its scripts have had `budget` milliseconds, or with None once it is loaded.

    The milliseconds pass while the browser waits, and the faster for it: enough for timers, not for what other
    threads do, such as decoding pictures.
    """
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri(),
        *([] if budget is None else [f"--virtual-time-budget={budget}"]),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
