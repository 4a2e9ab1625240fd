/* paragraph convert: a model from one form of files into another. */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/lock.h"
#include "tools/vocabulary.h"

#include <string.h>
#include <sys/stat.h>

struct convert_options {
    const char *model, *adapter, *out, *weights, *tokenizer;
    bool overwrite;
};

#define FIELD(name) offsetof(struct convert_options, name)
#define TYPE_WORDS "f32|f16|bf16|q8_0|q4_0"

static const struct option convert_table[] = {
    {"model", OPTION_TEXT, FIELD(model), "DIR|FILE",
     "folder with config.json and model.safetensors, GGUF file, or model file of llm.c (*.bin)", 0, 0, true},
    {"adapter", OPTION_TEXT, FIELD(adapter), "DIR", ADAPTER_OPTION_HELP, 0, 0, false},
    {"out", OPTION_TEXT, FIELD(out), "DIR|FILE",
     "a GGUF file (*.gguf), a model file of llm.c (*.bin), or a folder to write", 0, 0, true},
    {"weights", OPTION_CHOICE, FIELD(weights), TYPE_WORDS,
     "type of the matrices (default: f32); q8_0 and q4_0 for GGUF files, f32 and bf16 for those of llm.c", 0, 0, false},
    {"tokenizer", OPTION_TEXT, FIELD(tokenizer), "DIR",
     "folder whose tokenizer goes along; by default the model's own, if it has one", 0, 0, false},
    {"overwrite", OPTION_FLAG, FIELD(overwrite), NULL, "even if --out is a file, or holds a model", 0, 0, false},
    {0},
};

static para_dtype type_of(const char *word)
{
    return strcmp(word, "f16") == 0 ? PARA_F16 : weights_type(word);
}

static int run(const void *parsed)
{
    const struct convert_options *o = parsed;
    para_error err;
    struct stat about;
    bool is_file = stat(o->out, &about) == 0 && !S_ISDIR(about.st_mode);
    if (!o->overwrite && (is_file || holds_model(o->out)))
        return misused("--out: %s %s; --overwrite replaces it", o->out, is_file ? "is there already" : "holds a model");
    if (same_folder(o->model, o->out))
        return misused("--out is --model, \"%s\", expected another place", o->out);
    struct lock lock = {0};
    int code = lock_take(&lock, "--out", o->out);
    if (code == EXIT_DONE &&
        para_model_convert(o->model, o->adapter, o->out, type_of(o->weights), o->tokenizer, &err) < 0)
        code = broken(&err);
    lock_release(&lock);
    return code;
}

static const struct option_group convert_groups[] = {{"Options", convert_table, 0}, {0}};

static const struct convert_options convert_defaults = {.weights = "f32"};

const struct command command_convert = {
    .name = "convert",
    .summary = "write a model as a folder, a GGUF file or a file of llm.c",
    .text =
        "Write a model in another form, which the name tells: *.gguf is a GGUF file, *.bin a model file of llm.c, any "
        "other name a folder as transformers has it. GGUF files are of architecture gpt2, llama, qwen2 or qwen3; those "
        "of llm.c are GPT-2. The tokenizer goes along where the form has a place for it. What stood there before is "
        "replaced when all is written.\n\n"
        "With --adapter what is written is the model with the adapter in it: W + s B A in place of W.",
    .groups = convert_groups,
    .defaults = &convert_defaults,
    .bytes = sizeof convert_defaults,
    .run = run,
};
