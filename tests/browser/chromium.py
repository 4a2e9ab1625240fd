"""Drive Debian's Chromium through --remote-debugging-pipe, with the standard library alone.

The pipe has messages of the DevTools protocol, JSON ended by a zero byte: descriptor 3 is read by the browser, 4 is
written by it.
"""
import base64
import collections
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def program():
    """The browser's path, or None."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
                None)


class Failed(Exception):
    """The browser refused a command, threw, or didn't answer in time."""


class Browser:
    """A headless browser with a profile of its own; `with Browser() as b:` ends it."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="paragraph-chromium-")
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        command = [program(), "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self.folder}",
                   "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--mute-audio",
                   "--force-color-profile=srgb", "--disable-dev-shm-usage", "--disable-renderer-backgrounding",
                   "--disable-backgrounding-occluded-windows", "--disable-background-timer-throttling", *options]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        self.process = self._start(command, from_us, to_us)
        self._buffer, self._number = b"", 0
        self._answers, self.events = {}, collections.deque()

    def _start(self, command, from_us, to_us):
        """Run it with our ends as its descriptors 3 and 4, in a process group of its own."""
        high = [os.dup(fd) for fd in (from_us, to_us)]
        os.close(from_us)
        os.close(to_us)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f'exec "$@" 3<&{high[0]} 4>&{high[1]}', "sh", *command],
                pass_fds=high, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        for fd in high:
            os.close(fd)
        return process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self.folder, ignore_errors=True)

    def send(self, method, session=None, **params):
        """Send a command; returns its number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data):]
        return self._number

    def read(self, until):
        """Take one message in; it is an answer or an event."""
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], max(0.0, until - time.monotonic()))[0]:
                raise Failed("no answer from the browser")
            data = os.read(self._from, 1 << 20)
            if not data:
                raise Failed("the browser has ended")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(message)
        if "id" in message:
            self._answers[message["id"]] = message
        else:
            self.events.append(message)

    def call(self, method, session=None, timeout=60.0, **params):
        number, until = self.send(method, session, **params), time.monotonic() + timeout
        while number not in self._answers:
            self.read(until)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        return answer["result"]

    @contextlib.contextmanager
    def traced(self, *categories):
        """A list that gets, when the block ends, all events of these categories, in Chrome's trace format."""
        traced = []
        self.call("Tracing.start", transferMode="ReportEvents",
                  traceConfig={"includedCategories": list(categories), "recordMode": "recordAsMuchAsPossible"})
        yield traced
        self.call("Tracing.end")
        until, others = time.monotonic() + 120, []
        while not any(event["method"] == "Tracing.tracingComplete" for event in self.events):
            self.read(until)
        for event in self.events:
            if event["method"] == "Tracing.dataCollected":
                traced.extend(event["params"]["value"])
            elif not event["method"].startswith("Tracing."):
                others.append(event)
        self.events = collections.deque(others)

    def page(self, width=1280, height=800, **features):
        return Page(self, width, height, features)


class Page:
    """A tab. What it asks for and what it complains of is kept in `requests` and `complaints`."""

    def __init__(self, browser, width, height, features):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.requests, self.complaints = [], []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.emulate(**features)

    def emulate(self, **features):
        """For example prefers_color_scheme="dark"."""
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def call(self, method, **params):
        result = self.browser.call(method, self.session, **params)
        self._sort_events()
        return result

    def _sort_events(self):
        for event in list(self.browser.events):
            params = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            elif event["method"] == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(params["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                self.complaints.append(str([argument.get("value") for argument in params["args"]]))
            elif event["method"] == "Page.loadEventFired":
                self.loaded = True
        self.browser.events.clear()

    def open(self, url, timeout=120.0):
        """Load a page and wait for it and its first frame."""
        self.loaded = False
        self.call("Page.navigate", url=url)
        until = time.monotonic() + timeout
        while not self.loaded:
            self._sort_events()
            if not self.loaded:
                self.browser.read(until)
                self._sort_events()
        self.frame()

    def open_file(self, path):
        self.open("file://" + os.path.abspath(path))

    def evaluate(self, expression, timeout=60.0):
        """The value of an expression of the page's script; promises are waited for."""
        result = self.browser.call("Runtime.evaluate", self.session, timeout, expression=expression,
                                   returnByValue=True, awaitPromise=True, userGesture=True)
        self._sort_events()
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise Failed(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def frame(self):
        """Wait until what is due has been drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def wait(self, seconds):
        """Let the page be."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                self.browser.read(until)
            except Failed:
                pass
        self._sort_events()

    KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "ArrowUp": (38, ""), "ArrowDown": (40, ""),
            "ArrowLeft": (37, ""), "ArrowRight": (39, ""), "Home": (36, ""), "End": (35, ""), "Backspace": (8, "")}

    def press(self, *keys, modifiers=0):
        """Press keys, by the names that scripts know them by."""
        for key in keys:
            code, text = self.KEYS.get(key, (ord(key[0].upper()) if key.isalnum() else 0, key))
            common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
            if text:
                self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            else:
                self.call("Input.dispatchKeyEvent", type="rawKeyDown", **common)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)
        self.frame()

    def type(self, text):
        self.press(*text)

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y, count=1):
        for n in range(1, count + 1):
            self.mouse("mousePressed", x, y, button="left", clickCount=n)
            self.mouse("mouseReleased", x, y, button="left", clickCount=n)
        self.frame()

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(data))


def main():
    """Whether there is a browser and it starts: says why not, and exits with 1."""
    if not program():
        return "chromium is not installed"
    try:
        with Browser() as browser:
            browser.call("Browser.getVersion", timeout=30.0)
    except (Failed, OSError) as why:
        return f"{program()} doesn't start: {why}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
