"""What the tests of the HTML reports share: a parser of their pages, and text that is no HTML."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from typing import Any

import numpy as np

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}"


class Page(HTMLParser):
    """Collects tags, the JSON data, all words, and the cells of all tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self._data = ""
        self._inside: list[str] = []
        self.feed(html)
        self.data: dict[str, Any] = json.loads(self._data)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "input", "br", "img"):
            self._inside.append("data" if ("id", "data") in attrs else tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "data":
            self._data += data
        elif inside not in ("script", "style"):
            self.words.append(data)
            if {"td", "th"} & set(self._inside):
                self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())

    def planes(self) -> list[list[np.ndarray]]:
        """Where the items are, by panel: (n, 2) each, from -1 to 1."""
        return [
            [unpacked(plane["at"], "<i2").reshape(-1, 2) / 32767 for plane in panel]
            for panel in self.data["panels"]
        ]


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=dtype)
