#!/usr/bin/env python3
"""Compare how `paragraph generate --chat` writes conversations with what Jinja makes of the families' own templates.

    compare-chat.py PARAGRAPH SOURCES

PARAGRAPH is the command, SOURCES llama.cpp's, of which models/templates and tests/test-chat-template.cpp have templates.
Those of Llama 2 and Zephyr are written here. Prints a line per family; fails at the first difference, and where a template
that says the same is called another. Needs the package jinja2.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import jinja2
import jinja2.ext
import jinja2.sandbox

LLAMA2 = ("{% set system = '<<SYS>>\n' + messages[0].content | trim + '\n<</SYS>>\n\n' if messages[0].role == 'system' else "
          "'' %}{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + (system "
          "if loop.first else '') + m.content | trim + ' [/INST]' }}{% else %}{{ ' ' + m.content | trim + ' ' + eos_token "
          "}}{% endif %}{% endfor %}")
ZEPHYR = ("{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>\n' + m.content + eos_token + '\n' }}{% elif m.role =="
          " 'system' %}{{ '<|system|>\n' + m.content + eos_token + '\n' }}{% else %}{{ '<|assistant|>\n' + m.content + "
          "eos_token + '\n' }}{% endif %}{% endfor %}{{ '<|assistant|>\n' if add_generation_prompt else '' }}")
# The family, where its template is, the tokens that begin and end texts, and whether it takes a system's text.
FAMILIES = [
    ("chatml", "c:teknium/OpenHermes-2.5-Mistral-7B", "", "", True),
    ("llama2", LLAMA2, "<s>", "</s>", True),
    ("llama3", "c:Llama-3", "<|begin_of_text|>", "<|eot_id|>", True),
    ("llama3.1", "f:meta-llama-Llama-3.1-8B-Instruct", "<|begin_of_text|>", "<|eot_id|>", True),
    ("llama3.1", "f:meta-llama-Llama-3.2-3B-Instruct", "<|begin_of_text|>", "<|eot_id|>", True),
    ("llama3.1", "f:meta-llama-Llama-3.3-70B-Instruct", "<|begin_of_text|>", "<|eot_id|>", True),
    ("mistral", "c:mistralai/Mistral-7B-Instruct-v0.2", "<s>", "</s>", False),
    ("mistral-nemo", "f:mistralai-Mistral-Nemo-Instruct-2407", "<s>", "</s>", True),
    ("phi3", "f:microsoft-Phi-3.5-mini-instruct", "<s>", "<|endoftext|>", True),
    ("qwen", "f:Qwen-Qwen2.5-7B-Instruct", "", "<|im_end|>", True),
    ("zephyr", ZEPHYR, "<s>", "</s>", True),
]
UNKNOWN = {"llama2", "zephyr"}  # written here: nobody's own
QUESTIONS = ["Hello", "  Who are you?\n", "Äpfel und\nBirnen", "{{ x }} <b>"]
ANSWERS = ["Hi there", " I am an assistant  ", "A\n\nB"]


def read_template(sources, where):
    if where.startswith("f:"):
        with open(os.path.join(sources, "models/templates", where[2:] + ".jinja"), encoding="utf-8") as file:
            return file.read()
    if not where.startswith("c:"):
        return where
    with open(os.path.join(sources, "tests/test-chat-template.cpp"), encoding="utf-8") as file:
        text = file.read()
    literal = re.compile(r'template_str\b[^"]*"((?:[^"\\]|\\.)*)"').search(text, text.index('"' + where[2:]))
    return literal.group(1).encode().decode("unicode_escape")


def conversations(system):
    for turns in (1, 2, 3, 4):
        messages = [{"role": "user", "content": QUESTIONS[0]}]
        for i in range(1, turns):
            messages += [{"role": "assistant", "content": ANSWERS[i - 1]}, {"role": "user", "content": QUESTIONS[i]}]
        yield messages
        if system:
            yield [{"role": "system", "content": " Be brief. "}] + messages


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    command, sources = sys.argv[1:]
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                               extensions=[jinja2.ext.loopcontrols])
    with tempfile.TemporaryDirectory() as place:
        model, text, prompts = (os.path.join(place, name) for name in ("model", "text", "prompts.jsonl"))
        with open(text, "w") as file:
            file.write("some text " * 100)
        subprocess.run([command, "train", "--preset", "tiny", "--data", text, "--steps", "1", "--warmup", "0",
                        "--schedule", "constant", "--out", model], check=True, capture_output=True)
        for family, where, bos, eos, system in FAMILIES:
            template = read_template(sources, where)
            with open(os.path.join(model, "tokenizer_config.json"), "w") as file:
                json.dump({"chat_template": template}, file)
            tries = list(conversations(system))
            with open(prompts, "w") as file:
                file.writelines(json.dumps({"messages": messages}) + "\n" for messages in tries)
            told = subprocess.run([command, "generate", "--model", model, "--chat", "auto", "--prompts", prompts, "-n", "1",
                                   "--json"], check=True, capture_output=True, text=True)
            if ("chat template" in told.stderr) != (family in UNKNOWN):
                sys.exit(f"{family}: {where}: {told.stderr}")
            for messages, line in zip(tries, told.stdout.splitlines()):
                expected = environment.from_string(template).render(
                    messages=messages, add_generation_prompt=True, bos_token=bos, eos_token=eos)
                found = json.loads(line)["prompt"]
                if found != expected:
                    sys.exit(f"{family}: {messages}: paragraph has {found!r}, Jinja {expected!r}")
            print(f"--chat {family}: {len(tries)} conversations, equal")


if __name__ == "__main__":
    main()
