#!/usr/bin/env python3
"""Takes turns with llama.cpp on one model: a token, eight texts' tokens, and the reading of a prompt.

    python3 -m venv v && v/bin/pip install gguf llama-cpp-python     # which compiles llama.cpp
    v/bin/python bench/compare-llama-cpp.py build/paragraph --types q8_0 --works token
    v/bin/python bench/compare-llama-cpp.py build/paragraph --preset llama-110m --works token
    v/bin/python bench/compare-llama-cpp.py build/paragraph --works prompts --model DIR --turns 3

The model has the sizes of a preset, GPT-2 124M's unless told, written as GGUF with random weights once for each type: every
matrix is of the type, the table of tokens included, which is the head too. In a turn each side does the work some times and tells the median;
who begins alternates. What is printed are medians of all turns, and the median of llama.cpp's time by ours of each turn.

The work "prompts" is bench/parallel.py's 64 prompts, 16 side by side, by paragraph generate with a folder of the same
sizes, loading apart. There llama.cpp has a batch of one token of each text and of what prompts come next, up to 512, and
takes the likeliest token, where ours are drawn."""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import tempfile
import time

import parallel

CONTEXT = 1024  # that is used: caches are as long
PRESETS = {
    "gpt2-124m": dict(architecture="gpt2", layers=12, heads=12, kv_heads=12, embd=768, ff=3072, vocab=50257),
    "llama-110m": dict(architecture="llama", layers=12, heads=12, kv_heads=12, embd=768, ff=2048, vocab=32000),
    "qwen2.5-0.5b": dict(architecture="qwen2", layers=24, heads=14, kv_heads=2, embd=896, ff=4864, vocab=151936,
                         theta=1e6),
}
BEFORE, PROMPT = 64, 512
WORKS = {"token": ["--decode"], "texts": ["--decode", "--batch", "8"], "prompt": ["--prompt", str(PROMPT)]}
TYPES = ("f32", "bf16", "q8_0", "q4_0")


def matrices(m):
    """Names of a layer's, with rows and columns, and whether there is a bias."""
    embd, ff, kv = m["embd"], m["ff"], m["embd"] // m["heads"] * m["kv_heads"]
    if m["architecture"] == "gpt2":
        return [("attn_qkv", 3 * embd, embd, True), ("attn_output", embd, embd, True), ("ffn_up", ff, embd, True),
                ("ffn_down", embd, ff, True)]
    biases = m["architecture"] == "qwen2"
    return [("attn_q", embd, embd, biases), ("attn_k", kv, embd, biases), ("attn_v", kv, embd, biases),
            ("attn_output", embd, embd, False), ("ffn_gate", ff, embd, False), ("ffn_up", ff, embd, False),
            ("ffn_down", embd, ff, False)]


def write_model(path, weights, m):
    import gguf
    import numpy

    types = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16,
             "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
    draw = numpy.random.default_rng(1)
    plain = m["architecture"] == "gpt2"
    writer = gguf.GGUFWriter(path, m["architecture"])
    writer.add_block_count(m["layers"])
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(m["embd"])
    writer.add_feed_forward_length(m["ff"])
    writer.add_head_count(m["heads"])
    writer.add_vocab_size(m["vocab"])
    writer.add_tokenizer_model("no_vocab")
    if plain:
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_head_count_kv(m["kv_heads"])
        writer.add_rope_dimension_count(m["embd"] // m["heads"])
        writer.add_rope_freq_base(m.get("theta", 1e4))

    def matrix(name, rows, columns):
        values = draw.standard_normal((rows, columns), dtype=numpy.float32) * numpy.float32(0.02)
        writer.add_tensor(name, gguf.quants.quantize(values, types[weights]), raw_dtype=types[weights])

    def vector(name, count, value):
        writer.add_tensor(name, numpy.full(count, value, numpy.float32))

    def norm(name):
        vector(name + ".weight", m["embd"], 1)
        if plain:
            vector(name + ".bias", m["embd"], 0)

    matrix("token_embd.weight", m["vocab"], m["embd"])
    if plain:
        writer.add_tensor("position_embd.weight",
                          draw.standard_normal((CONTEXT, m["embd"]), dtype=numpy.float32) * numpy.float32(0.02))
    norm("output_norm")
    for layer in range(m["layers"]):
        for name, rows, columns, biased in matrices(m):
            matrix(f"blk.{layer}.{name}.weight", rows, columns)
            if biased:
                vector(f"blk.{layer}.{name}.bias", rows, 0)
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """A model and its context, for so many texts: does a work once."""

    def __init__(self, path, threads, vocab, texts=8):
        import llama_cpp

        self.lib = llama_cpp
        self.vocab = vocab
        self.silence = llama_cpp.llama_log_callback(lambda level, text, user: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch, options.n_seq_max = texts * CONTEXT, PROMPT, PROMPT, texts
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(PROMPT, 0, 1)
        self.texts = texts

    def close(self):
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)

    def run(self, tokens):
        """Tokens, each with its text, its position, and whether logits are wanted of it."""
        b = self.batch
        b.n_tokens = len(tokens)
        for i, (token, text, position, wanted) in enumerate(tokens):
            b.token[i], b.pos[i], b.logits[i] = token, position, wanted
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = text
        if self.lib.llama_decode(self.context, b) != 0:
            raise SystemExit("llama.cpp: decode failed")

    def decode(self, rows, first, count):
        """`count` tokens at positions from `first` on of each row; logits of the last."""
        self.run([((row * count + at) * 7919 % self.vocab, row, first + at, at == count - 1)
                  for row in range(rows) for at in range(count)])
        self.lib.llama_get_logits_ith(self.context, -1)

    def forget(self, first):
        for row in range(self.texts):
            self.lib.llama_memory_seq_rm(self.memory, row, first, -1)

    def prompts(self, of):
        """The seconds of texts of so many tokens of prompt, and so many new ones."""
        self.forget(0)
        chain = self.lib.llama_sampler_init_greedy()
        waiting, live, free = list(reversed(of)), {}, list(range(self.texts))
        began = time.perf_counter()
        while waiting or live:
            tokens = [(token, text, position, True) for text, (token, position, _) in live.items()]
            while waiting and free and len(tokens) + waiting[-1][0] <= PROMPT:
                (prompt, new), text = waiting.pop(), free.pop()
                self.lib.llama_memory_seq_rm(self.memory, text, -1, -1)
                tokens += [(at * 7919 % self.vocab, text, at, at == prompt - 1) for at in range(prompt)]
                live[text] = (0, prompt - 1, new)
            self.run(tokens)
            for i, (_, text, _, wanted) in enumerate(tokens):
                if not wanted:
                    continue
                _, position, left = live.pop(text)
                token = self.lib.llama_sampler_sample(chain, self.context, i)
                if left > 1:
                    live[text] = (token, position + 1, left - 1)
                else:
                    free.append(text)
        took = time.perf_counter() - began
        self.lib.llama_sampler_free(chain)
        return took

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


def ours(a, work, weights, count):
    command = [a.paragraph, "bench", "--preset", a.preset, *WORKS[work], "--weights", weights, "--steps", str(count),
               "--repeat", "1", "--workers", str(a.threads), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["step_ms"]


def take_turns(turns, mine, theirs):
    """What each side says of a turn; who begins alternates."""
    sides, found = [mine, theirs], []
    for turn in range(turns):
        first = turn % 2
        said = {first: sides[first](), 1 - first: sides[1 - first]()}
        found.append((said[0], said[1]))
    return found


def show(work, weights, turns):
    mine, theirs = (statistics.median(side) for side in zip(*turns))
    ratio = statistics.median(their / my for my, their in turns)
    spread = " ".join(f"{their / my:.2f}" for my, their in turns)
    print(f"{work:8} {weights:8} {mine:9.2f} {theirs:9.2f} {ratio:7.3f}  {spread}", flush=True)


def compare_prompts(a, weights, path, folder):
    generate = [a.paragraph, "generate", "--model", a.model, "--json", "--ignore-eos", "--weights", weights,
                "--workers", str(a.threads)]
    of, other = parallel.texts(), LlamaCpp(path, a.threads, PRESETS[a.preset]["vocab"], 16)
    prompts = parallel.write(folder, of)
    show("prompts", weights, take_turns(a.turns, lambda: 1e3 * parallel.seconds(generate, prompts, 16)[0],
                                        lambda: 1e3 * other.prompts(of)))
    other.close()


def compare(a, work, weights, other):
    count = 5 if work == "prompt" else 30
    show(work, weights, take_turns(a.turns, lambda: ours(a, work, weights, count),
                                   lambda: statistics.median(other.times(work, count))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paragraph", help="the command, build/paragraph")
    parser.add_argument("--preset", default="gpt2-124m", choices=PRESETS, help="of whose sizes the model is")
    parser.add_argument("--works", default=",".join(WORKS), help="of token, texts (eight at once), prompt and prompts")
    parser.add_argument("--types", default=",".join(TYPES), help="of the matrices")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads and workers")
    parser.add_argument("--model", help="for prompts: a folder of these sizes with its tokenizer")
    parser.add_argument("--folder", help="keeps the models for the next time; by default they are removed")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        print(f"{'work':8} {'weights':8} {'ours ms':>9} {'llama.cpp':>9} {'ratio':>7}  turns", flush=True)
        for weights in a.types.split(","):
            path = os.path.join(a.folder or own, f"{a.preset}-{weights}.gguf")
            if not os.path.exists(path):
                write_model(path, weights, PRESETS[a.preset])
            works = a.works.split(",")
            if "prompts" in works:
                compare_prompts(a, weights, path, own)
            other = LlamaCpp(path, a.threads, PRESETS[a.preset]["vocab"])
            for work in works:
                if work in WORKS:
                    compare(a, work, weights, other)
            other.close()


if __name__ == "__main__":
    main()
