#!/usr/bin/env python3
"""Compare the page of `paragraph dump --format html` with Netron and Model Explorer, on the same graphs.

    bench/viewers.py PARAGRAPH [SIZE...]

PARAGRAPH is the command. Needs Chromium and, beside the Python that runs this, the packages netron, onnx and
ai-edge-model-explorer. The graphs are GPT-2 124M's training step, split until it has about SIZE nodes (1000, 5000 and
20000), as ONNX for Netron and as Model Explorer's JSON, scopes as its layers. Opening is from the address to the first
frame; unfolding all, from the order to the frame that has it: Netron folds nothing, so for it opening is that. Layout
is what a worker or the page itself took for it. Then the wheel is turned 60 times, ten turns a second; the figure is
the 95th percentile of the time from each turn to the frame that shows it, as the browser's tracing tells. What takes
longer than 120 s is stopped. Prints a table in Markdown.
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "browser"))
from chromium import Browser, Failed, program  # noqa: E402

SPLITS = {
    1000: ["--batch", "4", "--split", "batch=2"],
    5000: ["--batch", "4", "--split", "batch=4,heads=4,ff=4"],
    20000: ["--batch", "5", "--split", "batch=5,heads=12,ff=12,vocab=24"],
}
LIMIT_S = 120

# When a page's workers were last asked, and last answered with more than progress.
WATCH = """
window.asked = window.answered = 0;
window.Worker = class extends Worker {
  constructor(...how) {
    super(...how);
    this.addEventListener('message', (event) => {
      if (event.data.eventType !== 8)
        window.answered = performance.now();
    });
  }
  postMessage(...what) {
    window.asked = performance.now();
    return super.postMessage(...what);
  }
};
"""
# The instant of the second frame from now on: by then the first has been drawn.
FRAME = ("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => "
         "setTimeout(() => done(performance.now())))))")


def write_onnx(graph, path):
    import onnx
    from onnx import helper
    tensors = {tensor["id"]: tensor for tensor in graph["tensors"]}

    def name(i):
        return f"{tensors[i]['name']}:{i}"

    def info(i):
        dims = [end - begin for _, _, begin, end in tensors[i]["dims"]]
        return helper.make_tensor_value_info(name(i), onnx.TensorProto.FLOAT, dims)

    nodes = [helper.make_node(node["op"], [name(i) for i in node["inputs"]], [name(i) for i in node["outputs"]],
                              name=node["name"], domain="paragraph") for node in graph["nodes"]]
    given = [info(i) for i, tensor in tensors.items() if tensor["producer"] is None]
    made = [info(i) for i, tensor in tensors.items() if tensor["producer"] is not None]
    results = [info(i) for i, tensor in tensors.items() if tensor["is_output"]]
    onnx.save(helper.make_model(helper.make_graph(nodes, "step", given, results, value_info=made),
                                opset_imports=[helper.make_opsetid("paragraph", 1)]), path)


def write_layers(graph, path):
    tensors = {tensor["id"]: tensor for tensor in graph["tensors"]}

    def source(i):
        producer = tensors[i]["producer"]
        return f"tensor {i}" if producer is None else f"node {producer}"

    nodes = [{"id": source(i), "label": tensor["name"], "namespace": "inputs"}
             for i, tensor in tensors.items() if tensor["producer"] is None]
    for node in graph["nodes"]:
        scope = node["scope"].split(".") if node["scope"] else []
        edges = [{"sourceNodeId": source(i), "sourceNodeOutputId": str(tensors[i]["output"] or 0), "targetNodeInputId": str(k)}
                 for k, i in enumerate(node["inputs"])]
        nodes.append({"id": f"node {node['id']}", "label": node["op"], "incomingEdges": edges,
                      "namespace": "/".join(["backward" if node["backward"] else "forward", *scope])})
    with open(path, "w", encoding="utf-8") as file:
        json.dump([{"id": "step", "nodes": nodes}], file)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A viewer's own server on loopback: a command beside the Python that runs this."""

    def __init__(self, name, *options):
        self.port = free_port()
        command = [os.path.join(os.path.dirname(sys.executable), name), *options, "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        sys.exit(f"{self.process.args[0]} doesn't listen")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Viewer:
    """What is measured of each: milliseconds, or None for what didn't end."""

    def __init__(self, browser):
        self.page = browser.page()
        self.page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self.figures = {"open": None, "unfold all": None, "layout": None, "wheel": None}

    def until(self, expression):
        """Wait until it holds; returns when the frame after that has been drawn."""
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit:
            if self.page.evaluate(expression, timeout=LIMIT_S):
                return self.page.evaluate(FRAME, timeout=LIMIT_S)
            self.page.wait(0.02)
        raise Failed("it didn't end")

    def wheel(self, modifiers=0):
        page = self.page
        with page.browser.traced("cc", "benchmark", "input", "input.scrolling") as events:
            for turn in range(60):
                page.mouse("mouseWheel", 500, 450, deltaX=0, deltaY=-60 if turn % 6 < 3 else 60, modifiers=modifiers)
                page.wait(0.1)
            page.wait(1)
        begun, taken = {}, []
        for event in events:
            if event["name"] != "EventLatency":
                continue
            key = event["pid"], event["id2"]["local"]
            if event["ph"] == "b":
                begun[key] = event
            elif key in begun:
                begin = begun.pop(key)
                if "display_trace_id" in begin["args"].get("event_latency", {}):
                    taken.append((event["ts"] - begin["ts"]) / 1e3)
        if len(taken) < 20:
            raise Failed(f"of 60 turns {len(taken)} were shown")
        self.figures["wheel"] = sorted(taken)[int(0.95 * len(taken))]

    def measure(self, *steps):
        """Take the steps; one that doesn't end leaves those after it out."""
        try:
            for step in steps:
                step()
        except Failed as why:
            print(f"{type(self).__name__}: {why}", file=sys.stderr)
        return self.figures


class Paragraph(Viewer):
    def run(self, path, _):
        return self.measure(lambda: self.open(path), self.unfold, lambda: self.wheel(0))

    def open(self, path):
        self.page.open_file(path)
        self.figures["open"] = self.until("typeof painter === 'object'")

    def unfold(self):
        layout = "(() => { const begin = performance.now(); viewer.openAll(true); return performance.now() - begin; })()"
        begin = self.page.evaluate("performance.now()")
        self.figures["layout"] = self.page.evaluate(layout)
        self.figures["unfold all"] = self.page.evaluate(FRAME) - begin


class Netron(Viewer):
    def run(self, path, _):
        with Server("netron", path, "--host", "127.0.0.1") as server:
            self.page.call("Network.setCookie", name="consent", value="1", url=server.url)
            return self.measure(lambda: self.open(server.url), lambda: self.wheel(2))

    def open(self, url):
        self.page.open(url)
        self.figures["open"] = self.figures["unfold all"] = self.until("document.body.classList.contains('default')")
        self.figures["layout"] = self.page.evaluate("answered - asked")


class ModelExplorer(Viewer):
    def run(self, _, path):
        with Server("model-explorer", path, "--no_open_in_browser", "--skip_health_check", "--host", "127.0.0.1") as server:
            model = urllib.parse.quote(json.dumps({"models": [{"url": path}]}))
            return self.measure(lambda: self.open(f"{server.url}?data={model}"), self.unfold, lambda: self.wheel(2))

    def open(self, url):
        self.page.open(url)
        self.figures["open"] = self.until("answered > 0 && document.querySelector('webgl-renderer canvas') !== null")

    def unfold(self):
        begin = self.page.evaluate("(() => { answered = 0; document.querySelector('mat-icon.expand-all').click(); "
                                   "return performance.now(); })()")
        self.figures["unfold all"] = self.until("answered > 0") - begin
        self.figures["layout"] = self.page.evaluate("answered - asked")


def measure(paragraph, size, folder):
    graph, page, onnx, layers = (os.path.join(folder, f"{size}.{end}") for end in ("json", "html", "onnx", "layers.json"))
    for end, path in ("json", graph), ("html", page):
        subprocess.run([paragraph, "dump", "--preset", "gpt2-124m", "--train", *SPLITS[size], "--format", end, "-o", path], check=True)
    with open(graph, encoding="utf-8") as file:
        graph = json.load(file)
    write_onnx(graph, onnx)
    write_layers(graph, layers)
    for kind, files in (Paragraph, (page, None)), (Netron, (onnx, None)), (ModelExplorer, (None, layers)):
        with Browser() as browser:
            figures = kind(browser).run(*files)
        cells = " | ".join("didn't end" if value is None else f"{value:,.0f} ms" for value in figures.values())
        print(f"| {len(graph['nodes']):,} | {kind.__name__} | {cells} |", flush=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.strip())
    if not program():
        sys.exit("chromium is not installed")
    print("| nodes | viewer | open | unfold all | layout of all | wheel to frame, 95 % |\n|---:|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for size in [int(size) for size in sys.argv[2:]] or SPLITS:
            measure(os.path.abspath(sys.argv[1]), size, folder)


if __name__ == "__main__":
    main()
