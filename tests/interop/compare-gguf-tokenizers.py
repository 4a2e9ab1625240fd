#!/usr/bin/env python3
"""Compare what Paragraph makes of GGUF files' tokenizers with llama.cpp's own cases.

    compare-gguf-tokenizers.py LIBRARY FOLDER [PARAGRAPH [PYTHON]]

LIBRARY is libparagraph.so, FOLDER llama.cpp's models/, which has ggml-vocab-*.gguf, and beside each texts (.inp) and
their ids (.out). With PARAGRAPH, the command, each goes with a small model into a folder and from there into a GGUF file,
which give the same ids, the folder to the package tokenizers too, and, with PYTHON, an interpreter that has
llama-cpp-python, the file to llama.cpp. Prints a line per vocabulary; fails at the first difference.
"""
import json
import os
import subprocess
import sys
import tempfile

import paragraph_library

VOCABULARIES = ["gpt-2", "llama-bpe", "llama-spm", "qwen2", "phi-3", "starcoder", "refact", "command-r"]


def write_model(vocabulary, path):
    """A llama of one layer with the tokenizer of a file."""
    import gguf
    import numpy as np

    width, fields = 64, gguf.GGUFReader(vocabulary).fields
    count = len(fields["tokenizer.ggml.tokens"].data)
    writer = gguf.GGUFWriter(path, "llama")
    for key, field in fields.items():
        if key.startswith("tokenizer.") or key == "general.name":
            writer.add_key_value(key, field.contents(), *field.types[:2])
    for key, value in (("block_count", 1), ("context_length", 32), ("embedding_length", width),
                       ("feed_forward_length", width), ("attention.head_count", 4), ("vocab_size", count)):
        writer.add_uint32("llama." + key, value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    shapes = {"token_embd": (count, width), "output_norm": (width,), "blk.0.attn_norm": (width,),
              "blk.0.ffn_norm": (width,)}
    shapes |= {f"blk.0.{name}": (width, width) for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate",
                                                            "ffn_up", "ffn_down")}
    for name, shape in shapes.items():
        writer.add_tensor(name + ".weight", np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(what, texts, expected, encode):
    for text, ids in zip(texts, expected):
        found = encode(text)
        if found != ids:
            sys.exit(f"{what}: {text!r}: {found}, expected {ids}")


def check_written(name, vocabulary, texts, expected, library, paragraph, python):
    """What convert makes of it."""
    from tokenizers import Tokenizer

    with tempfile.TemporaryDirectory() as place:
        path, folder, again = (os.path.join(place, end) for end in ("a.gguf", "folder", "b.gguf"))
        write_model(vocabulary, path)
        for source, out in ((path, folder), (folder, again)):
            subprocess.run([paragraph, "convert", "--model", source, "--out", out], check=True)
            tokenizer = paragraph_library.Tokenizer(library, out)
            check(f"{name}: {os.path.basename(out)}", texts, expected, lambda text: tokenizer.encode(text, False))
        theirs = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        check(f"{name}: tokenizers, of the folder", texts, expected,
              lambda text: theirs.encode(text, add_special_tokens=False).ids)
        if python:
            command = [python, os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama.py"), "texts", again]
            said = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True).stdout
            check(f"{name}: llama.cpp, of the file", texts, expected, dict(zip(texts, json.loads(said))).get)


def main():
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    paragraph, python = (sys.argv[3:] + [None, None])[:2]
    for name in VOCABULARIES:
        path = os.path.join(sys.argv[2], f"ggml-vocab-{name}.gguf")
        tokenizer = paragraph_library.Tokenizer(sys.argv[1], path)
        with open(path + ".inp", encoding="utf-8", newline="") as file:
            texts = file.read().split("\n__ggml_vocab_test__\n")
        with open(path + ".out", encoding="utf-8") as file:
            lines = file.read().split("\n")
        expected = [[int(number) for number in line.split()] for line in lines]
        if len(texts) > len(expected):
            sys.exit(f"{path}: {len(texts)} texts and {len(expected)} lists of ids")
        for text, ids in zip(texts, expected):
            found = tokenizer.encode(text, False)
            if found != ids:
                sys.exit(f"{name}: {text!r}: paragraph has {found}, llama.cpp {ids}")
        if paragraph:
            check_written(name, path, texts, expected, sys.argv[1], paragraph, python)
        print(f"ggml-vocab-{name}: {len(texts)} texts, equal", flush=True)


if __name__ == "__main__":
    main()
