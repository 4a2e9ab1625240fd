/* paragraph generate: continue a prompt. */
#include "tools/commands.h"
#include "tools/common.h"

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_VOCAB = 256 };

/* Keeps these draws apart from those of initial values, dropout and windows under the same seed. */
static const uint64_t SAMPLE_KEY = 0x73616d706c657321u;

struct generate_options {
    const char *model, *prompt;
    int64_t count;
    bool greedy;
    double temperature, top_p;
    int64_t top_k, seed;
    struct split_options split;
    struct machine_options machine;
};

static const struct option generate_table[] = {
    {"model", OPTION_TEXT, offsetof(struct generate_options, model), "DIR",
     "folder with config.json and model.safetensors", 0, 0, true},
    {"prompt", OPTION_TEXT, offsetof(struct generate_options, prompt), "TEXT", "what to continue", 0, 0, true},
    {"n", OPTION_COUNT, offsetof(struct generate_options, count), "TOKENS", "how many tokens to make", 1, INT32_MAX,
     false},
    {"greedy", OPTION_FLAG, offsetof(struct generate_options, greedy), NULL, "always take the likeliest token", 0, 0,
     false},
    {"temperature", OPTION_REAL, offsetof(struct generate_options, temperature), "T",
     "divide logits by T: below 1 more likely tokens, above 1 more varied ones", 1e-4, 1e4, false},
    {"top-k", OPTION_COUNT, offsetof(struct generate_options, top_k), "K",
     "draw from the K likeliest tokens alone; 0: from all", 0, INT32_MAX, false},
    {"top-p", OPTION_REAL, offsetof(struct generate_options, top_p), "P",
     "draw from the fewest tokens whose probabilities sum to P or more", 0, 1, false},
    {"seed", OPTION_COUNT, offsetof(struct generate_options, seed), "N", "of the draws", 0, 9e15, false},
    {0},
};

/* A model ready to continue a text. */
struct generator {
    int64_t context, vocab;
    para_graph *graph;
    para_session *session;
    int32_t *window; /* context tokens */
    float *logits;   /* (context, vocab) */
    struct candidate *candidates;
};

struct candidate {
    int token;
    double logit, weight;
};

static int likelier_first(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    int order = (a->logit < b->logit) - (a->logit > b->logit);
    return order ? order : a->token - b->token;
}

/* How many candidates, sorted, remain after top-k and top-p; *total is their weight. */
static int64_t cut(const struct generate_options *o, const struct candidate *c, int64_t count, double *total)
{
    double all = 0, sum = 0;
    int64_t kept = 0;
    count = o->top_k > 0 && o->top_k < count ? o->top_k : count;
    for (int64_t i = 0; i < count; i++)
        all += c[i].weight;
    while (kept < count && (kept == 0 || sum < o->top_p * all))
        sum += c[kept++].weight;
    *total = sum;
    return kept;
}

/* Choose a token by the logits (vocab) of the last place; draw number `draw` of the seed's. */
static int choose(const struct generate_options *o, const struct generator *g, const float *logits, int64_t draw)
{
    struct candidate *c = g->candidates;
    for (int i = 0; i < g->vocab; i++)
        c[i] = (struct candidate){.token = i, .logit = logits[i]};
    qsort(c, (size_t)g->vocab, sizeof *c, likelier_first);
    if (o->greedy)
        return c[0].token;
    for (int64_t i = 0; i < g->vocab; i++)
        c[i].weight = exp((c[i].logit - c[0].logit) / o->temperature);
    double total;
    int64_t kept = cut(o, c, g->vocab, &total);
    struct para_philox p = para_philox((uint64_t)o->seed ^ SAMPLE_KEY, 0, (uint64_t)draw);
    double left = total * ((double)(p.word[0] >> 5) * 0x1p-27 + (double)(p.word[1] >> 6) * 0x1p-53);
    int64_t i = 0;
    while (i + 1 < kept && left >= c[i].weight)
        left -= c[i++].weight;
    return c[i].token;
}

static int open_generator(struct generator *g, const struct generate_options *o, const para_gpt2 *model,
                          para_machine *machine)
{
    para_error err;
    struct graph_wish wish = {
        .model = model, .batch = 1, .seq = model->context, .use = GRAPH_LOGITS, .split = &o->split,
        .workers = para_machine_workers(machine)};
    *g = (struct generator){.context = model->context, .vocab = model->vocab};
    TRY(graph_make(&g->graph, &wish, NULL));
    if (para_session_new(&g->session, g->graph, machine, NULL, &err) < 0 ||
        para_checkpoint_load(o->model, g->graph, g->session, NULL, &err) < 0)
        return broken(&err);
    g->window = calloc((size_t)g->context, sizeof *g->window);
    g->logits = calloc((size_t)(g->context * g->vocab), sizeof *g->logits);
    g->candidates = calloc((size_t)g->vocab, sizeof *g->candidates);
    return g->window && g->logits && g->candidates ? EXIT_DONE : out_of_memory();
}

static void close_generator(struct generator *g)
{
    para_session_free(g->session);
    para_graph_free(g->graph);
    free(g->window);
    free(g->logits);
    free(g->candidates);
}

/* Make the token after `count` others. The graph reads its window's beginning; what stands after the last token is
 * behind the causal mask. */
static int next_token(struct generator *g, const struct generate_options *o, const unsigned char *text, int64_t count,
                      int64_t draw, int *token)
{
    para_error err;
    int64_t used = count < g->context ? count : g->context;
    size_t window_bytes = (size_t)g->context * sizeof *g->window;
    size_t logits_bytes = (size_t)(g->context * g->vocab) * sizeof *g->logits;
    for (int64_t i = 0; i < used; i++)
        g->window[i] = text[count - used + i];
    if (para_session_set(g->session, "tokens", g->window, window_bytes, &err) < 0 ||
        para_session_run(g->session, &err) < 0 ||
        para_session_get(g->session, "logits", g->logits, logits_bytes, &err) < 0)
        return broken(&err);
    *token = choose(o, g, g->logits + (used - 1) * g->vocab, draw);
    return EXIT_DONE;
}

static int generate(struct generator *g, const struct generate_options *o)
{
    int64_t count = (int64_t)strlen(o->prompt);
    unsigned char *text = malloc((size_t)(count + o->count));
    int code = text ? EXIT_DONE : out_of_memory();
    if (text)
        memcpy(text, o->prompt, (size_t)count);
    fputs(o->prompt, stdout);
    for (int64_t i = 0; i < o->count && code == EXIT_DONE; i++) {
        int token = 0;
        code = next_token(g, o, text, count, i, &token);
        if (code != EXIT_DONE)
            break;
        text[count++] = (unsigned char)token;
        putchar(token);
        fflush(stdout);
    }
    putchar('\n');
    free(text);
    return code;
}

static int check(const struct generate_options *o)
{
    if (!o->prompt[0])
        return misused("--prompt is empty, expected at least one byte to continue");
    if (o->greedy && (o->temperature != 1 || o->top_k || o->top_p != 1))
        return misused("--greedy takes the likeliest token; --temperature, --top-k and --top-p don't go with it");
    return EXIT_DONE;
}

static int run(const void *parsed)
{
    const struct generate_options *o = parsed;
    para_gpt2 model;
    para_machine *machine = NULL;
    struct generator g = {0};
    TRY(check(o));
    TRY(model_from_folder(&model, o->model));
    if (model.vocab != BYTES_VOCAB)
        return failed("%s: the model's vocabulary is %lld, expected %d: prompts are read as bytes", o->model,
                      (long long)model.vocab, BYTES_VOCAB);
    TRY(machine_open(&machine, &o->machine));
    int code = open_generator(&g, o, &model, machine);
    code = code ? code : generate(&g, o);
    close_generator(&g);
    para_machine_close(machine);
    return code;
}

static const struct option_group generate_groups[] = {
    {"Options", generate_table, 0},
    {"Parallelism", split_option_table, offsetof(struct generate_options, split)},
    {"Machine", machine_option_table, offsetof(struct generate_options, machine)},
    {0},
};

static const struct generate_options generate_defaults = {
    .count = 100, .temperature = 1, .top_p = 1, .seed = 1, .split = {.split = "auto", .stages = 1}};

const struct command command_generate = {
    .name = "generate",
    .summary = "continue a prompt",
    .text = "Print the prompt and how the model continues it, byte by byte. Draws depend on the seed and the token's "
            "number "
            "alone. Past the model's context, the last tokens that fit are read.",
    .groups = generate_groups,
    .defaults = &generate_defaults,
    .bytes = sizeof generate_defaults,
    .run = run,
};
