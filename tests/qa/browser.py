"""A page in headless Chromium: what goes wrong as it is opened.

Chromium is spoken to through a pipe (its DevTools protocol), so that neither a driver nor a port
is needed: a Chromium of any distribution is enough.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROBE = Path(__file__).with_name("probe.js")
# A machine that does much else needs a minute.
LONGEST_S = 300.0
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)  # fmt: skip
_READ, _WRITE = 3, 4
"""Where Chromium takes orders and gives answers."""


class Browser:
    """One process of Chromium.

    Parameters
    ----------
    orders, answers
        Ends of the pipes.
    """

    def __init__(self, orders: int, answers: int) -> None:
        self._orders, self._answers = orders, answers
        self._unread, self._number = b"", 0
        self._end = time.monotonic() + LONGEST_S
        self._events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        made = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session: str | None = made["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    _session = None

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give an order, and return the answer to it."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self._events.append(told)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            left = self._end - time.monotonic()
            ready = select.select([self._answers], [], [], max(left, 0))[0]
            assert ready, f"Chromium has said nothing for {LONGEST_S:g} s"
            read = os.read(self._answers, 1 << 16)
            assert read, "Chromium has ended"
            self._unread += read
        text, _, self._unread = self._unread.partition(b"\0")
        return json.loads(text)

    def look(self, file: Path, width_pix: int) -> dict[str, Any]:
        """Return what the probe found of a page, and under ``faults`` what Chromium says too.

        Parameters
        ----------
        file
            The page.
        width_pix
            Of the window.
        """
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width_pix, height=844,
            deviceScaleFactor=1, mobile=width_pix < 600,
        )  # fmt: skip
        self._events.clear()
        self.ask("Page.navigate", url=file.as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self._events):
            self._events.append(self._next())
        made = self.ask(
            "Runtime.evaluate", expression=PROBE.read_text(), awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        found: dict[str, Any] = made["result"]["value"]
        own = file.as_uri()
        found["faults"] += [text for e in self._events for text in _fault(e, own)]
        return found


def _fault(event: dict[str, Any], own: str) -> Iterator[str]:
    """Yield what an event says that should not be."""
    of = event.get("params", {})
    match event.get("method"):
        case "Runtime.exceptionThrown":
            yield f"error: {json.dumps(of['exceptionDetails'])}"
        case "Runtime.consoleAPICalled" if of["type"] in ("error", "warning", "assert"):
            yield f"console: {json.dumps(of['args'])}"
        case "Log.entryAdded" if of["entry"]["level"] in ("error", "warning"):
            yield f"log: {of['entry']['text']}"
        case "Network.requestWillBeSent":
            url = of["request"]["url"]
            if not url.startswith(("data:", own)):
                yield f"request: {url}"


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser, or skip the test where there is none.

    Parameters
    ----------
    folder
        For its profile.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    read, orders = os.pipe()
    answers, write = os.pipe()

    def wire() -> None:
        # Copies out of the way first: the pipes may have the wanted numbers themselves.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read, write)]
        os.dup2(high[0], _READ)
        os.dup2(high[1], _WRITE)

    # Chromium keeps its caches and reports of crashes below these.
    homes = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    process = subprocess.Popen(
        [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}"],
        close_fds=False, preexec_fn=wire, env=os.environ | homes,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read)
    os.close(write)
    try:
        yield Browser(orders, answers)
    finally:
        os.close(orders)
        os.close(answers)
        process.terminate()
        process.wait(60)
