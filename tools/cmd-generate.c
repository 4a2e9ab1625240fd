/* paragraph generate: continue a prompt, once or several times. */
#include "tools/commands.h"
#include "tools/generator.h"
#include "tools/profile-file.h"
#include "tools/sampler.h"
#include "tools/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct generate_options {
    const char *model, *prompt, *tokenizer, *weights, *profile;
    int64_t count, continuations, first;
    bool stream, json;
    struct sampling sampling;
    struct split_options split;
    struct machine_options machine;
};

#define FIELD(name) offsetof(struct generate_options, name)

static const struct option generate_table[] = {
    {"model", OPTION_TEXT, FIELD(model), "DIR", "folder with config.json and model.safetensors", 0, 0, true},
    {"prompt", OPTION_TEXT, FIELD(prompt), "TEXT",
     "what to continue; special tokens such as <|endoftext|> in it are read as such", 0, 0, true},
    {"tokenizer", OPTION_TEXT, FIELD(tokenizer), "DIR",
     "folder with vocab.json and merges.txt; by default the model's, or bytes if it has none", 0, 0, false},
    {"weights", OPTION_CHOICE, FIELD(weights), WEIGHTS_WORDS,
     "the type that matrices are read as: f32 as trained; bf16 and int8 take a half and a quarter of the memory and less "
     "time per token", 0, 0, false},
    {"n", OPTION_COUNT, FIELD(count), "TOKENS", "how many tokens to make", 1, 100000000, false},
    {"continuations", OPTION_COUNT, FIELD(continuations), "K",
     "continue the prompt K times, up to 16 at once; each text is what --first NUMBER alone makes", 1, 1000000, false},
    {"first", OPTION_COUNT, FIELD(first), "NUMBER", "the number of the first continuation, from 0", 0, 9e15, false},
    {"stream", OPTION_FLAG, FIELD(stream), NULL,
     "write each character once it is there, as is done on a terminal anyhow", 0, 0, false},
    {"json", OPTION_FLAG, FIELD(json), NULL, "print a JSON object per continuation", 0, 0, false},
    {"profile", OPTION_TEXT, FIELD(profile), "FILE", PROFILE_OPTION_HELP("last run for a single token"), 0, 0, false},
    {0},
};

static const struct option draw_table[] = {
    {"greedy", OPTION_FLAG, FIELD(sampling.greedy), NULL, "always take the likeliest token", 0, 0, false},
    {"temperature", OPTION_REAL, FIELD(sampling.temperature), "T",
     "divide logits by T: below 1 more likely tokens, above 1 more varied ones", 0, 1e4, false},
    {"top-k", OPTION_COUNT, FIELD(sampling.top_k), "K", "draw from the K likeliest tokens alone; 0: from all", 0,
     INT32_MAX, false},
    {"top-p", OPTION_REAL, FIELD(sampling.top_p), "P",
     "draw from the fewest tokens whose probabilities sum to P or more", 0, 1, false},
    {"seed", OPTION_COUNT, FIELD(sampling.seed), "N", "of the draws", 0, 9e15, false},
    {0},
};

/* A run: the prompt, and a group of texts that are made side by side. */
struct run {
    const struct generate_options *o;
    struct vocabulary vocabulary;
    struct generator generator;
    struct candidate *candidates;
    int64_t choices; /* ids that may be drawn */
    int32_t *prompt;
    int64_t prompt_count;
    int32_t *text[GENERATOR_ROWS]; /* the prompt and what follows it */
    int64_t first, live;           /* number of the group's first continuation, how many it has */
    para_decoder *decoder;
    bool show;           /* write the only text as it grows */
    double tokens_per_s; /* of each of the group's texts */
    struct new_file profile;
};

/* --- output --- */

static int show_token(struct run *r, int32_t id)
{
    para_error err;
    const char *piece;
    size_t bytes;
    if (para_decoder_feed(r->decoder, id, &piece, &bytes, &err) < 0)
        return broken(&err);
    fwrite(piece, 1, bytes, stdout);
    if (bytes > 0 && (r->o->stream || isatty(STDOUT_FILENO)))
        fflush(stdout);
    return EXIT_DONE;
}

static void show_end(struct run *r)
{
    const char *piece;
    size_t bytes;
    para_decoder_finish(r->decoder, &piece, &bytes);
    fwrite(piece, 1, bytes, stdout);
    putchar('\n');
}

/* The bytes of a text's new tokens, to be freed; NULL when memory runs out. */
static char *text_bytes(const struct run *r, const int32_t *made, size_t *bytes)
{
    char *text = NULL;
    *bytes = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t used = 0;
        for (int64_t i = 0; i < r->o->count; i++) {
            size_t more = 0;
            const void *piece = para_tokenizer_token(r->vocabulary.tokenizer, made[i], &more);
            if (piece && text)
                memcpy(text + used, piece, more);
            used += piece ? more : 0;
        }
        if (pass == 0 && !(text = malloc(used + 1)))
            return NULL;
        *bytes = used;
    }
    return text;
}

static int print_json(const struct run *r, int64_t row)
{
    size_t bytes;
    const int32_t *made = r->text[row] + r->prompt_count;
    char *text = text_bytes(r, made, &bytes);
    if (!text)
        return out_of_memory("a text", (double)bytes);
    printf("{\"continuation\":%lld,\"text\":", (long long)(r->first + row));
    json_bytes(stdout, text, bytes);
    fputs(",\"tokens\":[", stdout);
    for (int64_t i = 0; i < r->o->count; i++)
        printf("%s%d", i ? "," : "", made[i]);
    printf("],\"tokens_per_s\":%.17g}\n", r->tokens_per_s);
    free(text);
    return EXIT_DONE;
}

/* Print the group's texts, unless they were shown as they grew. */
static int print_texts(struct run *r)
{
    for (int64_t row = 0; row < r->live && !r->show; row++) {
        if (r->o->json) {
            TRY(print_json(r, row));
            continue;
        }
        printf("--- continuation %lld ---\n%s", (long long)(r->first + row), r->o->prompt);
        for (int64_t i = 0; i < r->o->count; i++)
            TRY(show_token(r, r->text[row][r->prompt_count + i]));
        show_end(r);
    }
    fflush(stdout);
    return EXIT_DONE;
}

/* --- making texts --- */

/* Append a token to each text; number `draw` of what follows the prompt. */
static int choose(struct run *r, int64_t draw)
{
    const struct generator *g = &r->generator;
    for (int64_t row = 0; row < r->live; row++) {
        int32_t id = sampling_choose(&r->o->sampling, g->logits + row * g->model.vocab, r->choices, r->candidates,
                                     (uint64_t)(r->first + row), (uint64_t)draw);
        if (id < 0)
            return failed("%s: the logits of token %lld are no finite numbers", r->o->model,
                          (long long)(r->prompt_count + draw));
        r->text[row][r->prompt_count + draw] = id;
        if (r->show)
            TRY(show_token(r, id));
    }
    return EXIT_DONE;
}

/* Read the texts' last token, number `count` - 1. The caches hold *position tokens; once that is the context, each
 * text's last half context is read anew. */
static int read_last(struct run *r, int64_t count, int64_t *position)
{
    struct generator *g = &r->generator;
    int32_t tokens[GENERATOR_ROWS] = {0};
    if (*position < g->model.context) {
        for (int64_t row = 0; row < r->live; row++)
            tokens[row] = r->text[row][count - 1];
        return generator_step(g, tokens, (*position)++);
    }
    *position = g->model.context > 1 ? g->model.context / 2 : 1;
    for (int64_t row = 0; row < r->live; row++)
        TRY(generator_read(g, r->text[row] + count - *position, *position, row));
    return EXIT_DONE;
}

static int make_texts(struct run *r)
{
    struct generator *g = &r->generator;
    int64_t position = r->prompt_count < g->model.context ? r->prompt_count : g->model.context;
    for (int64_t row = 0; row < r->live; row++)
        memcpy(r->text[row], r->prompt, (size_t)r->prompt_count * sizeof *r->prompt);
    TRY(generator_read(g, r->prompt + r->prompt_count - position, position, GENERATOR_ALL_ROWS));
    TRY(choose(r, 0));
    double begin_s = now_s();
    for (int64_t i = 1; i < r->o->count; i++) {
        TRY(read_last(r, r->prompt_count + i, &position));
        TRY(choose(r, i));
    }
    r->tokens_per_s = r->o->count > 1 ? (double)(r->o->count - 1) / (now_s() - begin_s) : 0;
    return EXIT_DONE;
}

static int generate(struct run *r)
{
    const struct generate_options *o = r->o;
    for (int64_t done = 0; done < o->continuations; done += r->live) {
        r->first = o->first + done;
        r->live = o->continuations - done < r->generator.rows ? o->continuations - done : r->generator.rows;
        if (r->show)
            fputs(o->prompt, stdout);
        int code = make_texts(r);
        if (r->show)
            show_end(r);
        TRY(code);
        TRY(print_texts(r));
    }
    return EXIT_DONE;
}

/* --- the run --- */

static int read_prompt(struct run *r)
{
    para_error err;
    const struct generate_options *o = r->o;
    if (para_tokenizer_encode(r->vocabulary.tokenizer, o->prompt, strlen(o->prompt), true, &r->prompt, &r->prompt_count,
                              &err) < 0)
        return failed("--prompt: %s", err.message);
    return para_decoder_new(&r->decoder, r->vocabulary.tokenizer, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static int make_room(struct run *r)
{
    size_t text = (size_t)(r->prompt_count + r->o->count), choices = (size_t)r->choices;
    r->candidates = calloc(choices, sizeof *r->candidates);
    if (!r->candidates)
        return out_of_memory("the candidates", (double)(choices * sizeof *r->candidates));
    for (int64_t row = 0; row < r->generator.rows; row++) {
        r->text[row] = calloc(text, sizeof *r->text[row]);
        if (!r->text[row])
            return out_of_memory("a text", (double)(text * sizeof *r->text[row]));
    }
    return EXIT_DONE;
}

static int write_profile(struct run *r)
{
    const struct generator *g = &r->generator;
    struct profiled_run last = {.command = "generate",
                                .model = r->o->model,
                                .splits = g->splits,
                                .stages = r->o->split.stages,
                                .workers = para_machine_workers(g->machine),
                                .graph = g->step_graph,
                                .session = g->step};
    return profile_file_write(&r->profile, &last);
}

static int run_on(struct run *r, const para_gpt2 *model, para_machine *machine)
{
    const struct generate_options *o = r->o;
    int64_t rows = o->continuations < GENERATOR_ROWS ? o->continuations : GENERATOR_ROWS;
    r->show = o->continuations == 1 && !o->json;
    r->choices = para_tokenizer_vocab(r->vocabulary.tokenizer);
    TRY(generator_open(&r->generator, o->model, model, rows, &o->split, machine, o->profile));
    TRY(make_room(r));
    TRY(generate(r));
    return write_profile(r);
}

static void close_run(struct run *r)
{
    profile_file_abandon(&r->profile);
    generator_close(&r->generator);
    para_decoder_free(r->decoder);
    para_tokens_free(r->prompt);
    free(r->candidates);
    for (int row = 0; row < GENERATOR_ROWS; row++)
        free(r->text[row]);
    vocabulary_close(&r->vocabulary);
}

static int check(const struct generate_options *o)
{
    const struct sampling *s = &o->sampling;
    if (!o->prompt[0])
        return misused("--prompt is empty, expected at least one byte to continue");
    if (s->temperature == 0)
        return misused("--temperature is 0, expected more than that; --greedy takes the likeliest token");
    if (s->greedy && (s->temperature != 1 || s->top_k || s->top_p != 1))
        return misused("--greedy takes the likeliest token; --temperature, --top-k and --top-p don't go with it");
    if (o->stream && (o->json || o->continuations > 1))
        return misused("--stream writes one text as it grows; --json and --continuations don't go with it");
    if (o->profile && o->count == 1)
        return misused("--profile tells of a run that reads one token, and the prompt alone gives the first; expected "
                       "-n 2 or more");
    return EXIT_DONE;
}

static int run(const void *parsed)
{
    struct run r = {.o = parsed};
    para_gpt2 model;
    para_machine *machine = NULL;
    TRY(check(r.o));
    TRY(model_to_read(&model, r.o->model, r.o->weights));
    TRY(profile_file_open(&r.profile, r.o->profile));
    int code = vocabulary_open(&r.vocabulary, r.o->tokenizer, r.o->model);
    code = code ? code : vocabulary_check(&r.vocabulary, &model, r.o->model);
    code = code ? code : read_prompt(&r);
    code = code ? code : machine_open(&machine, &r.o->machine);
    code = code ? code : run_on(&r, &model, machine);
    close_run(&r);
    para_machine_close(machine);
    return code;
}

static const struct option_group generate_groups[] = {
    {"Options", generate_table, 0},
    {"Choice of tokens", draw_table, 0},
    {"Parallelism", split_option_table, FIELD(split)},
    {"Machine", machine_option_table, FIELD(machine)},
    {0},
};

static const struct generate_options generate_defaults = {.weights = "f32",
                                                          .count = 100,
                                                          .continuations = 1,
                                                          .sampling = {.temperature = 1, .top_p = 1, .seed = 1},
                                                          .split = {.split = "auto", .stages = 1}};

const struct command command_generate = {
    .name = "generate",
    .summary = "continue a prompt",
    .text =
        "Print the prompt and how the model continues it. Keys and values of earlier tokens are kept, so that a token "
        "costs one pass over the parameters. Draws depend on the seed, the continuation's number and the token's "
        "number alone; a run without --continuations makes number 0.\n\n"
        "A prompt longer than the model's context is cut to the last tokens that fit. When the context is full, its "
        "last half is read anew and the text goes on from there.\n\n"
        "Splits cut the parameters' axes; batch and seq are 1 here.\n\n"
        "JSON keys: continuation (its number), text (without the prompt; bytes that aren't UTF-8 as U+FFFD), tokens "
        "(their ids), tokens_per_s (after the first token).\n\n" PROFILE_TEXT,
    .groups = generate_groups,
    .defaults = &generate_defaults,
    .bytes = sizeof generate_defaults,
    .run = run,
};
