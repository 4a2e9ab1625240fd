#!/usr/bin/env python3
"""Measure the page of `paragraph dump --format html` in headless Chromium against its bars.

    bench/viewer.py PARAGRAPH [SIZE...]

PARAGRAPH is the command. The graphs are GPT-2 124M's training step, split until it has about SIZE nodes: 5000, 20000
and 130000 unless told otherwise. Timelines are of a step of models of very many small layers, about 20,000 and 200,000
nodes; the comparison is of that of 20000 with another split; both are left out where sizes are named. Frames are 1280 by 800
pixels, drawn by the processor; each counts as presented when a pixel of it has been read. Prints a table in Markdown.
"""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "browser"))
from chromium import Browser, program  # noqa: E402

SPLITS = {
    5000: ["--batch", "4", "--split", "batch=4,heads=4,ff=4"],
    20000: ["--batch", "5", "--split", "batch=5,heads=12,ff=12,vocab=24"],
    130000: ["--batch", "8", "--split", "batch=8,heads=12,ff=16,embd=6,vocab=16"],
}
OPEN_S = {5000: 0.5, 20000: 1.5, 130000: 6.0}
PAGE_MB = {5000: 2.0, 20000: 6.0}
QUERIES = ["mlp.gelu batch=1", "op:matmul layer.3", "layer.?.attn*grad", "optimizer w"]
RUNS = 3
LAYERS = [360, 3600]  # of the models whose runs are shown
BARS = ["--preset", "tiny", "--heads", "1", "--embd", "16", "--context", "16", "--batch", "1", "--seq", "16"]
OTHER_SPLIT = ["--batch", "5", "--split", "batch=5,heads=12,ff=12,vocab=23"]

# What the page's script is asked for. `present` draws and waits for the pixels; it gives [all ms, script's ms].
PRELUDE = """
window.probe = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
window.present = (change) => {
  const begin = performance.now();
  change();
  painter.draw();
  const drawn = performance.now();
  probe.drawImage(canvas, 0, 0);
  probe.getImageData(0, 0, 1, 1);
  return [performance.now() - begin, drawn - begin];
};
"""
FIRST_FRAME = """
addEventListener('load', () => requestAnimationFrame(() => requestAnimationFrame(() => {
  window.firstFrame = performance.now();
})));
"""
FOLDS = """
[...Array(40).keys()].map((k) => {
  const folding = [...viewer.rows].filter((box) => viewer.canOpen(box));
  const box = folding[Math.floor(k * folding.length / 40)];
  return present(() => viewer.toggle(box))[0];
})
"""
PANS = """
(() => {
  const all = [], l = viewer.layout;
  for (const scale of [1, 0.5, 0.25, 0.1, 0.05]) {
    camera.scale = scale;
    const leaf = [...viewer.rows].filter((box) => !viewer.canOpen(box));
    for (let k = 0; k < 8; k++) {
      const box = leaf[Math.floor((k + 0.5) * leaf.length / 8)];
      [camera.x, camera.y] = [l.x[box] - 300 / scale, l.y[box] - 300 / scale];
      present(() => 0);
      for (let step = 0; step < 10; step++)
        all.push(present(() => step % 2 ? camera.pan(31, -47) : camera.zoom(step % 4 ? 1.1 : 0.9, 300, 300)));
    }
  }
  return all;
})()
"""
SEARCH = """
((query) => [...query].map((_, k) => {
  const begin = performance.now();
  searchBox.input.value = query.slice(0, k + 1);
  searchBox.input.dispatchEvent(new Event('input'));
  return performance.now() - begin;
}))
"""

# Frames of the timeline at five scales, from all of the run to a thousandth of it.
BAR_FRAMES = """
(() => {
  const all = [], pixel = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  for (const part of [1, 0.3, 0.1, 0.01, 0.001]) {
    const span = timeline.run.wallNs * part;
    for (let step = 0; step < 20; step++) {
      const begin = performance.now();
      timeline.look(timeline.run.wallNs * (1 - part) * step / 20, timeline.run.wallNs * (1 - part) * step / 20 + span);
      timeline.draw();
      const drawn = performance.now();
      pixel.drawImage(timeline.canvas, 0, 0);
      pixel.getImageData(0, 0, 1, 1);
      all.push([performance.now() - begin, drawn - begin]);
    }
  }
  return all;
})()
"""
# Milliseconds from each of some clicks to the end of the frame after which all it changes has been drawn.
CLICKS = """
(async (clicks) => {
  const all = [];
  for (const click of clicks) {
    const begin = performance.now();
    click();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    probe.drawImage(canvas, 0, 0);
    probe.getImageData(0, 0, 1, 1);
    all.push(performance.now() - begin);
  }
  return all;
})
"""
BAR_CLICKS = "[...Array(20).keys()].map((k) => () => timeline.select(Math.floor((k + 0.5) * data.nNodes / 20)))"
DIFFERENCE_CLICKS = """
((differ) => [...Array(20).keys()].map((k) => () => viewer.goToNode(differ[Math.floor((k + 0.5) * differ.length / 20)])))
([...data.compare.sign.keys()].filter((node) => data.compare.sign[node] !== Sided.SAME))
"""


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def timed(command):
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


class Table:
    def __init__(self):
        print("| what | nodes | measured | bar | |\n|---|---:|---:|---:|---|")

    def row(self, what, nodes, value, unit, bar=None):
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        kept = "" if bar is None else "kept" if value <= bar else "**missed**"
        print(f"| {what} | {nodes:,} | {value:.{digits}f} {unit} | {'' if bar is None else f'{bar:g} {unit}'} | {kept} |",
              flush=True)


def write_page(paragraph, options, path):
    """Returns seconds of the whole command, the shortest of some runs."""
    return min(timed([paragraph, "dump", *options, "--format", "html", "-o", path]) for _ in range(RUNS))


def measure_opening(browser, path):
    """Milliseconds from navigation to the first frame, the median of some; and the last page."""
    times = []
    for _ in range(RUNS):
        page = browser.page()
        page.call("Page.addScriptToEvaluateOnNewDocument", source=FIRST_FRAME)
        page.open_file(path)
        page.frame()
        page.evaluate(PRELUDE)
        times.append(page.evaluate("firstFrame"))
    return percentile(times, 0.5), page


def measure(table, browser, paragraph, size, folder):
    path = os.path.join(folder, f"{size}.html")
    writing = write_page(paragraph, ["--preset", "gpt2-124m", "--train", *SPLITS[size]], path)
    opening, page = measure_opening(browser, path)
    nodes = page.evaluate("data.nNodes")
    small = size <= 20000
    table.row("the whole command that builds, splits, analyzes and writes", nodes, writing, "s", 1 if small else None)
    table.row("page", nodes, os.path.getsize(path) / 1e6, "MB", PAGE_MB.get(size))
    table.row("open to first frame", nodes, opening / 1e3, "s", OPEN_S[size])
    table.row("unfold all", nodes, page.evaluate("present(() => viewer.openAll(true))[0]"), "ms", 2000 if small else None)
    folds = page.evaluate(FOLDS)
    table.row("fold a scope, all else unfolded, 95th percentile", nodes, percentile(folds, 0.95), "ms",
              50 if small else None)
    page.evaluate("viewer.openAll(true)")
    frames = page.evaluate(PANS, timeout=600)
    totals, scripts = [total for total, _ in frames], [script for _, script in frames]
    table.row("frame of panning and zooming, 95th percentile", nodes, percentile(totals, 0.95), "ms", 33 if small else None)
    table.row("the longest", nodes, max(totals), "ms", 100 if small else None)
    table.row("script of a frame, 95th percentile", nodes, percentile(scripts, 0.95), "ms", 8 if small else None)
    keys = [key for query in QUERIES for key in page.evaluate(f"({SEARCH})({query!r})")[1:]]
    table.row("search per key, 95th percentile", nodes, percentile(keys, 0.95), "ms", 30 if small else None)
    if page.complaints or len(page.requests) != 1:
        sys.exit(f"the page complains or asks for more: {page.complaints} {page.requests}")


def measure_clicks(table, what, nodes, page, clicks):
    table.row(what, nodes, percentile(page.evaluate(f"({CLICKS})({clicks})"), 0.95), "ms", 100)


def measure_run(table, browser, paragraph, layers, folder):
    """The timeline of a step of many nodes, and from its bars to the graph."""
    profile, path = os.path.join(folder, "profile.json"), os.path.join(folder, "run.html")
    timed([paragraph, "bench", *BARS, "--layers", str(layers), "--repeat", "1", "--profile", profile])
    writing = timed([paragraph, "dump", "--profile", profile, "--format", "html", "-o", path])
    opening, page = measure_opening(browser, path)
    bars = page.evaluate("data.nNodes")
    table.row("writing a run's page, its profile read", bars, writing, "s")
    table.row("a run's page, open to first frame", bars, opening / 1e3, "s")
    frames = page.evaluate(BAR_FRAMES, timeout=600)
    table.row("frame of the timeline, 95th percentile", bars, percentile([total for total, _ in frames], 0.95), "ms", 33)
    table.row("the longest", bars, max(total for total, _ in frames), "ms", 100)
    table.row("script of a frame, 95th percentile", bars, percentile([script for _, script in frames], 0.95), "ms", 8)
    measure_clicks(table, "from a bar to its node, 95th percentile", bars, page, BAR_CLICKS)


def measure_comparison(table, browser, paragraph, folder):
    sides = [os.path.join(folder, f"{side}.json") for side in "ab"]
    for side, split in zip(sides, (SPLITS[20000], OTHER_SPLIT)):
        timed([paragraph, "dump", "--preset", "gpt2-124m", "--train", *split, "--format", "json", "-o", side])
    path = os.path.join(folder, "compared.html")
    subprocess.run([paragraph, "compare", *sides, "--html", "-o", path], stdout=subprocess.DEVNULL, check=False)
    opening, page = measure_opening(browser, path)
    nodes = page.evaluate("data.nNodes")
    table.row("a comparison's page, open to first frame", nodes, opening / 1e3, "s")
    measure_clicks(table, "from what differs to its node, 95th percentile", nodes, page, DIFFERENCE_CLICKS)


def measure_viewer(table, browser, paragraph, folder):
    """What a page takes without its data."""
    path = os.path.join(folder, "tiny.html")
    timed([paragraph, "dump", "--preset", "tiny", "--layers", "1", "--format", "html", "-o", path])
    page = browser.page()
    page.open_file(path)
    data = page.evaluate("document.getElementById('data').textContent.length + document.querySelector('noscript')"
                         ".textContent.length")
    table.row("viewer alone", 0, (os.path.getsize(path) - data) / 1e3, "KB", 100)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.strip())
    if not program():
        sys.exit("chromium is not installed")
    paragraph, sizes = sys.argv[1], [int(size) for size in sys.argv[2:]] or list(SPLITS)
    table = Table()
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        measure_viewer(table, browser, paragraph, folder)
        for size in sizes:
            measure(table, browser, paragraph, size, folder)
        if len(sys.argv) == 2:
            for layers in LAYERS:
                measure_run(table, browser, paragraph, layers, folder)
            measure_comparison(table, browser, paragraph, folder)


if __name__ == "__main__":
    main()
