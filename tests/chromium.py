"""A headless Chromium driven by the DevTools protocol through a pipe: no driver program, no port, no package."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.image import read_picture

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars "
    "--force-color-profile=srgb --remote-debugging-pipe"
).split()
# Chromium reads commands from file descriptor 3 and writes answers to 4.
_LAUNCH = """
import os, sys
commands, answers, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execvp(program[0], program)
"""
_FIRST_FREE = 10
_PATIENCE_SECONDS = 60


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    if os.name == "nt":
        return None
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a browser that ends with the `with` block; `requests` are the addresses that it asked for."""

    def __init__(self, program: str, profile: Path) -> None:
        import fcntl

        pipes = [os.pipe(), os.pipe()]
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for pipe in pipes for end in pipe]
        for end in itertools.chain(*pipes):
            os.close(end)
        theirs_in, self._out, self._in, theirs_out = ends
        launcher = [sys.executable, "-c", _LAUNCH, str(theirs_in), str(theirs_out)]
        self._process = subprocess.Popen(
            [*launcher, program, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._buffer = b""
        self.requests: list[str] = []
        self.errors: list[str] = []

    def __enter__(self) -> Browser:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(_PATIENCE_SECONDS)
        except (OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; an error of the protocol raises."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path, width: int, height: int, *, dark: bool = False, touch: bool = False) -> None:
        """Load a page in a window of a size in CSS pixels and wait for its pictures."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        self.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
            ".then(() => Promise.all([...document.images].map(image => image.decode())))"
        )

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited; an exception in it raises."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Return left, top, width and height of an element in the window."""
        x, y, width, height = self.evaluate(
            f"(b => [b.x, b.y, b.width, b.height])(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        return x, y, width, height

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place, move it in steps and let it go at another."""
        self._mouse("mouseMoved", start, "none")
        self._mouse("mousePressed", start, "left")
        for step in range(1, 6):
            place = (start[0] + (end[0] - start[0]) * step / 5, start[1] + (end[1] - start[1]) * step / 5)
            self._mouse("mouseMoved", place, "left")
        self._mouse("mouseReleased", end, "left")

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element."""
        x, y, width, height = self.box(selector)
        place = (x + width / 2, y + height / 2)
        self._mouse("mousePressed", place, "left")
        self._mouse("mouseReleased", place, "left")

    def touch(self, *moments: list[tuple[float, float]]) -> None:
        """Put fingers down at the first moment's places, move them through the others, and lift them."""
        for i, places in enumerate(moments):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
            self.call("Input.dispatchTouchEvent", type="touchMove" if i else "touchStart", touchPoints=points)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def wheel(self, place: tuple[float, float], delta: float) -> None:
        """Turn the wheel at a place; a negative delta is away from the user."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=place[0], y=place[1], deltaX=0, deltaY=delta)

    def key(self, key: str, modifiers: int = 0, text: str | None = None) -> None:
        """Press and release a key; modifiers: 1 Alt, 2 Ctrl, 8 Shift."""
        extra = {"text": text or key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **extra)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers)

    def screenshot(self) -> npt.NDArray[np.uint8]:
        """Return what is seen, uint8 [height, width, 3]."""
        return read_picture(self.screenshot_png()).pixels

    def screenshot_png(self) -> bytes:
        """Return what is seen as a PNG file."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _mouse(self, kind: str, place: tuple[float, float], button: str) -> None:
        held = 1 if button == "left" and kind != "mouseReleased" else 0
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button=button, buttons=held, clickCount=1
        )

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], _PATIENCE_SECONDS)[0]:
                raise TimeoutError("Chromium does not answer")
            chunk = os.read(self._in, 1 << 20)
            if not chunk:
                raise RuntimeError("Chromium has ended")
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        if answer.get("method") == "Network.requestWillBeSent":
            self.requests.append(answer["params"]["request"]["url"])
        if answer.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(answer["params"]["exceptionDetails"]))
        return answer
