#!/usr/bin/env python3
"""What llama.cpp does with a GGUF file, as a command for the environment that has llama-cpp-python:

    llama.py quantize FILE OUT TYPE       as llama-quantize, TYPE as Q4_K_M
    llama.py logits FILE IDS SEQ OUT      float32 logits of windows of SEQ ids (.tok16, at stride SEQ), with float32 caches
    llama.py tokens FILE TEXT             the ids of a text
    llama.py texts FILE                   those of texts, a JSON list from standard input to standard output
"""
import ctypes
import json
import sys

import llama_cpp
import numpy as np

F32 = 0  # a type of caches


default_params = llama_cpp.llama_model_default_params


def plain_params():
    """Weights stay as they lie in the file: builds for processors with AMX repack them where systems don't allow it."""
    params = default_params()
    params.use_extra_bufts = False
    return params


def quantize(source, out, kind):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + kind)
    if llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params)) != 0:
        sys.exit(f"{source}: llama.cpp can't quantize it")


def logits(path, ids_path, seq, out):
    seq = int(seq)
    ids = np.fromfile(ids_path, "<u2").astype(int)
    llama_cpp.llama_cpp.llama_model_default_params = plain_params
    model = llama_cpp.Llama(path, n_ctx=seq, n_batch=seq, logits_all=True, type_k=F32, type_v=F32, verbose=False,
                            flash_attn=False, n_threads=2)
    rows = []
    for i in range((len(ids) - 1) // seq):
        model.reset()
        model.eval(ids[i * seq:(i + 1) * seq].tolist())
        rows.append(np.array(model.scores[:seq], np.float32))
    np.save(out, np.concatenate(rows))


def tokens(path, text):
    model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    print(*model.tokenize(text.encode(), add_bos=False, special=False))


def texts(path):
    model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    json.dump([model.tokenize(text.encode(), add_bos=False, special=False) for text in json.load(sys.stdin)], sys.stdout)


{"quantize": quantize, "logits": logits, "tokens": tokens, "texts": texts}[sys.argv[1]](*sys.argv[2:])
