#!/usr/bin/env python3
"""llama.cpp's converter on a folder without a tokenizer: convert-hf.py LLAMA_CPP FOLDER OUT TYPE

LLAMA_CPP is its source. The vocabulary's size is written, and no tokenizer, whatever the family.
"""
import runpy
import sys

source, folder, out, kind = sys.argv[1:]
sys.path[:0] = [source, source + "/gguf-py"]
from conversion.base import ModelBase, TextModel  # noqa: E402
import conversion.gpt2  # noqa: E402
import conversion.llama  # noqa: E402
import conversion.qwen  # noqa: E402


def without_tokenizer(model):
    model.gguf_writer.add_tokenizer_model("none")
    if type(model) is not conversion.llama.LlamaModel:
        model.gguf_writer.add_vocab_size(model.hparams["vocab_size"])


load_hparams = TextModel.load_hparams


def with_context(*arguments, **named):
    """transformers no longer writes GPT-2's n_ctx."""
    hparams = load_hparams(*arguments, **named)
    return hparams | ({"n_ctx": hparams["n_positions"]} if "n_positions" in hparams else {})


ModelBase.load_hparams = staticmethod(with_context)
for kind_of_model in [TextModel, conversion.gpt2.GPT2Model, conversion.llama.LlamaModel, conversion.qwen.Qwen2Model,
                      conversion.qwen.Qwen3Model]:
    kind_of_model.set_vocab = without_tokenizer
sys.argv = ["convert_hf_to_gguf.py", folder, "--outfile", out, "--outtype", kind]
runpy.run_path(source + "/convert_hf_to_gguf.py", run_name="__main__")
