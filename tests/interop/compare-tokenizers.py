#!/usr/bin/env python3
"""Compare the ids that `paragraph tokenize` writes with those of tokenizers and tiktoken.

    compare-tokenizers.py PARAGRAPH TOKENIZER_DIR FILE...

PARAGRAPH is the command, TOKENIZER_DIR has a GPT-2's vocab.json and merges.txt (at most 65536 tokens), each FILE is
text in UTF-8, for example tests/golden/tokenizer-nasty.txt. Special tokens in the text are text. Prints a line per
file; fails at the first id that differs. Needs the packages tokenizers and tiktoken, and no network.
"""
import array
import json
import os
import subprocess
import sys
import tempfile

import tiktoken
from tokenizers import Tokenizer, models, pre_tokenizers

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def open_tokenizers(folder):
    paths = [os.path.join(folder, name) for name in ("vocab.json", "merges.txt")]
    tokenizer = Tokenizer(models.BPE.from_file(*paths))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def open_tiktoken(folder):
    """What no merge makes is left out: it is special."""
    printable = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [b for b in range(256) if b not in printable]
    byte = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    with open(os.path.join(folder, "merges.txt"), encoding="utf-8") as file:
        merges = [line.split() for line in file.read().split("\n") if line and not line.startswith("#version")]
    made = set(byte) | {left + right for left, right in merges}
    with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as file:
        vocab = json.load(file)
    ranks = {bytes(byte[c] for c in token): i for token, i in vocab.items() if token in made}
    return tiktoken.Encoding("paragraph", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def run_paragraph(command, folder, path):
    with tempfile.TemporaryDirectory() as place:
        out = os.path.join(place, "ids.tok16")
        subprocess.run([command, "tokenize", "--tokenizer", folder, "--data", path, "-o", out], check=True)
        ids = array.array("H")
        with open(out, "rb") as file:
            ids.frombytes(file.read())
    if sys.byteorder == "big":
        ids.byteswap()
    return ids.tolist()


def check_equal(path, name, ours, theirs):
    if ours == theirs:
        return
    i = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    sys.exit(f"{path}: id {i} differs: paragraph has {ours[i:i + 5]}, {name} {theirs[i:i + 5]}")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    command, folder, *paths = sys.argv[1:]
    tokenizer, encoding = open_tokenizers(folder), open_tiktoken(folder)
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        ours = run_paragraph(command, folder, path)
        check_equal(path, "tokenizers", ours, tokenizer.encode(text).ids)
        check_equal(path, "tiktoken", ours, encoding.encode_ordinary(text))
        print(f"{path}: {len(ours)} ids, equal")


if __name__ == "__main__":
    main()
