#!/usr/bin/env python3
"""Takes turns with llama.cpp on one model: a token, eight texts' tokens, and the reading of a prompt.

    python3 -m venv v && v/bin/pip install gguf llama-cpp-python     # which compiles llama.cpp
    v/bin/python bench/compare-llama-cpp.py build/paragraph --types q8_0 --works token

The model has the sizes of GPT-2 124M, written as GGUF with random weights once for each type: every matrix is of the type,
the table of tokens included, which is the head too. In a turn each side does the work some times and tells the median;
who begins alternates. What is printed are medians of all turns, and the median of llama.cpp's time by ours of each turn."""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import tempfile
import time

LAYERS, HEADS, EMBD, FF, VOCAB, CONTEXT = 12, 12, 768, 3072, 50257, 1024
BEFORE, PROMPT = 64, 512
WORKS = {"token": ["--decode"], "texts": ["--decode", "--batch", "8"], "prompt": ["--prompt", str(PROMPT)]}
TYPES = ("f32", "bf16", "q8_0", "q4_0")


def write_model(path, weights):
    import gguf
    import numpy

    types = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16,
             "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
    draw = numpy.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBD)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("no_vocab")

    def matrix(name, rows, columns):
        values = draw.standard_normal((rows, columns), dtype=numpy.float32) * numpy.float32(0.02)
        writer.add_tensor(name, gguf.quants.quantize(values, types[weights]), raw_dtype=types[weights])

    def vector(name, count, value):
        writer.add_tensor(name, numpy.full(count, value, numpy.float32))

    def norm(name):
        vector(name + ".weight", EMBD, 1)
        vector(name + ".bias", EMBD, 0)

    matrix("token_embd.weight", VOCAB, EMBD)
    writer.add_tensor("position_embd.weight",
                      draw.standard_normal((CONTEXT, EMBD), dtype=numpy.float32) * numpy.float32(0.02))
    norm("output_norm")
    for layer in range(LAYERS):
        for name, rows, columns in (("attn_qkv", 3 * EMBD, EMBD), ("attn_output", EMBD, EMBD), ("ffn_up", FF, EMBD),
                                    ("ffn_down", EMBD, FF)):
            matrix(f"blk.{layer}.{name}.weight", rows, columns)
            vector(f"blk.{layer}.{name}.bias", rows, 0)
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """A model and its context: does a work once."""

    def __init__(self, path, threads):
        import llama_cpp

        self.lib = llama_cpp
        self.silence = llama_cpp.llama_log_callback(lambda level, text, user: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch, options.n_seq_max = 8 * CONTEXT, PROMPT, PROMPT, 8
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(PROMPT, 0, 1)

    def decode(self, rows, first, count):
        """`count` tokens at positions from `first` on of each row; logits of the last."""
        b = self.batch
        b.n_tokens = rows * count
        for i in range(rows * count):
            row, at = divmod(i, count)
            b.token[i] = (i * 7919 + first) % VOCAB
            b.pos[i] = first + at
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = row
            b.logits[i] = at == count - 1
        if self.lib.llama_decode(self.context, b) != 0:
            raise SystemExit("llama.cpp: decode failed")
        self.lib.llama_get_logits_ith(self.context, -1)

    def forget(self, first):
        for row in range(8):
            self.lib.llama_memory_seq_rm(self.memory, row, first, -1)

    def times(self, work, count):
        """Milliseconds of `count` times, the first of which, one more, isn't counted."""
        rows = 8 if work == "texts" else 1
        first, length = (0, PROMPT) if work == "prompt" else (BEFORE, 1)
        self.forget(0)
        if first:
            self.decode(rows, 0, BEFORE)
        found = []
        for _ in range(count + 1):
            began = time.perf_counter()
            self.decode(rows, first, length)
            found.append(1e3 * (time.perf_counter() - began))
            self.forget(first)
        return found[1:]


def ours(paragraph, work, weights, count, threads):
    command = [paragraph, "bench", *WORKS[work], "--weights", weights, "--steps", str(count), "--repeat", "1",
               "--workers", str(threads), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["step_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paragraph", help="the command, build/paragraph")
    parser.add_argument("--works", default=",".join(WORKS), help="of token, texts (eight at once) and prompt")
    parser.add_argument("--types", default=",".join(TYPES), help="of the matrices")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads and workers")
    parser.add_argument("--folder", help="keeps the models for the next time; by default they are removed")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        print(f"{'work':8} {'weights':8} {'ours ms':>9} {'llama.cpp':>9} {'ratio':>7}  turns", flush=True)
        for weights in a.types.split(","):
            path = os.path.join(a.folder or own, f"gpt2-124m-{weights}.gguf")
            if not os.path.exists(path):
                write_model(path, weights)
            other = LlamaCpp(path, a.threads)
            for work in a.works.split(","):
                count = 5 if work == "prompt" else 30
                turns = []
                for turn in range(a.turns):
                    sides = [lambda: ours(a.paragraph, work, weights, count, a.threads),
                             lambda: statistics.median(other.times(work, count))]
                    first = turn % 2
                    found = {first: sides[first](), 1 - first: sides[1 - first]()}
                    turns.append((found[0], found[1]))
                mine, theirs = (statistics.median(side) for side in zip(*turns))
                ratio = statistics.median(their / my for my, their in turns)
                spread = " ".join(f"{their / my:.2f}" for my, their in turns)
                print(f"{work:8} {weights:8} {mine:9.2f} {theirs:9.2f} {ratio:7.3f}  {spread}", flush=True)


if __name__ == "__main__":
    main()
