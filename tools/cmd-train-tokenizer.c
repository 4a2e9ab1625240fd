/* paragraph train-tokenizer: text into a tokenizer. */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/lock.h"

#include <paragraph/tokenizer.h>

struct options {
    const char *out;
    struct option_files data, specials;
    int64_t vocab, least;
    bool overwrite, json;
};

static const struct option table[] = {
    {"data", OPTION_FILES, offsetof(struct options, data), "FILE", "text, each file by itself", 0, 0, true},
    {"out", OPTION_TEXT, offsetof(struct options, out), "DIR", "the folder to write the tokenizer to", 0, 0, true},
    {"vocab", OPTION_COUNT, offsetof(struct options, vocab), "N", "tokens, special ones and the 256 bytes included",
     256, 1e9, false},
    {"least", OPTION_COUNT, offsetof(struct options, least), "N",
     "how often a pair must stand in the text to be merged", 1, 1e9, false},
    {"specials", OPTION_FILES, offsetof(struct options, specials), "TEXT",
     "special tokens, which get the first ids; the first ends texts (default <|endoftext|>)", 0, 0, false},
    {"overwrite", OPTION_FLAG, offsetof(struct options, overwrite), NULL,
     "even if --out holds a model or a tokenizer, whose files make way", 0, 0, false},
    {"json", OPTION_FLAG, offsetof(struct options, json), NULL, "print one JSON object", 0, 0, false},
    {0},
};

static int run(const void *parsed)
{
    const struct options *o = parsed;
    para_error err;
    para_tokenizer_training training = para_tokenizer_training_default();
    int64_t made;
    bool model = holds_model(o->out);
    if (!o->overwrite && (model || para_tokenizer_exists(o->out)))
        return misused("--out: %s holds a %s; --overwrite replaces %s", o->out, model ? "model" : "tokenizer",
                       model ? "its tokenizer" : "it");
    training.vocab = o->vocab;
    training.least = o->least;
    if (o->specials.count > 0) {
        training.specials = o->specials.paths;
        training.special_count = o->specials.count;
    }
    double begin_s = now_s();
    struct lock lock = {0};
    int code = lock_take(&lock, "--out", o->out);
    if (code == EXIT_DONE && para_tokenizer_train(o->out, o->data.paths, o->data.count, &training, &made, &err) < 0)
        code = broken(&err);
    lock_release(&lock);
    if (code != EXIT_DONE)
        return code;
    double seconds = now_s() - begin_s;
    if (o->json) {
        printf("{\"tokens\":%lld", (long long)made);
        write_json_number(stdout, ",\"seconds\":", seconds);
        puts("}");
    } else
        printf("%s: %lld tokens in %.2f s\n", o->out, (long long)made, seconds);
    return EXIT_DONE;
}

static const struct option_group groups[] = {{"Options", table, 0}, {0}};

static const struct options defaults = {.vocab = 8192, .least = 2};

const struct command command_train_tokenizer = {
    .name = "train-tokenizer",
    .summary = "make a tokenizer of text",
    .text =
        "Make a byte-level BPE of text, as GPT-2's is one, and write it to a folder: tokenizer.json, and the same as "
        "vocab.json and merges.txt. train --tokenizer and tokenize --tokenizer take that folder. The pair of tokens "
        "that stands side by side most often becomes a token, until there are as many as asked for; where the text has "
        "no more pairs, there are fewer. What else the folder holds stays.\n\n"
        "JSON keys: tokens, seconds.",
    .groups = groups,
    .defaults = &defaults,
    .bytes = sizeof defaults,
    .run = run,
};
