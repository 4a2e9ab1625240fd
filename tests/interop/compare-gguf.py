#!/usr/bin/env python3
"""Compare GGUF files with llama.cpp, its converter, transformers, and the package gguf.

    compare-gguf.py PARAGRAPH [LLAMA_CPP [PYTHON]]

PARAGRAPH is the command, LLAMA_CPP the source of llama.cpp as in llama-cpp-python's package, PYTHON an interpreter that
has llama-cpp-python; what needs those that aren't given is left out, and said. Elements of each type must be those of the package gguf to the bit; logits of files that llama.cpp's
converter made of random folders, and llama_model_quantize quantized, those of transformers on the dequantized weights
within 1e-4; logits of files written here those of llama.cpp within 1e-3 in float32. Prints a line per comparison; fails
at the first that doesn't hold. Needs the packages torch, transformers, safetensors, gguf and numpy, and no network.
"""
import os
import subprocess
import sys
import tempfile

import folders
import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
OURS, THEIRS, SEQ, VOCAB = 1e-4, 1e-3, 48, 320
KIN = dict(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, hidden_size=256, intermediate_size=512,
           vocab_size=VOCAB, max_position_embeddings=SEQ)
LLAMA = dict(KIN, kind="llama")
CASES = [
    ("gpt2", dict(n_layer=2, n_head=4, n_embd=256, vocab_size=VOCAB, n_positions=SEQ)),
    ("llama", LLAMA),
    ("llama-llama3", dict(LLAMA, rope_parameters=folders.LLAMA3)),
    ("llama-linear", dict(LLAMA, rope_parameters=folders.LINEAR)),
    ("llama-yarn", dict(LLAMA, rope_parameters=folders.YARN)),
    ("llama-biases", dict(LLAMA, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    ("qwen2", dict(KIN, kind="qwen2", tie_word_embeddings=True)),
    ("qwen3", dict(KIN, kind="qwen3", head_dim=96)),
]
QUANTIZED = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K_M", "Q5_K_M", "Q6_K"]
TYPES = [Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q4_K, Type.Q5_K,
         Type.Q6_K]
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
GPT2_NAMES = {"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_norm": "ln_2",
              "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
GLOBAL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
GPT2_GLOBAL = {"token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f"}


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr[-2000:]}")


def check(what, ours, theirs, most):
    error = np.max(np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1))
    print(f"{what}: {len(ours)} tokens, largest relative error {error:.2g}", flush=True)
    if not error <= most:
        sys.exit(f"{what}: expected at most {most}")


def random_blocks(kind, elements):
    """Any bytes, but with scales that are small numbers."""
    size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    if kind == Type.F32:
        return np.random.randn(elements).astype(np.float32).view(np.uint8)
    if kind in (Type.F16, Type.BF16):
        return gguf.quants.quantize(np.random.randn(elements).astype(np.float32), kind).view(np.uint8).ravel()
    blocks = np.random.randint(0, 256, (elements // size, block_bytes), np.uint8)
    scales = {Type.Q4_1: [0, 2], Type.Q5_1: [0, 2], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}.get(kind, [0])
    for at in scales:
        blocks[:, at:at + 2] = np.random.randn(len(blocks), 1).astype(np.float16).view(np.uint8)
    return blocks.ravel()


def compare_elements(paragraph, place):
    """A GPT-2 whose matrices are random blocks, as a folder of float32."""
    embd, vocab, context, ff = 256, 64, 8, 1024
    for kind in TYPES:
        path, out, expected = os.path.join(place, kind.name + ".gguf"), os.path.join(place, kind.name), {}
        writer = gguf.GGUFWriter(path, "gpt2")
        for key, value in (("block_count", 1), ("context_length", context), ("embedding_length", embd),
                           ("feed_forward_length", ff), ("attention.head_count", 4)):
            writer.add_uint32("gpt2." + key, value)
        writer.add_float32("gpt2.attention.layer_norm_epsilon", 1e-5)
        shapes = {"token_embd.weight": (vocab, embd), "blk.0.attn_qkv.weight": (3 * embd, embd),
                  "blk.0.attn_output.weight": (embd, embd), "blk.0.ffn_up.weight": (ff, embd),
                  "blk.0.ffn_down.weight": (embd, ff)}
        vectors = {"output_norm.weight": embd, "output_norm.bias": embd, "blk.0.attn_qkv.bias": 3 * embd,
                   "blk.0.ffn_up.bias": ff}
        vectors |= {f"blk.0.{name}": embd for name in ("attn_norm.weight", "attn_norm.bias", "ffn_norm.weight",
                                                       "ffn_norm.bias", "attn_output.bias", "ffn_down.bias")}
        for name, shape in shapes.items():
            size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            data = random_blocks(kind, int(np.prod(shape))).reshape(shape[0], shape[1] // size * block_bytes)
            expected[name] = gguf.quants.dequantize(data, kind).reshape(shape)
            writer.add_tensor(name, data, raw_dtype=kind)
        for name, n in vectors.items():
            writer.add_tensor(name, np.random.randn(n).astype(np.float32))
        writer.add_tensor("position_embd.weight", np.random.randn(context, embd).astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        paragraph.run("convert", "--model", path, "--out", out)
        tensors, count = load_file(os.path.join(out, "model.safetensors")), 0
        for name, theirs in expected.items():
            ours = tensors[to_gpt2(name)].numpy()
            ours = ours if name == "token_embd.weight" else ours.T
            if not np.array_equal(np.ascontiguousarray(ours).view(np.uint32), theirs.view(np.uint32)):
                sys.exit(f"{kind.name}: {name} has other elements than the package gguf")
            count += theirs.size
        print(f"{kind.name}: {count} elements, equal", flush=True)


def to_gpt2(name):
    parts = name.split(".")
    if parts[0] == "blk":
        return f"transformer.h.{parts[1]}.{GPT2_NAMES[parts[2]]}.{parts[3]}"
    return f"{GPT2_GLOBAL[parts[0]]}.{parts[1]}"


def to_kin(name):
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.{parts[3]}"
    return f"{GLOBAL[parts[0]]}.{parts[1]}"


def dequantized(folder, path):
    """transformers' model of the folder, with the weights that the file has."""
    model, state = folders.load(folder), {}
    config = model.config
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.name == "rope_freqs.weight":
            continue
        x = torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        if config.model_type == "gpt2":
            matrix = x.dim() == 2 and tensor.name.startswith("blk")
            state[to_gpt2(tensor.name)] = x.T if matrix else x
            continue
        if config.model_type == "llama" and tensor.name.split(".")[-2] in ("attn_q", "attn_k"):
            heads = config.num_attention_heads if "attn_q" in tensor.name else config.num_key_value_heads
            x = x.view(heads, x.shape[0] // heads // 2, 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape)
        state[to_kin(tensor.name)] = x
    strange = model.load_state_dict(state, strict=False).unexpected_keys
    if strange:
        sys.exit(f"{path}: transformers doesn't know {strange}")
    return model


def compare_files(paragraph, llama, place, name, sizes):
    source, python = (llama + [None, None])[:2]
    folder, ids_path, out = (os.path.join(place, name + end) for end in ("", ".tok16", ".npy"))
    folders.random_model(**sizes).save_pretrained(folder)
    ids = folders.random_ids(3 * SEQ + 1, VOCAB)
    folders.write_ids(ids_path, ids)
    theirs = f"{folder}-theirs.gguf"
    if source:
        run(sys.executable, os.path.join(HERE, "convert-hf.py"), source, folder, theirs, "f32")
        check(f"{name}: made by llama.cpp's converter", paragraph.logits(theirs, ids_path),
              folders.logits(folders.load(folder), ids), OURS)
    for kind in QUANTIZED if python else []:
        path = f"{folder}-{kind}.gguf"
        run(python, os.path.join(HERE, "llama.py"), "quantize", theirs, path, kind)
        check(f"{name}: quantized by llama.cpp, {kind}", paragraph.logits(path, ids_path),
              folders.logits(dequantized(folder, path), ids), OURS)
    for kind in "f32", "f16", "bf16", "q8_0", "q4_0":
        path = f"{folder}-{kind}.gguf"
        paragraph.run("convert", "--model", folder, "--out", path, "--weights", kind)
        check(f"{name}: written here, {kind}", paragraph.logits(path, ids_path),
              folders.logits(dequantized(folder, path), ids), OURS)
        if not python:
            continue
        run(python, os.path.join(HERE, "llama.py"), "logits", path, ids_path, SEQ, out)
        if kind == "f32":
            check(f"{name}: written here, by llama.cpp", paragraph.logits(path, ids_path), np.load(out), THEIRS)
        elif not np.isfinite(np.load(out)).all():
            sys.exit(f"{path}: llama.cpp's logits aren't finite")


def main():
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    paragraph, llama = folders.Paragraph(sys.argv[1]), sys.argv[2:]
    np.random.seed(1)
    torch.manual_seed(1)
    if len(llama) < 1:
        print("skipped: files made by llama.cpp's converter: its source isn't told")
    if len(llama) < 2:
        print("skipped: files quantized by llama.cpp, and its logits: no interpreter with llama-cpp-python is told")
    with tempfile.TemporaryDirectory() as place:
        compare_elements(paragraph, place)
        for name, sizes in CASES:
            compare_files(paragraph, llama, place, name, sizes)


if __name__ == "__main__":
    main()
