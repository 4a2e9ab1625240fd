/* paragraph tokenize: text into a file of token ids. */
#include "tools/commands.h"
#include "tools/newfile.h"
#include "tools/vocabulary.h"

struct tokenize_options {
    const char *tokenizer, *output;
    struct option_files data;
    bool specials, json;
};

static const struct option tokenize_table[] = {
    {"tokenizer", OPTION_TEXT, offsetof(struct tokenize_options, tokenizer), "DIR",
     "folder with tokenizer.json, or vocab.json and merges.txt, a GGUF file, or the word bytes, at most 65536 tokens",
     0, 0, true},
    {"data", OPTION_FILES, offsetof(struct tokenize_options, data), "FILE", "text, encoded file by file", 0, 0, true},
    {"o", OPTION_OUTPUT, offsetof(struct tokenize_options, output), "OUT.tok16",
     "the file to write: little-endian uint16 ids", 0, 0, true},
    {"specials", OPTION_FLAG, offsetof(struct tokenize_options, specials), NULL,
     "read special tokens such as <|endoftext|> as such; without it they are text", 0, 0, false},
    {"json", OPTION_FLAG, offsetof(struct tokenize_options, json), NULL, "print one JSON object", 0, 0, false},
    {0},
};

static void report(const struct tokenize_options *o, const struct encoding *sum, double seconds)
{
    double rate = seconds > 0 ? (double)sum->bytes / seconds : 0;
    if (o->json) {
        printf("{\"files\":%d,\"bytes\":%lld,\"tokens\":%lld", o->data.count, (long long)sum->bytes,
               (long long)sum->tokens);
        write_json_number(stdout, ",\"seconds\":", seconds);
        write_json_number(stdout, ",\"bytes_per_s\":", rate);
        puts("}");
    } else
        printf("%lld bytes, %lld tokens, %.3f bytes per token, %.1f MB/s\n", (long long)sum->bytes,
               (long long)sum->tokens, sum->tokens ? (double)sum->bytes / (double)sum->tokens : 0, rate * 1e-6);
}

static int tokenize(const struct tokenize_options *o, const struct vocabulary *v)
{
    struct new_file file;
    struct encoding sum = {0};
    TRY(new_file_open(&file, o->output));
    double begin_s = now_s();
    int code = EXIT_DONE;
    for (int i = 0; i < o->data.count && code == EXIT_DONE; i++)
        code = vocabulary_encode(v, o->data.paths[i], o->specials, &file, &sum);
    code = new_file_close(&file, code);
    if (code == EXIT_DONE)
        report(o, &sum, now_s() - begin_s);
    return code;
}

static int run(const void *parsed)
{
    const struct tokenize_options *o = parsed;
    struct vocabulary v = {0};
    if (!data_is_ids(o->output))
        return misused("-o is \"%s\", expected a name that ends in .tok16, by which the other commands know ids",
                       o->output);
    for (int i = 0; i < o->data.count; i++)
        if (data_is_ids(o->data.paths[i]))
            return misused("--data %s: files named *.tok16 hold token ids already, expected text", o->data.paths[i]);
    int code = vocabulary_open(&v, o->tokenizer, NULL);
    code = code ? code : tokenize(o, &v);
    vocabulary_close(&v);
    return code;
}

static const struct option_group tokenize_groups[] = {{"Options", tokenize_table, 0}, {0}};

static const struct tokenize_options tokenize_defaults = {0};

const struct command command_tokenize = {
    .name = "tokenize",
    .summary = "encode text into a file of token ids",
    .text = "Encode text by a GPT-2 tokenizer into a file of token ids, which train and eval read, and print how much "
            "it was.\n\n"
            "JSON keys: files, bytes, tokens, seconds, bytes_per_s.",
    .groups = tokenize_groups,
    .defaults = &tokenize_defaults,
    .bytes = sizeof tokenize_defaults,
    .run = run,
};
