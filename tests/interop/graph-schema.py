#!/usr/bin/env python3
"""Hold graph files to doc/graph-format.schema.json, and show that it refuses what loading refuses.

    tests/interop/graph-schema.py PARAGRAPH
"""
import copy
import json
import os
import subprocess
import sys
import tempfile

import jsonschema

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
GRAPHS = [
    [],
    ["--train"],
    ["--train", "--split", "batch=2,ff=2", "--recompute", "cheap"],
    ["--train", "--precision", "bf16", "--stages", "2"],
    ["--split", "embd=2"],
]


def dump(paragraph, *arguments):
    """A graph file's contents and its JSON."""
    text = subprocess.run([paragraph, "dump", "--format", "json", *arguments], check=True, capture_output=True).stdout
    return text, json.loads(text)


def spoil(graph):
    """Files with one thing wrong each."""
    def with_change(*path_and_value):
        *path, last, value = path_and_value
        spoilt = copy.deepcopy(graph)
        place = spoilt
        for step in path:
            place = place[step]
        place[last] = value
        return spoilt

    yield with_change("format", "graph")
    yield with_change("version", 2)
    yield with_change("splits", "batch=2,")
    yield with_change("colour", 1)
    yield with_change("axes", 0, "extent", 0)
    yield with_change("tensors", 0, "kind", "output")
    yield with_change("tensors", 0, "dims", [["batch", 1, 0]])
    yield with_change("tensors", 0, "producer", 0)
    yield with_change("tensors", 0, "name", "")
    yield with_change("nodes", 0, "place", 4096)
    yield with_change("nodes", 0, "outputs", [])
    yield with_change("nodes", 0, "after", [])
    yield with_change("nodes", 0, "inputs", [-1])
    yield with_change("gradients", [[1]])


def is_loaded(paragraph, graph):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(graph, file)
        file.flush()
        return subprocess.run([paragraph, "dump", "--graph", file.name], capture_output=True).returncode == 0


def main():
    paragraph, wrong = sys.argv[1], 0
    with open(os.path.join(TOP, "doc", "graph-format.schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for arguments in GRAPHS:
        graph = dump(paragraph, "--preset", "tiny", *arguments)[1]
        for error in list(validator.iter_errors(graph))[:3]:
            print(f"FAILED: {arguments}: {error.json_path}: {error.message}")
            wrong += 1
    graph = dump(paragraph, "--preset", "tiny")[1]
    for number, spoilt in enumerate(spoil(graph)):
        if validator.is_valid(spoilt) or is_loaded(paragraph, spoilt):
            print(f"FAILED: what is wrong in file {number} is accepted")
            wrong += 1
    print(f"graph files and their schema: {len(GRAPHS)} graphs, {wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
