"""What a page of HTML is made of, read without a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "link", "input", "hr"}


@dataclass
class Structure(HTMLParser):
    """Anchors, links, images and faults of nesting of a page."""

    ids: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    images: list[dict[str, str]] = field(default_factory=list)
    policy: str = ""
    faults: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if "href" in given:
            self.targets.append(given["href"])
        self.sources += [
            given[name] for name in ("src", "srcset", "data", "poster") if name in given
        ]
        if tag == "img":
            self.images.append(given)
        if tag in ("link", "iframe", "object", "embed", "base"):
            self.faults.append(f"<{tag}>")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    @classmethod
    def of(cls, page: str) -> Structure:
        """Return the structure of a page."""
        found = cls()
        found.feed(page)
        found.close()
        found.faults += [f"<{tag}> stays open" for tag in found._open]
        return found
