/* Shared by the commands: messages, machine, model, graph. */
#include "tools/common.h"

#include "base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static void print_message(const char *format, va_list arguments)
{
    fputs("paragraph: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
}

int failed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

int misused(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

int refused(const char *lead, const para_error *err)
{
    bool unsuited =
        err->code == PARA_EINVAL || err->code == PARA_ERANGE || err->code == PARA_EAXIS || err->code == PARA_ENAME;
    return unsuited ? misused("%s%s", lead, err->message) : failed("%s", err->message);
}

int broken(const para_error *err)
{
    return failed("%s", err->message);
}

int out_of_memory(const char *what, double bytes)
{
    return failed("memory ran out: %s takes %.3f GiB", what, bytes / (1 << 30));
}

void json_bytes(FILE *out, const void *bytes, size_t count)
{
    const unsigned char *s = bytes, *end = s + count;
    fputc('"', out);
    while (s < end) {
        uint32_t c;
        int length = para_utf8(s, (size_t)(end - s), &c);
        if (length <= 0)
            fputs("\\ufffd", out);
        else if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7f)
            fprintf(out, "\\u%04x", *s);
        else
            fwrite(s, (size_t)length, 1, out);
        s += length > 0 ? length : 1;
    }
    fputc('"', out);
}

void json_string(FILE *out, const char *string)
{
    json_bytes(out, string, strlen(string));
}

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- machine --- */

const struct option machine_option_table[] = {
    {"workers", OPTION_COUNT, offsetof(struct machine_options, workers), "N", "CPU workers; 0 takes one per core", 0,
     65536, false},
    {"scheduler", OPTION_TEXT, offsetof(struct machine_options, scheduler), "NAME",
     "StarPU scheduler, in place of STARPU_SCHED or prio", 0, 0, false},
    {"verbose", OPTION_FLAG, offsetof(struct machine_options, verbose), NULL, "let StarPU talk on standard error", 0, 0,
     false},
    {0},
};

int machine_open(para_machine **out, const struct machine_options *options)
{
    para_error err;
    para_machine_options own = para_machine_default();
    own.workers = (int)options->workers;
    own.scheduler = options->scheduler;
    own.verbose = options->verbose;
    return para_machine_open(out, &own, &err) < 0 ? broken(&err) : EXIT_DONE;
}

/* --- model --- */

const struct option model_option_table[] = {
    {"preset", OPTION_TEXT, offsetof(struct model_options, preset), "P",
     "a model by name: tiny, gpt2-124m, gpt2-355m; the options below change it (without it: tiny, or, for bench, "
     "gpt2-124m)",
     0, 0, false},
    {"layers", OPTION_COUNT, offsetof(struct model_options, layers), "N", "number of layers", 1, 10000, false},
    {"heads", OPTION_COUNT, offsetof(struct model_options, heads), "N", "attention heads", 1, 10000, false},
    {"embd", OPTION_COUNT, offsetof(struct model_options, embd), "N", "width, a multiple of heads", 1, 1000000, false},
    {"ff", OPTION_COUNT, offsetof(struct model_options, ff), "N",
     "width of the feed-forward part; 4 x embd if embd alone is given", 1, 10000000, false},
    {"context", OPTION_COUNT, offsetof(struct model_options, context), "N", "longest sequence", 1, 10000000, false},
    {0},
};

bool model_options_given(const struct model_options *o)
{
    return o->preset || o->layers || o->heads || o->embd || o->ff || o->context;
}

int model_from_options(para_gpt2 *out, const struct model_options *o)
{
    para_error err;
    para_gpt2 m;
    if (para_gpt2_preset(&m, o->preset ? o->preset : "tiny", &err) < 0)
        return refused("--preset: ", &err);
    m.layers = o->layers ? o->layers : m.layers;
    m.heads = o->heads ? o->heads : m.heads;
    m.ff = o->ff ? o->ff : o->embd ? 4 * o->embd : m.ff;
    m.embd = o->embd ? o->embd : m.embd;
    m.context = o->context ? o->context : m.context;
    if (para_gpt2_check(&m, &err) < 0)
        return refused("", &err);
    *out = m;
    return EXIT_DONE;
}

void model_name(const struct model_options *o, char name[MODEL_NAME])
{
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = {{"layers", o->layers}, {"heads", o->heads}, {"embd", o->embd}, {"ff", o->ff}, {"context", o->context}};
    size_t used = (size_t)snprintf(name, MODEL_NAME, "%.32s", o->preset ? o->preset : "tiny");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value)
            used +=
                (size_t)snprintf(name + used, MODEL_NAME - used, ", %s %lld", sizes[i].name, (long long)sizes[i].value);
}

int model_from_folder(para_gpt2 *out, const char *folder)
{
    para_error err;
    return para_checkpoint_config(folder, out, &err) < 0 ? broken(&err) : EXIT_DONE;
}

para_dtype weights_type(const char *word)
{
    return word[0] == 'b' ? PARA_BF16 : word[0] == 'i' ? PARA_I8 : PARA_F32;
}

int model_to_read(para_gpt2 *out, const char *folder, const char *weights)
{
    TRY(model_from_folder(out, folder));
    out->weights = weights_type(weights);
    return EXIT_DONE;
}

/* --- graph --- */

const struct option split_option_table[] = {
    {"split", OPTION_TEXT, offsetof(struct split_options, split), "LIST",
     "axes to split and into how many parts, as in batch=2,heads=2, of batch, seq, embd, qkv, heads, head_dim, ff, "
     "vocab, context; auto: by a rule that knows the graph and the number of workers; none: not at all",
     0, 0, false},
    {"stages", OPTION_COUNT, offsetof(struct split_options, stages), "N",
     "place the layers on the workers in N stages, balanced by cost; with --split batch=M a pipeline", 1, 65536, false},
    {0},
};

const struct option memory_option_table[] = {
    {"recompute", OPTION_CHOICE, offsetof(struct memory_options, recompute), "none|cheap|layers",
     "what to compute again in the backward pass, not keep: nothing, norms and activations, or whole layers but for "
     "what enters them",
     0, 0, false},
    {0},
};

/* FLOPs per byte: norms, activations, dropout and sums take less, products that contract more than 16 take more. */
static const double CHEAP = 8;

int graph_recompute(para_graph **g, const struct memory_options *options)
{
    para_error err;
    para_graph *again;
    if (!options || !options->recompute || strcmp(options->recompute, "none") == 0)
        return EXIT_DONE;
    bool layers = strcmp(options->recompute, "layers") == 0;
    if (para_graph_recompute(&again, *g, layers ? "layer.*" : NULL, layers ? INFINITY : CHEAP, &err) < 0)
        return refused("--", &err);
    para_graph_free(*g);
    *g = again;
    return EXIT_DONE;
}

static int split_graph(para_graph **g, const char *list, int workers, char *chosen)
{
    para_error err;
    para_graph *cut;
    char by_rule[32];
    if (!list || strcmp(list, "none") == 0)
        list = "";
    else if (strcmp(list, "auto") == 0 && workers > 0) {
        snprintf(by_rule, sizeof by_rule, "auto:%d", workers);
        list = by_rule;
    }
    if (para_graph_split_list(&cut, *g, list, chosen, SPLIT_TEXT, &err) < 0)
        return refused("--", &err);
    para_graph_free(*g);
    *g = cut;
    return EXIT_DONE;
}

static int stage_graph(para_graph **g, int64_t stages)
{
    para_error err;
    para_graph *placed;
    if (para_graph_stage(&placed, *g, (int)stages, &err) < 0)
        return refused("--", &err);
    para_graph_free(*g);
    *g = placed;
    return EXIT_DONE;
}

static int accumulate_graph(para_graph **g)
{
    para_error err;
    para_graph *chained;
    if (para_graph_accumulate(&chained, *g, &err) < 0)
        return refused("", &err);
    para_graph_free(*g);
    *g = chained;
    return EXIT_DONE;
}

int graph_cut(para_graph **g, const struct split_options *options, int workers, char *chosen)
{
    char unused[SPLIT_TEXT];
    TRY(split_graph(g, options->split, workers, chosen ? chosen : unused));
    if (options->stages > 1)
        TRY(stage_graph(g, options->stages));
    bool cut = options->stages > 1 || (options->split && strcmp(options->split, "none") != 0);
    return options->as_written && !cut ? EXIT_DONE : accumulate_graph(g);
}

static int build(para_graph *g, const struct graph_wish *wish, para_error *err)
{
    bool loss = wish->use != GRAPH_LOGITS;
    para_gpt2_graph made = wish->use == GRAPH_CACHED ? para_gpt2_build_cached(g, wish->model, wish->batch, wish->seq)
                                                     : para_gpt2_build(g, wish->model, wish->batch, wish->seq, loss);
    struct graph_phases phases = {para_graph_node_count(g), para_graph_node_count(g)};
    int status = 0;
    if (wish->use == GRAPH_LOSS_AND_LOGITS && made.logits)
        para_output(made.logits);
    if (wish->use == GRAPH_TRAINING && made.loss) {
        status = para_graph_backward(g, made.loss, err);
        phases.optimizer = para_graph_node_count(g);
        status = status < 0 ? status : para_graph_adamw(g, wish->adamw, err);
    }
    if (wish->phases)
        *wish->phases = phases;
    return status < 0 ? status : para_graph_seal(g, err);
}

int graph_make(para_graph **out, const struct graph_wish *wish, char *chosen)
{
    para_error err;
    para_graph *g = para_graph_new();
    if (!g)
        return out_of_memory("a graph", 0);
    int code = build(g, wish, &err) < 0 ? refused("", &err) : graph_cut(&g, wish->split, wish->workers, chosen);
    code = code ? code : graph_recompute(&g, wish->memory);
    if (code == EXIT_DONE)
        *out = g;
    else
        para_graph_free(g);
    return code;
}
