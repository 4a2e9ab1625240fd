"""What a person does with a page of `paragraph dump --format html`, done in Chromium: see tests/test-browser.sh.

PARAGRAPH is the command. With AXE, the path of axe.min.js, its rules are applied too.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from chromium import Browser  # noqa: E402

HOSTILE = ["</script><script>window.hit = 1</script>", "<img src=x onerror='window.hit = 1'>", "\"quoted\" & 'so' \\ %s",
           "a\nb\u0001\u007f", "\u202edesrever", "\u05e9\u05dc\u05d5\u05dd", "long." * 2000, "{{7*7}} ${7*7} `x`"]


def dump(folder, name, *options):
    path = os.path.join(folder, name)
    subprocess.run([os.environ["PARAGRAPH"], "dump", *options, "-o", path], check=True, stderr=subprocess.PIPE)
    return path


def hostile_page(folder):
    """A page of a graph in which names are what nobody hopes for."""
    path = dump(folder, "graph.json", "--preset", "tiny", "--layers", "1", "--format", "json")
    with open(path, encoding="utf-8") as file:
        graph = json.load(file)
    for node, name in zip(graph["nodes"], HOSTILE):
        node["name"] = name
        node["scope"] = name
    with open(path, "w", encoding="utf-8") as file:
        json.dump(graph, file)
    return dump(folder, "hostile.html", "--graph", path, "--format", "html")


def compare(folder, name, *options):
    path = os.path.join(folder, name)
    subprocess.run([os.environ["PARAGRAPH"], "compare", *options, "--html", "-o", path], stderr=subprocess.PIPE)
    return path


def profile(folder, name="run.json", split="batch=2"):
    """A profile of a training step on two workers, both of which ran something: beside other work one may have it all."""
    text, path = os.path.join(folder, "text"), os.path.join(folder, name)
    with open(text, "w", encoding="utf-8") as file:
        file.write("It was the best of times, it was the worst of times. " * 100)
    for _ in range(10):
        subprocess.run([os.environ["PARAGRAPH"], "train", "--data", text, "--preset", "tiny", "--layers", "2", "--batch", "4",
                        "--steps", "2", "--split", split, "--workers", "2", "--profile", path],
                       check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(path, encoding="utf-8") as run:
            if len({node["worker"] for node in json.load(run)["nodes"]}) == 2:
                return path
    raise RuntimeError("in none of ten runs did both workers run anything")


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.files = {
            "training": dump(cls.folder.name, "training.html", "--preset", "tiny", "--train", "--split", "batch=2,ff=2",
                             "--format", "html"),
            "norms": dump(cls.folder.name, "norms.html", "--preset", "tiny", "--split", "embd=2", "--format", "html"),
            "deep": dump(cls.folder.name, "deep.html", "--preset", "tiny", "--layers", "250", "--format", "html"),
            "parts": dump(cls.folder.name, "parts.html", "--preset", "tiny", "--layers", "1", "--split", "batch=12,ff=16",
                          "--format", "html"),
            "stages": dump(cls.folder.name, "stages.html", "--preset", "tiny", "--train", "--split", "batch=2",
                           "--stages", "2", "--format", "html"),
            "hostile": hostile_page(cls.folder.name),
        }
        cls.profile = profile(cls.folder.name)
        cls.files["run"] = dump(cls.folder.name, "run.html", "--profile", cls.profile, "--format", "html")
        cls.graphs = [dump(cls.folder.name, name, "--preset", "tiny", *options, "--format", "json") for name, options in
                      (("a.json", ["--split", "ff=2"]), ("b.json", ["--layers", "5"]))]
        cls.files["compared"] = compare(cls.folder.name, "compared.html", *cls.graphs)
        cls.runs = [cls.profile, profile(cls.folder.name, "run2.json"), profile(cls.folder.name, "run3.json")]
        cls.files["runs"] = compare(cls.folder.name, "runs.html", ",".join(cls.runs[:2]), cls.runs[2])
        cls.otherwise = profile(cls.folder.name, "otherwise.json", "heads=2")
        cls.files["otherwise"] = compare(cls.folder.name, "otherwise.html", cls.profile, cls.otherwise)
        cls.browser = Browser().__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()
        cls.folder.cleanup()

    def open(self, name="training", hash="", **features):
        """A page of its own for a test, which must neither ask for anything nor complain."""
        page = self.browser.page(**features)
        page.open(f"file://{self.files[name]}{hash}")
        self.addCleanup(self.check_quiet, page)
        return page

    def check_quiet(self, page):
        page.evaluate("0")
        self.assertEqual([url for url in page.requests if not url.startswith(f"file://{self.folder.name}/")], [])
        self.assertEqual(page.complaints, [])
        self.browser.call("Target.closeTarget", targetId=page.target)

    # ---- helpers ----

    def node(self, page, name):
        """The id of a node by its name."""
        found = page.evaluate(f"data.nodes.name.findIndex((text) => data.texts[text] === {json.dumps(name)})")
        self.assertGreaterEqual(found, 0, name)
        return found

    def go(self, page, name):
        node = self.node(page, name)
        page.evaluate(f"viewer.goToNode({node})")
        page.frame()
        return node

    def selected(self, page):
        """The name of the node that is selected, or of the box."""
        return page.evaluate("viewer.outline.kind[viewer.selected] === Kind.NODE "
                             "? data.texts[data.nodes.name[viewer.outline.item[viewer.selected]]] "
                             ": viewer.name(viewer.selected)")

    def becomes_selected(self, page, name):
        """The browser goes back and forth in its own time."""
        deadline = time.monotonic() + 10
        while self.selected(page) != name and time.monotonic() < deadline:
            page.frame()
        self.assertEqual(self.selected(page), name)

    def details(self, page):
        return page.evaluate("document.getElementById('details').innerText")

    def waits(self, page):
        """For each node the nodes it waits for."""
        nodes, froms = page.evaluate("[[...data.waits.node], [...data.waits.from]]")
        waits = {}
        for node, other in zip(nodes, froms):
            waits.setdefault(node, set()).add(other)
        return waits

    def needs(self, page):
        """For each node those whose results it reads, and those that read its own."""
        needs, needed = {}, {}
        for node, maker in page.evaluate("[...data.reads.node.keys()].map((r) => [data.reads.node[r], "
                                         "data.values.producer[data.reads.value[r]]])"):
            if maker >= 0:
                needs.setdefault(node, set()).add(maker)
                needed.setdefault(maker, set()).add(node)
        return needs, needed

    def marked(self, page):
        """The nodes that are not pale."""
        return set(page.evaluate("viewer.mark === null ? [] : [...data.boxOf.keys()]"
                                 ".filter((node) => !viewer.isPale(data.boxOf[node]))"))

    # ---- opening and folding ----

    def test_opens_folded(self):
        page = self.open()
        boxes = page.evaluate("viewer.boxes")
        self.assertLessEqual(boxes, 300)
        self.assertIn(f"{boxes} boxes shown", page.evaluate("document.getElementById('status').textContent"))
        self.assertIn("570 nodes", page.evaluate("document.title"))
        self.assertGreater(self.colours(page), 5)

    def pixels(self, page):
        """An expression: a copy of the canvas, to be read."""
        return ("(() => { const copy = new OffscreenCanvas(canvas.width, canvas.height)"
                ".getContext('2d', { willReadFrequently: true }); copy.drawImage(canvas, 0, 0); return copy; })()")

    def colours(self, page):
        """How many colours the canvas has."""
        return page.evaluate(f"new Set(new Uint32Array({self.pixels(page)}"
                             ".getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size")

    def test_folding_changes_what_is_shown(self):
        page = self.open()
        before = page.evaluate("viewer.boxes")
        box = page.evaluate("viewer.rows.find((box) => viewer.name(box) === 'layer.0')")
        page.evaluate(f"viewer.select({box}); canvas.focus()")
        at = page.evaluate(f"[viewer.layout.x[{box}] - camera.x, viewer.layout.y[{box}] - camera.y]")
        page.press("Enter")
        folded = page.evaluate("viewer.boxes")
        self.assertLess(folded, before)
        self.assertFalse(page.evaluate(f"viewer.isOpen({box})"))
        self.assertEqual(at, page.evaluate(f"[viewer.layout.x[{box}] - camera.x, viewer.layout.y[{box}] - camera.y]"))
        page.press("Enter")
        self.assertEqual(page.evaluate("viewer.boxes"), before)
        page.press("u")
        self.assertEqual(page.evaluate("viewer.boxes"), 570 + 2)
        page.press("o")
        self.assertLess(page.evaluate("viewer.boxes"), 30)
        page.press("u")
        self.go(page, "layer.3.mlp.proj.matmul[batch=1,ff=1]")
        page.press("o")
        l = "viewer.layout"
        x, y = page.evaluate(f"[({l}.x[viewer.selected] - camera.x) * camera.scale, ({l}.y[viewer.selected] - camera.y) * camera.scale]")
        self.assertTrue(0 <= x < page.evaluate("camera.width") and 0 <= y < page.evaluate("camera.height"), (x, y))
        page.press("r")
        self.assertEqual(page.evaluate("viewer.boxes"), before)

    def test_one_of_many_equal_layers_is_revealed_with_its_neighbours_alone(self):
        page = self.open("deep")
        page.evaluate("viewer.goToNode(data.nNodes >> 1)")
        shown = page.evaluate("viewer.rows.filter((box) => /^layer[.][0-9]+$/.test(viewer.name(box))).length")
        self.assertGreater(shown, 1)
        self.assertLessEqual(shown, 101)
        self.assertTrue(page.evaluate("viewer.layout.shown[viewer.selected]"))

    def test_the_mouse_selects_opens_and_pans(self):
        page = self.open()
        box = page.evaluate("viewer.rows.find((box) => viewer.name(box) === 'token ×2')")
        left, top = page.evaluate("(() => { const r = canvas.getBoundingClientRect(); return [r.x, r.y]; })()")
        x, y = page.evaluate(f"[(viewer.layout.x[{box}] + 20 - camera.x) * camera.scale, "
                             f"(viewer.layout.y[{box}] + 20 - camera.y) * camera.scale]")
        page.click(left + x, top + y)
        self.assertEqual(page.evaluate("viewer.selected"), box)
        page.click(left + x, top + y, count=2)
        self.assertTrue(page.evaluate(f"viewer.isOpen({box})"))
        before = page.evaluate("[camera.x, camera.y, camera.scale]")
        page.mouse("mousePressed", 600, 500, button="left", clickCount=1)
        page.mouse("mouseMoved", 650, 480, button="left")
        page.mouse("mouseReleased", 650, 480, button="left")
        x, y, scale = page.evaluate("[camera.x, camera.y, camera.scale]")
        self.assertAlmostEqual(x - before[0], -50 / scale)
        self.assertAlmostEqual(y - before[1], 20 / scale)
        page.mouse("mouseWheel", 600, 400, deltaX=0, deltaY=-100, modifiers=2)
        page.frame()
        self.assertGreater(page.evaluate("camera.scale"), scale)

    # ---- finding ----

    def test_search_finds_what_is_folded_and_reveals_it(self):
        page = self.open()
        page.press("o", "/")
        page.type("mlp.gelu batch=1 ff=0 2.")
        found = page.evaluate("searchBox.results.map((box) => data.texts[data.nodes.name[viewer.outline.item[box]]])")
        self.assertIn("layer.2.mlp.gelu[batch=1,ff=0]", found)
        page.evaluate("document.getElementById('search').value = ''")
        page.type("layer.2.mlp.gelu[batch=1,ff=0]")
        page.press("Enter")
        self.assertEqual(self.selected(page), "layer.2.mlp.gelu[batch=1,ff=0]")
        self.assertTrue(page.evaluate("viewer.layout.shown[viewer.selected]"))
        self.assertEqual(page.evaluate("document.activeElement.id"), "canvas")
        page.press("c")
        self.assertEqual(page.evaluate("viewer.mark.what"), "critical")
        page.press("c")
        x, y = page.evaluate("[(viewer.layout.x[viewer.selected] - camera.x) * camera.scale, "
                             "(viewer.layout.y[viewer.selected] - camera.y) * camera.scale]")
        self.assertTrue(0 <= x <= 680 and 0 <= y <= 750, (x, y))

    def test_search_by_op_and_pattern(self):
        page = self.open()
        gelus = page.evaluate("data.nodes.op.filter((op) => data.texts[op] === 'gelu').length")
        self.assertEqual(gelus, 16)
        self.assertEqual(page.evaluate("new Search(viewer).find('op:gelu').filter((b) => "
                                       "data.texts[data.nodes.op[viewer.outline.item[b]]] === 'gelu').length"), gelus)
        self.assertEqual(page.evaluate("new Search(viewer).find('layer.?.mlp.gelu[batch=0,ff=* op:gelu').length"), 8)
        self.assertEqual(page.evaluate("new Search(viewer).find('no.such.node').length"), 0)
        ops = page.evaluate("new Search(viewer).find('op:matmul').map((b) => data.texts[data.nodes.op[viewer.outline.item[b]]])")
        exact = [op == "matmul" for op in ops]
        self.assertEqual(exact, sorted(exact, reverse=True))
        self.assertGreater(exact.count(False), 0)
        page.press("/")
        page.type("gelu")
        page.press("Enter", "/")
        page.type("arange")
        self.assertEqual(page.evaluate("document.getElementById('search').value"), "arange")

    def box_of(self, page, selector):
        """Where an element is: left, top, right, bottom."""
        return page.evaluate(f"(({{ left, top, right, bottom }}) => [left, top, right, bottom])"
                             f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())")

    def test_what_is_typed_and_how_many_are_found_stand_side_by_side(self):
        page = self.open()
        page.press("/")
        page.type("matmul grad batch=0 a very long question")
        for query in ("matmul", "no.such.node"):
            page.evaluate(f"searchBox.ask({json.dumps(query)})")
            page.frame()
            self.assertLessEqual(self.box_of(page, "#search")[2], self.box_of(page, "#found")[0])
            self.assertLessEqual(self.box_of(page, "#found")[2], self.box_of(page, "#finder")[2])
        page.evaluate("searchBox.ask('matmul')")
        self.assertRegex(page.evaluate("document.getElementById('found').textContent"), r"^[0-9]+ found$")
        self.assertIn("these are the first 60", page.evaluate("document.getElementById('results').innerText"))

    def test_escape_ends_a_search_first(self):
        page = self.open()
        page.press("/")
        page.type("layer.0.mlp.gelu[batch=1,ff=0]")
        page.press("Enter")
        self.assertTrue(page.evaluate("painter.found !== null"))
        page.press("Escape")
        self.assertEqual(page.evaluate("[painter.found, searchBox.input.value]"), [None, ""])
        self.assertEqual(self.selected(page), "layer.0.mlp.gelu[batch=1,ff=0]")
        page.press("Escape")
        self.assertEqual(page.evaluate("viewer.selected"), 0)

    def test_parameters_are_found_with_all_that_read_them(self):
        page = self.open("run")
        self.go(page, "layer.0.ln_1[batch=1]")
        page.evaluate("[...document.querySelectorAll('#details .value .link')].find((link) => "
                      "link.textContent === 'layer.0.ln_1:1[batch=1]').click()")
        page.frame()
        self.assertIn("Made by\nlayer.0.ln_1[batch=1]\n", self.details(page))
        page.press("Escape", "Escape")
        page.press("/")
        page.type("wte")
        page.press("Enter")
        values = page.evaluate("viewer.valuesLike(viewer.value)")
        readers = set(page.evaluate("[...data.reads.node.keys()].map((r) => [data.reads.node[r], data.reads.value[r]])"
                                    f".filter(([, value]) => {values}.includes(value)).map(([node]) => node)"))
        self.assertEqual(self.marked(page), readers)
        x, y = page.evaluate("(([x, y]) => [(x - camera.x) * camera.scale, (y - camera.y) * camera.scale])(((box) => "
                             "[viewer.layout.x[box], viewer.layout.y[box]])(viewer.shownOf(data.boxOf[viewer.mark.nodes[0]])))")
        self.assertTrue(0 <= x < page.evaluate("camera.width") and 0 <= y < page.evaluate("camera.height"), (x, y))
        text = self.details(page)
        for words in ("wte\n", "parameter", "Read by", "embed.token[batch=0]", "logits[batch=1]", "Overwritten by", "wte.adamw"):
            self.assertIn(words, text)
        page.evaluate("new Promise((done) => setTimeout(done, 600))")
        again = self.open("run", hash=page.evaluate("location.hash"))
        self.assertEqual(again.evaluate("viewer.value"), values[0])
        again.press("Escape", "Escape")
        self.assertEqual(again.evaluate("viewer.value"), -1)
        self.assertIn("The whole graph", self.details(again))

    # ---- names ----

    def test_rows_say_no_more_than_the_row_around_them_leaves(self):
        page = self.open("parts")
        node = self.go(page, "layer.0.mlp.gelu[batch=7,ff=11]")
        name, title = page.evaluate("((row) => [row.querySelector('.name').textContent, row.title])"
                                    "(document.querySelector('.row[aria-selected=true]'))")
        self.assertEqual(name, "batch=7,ff=11")
        self.assertTrue(title.startswith("layer.0.mlp.gelu[batch=7,ff=11]: "), title)
        self.assertEqual(page.evaluate(f"data.texts[data.nodes.name[{node}]]"), "layer.0.mlp.gelu[batch=7,ff=11]")
        page = self.open()
        page.press("u")
        cut = page.evaluate("[...document.querySelectorAll('.row .label')].map((label) => label.getBoundingClientRect().right - "
                            "label.querySelector('.tail').getBoundingClientRect().right)")
        self.assertGreater(len(cut), 20)
        self.assertGreaterEqual(min(cut), 0)

    # ---- what is said of a node ----

    def test_details_tell_why_a_node_waits(self):
        page = self.open()
        node = self.go(page, "layer.1.mlp.gelu[batch=0,ff=1]")
        text = self.details(page)
        for part in ("gelu", "layer.1", "batch=0,ff=1", "slack", "FLOP", "f32 (batch 6 of 12 at 0",
                     "RAW on layer.1.mlp.fc[batch=0,ff=1]", "the later node reads this value"):
            self.assertIn(part, text)
        self.assertIn("Waits that others imply are left out.", text)
        self.assertEqual(page.evaluate(f"itemsOf(data.waitsOf, {node}).length"), 1)
        kinds = set(page.evaluate("[...data.waits.kind].map((kind) => EDGE_KINDS[kind])"))
        self.assertIn("WAR", kinds)
        update = page.evaluate("data.waits.node[data.waits.kind.findIndex((kind) => EDGE_KINDS[kind] === 'WAR')]")
        page.evaluate(f"viewer.goToNode({update})")
        page.frame()
        self.assertRegex(self.details(page), "WAR on [^\n]+\n[^\n]+\nfrom ")

    def test_details_tell_what_was_left_whole(self):
        page = self.open("norms")
        self.assertIn("a norm's statistics need the whole axis", self.details(page))
        self.go(page, "layer.0.ln_1")
        self.assertIn("left whole: embd: a norm's statistics need the whole axis", self.details(page))
        self.assertNotIn("no axis that is cut", self.details(page))
        page = self.open("run")
        self.assertIn("Left whole by splits\n\nnothing that has an axis that is cut", self.details(page))
        page = self.open()
        self.assertNotIn("its results have no axis that is cut", self.details(page))
        self.go(page, "embed.arange")
        self.assertIn("whole: its results have no axis that is cut (batch, ff)", self.details(page))
        self.go(page, "layer.0.mlp.gelu[batch=0,ff=1]")
        self.assertNotIn("whole", self.details(page))

    def test_who_reads_a_result_is_told_and_followed(self):
        page = self.open("run")
        page.press("/")
        page.type("value:layer.0.ln_1[batch=1]")
        page.press("Enter")
        self.assertEqual(self.selected(page), "layer.0.ln_1[batch=1]")
        self.assertTrue(page.evaluate("document.getElementById('results').hidden"))
        readers = self.details(page).split("Is read by\n")[1].split("Reads\n")[0]
        self.assertEqual([name for name in readers.split("\n") if name],
                         ["layer.0.attn.qkv.matmul[batch=1]", "layer.0.attn.qkv.matmul.grad.matmul.2[batch=1]",
                          "layer.0.ln_1.grad.layernorm_backward[batch=1]"])
        page.press("Escape", "Escape", "g", "ArrowDown", "ArrowDown")
        self.assertNotIn(self.selected(page), ("tokens", ""))

    def test_links_lead_to_nodes_and_back(self):
        page = self.open()
        self.go(page, "layer.1.mlp.gelu[batch=0,ff=1]")
        page.evaluate("[...document.querySelectorAll('#details section:last-of-type .link')][0].click()")
        page.frame()
        self.assertEqual(self.selected(page), "layer.1.mlp.proj.matmul[batch=0,ff=1]")
        page.press("[")
        self.becomes_selected(page, "layer.1.mlp.gelu[batch=0,ff=1]")
        page.press("]")
        self.becomes_selected(page, "layer.1.mlp.proj.matmul[batch=0,ff=1]")

    # ---- what depends on what ----

    def reach(self, edges, start):
        met, todo = {start}, [start]
        while todo:
            for other in edges.get(todo.pop(), ()):
                if other not in met:
                    met.add(other)
                    todo.append(other)
        return met

    def test_ancestors_descendants_and_paths(self):
        page = self.open()
        needs, needed = self.needs(page)
        first, second = self.node(page, "layer.0.mlp.gelu[batch=0,ff=1]"), self.node(page, "layer.2.mlp.gelu[batch=0,ff=0]")
        page.evaluate(f"viewer.goToNode({second})")
        page.press("a")
        before = self.reach(needs, second)
        self.assertEqual(self.marked(page), before)
        self.assertIn(first, before)
        others = f"{len(before) - 1} nodes whose data it needs"
        self.assertIn(others, page.evaluate("document.getElementById('status').textContent"))
        self.assertIn(others, self.details(page))
        self.assertIn("embed.token[batch=0]", self.details(page))
        page.press("Escape")
        self.assertEqual(self.marked(page), set())
        page.evaluate(f"viewer.goToNode({first})")
        page.press("d")
        after = self.reach(needed, first)
        self.assertEqual(self.marked(page), after)
        page.press("Escape", "p")
        page.evaluate(f"viewer.goToNode({second})")
        page.press("p")
        self.assertEqual(self.marked(page), before & after)
        self.assertGreater(len(before & after), 10)

    def test_a_run_changes_nothing_in_what_needs_whose_data(self):
        page = self.open("run")
        needs, needed = self.needs(page)
        waits = self.waits(page)
        self.assertIn("reuse", page.evaluate("[...data.waits.kind].map((kind) => EDGE_KINDS[kind])"))
        node = self.go(page, "layer.1.mlp.gelu[batch=0]")
        page.press("a")
        self.assertEqual(self.marked(page), self.reach(needs, node))
        self.assertNotEqual(self.marked(page), self.reach(waits, node))
        self.assertIn("waits for memory alone", self.details(page))
        page.press("d")
        self.assertEqual(self.marked(page), self.reach(needed, node))
        names = page.evaluate("viewer.mark.nodes.map((node) => data.texts[data.nodes.name[node]])")
        path = dump(self.folder.name, "alone.html", "--preset", "tiny", "--layers", "2", "--batch", "4", "--train",
                    "--split", "batch=2", "--format", "html")
        alone = self.browser.page()
        alone.open(f"file://{path}")
        self.addCleanup(self.check_quiet, alone)
        self.go(alone, "layer.1.mlp.gelu[batch=0]")
        alone.press("d")
        self.assertEqual(alone.evaluate("viewer.mark.nodes.map((node) => data.texts[data.nodes.name[node]])"), names)

    def test_the_critical_path_is_a_longest_one(self):
        page = self.open()
        page.press("c")
        waits, costs = self.waits(page), page.evaluate("[...data.nodes.costNs]")
        ends = []
        for node, cost in enumerate(costs):
            ends.append(cost + max((ends[other] for other in waits.get(node, ())), default=0))
        path = page.evaluate("[...data.criticalPath]")
        self.assertEqual(self.marked(page), set(path))
        for before, node in zip(path, path[1:]):
            self.assertIn(before, waits[node])
        self.assertAlmostEqual(sum(costs[node] for node in path) / max(ends), 1, places=5)
        self.assertIn(f"{len(path)} nodes on the critical path",
                      page.evaluate("document.getElementById('status').textContent"))

    def test_slack_of_paths_as_long(self):
        page = self.open()
        node = page.evaluate("data.nodes.slackNs.findIndex((slack, node) => slack === 0 && !data.criticalPath.includes(node))")
        self.assertGreaterEqual(node, 0)
        page.evaluate(f"viewer.goToNode({node})")
        page.frame()
        self.assertIn("on another path that takes as long", self.details(page))

    def test_closed_boxes_on_the_critical_path_are_lit(self):
        page = self.open()
        for key in ("r", "o"):
            page.press(key, "Escape", "c")
            pale, expected = page.evaluate(
                "((path, boxes) => [boxes.map((b) => viewer.isPale(b)), boxes.map((b) => "
                "!nodesIn(viewer.outline, b).some((node) => path.has(node)))])(new Set(data.criticalPath), "
                "[...viewer.rows].filter((b) => !viewer.isOpen(b)))")
            self.assertEqual(pale, expected)
            self.assertIn(True, pale)
            self.assertIn(False, pale)
            page.press("c")

    # ---- a run ----

    def read_profile(self):
        with open(self.profile, encoding="utf-8") as file:
            return json.load(file)

    def test_the_timeline_is_the_profile(self):
        page, profile = self.open("run"), self.read_profile()
        bars = page.evaluate("timeline.run.rows.map((row) => [...row.items.keys()].filter((k) => row.items[k] >= 0)"
                             ".map((k) => [row.items[k], row.beginNs[k], row.endNs[k]]))")
        for worker, row in enumerate(bars):
            expected = sorted([node["node"], node["start_ns"], node["end_ns"]] for node in profile["nodes"]
                              if node["worker"] == worker)
            self.assertEqual(sorted(row), expected)
        for worker, row in enumerate(page.evaluate("timeline.run.rows.map((row) => [[...row.beginNs], [...row.endNs]])")):
            begins, ends = row
            for k in range(1, len(begins)):
                self.assertGreaterEqual(begins[k], ends[k - 1])
            self.assertEqual(sum(ends) - sum(begins), profile["wall_ns"])
        self.assertRegex(self.details(page), "What bounds this step most is|This run was disturbed")

    def test_gaps_name_their_cause(self):
        page, profile = self.open("run"), self.read_profile()
        nodes = profile["nodes"]
        ends = {}
        for node in nodes:
            ends[node["task"]] = max(ends.get(node["task"], 0), node["end_ns"])
        gaps = page.evaluate("[...data.run.gaps.cause.keys()].map((g) => [data.run.gaps.cause[g], data.run.gaps.node[g], "
                             "data.run.gaps.wait[g], data.run.gaps.endNs[g]])")
        waited = [(g, node, wait) for g, (cause, node, wait, _) in enumerate(gaps) if cause == 0]
        self.assertGreater(len(waited), 0)
        for g, node, wait in waited:
            kind, other, value, owner = page.evaluate(
                f"[EDGE_KINDS[data.waits.kind[{wait}]].toLowerCase(), data.waits.from[{wait}], data.waits.value[{wait}], "
                f"data.waits.node[{wait}]]")
            task = nodes[node]["task"]
            self.assertEqual(nodes[owner]["task"], task)
            self.assertIn([other, kind, value], [wait[:3] for wait in nodes[owner]["waits"]])
            last = max(ends[nodes[wait[0]]["task"]] for member in nodes if member["task"] == task
                       for wait in member["waits"] if nodes[wait[0]]["task"] != task)
            self.assertEqual(ends[nodes[other]["task"]], last)
        g, node, wait = waited[0]
        page.evaluate(f"viewer.selectGap({g})")
        page.frame()
        name = page.evaluate(f"data.texts[data.nodes.name[data.waits.from[{wait}]]]")
        self.assertRegex(self.details(page), f"{re.escape(nodes[node]['name'])} waits for {re.escape(name)}(: | \\()")
        self.assertIn(nodes[node]["name"], self.details(page))

    def test_waits_of_a_run_are_the_plans(self):
        page, profile = self.open("run"), self.read_profile()
        declared = [[node["node"], *wait[:3]] for node in profile["nodes"] for wait in node["waits"]]
        self.assertEqual(page.evaluate("[...data.waits.node.keys()].map((w) => [data.waits.node[w], data.waits.from[w], "
                                       "EDGE_KINDS[data.waits.kind[w]].toLowerCase(), data.waits.value[w]])"), declared)

    def test_a_bar_and_its_node_select_each_other(self):
        page = self.open("run")
        left, top = page.evaluate("(() => { const r = timeline.canvas.getBoundingClientRect(); return [r.x, r.y]; })()")
        node = page.evaluate("(() => { const { startNs, endNs } = data.run.timings; return [...startNs.keys()]"
                             ".reduce((a, b) => endNs[b] - startNs[b] > endNs[a] - startNs[a] ? b : a); })()")
        x, y = page.evaluate(f"[timeline.xOf((data.run.timings.startNs[{node}] + data.run.timings.endNs[{node}]) / 2), "
                             f"timeline.rowTop(data.run.timings.worker[{node}]) + 4]")
        page.click(left + x, top + y)
        self.assertEqual(self.selected(page), self.read_profile()["nodes"][node]["name"])
        self.assertIn(f"task {self.read_profile()['nodes'][node]['task']}", self.details(page))
        page.evaluate("timeline.look(0, 2000)")
        last = page.evaluate("data.run.path.node[data.run.path.node.length - 1]")
        page.evaluate(f"viewer.goToNode({last})")
        begin, end, start = page.evaluate(f"[timeline.begin, timeline.end, data.run.timings.startNs[{last}]]")
        self.assertTrue(begin <= start <= end)

    def test_the_timeline_by_keys(self):
        page = self.open("run")
        page.press("w")
        self.assertEqual(page.evaluate("document.activeElement.id"), "timeline")
        page.press("ArrowRight")
        first = page.evaluate("timeline.item")
        self.assertEqual(first, page.evaluate("timeline.run.rows[0].items[0]"))
        page.press("ArrowRight", "ArrowRight")
        self.assertEqual(page.evaluate("timeline.item"), page.evaluate("timeline.run.rows[0].items[2]"))
        page.press("ArrowDown")
        self.assertIn(page.evaluate("timeline.item"), page.evaluate("[...timeline.run.rows[1].items]"))
        page.press("+")
        self.assertLess(page.evaluate("timeline.end - timeline.begin"), page.evaluate("data.run.wallNs"))
        page.press("0")
        self.assertEqual(page.evaluate("timeline.end - timeline.begin"), page.evaluate("data.run.wallNs"))

    def test_the_measured_path_and_heat(self):
        page, nodes = self.open("run"), self.read_profile()["nodes"]
        page.press("m")
        path = page.evaluate("[...data.run.path.node]")
        self.assertEqual(self.marked(page), set(path))
        self.assertEqual(nodes[path[-1]]["end_ns"], max(node["end_ns"] for node in nodes))
        for before, node in zip(path, path[1:]):
            self.assertLessEqual(nodes[before]["end_ns"], nodes[node]["start_ns"])
        page.press("Escape", "h")
        self.assertEqual(page.evaluate("viewer.timeOf(0)"), sum(node["end_ns"] - node["start_ns"] for node in nodes))
        self.assertGreater(self.colours(page), 5)
        self.assertTrue(page.evaluate("document.getElementById('heat').getAttribute('aria-pressed') === 'true'"))

    def test_labels_of_the_axis_differ(self):
        page = self.open("run")
        for begin, length in ((0, 1), (0.3, 0.1), (0.5, 0.01), (0.999, 0.001), (0.2, 0)):
            page.evaluate(f"timeline.look(timeline.run.wallNs * {begin}, timeline.run.wallNs * ({begin} + {length}))")
            ticks = page.evaluate("timeline.ticks().map(({ words }) => words)")
            self.assertGreater(len(ticks), 2)
            self.assertEqual(len(set(ticks)), len(ticks), ticks)
            self.assertEqual(len({words.split(" ")[1] for words in ticks}), 1)
            numbers = [float(words.split(" ")[0]) for words in ticks]
            steps = {round(b - a, 9) for a, b in zip(numbers, numbers[1:])}
            self.assertEqual(len(steps), 1, ticks)

    def test_what_the_timeline_tells_stands_above_it(self):
        page = self.open("run")
        self.assertLessEqual(self.box_of(page, "#moment")[3], self.box_of(page, "#timeline")[1])
        left, top = self.box_of(page, "#timeline")[:2]
        seen = page.evaluate("document.getElementById('moment').textContent")
        self.assertRegex(seen, "^2 workers, 0.000 ms to ")
        bar = page.evaluate("timeline.run.rows[0].items.findIndex((item) => item >= 0)")
        x = page.evaluate(f"timeline.xOf((timeline.run.rows[0].beginNs[{bar}] + timeline.run.rows[0].endNs[{bar}]) / 2)")
        page.mouse("mouseMoved", left + x, top + page.evaluate("timeline.rowTop(0)") + 4)
        page.frame()
        self.assertRegex(page.evaluate("document.getElementById('moment').textContent"), "^worker 0: ")
        self.go(page, "layer.1.mlp.gelu[batch=0]")
        self.assertIn("layer.1.mlp.gelu[batch=0]: ", page.evaluate("document.getElementById('moment').textContent"))
        page.press("Escape")
        self.assertRegex(page.evaluate("document.getElementById('moment').textContent"), "^2 workers, ")

    def test_home_and_end_of_a_worker(self):
        page = self.open("run")
        page.press("w", "End")
        last = page.evaluate("[...timeline.run.rows[0].items].filter((item) => item >= 0).pop()")
        self.assertEqual(page.evaluate("timeline.item"), last)
        page.press("Home")
        self.assertEqual(page.evaluate("timeline.item"), page.evaluate("timeline.run.rows[0].items.find((item) => item >= 0)"))

    def test_all_is_as_at_first(self):
        page = self.open("run")
        state = ("[viewer.boxes, viewer.selected, viewer.mark, viewer.heat, timeline.begin, timeline.end, painter.found, "
                 "camera.x, camera.y, camera.scale]")
        before = page.evaluate(state)
        page.press("u", "h", "/")
        page.type("op:gelu")
        page.press("Enter", "a", "w", "+", "+")
        self.assertNotEqual(page.evaluate("timeline.end"), before[5])
        page.press("r")
        self.assertEqual(page.evaluate(state), before)

    def test_ops_have_their_share_and_lead_to_their_nodes(self):
        page = self.open("run")
        text = self.details(page)
        self.assertLess(text.index("Ops, measured"), text.index("Longest gaps"))
        shares = page.evaluate("[...document.querySelectorAll('#details table')].find((table) => table.innerText.startsWith('op'))"
                               ".innerText.match(/[0-9.]+ %/g).map(parseFloat)")
        self.assertAlmostEqual(sum(shares), 100, delta=2)
        page.evaluate("[...document.querySelectorAll('#details th .link')].find((link) => link.textContent === 'matmul').click()")
        page.frame()
        found = page.evaluate("searchBox.results.map((box) => data.texts[data.nodes.op[viewer.outline.item[box]]])")
        self.assertEqual(set(found), {"matmul"})
        self.assertEqual(len(found), page.evaluate("data.nodes.op.filter((op) => data.texts[op] === 'matmul').length"))
        gaps = "[...document.querySelectorAll('#details section')].find((part) => part.innerText.startsWith('Longest gaps'))"
        self.assertEqual(page.evaluate(f"{gaps}.querySelectorAll('li').length"), 9)
        page.evaluate(f"{gaps}.querySelector('.more').click()")
        self.assertGreater(page.evaluate(f"{gaps}.querySelectorAll('li').length"), 9)

    def test_a_gap_leads_to_its_node_and_what_ran_meanwhile(self):
        page = self.open("run")
        page.press("o")
        gap = page.evaluate("[...data.run.gaps.cause.keys()].filter((g) => data.run.gaps.cause[g] === Gap.WAIT).pop()")
        page.evaluate(f"viewer.selectGap({gap})")
        page.frame()
        node = page.evaluate(f"data.run.gaps.node[{gap}]")
        self.assertEqual(page.evaluate("viewer.selected"), page.evaluate(f"data.boxOf[{node}]"))
        self.assertTrue(page.evaluate("viewer.layout.shown[viewer.selected]"))
        worker, begin, end = page.evaluate(f"[data.run.gaps.worker[{gap}], data.run.gaps.beginNs[{gap}], data.run.gaps.endNs[{gap}]]")
        ran = [(min(end, n["end_ns"]) - max(begin, n["start_ns"]), n["name"]) for n in self.read_profile()["nodes"]
               if n["worker"] != worker and n["start_ns"] < end and n["end_ns"] > begin]
        self.assertGreater(len(ran), 0)
        told = self.details(page).split("Ran meanwhile on other workers\n")[1]
        self.assertIn(max(ran)[1], told.split("\n")[0])

    def test_the_measured_path_is_told_in_turns(self):
        page = self.open("run")
        page.press("m")
        told = page.evaluate("details.run.turns()")
        self.assertEqual([node for turn in told["turns"] for node in turn["nodes"]], page.evaluate("[...data.run.path.node]"))
        self.assertEqual(told["kernels"] + told["between"], max(node["end_ns"] for node in self.read_profile()["nodes"]))
        self.assertEqual(told["kernels"], sum(turn["kernels"] for turn in told["turns"]))
        self.assertLess(len(told["turns"]), page.evaluate("data.run.path.node.length"))
        text = self.details(page)
        for words in ("Its longest nodes", "Its turns of scopes and workers", ", the longest: "):
            self.assertIn(words, text)
        page.evaluate("document.querySelector('#details details').open = true")
        page.frame()
        page.frame()
        self.assertGreater(page.evaluate("document.querySelectorAll('#details details .link').length"), 0)

    def test_shades_tell_times_apart_and_can_be_read(self):
        page = self.open("run")
        page.press("u", "h")
        shades = page.evaluate("[...viewer.rows].filter((box) => !viewer.isOpen(box)).map((box) => viewer.heatOf(box))")
        self.assertGreater(len(set(shades)), 5)
        cool, hot = page.evaluate("viewer.heatRange.map(duration)")
        legend = page.evaluate("document.getElementById('legend').textContent")
        self.assertTrue(cool in legend and hot in legend, legend)
        for scheme in ("light", "dark"):
            page.emulate(prefers_color_scheme=scheme)
            page.frame()
            colours = page.evaluate("['page', 'heat', 'text'].map((name) => [1, 3, 5].map((at) => "
                                    "parseInt(painter.theme[name].slice(at, at + 2), 16)))")
            back, heat, text = ([channel / 255 for channel in colour] for colour in colours)
            for alpha in page.evaluate("Array.from({ length: HEATS }, (_, shade) => heatAlpha(shade))"):
                mixed = [b + alpha * (h - b) for b, h in zip(back, heat)]
                high, low = sorted((self.luminance(mixed), self.luminance(text)), reverse=True)
                self.assertGreaterEqual((high + 0.05) / (low + 0.05), 4.5, (scheme, alpha))

    def luminance(self, colour):
        """Of sRGB from 0 to 1: WCAG 2's relative luminance."""
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    # ---- groups ----

    def test_a_group_tells_what_it_waits_for_and_reads(self):
        page = self.open("run")
        box = page.evaluate("viewer.rows.find((box) => viewer.name(box) === 'layer.1')")
        page.evaluate(f"viewer.go({box})")
        page.frame()
        inside = set(page.evaluate(f"nodesIn(viewer.outline, {box})"))
        kinds = page.evaluate("[...data.waits.node.keys()].map((w) => [data.waits.node[w], data.waits.from[w], data.waits.kind[w]])")
        expected = sum(1 for node, other, _ in kinds if node in inside and other not in inside)
        text = self.details(page)
        part = text.split("Waits for\n")[1].split("Is waited for by")[0]
        self.assertEqual(sum(int(count) for count in re.findall("×([0-9]+)", re.sub(r"\S+ ×\d+ (?=RAW|WAR|WAW|after|reuse)", "", part))),
                         expected)
        for words in ("Reads\n", "Is read by\n", "layer.1.attn.qkv.weight 1 value, "):
            self.assertIn(words, text)

    def test_groups_of_workers_share_nodes_and_time(self):
        page = self.open("stages")
        text = self.details(page)
        self.assertIn("2 groups of workers", text)
        self.assertIn("2 groups of workers", page.evaluate("document.getElementById('title').textContent"))
        places = page.evaluate("[...data.nodes.place]")
        for group in (0, 1):
            self.assertRegex(text, f"\n{group}\t{places.count(group)}\t[0-9.]+ .s\t[0-9.]+ %")
        page.evaluate("viewer.goToNode(0)")
        page.frame()
        self.assertRegex(self.details(page), "group [01] of workers")

    def test_words(self):
        for name in ("training", "run", "compared"):
            page = self.open(name)
            for step in ("0", "viewer.goToNode(data.nodes.op.findIndex((op) => data.texts[op] === 'matmul'))"):
                page.evaluate(step)
                page.frame()
                text = page.evaluate("document.body.innerText")
                self.assertIsNone(re.search(r"\bunits?\b|order=\s|dims=\s|node [0-9]+ as written", text))
        page = self.open()
        self.go(page, "layer.1.mlp.gelu[batch=0,ff=1]")
        self.assertRegex(self.details(page), "made from\nlayer.1.mlp.gelu as written, one of 4 nodes")

    # ---- a comparison ----

    def test_a_comparison_has_the_nodes_of_both_with_signs(self):
        page = self.open("compared")
        text = subprocess.run([os.environ["PARAGRAPH"], "compare", *self.graphs, "--json"], stdout=subprocess.PIPE).stdout
        told = [json.loads(line) for line in text.splitlines()]
        nodes = [line for line in told if "op" in line]
        expected = sorted((line["name"], line["sign"]) for line in nodes)
        found = page.evaluate("[...data.nodes.name].map((text, node) => [data.texts[text], ' ~-+'[data.compare.sign[node]]])")
        self.assertEqual(sorted(map(tuple, found)), expected)
        self.assertEqual({sign for _, sign in expected}, {" ", "~", "-", "+"})
        names = page.evaluate("[...data.nodes.name.keys()].map((node) => viewer.name(data.boxOf[node]))")
        for name, (_, sign) in zip(names, found):
            self.assertEqual(name[:2], {" ": name[:2], "~": "~ ", "-": "\u2212 ", "+": "+ "}[sign])
        changed = next(line for line in nodes if line["sign"] == "~")
        self.go(page, changed["name"])
        for part in changed["change"].split("; "):
            self.assertIn(part, self.details(page))

    def test_what_differs_alone(self):
        page = self.open("compared")
        page.press("x")
        differ = set(page.evaluate("[...data.compare.sign.keys()].filter((node) => data.compare.sign[node] > 0)"))
        self.assertEqual(self.marked(page), differ)
        self.assertIn(f"{len(differ)} nodes that differ", page.evaluate("document.getElementById('status').textContent"))
        self.assertFalse(page.evaluate("[...viewer.rows].some((box) => viewer.canOpen(box) && "
                                       "viewer.isOpen(box) && viewer.isPale(box))"))
        page.press("x")
        self.assertEqual(self.marked(page), set())
        page.evaluate("viewer.select(0)")
        page.frame()
        page.evaluate("[...document.querySelectorAll('#details .value .link')][3].click()")
        page.frame()
        node = page.evaluate("viewer.outline.item[viewer.selected]")
        self.assertIn(node, differ)
        self.assertTrue(page.evaluate("viewer.layout.shown[viewer.selected]"))

    def test_what_one_graph_alone_reads(self):
        page = self.open("compared")
        node = page.evaluate("data.reads.node[data.reads.node.length - 1]")
        self.assertGreater(page.evaluate("data.compare.onlyA"), 0)
        page.evaluate(f"viewer.goToNode({node})")
        page.frame()
        self.assertIn("\u2212 in the first alone", self.details(page))

    def test_runs_are_compared_beside_their_spread(self):
        page, runs = self.open("runs"), []
        for path in self.runs:
            with open(path, encoding="utf-8") as file:
                runs.append([node["end_ns"] - node["start_ns"] for node in json.load(file)["nodes"]])
        for node in range(0, len(runs[0]), 7):
            a, b = page.evaluate(f"viewer.comparison.sidesOf([data.boxOf[{node}]])")
            first, second = [runs[0][node], runs[1][node]], runs[2][node]
            self.assertEqual((a["low"], a["high"], b["mean"]), (min(first), max(first), second))
            self.assertEqual(a["mean"], sum(first) / 2)
            self.assertEqual(page.evaluate(f"data.compare.sign[{node}]"), int(not min(first) <= second <= max(first)))
        a, b = page.evaluate("viewer.comparison.sidesOf([0])")
        self.assertEqual((a["mean"], b["mean"]), ((sum(runs[0]) + sum(runs[1])) / 2, sum(runs[2])))
        for words in ("In kernels", "spread", "wall", "idle", "What differs"):
            self.assertIn(words, self.details(page))
        page.press("h")
        self.assertGreater(self.colours(page), 5)

    def test_runs_of_graphs_that_are_cut_otherwise(self):
        page, times = self.open("otherwise"), []
        for path in (self.profile, self.otherwise):
            with open(path, encoding="utf-8") as file:
                times.append({node["name"]: node["end_ns"] - node["start_ns"] for node in json.load(file)["nodes"]})
        stem = "layer.0.attn.qkv.matmul"
        first = sum(ns for name, ns in times[0].items() if name.startswith(f"{stem}["))
        for part in ("heads=0", "heads=1"):
            node = self.node(page, f"{stem}[{part}]")
            a, b = page.evaluate(f"viewer.comparison.sidesOf([data.boxOf[{node}]])")
            self.assertEqual((a["mean"], b["mean"]), (round(first / 2), times[1][f"{stem}[{part}]"]))
        self.go(page, f"{stem}[heads=0]")
        self.assertRegex(self.details(page), r"2 nodes -> 2\ncut along: batch -> heads")
        page.evaluate("viewer.select(0)")
        page.frame()
        text = self.details(page)
        for words in ("isn't known of one each", "By worker", "wall", "By scope", "layer.0 forward", "By op", "What differs most"):
            self.assertIn(words, text)
        self.assertNotIn("the same in both", text)
        self.assertNotIn("\u240a", text)
        most = page.evaluate("[...data.compare.sign.keys()].reduce((most, node) => Math.max(most, "
                             "Math.abs(viewer.comparison.differenceOf(data.boxOf[node]))), 0)")
        self.assertIn(page.evaluate(f"duration({most})"), text.split("What differs most\n")[1].split("\n")[1])
        self.assertLessEqual(page.evaluate("document.querySelector('#details').scrollWidth"),
                             page.evaluate("document.querySelector('#details').clientWidth"))

    # ---- the address ----

    def test_the_address_has_the_state(self):
        page = self.open()
        self.go(page, "layer.2.mlp.gelu[batch=1,ff=1]")
        page.press("a", "+", "+")
        page.evaluate("new Promise((done) => setTimeout(done, 600))")
        state = "[viewer.selected, viewer.boxes, viewer.mark.what, Math.round(camera.x), Math.round(camera.y)]"
        hash, before = page.evaluate("location.hash"), page.evaluate(state)
        again = self.open(hash=hash)
        self.assertEqual(again.evaluate(state), before)

    def test_odd_addresses_do_no_harm(self):
        for hash in ("#box=999999&open=all.zzzz.-1.x&at=1,2,NaN&mark=between,1", "#box=-1&mark=critical,2&at=0,0,-3",
                     "#open=first.!!&box=1.5"):
            page = self.open(hash=hash)
            self.assertGreater(page.evaluate("viewer.boxes"), 0)

    # ---- without a mouse, without eyes ----

    def test_the_keyboard_alone(self):
        page = self.open()
        focused = []
        for _ in range(10):
            page.press("Tab")
            focused.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('role')"))
        self.assertEqual(focused, ["search", "reset", "fold", "unfold", "critical", "heat", "about", "treeitem", "canvas",
                                   "details"])
        page.press("t", "Home", "ArrowDown")
        self.assertEqual(self.selected(page), "embed")
        page.press("ArrowRight")
        self.assertEqual(self.selected(page), "token ×2")
        page.press("ArrowLeft", "ArrowLeft")
        self.assertEqual(self.selected(page), "embed")
        self.assertFalse(page.evaluate("viewer.isOpen(viewer.selected)"))
        page.press("ArrowRight", "End")
        last = page.evaluate("viewer.rows[viewer.rows.length - 1]")
        self.assertEqual(page.evaluate("viewer.selected"), last)
        self.assertEqual(page.evaluate("Number(document.activeElement.dataset.box)"), last)
        for name in ("layer.1.mlp.fc[batch=0,ff=1]", "layer.1.mlp.proj.matmul[batch=0,ff=1]",
                     "layer.1.mlp.gelu[batch=0,ff=1]"):
            self.go(page, name)
        page.press("g", "ArrowUp")
        self.assertEqual(self.selected(page), "layer.1.mlp.fc[batch=0,ff=1]")
        page.press("ArrowDown", "ArrowDown")
        self.assertEqual(self.selected(page), "layer.1.mlp.proj.matmul[batch=0,ff=1]")
        page.press("ArrowRight")
        self.assertNotEqual(self.selected(page), "layer.1.mlp.proj.matmul[batch=0,ff=1]")
        page.press("?")
        self.assertTrue(page.evaluate("document.getElementById('help').open"))
        page.press("Escape")
        self.assertFalse(page.evaluate("document.getElementById('help').open"))

    def test_the_accessibility_tree_has_it(self):
        page = self.open()
        self.go(page, "layer.1.mlp.gelu[batch=0,ff=1]")
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        by_role = {}
        for node in nodes:
            if not node.get("ignored"):
                by_role.setdefault(node["role"]["value"], []).append(node)
        names = {role: [node["name"]["value"] for node in all] for role, all in by_role.items() if "name" in all[0]}
        self.assertEqual(names["tree"], ["Boxes"])
        self.assertIn("Drawing of the graph", names["application"])
        self.assertIn("Search nodes and values", names["combobox"])
        self.assertIn("batch=0,ff=1, forward, gelu · batch 6, seq 64, ff 256", names["treeitem"])
        self.assertIn("Waits for", names["heading"])
        item = next(node for node in by_role["treeitem"] if node["name"]["value"].startswith("batch=0,ff=1, forward, gelu"))
        properties = {p["name"]: p["value"].get("value") for p in item["properties"]}
        self.assertTrue(properties["selected"])
        self.assertGreater(properties["level"], 3)

    def test_rows_are_as_many_as_are_in_view(self):
        page = self.open()
        page.press("u")
        self.assertLess(page.evaluate("document.querySelectorAll('[role=treeitem]').length"), 80)
        page.press("t", "End")
        row = page.evaluate("(() => { const row = document.activeElement.getBoundingClientRect(), "
                            "tree = document.getElementById('tree').getBoundingClientRect(); "
                            "return [row.top >= tree.top, row.bottom <= tree.bottom + 1]; })()")
        self.assertEqual(row, [True, True])

    def test_axe_finds_nothing(self):
        if not os.environ.get("AXE"):
            self.skipTest("AXE doesn't say where axe.min.js is")
        with open(os.environ["AXE"], encoding="utf-8") as file:
            axe = file.read()
        for name, scheme in (("training", "light"), ("training", "dark"), ("run", "light"), ("run", "dark"),
                             ("compared", "light"), ("runs", "dark")):
            page = self.open(name, prefers_color_scheme=scheme)
            for step in ("0", "viewer.goToNode(Math.min(200, data.nNodes - 1))", "viewer.setMark('critical'); document.getElementById('search').focus()",
                         "document.getElementById('help').showModal()"):
                page.evaluate(step)
                page.frame()
                page.evaluate(f"{axe};0")
                passes, violations = page.evaluate("axe.run().then((found) => [found.passes.length, found.violations"
                                                   ".map((rule) => [rule.id, rule.nodes.map((node) => node.html)])])")
                self.assertGreater(passes, 15)
                self.assertEqual(violations, [])

    # ---- how it looks ----

    def test_dark_light_and_forced_colours(self):
        def corner(page):
            return page.evaluate(f"[...{self.pixels(page)}.getImageData(canvas.width - 2, 2, 1, 1).data]")
        self.assertEqual(corner(self.open(prefers_color_scheme="light")), [255, 255, 255, 255])
        page = self.open(prefers_color_scheme="dark")
        self.assertEqual(corner(page), [13, 17, 23, 255])
        page.emulate(prefers_color_scheme="light")
        page.frame()
        page.frame()
        self.assertEqual(corner(page), [255, 255, 255, 255])
        page = self.open(forced_colors="active")
        self.assertTrue(page.evaluate("painter.theme.forced"))
        self.assertGreater(self.colours(page), 2)

    def test_small_windows_keep_the_drawing(self):
        page = self.browser.page(width=420, height=760)
        page.open(f"file://{self.files['training']}")
        self.addCleanup(self.check_quiet, page)
        self.assertGreater(page.evaluate("canvas.clientHeight"), 300)
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 420)

    def test_what_changes_its_size_is_drawn_within_the_frame(self):
        page = self.open("run")
        for name in ("canvas", "timeline.canvas"):
            corner = page.evaluate(f"new Promise((done) => {{ const c = {name}; new ResizeObserver(() => {{"
                                   "if (c.clientWidth === 500) done([...c.getContext('2d').getImageData(2, 2, 1, 1).data]);"
                                   "}).observe(c); c.style.width = '500px'; })")
            self.assertNotEqual(corner[:3], [0, 0, 0])

    def test_narrow_windows_keep_every_command(self):
        for width in (800, 420):
            page = self.browser.page(width=width, height=800)
            page.open(f"file://{self.files['run']}")
            self.addCleanup(self.check_quiet, page)
            for name in ("reset", "fold", "unfold", "critical", "measured", "heat", "about"):
                left, top, right, bottom = self.box_of(page, f"#{name}")
                self.assertGreater(right - left, 20)
                self.assertTrue(left >= 0 and right <= width and bottom < 300, (name, left, top, right, bottom))
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)

    def test_names_seen_from_afar_stand_apart(self):
        page = self.open("run")
        page.press("u")
        for scale in (0.3, 0.1, 0.05, 0.02):
            page.evaluate(f"camera.scale = {scale}; painter.draw()")
            names = page.evaluate("[...painter.taken.values()].flat()")
            for k, one in enumerate(names):
                for other in names[k + 1:]:
                    self.assertFalse(abs(one["y"] - other["y"]) < 11 and one["x"] < other["x"] + other["wide"] and
                                     other["x"] < one["x"] + one["wide"], (scale, one, other))
        self.assertGreater(len(names), 0)

    def test_the_status_covers_no_box(self):
        page = self.open()
        self.assertLessEqual(self.box_of(page, "#canvas")[3], self.box_of(page, "#status")[1])

    def test_the_viewer_is_small(self):
        page = self.open("stages")
        size = os.path.getsize(self.files["stages"])
        data = page.evaluate("[document.getElementById('data'), document.querySelector('noscript')]"
                             ".map((element) => new TextEncoder().encode(element.textContent).length)")
        self.assertLessEqual(size - sum(data), 100000)

    def test_without_scripts_there_is_the_drawing(self):
        page = self.browser.page()
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.call("Page.navigate", url=f"file://{self.files['training']}")
        page.wait(1)
        root = page.call("DOM.getDocument", depth=-1)["root"]["nodeId"]
        svg = page.call("DOM.querySelector", nodeId=root, selector="noscript > svg")["nodeId"]
        self.assertGreater(svg, 0)
        box = page.call("DOM.getBoxModel", nodeId=svg)["model"]
        self.assertGreater(box["height"], 300)
        self.check_quiet_without_scripts(page)

    def check_quiet_without_scripts(self, page):
        self.assertEqual(page.complaints, [])
        self.browser.call("Target.closeTarget", targetId=page.target)

    # ---- odd names ----

    def test_hostile_names_are_text(self):
        page = self.open("hostile")
        page.press("u")
        for node in range(len(HOSTILE)):
            page.evaluate(f"viewer.goToNode({node})")
            page.frame()
        page.press("/")
        page.type("<img")
        self.assertEqual(page.evaluate("[window.hit === undefined, document.querySelectorAll('img, iframe').length, "
                                       "document.scripts.length]"), [True, 0, 2])
        names = page.evaluate("[...data.nodes.name].slice(0, 8).map((text) => data.texts[text])")
        self.assertEqual(names[0], HOSTILE[0])
        self.assertEqual(names[3], "a␊b␁␡")
        self.assertEqual(names[4], "<U+202E>desrever")
        self.assertEqual(names[5], "\u2068\u05e9\u05dc\u05d5\u05dd\u2069")
        self.assertEqual(names[6], HOSTILE[6])
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 1280)


if __name__ == "__main__":
    unittest.main(verbosity=2)
