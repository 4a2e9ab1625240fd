/* paragraph eval: loss and perplexity of a model on a text. */
#include "tools/commands.h"
#include "tools/evaluate.h"
#include "tools/newfile.h"
#include "tools/vocabulary.h"

#include <math.h>
#include <string.h>

struct eval_options {
    const char *model, *tokenizer, *weights;
    struct option_files data;
    int64_t batch, seq;
    const char *logits;
    bool json;
    struct split_options split;
    struct machine_options machine;
};

static const struct option eval_table[] = {
    {"model", OPTION_TEXT, offsetof(struct eval_options, model), "DIR", "folder with config.json and model.safetensors",
     0, 0, true},
    {"data", OPTION_FILES, offsetof(struct eval_options, data), "FILE",
     "text, or little-endian uint16 token ids if named *.tok16", 0, 0, true},
    {"tokenizer", OPTION_TEXT, offsetof(struct eval_options, tokenizer), "DIR",
     "folder with vocab.json and merges.txt; by default the model's, or bytes if it has none", 0, 0, false},
    {"weights", OPTION_CHOICE, offsetof(struct eval_options, weights), WEIGHTS_WORDS,
     "the type that matrices are read as: f32 as trained; bf16 and int8 take a half and a quarter of the memory and less "
     "time per token", 0, 0, false},
    {"batch", OPTION_COUNT, offsetof(struct eval_options, batch), "N", "windows at a time", 1, INT32_MAX, false},
    {"seq", OPTION_COUNT, offsetof(struct eval_options, seq), "N", "tokens of a window; by default the model's context",
     1, INT32_MAX, false},
    {"logits", OPTION_TEXT, offsetof(struct eval_options, logits), "OUT.npy",
     "write the logits, float32 of shape (tokens, vocab)", 0, 0, false},
    {"json", OPTION_FLAG, offsetof(struct eval_options, json), NULL, "print one JSON object", 0, 0, false},
    {0},
};

/* The header of a NumPy file, format 1.0, for float32 of shape (rows, columns); it fills a multiple of 64 bytes. */
static void write_npy_header(FILE *out, int64_t rows, int64_t columns)
{
    char text[256];
    int length = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %lld), }",
                          (long long)rows, (long long)columns);
    int padded = (10 + length + 1 + 63) / 64 * 64 - 10;
    unsigned char lead[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(padded & 255), (unsigned char)(padded >> 8)};
    fwrite(lead, sizeof lead, 1, out);
    fprintf(out, "%s%*s\n", text, padded - length - 1, "");
}

static void report(const struct eval_options *o, const struct evaluation *e)
{
    if (o->json)
        printf("{\"loss\":%.17g,\"perplexity\":%.17g,\"tokens\":%lld}\n", e->loss, exp(e->loss), (long long)e->tokens);
    else
        printf("loss %.6f  perplexity %.4f  tokens %lld\n", e->loss, exp(e->loss), (long long)e->tokens);
}

/* Load the model, read the text. The file of logits is opened once nothing else can be wrong. */
static int evaluate(const struct eval_options *o, struct evaluator *e, const para_dataset *data, struct evaluation *out)
{
    para_error err;
    struct new_file logits = {0};
    int64_t windows = para_dataset_windows(data, e->seq);
    struct progress progress = progress_begin("window", 0, windows, e->seq);
    if (para_checkpoint_load(o->model, e->graph, e->session, NULL, &err) < 0)
        return broken(&err);
    if (o->logits && windows > 0) {
        TRY(new_file_open(&logits, o->logits));
        write_npy_header(logits.stream, windows * e->seq, e->vocab);
    }
    e->logits = logits.stream;
    e->progress = &progress;
    int code = evaluator_run(e, data, out);
    progress_end(&progress);
    return new_file_close(&logits, code);
}

static int evaluate_on(const struct eval_options *o, const para_gpt2 *model, const para_dataset *data,
                       para_machine *machine)
{
    int64_t seq = o->seq ? o->seq : model->context, windows = para_dataset_windows(data, seq);
    int64_t batch = windows > 0 && windows < o->batch ? windows : o->batch;
    struct evaluator e = {0};
    struct evaluation result = {0};
    int code = evaluator_open(&e, model, batch, seq, &o->split, o->logits != NULL, machine, NULL);
    code = code ? code : evaluate(o, &e, data, &result);
    evaluator_close(&e);
    if (code == EXIT_DONE)
        report(o, &result);
    return code;
}

static int run(const void *parsed)
{
    const struct eval_options *o = parsed;
    para_gpt2 model;
    struct vocabulary vocabulary = {0};
    para_dataset *data = NULL;
    para_machine *machine = NULL;
    TRY(model_to_read(&model, o->model, o->weights));
    int code = vocabulary_open(&vocabulary, o->tokenizer, o->model);
    if (code == EXIT_DONE && vocabulary.folder)
        code = vocabulary_check(&vocabulary, &model, o->model);
    code = code ? code : data_open(&data, &o->data, &vocabulary, &model);
    code = code ? code : machine_open(&machine, &o->machine);
    code = code ? code : evaluate_on(o, &model, data, machine);
    para_machine_close(machine);
    para_dataset_free(data);
    vocabulary_close(&vocabulary);
    return code;
}

static const struct option_group eval_groups[] = {
    {"Options", eval_table, 0},
    {"Parallelism", split_option_table, offsetof(struct eval_options, split)},
    {"Machine", machine_option_table, offsetof(struct eval_options, machine)},
    {0},
};

static const struct eval_options eval_defaults = {.weights = "f32", .batch = 8, .split = {.split = "auto", .stages = 1}};

const struct command command_eval = {
    .name = "eval",
    .summary = "measure a model's loss and perplexity on a text",
    .text = "Read a text in windows of seq + 1 tokens at stride seq and print the mean loss (nats per token) and the "
            "perplexity, its exponential.\n\n"
            "JSON keys: loss, perplexity, tokens.",
    .groups = eval_groups,
    .defaults = &eval_defaults,
    .bytes = sizeof eval_defaults,
    .run = run,
};
