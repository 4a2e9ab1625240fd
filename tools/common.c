/* Shared by the commands: messages, machine, model, graph. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "tools/common.h"
#include "tools/signals.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Copy a text with its control characters, by which a terminal could be told something, as \x1b; NULL without memory.
 */
static char *escape(const char *text)
{
    char *copy = malloc(4 * strlen(text) + 1), *to = copy;
    for (const char *c = text; copy && *c; c++)
        to += (unsigned char)*c < ' ' || *c == 0x7f ? sprintf(to, "\\x%02x", (unsigned char)*c) : (*to = *c, 1);
    if (copy)
        *to = '\0';
    return copy;
}

/* Cut a long line in its middle: what it is about stands at its beginning, and why at its end. */
static void shorten(char *line)
{
    enum { MOST = 1000, KEPT = 480 };
    size_t length = strlen(line), head = KEPT, tail = length - KEPT;
    if (length <= MOST)
        return;
    while (((unsigned char)line[head] & 0xc0) == 0x80)
        head--;
    while (((unsigned char)line[tail] & 0xc0) == 0x80)
        tail++;
    memcpy(line + head, "...", 3);
    memmove(line + head + 3, line + tail, length - tail + 1);
}

/* One line, and one write of it, whatever stands in names of files and tensors. */
static void print_message(const char *format, va_list arguments)
{
    char *text = NULL, *line = NULL;
    va_list again;
    va_copy(again, arguments);
    if (vasprintf(&text, format, arguments) >= 0)
        line = escape(text);
    else
        text = NULL;
    if (line) {
        shorten(line);
        fprintf(stderr, "paragraph: %s\n", line);
    } else {
        fputs("paragraph: ", stderr);
        vfprintf(stderr, format, again);
        fputc('\n', stderr);
    }
    va_end(again);
    free(line);
    free(text);
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

int flush_output(void)
{
    static bool told;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    if (!told)
        message("standard output can't be written%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
    told = true;
    signals_ask();
    return EXIT_FAILED;
}

double shown(double value)
{
    return isnan(value) ? (double)NAN : value;
}

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- machine --- */

const struct option machine_option_table[] = {
    {"workers", OPTION_COUNT, offsetof(struct machine_options, workers), "N",
     "CPU workers; 0 takes one per core that the process may use, within its quota", 0, 65536, false},
    {"devices", OPTION_TEXT, offsetof(struct machine_options, devices), "LIST",
     "cpu, cuda (every GPU), cuda:0,cuda:1 or cpu,cuda:0: what runs the graph; by default every GPU, or cpu where "
     "there "
     "is none",
     0, 0, false},
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
    own.devices = options->devices;
    own.verbose = options->verbose;
    signals_hold(); /* StarPU's files may go to a temporary folder while it starts */
    int status = para_machine_open(out, &own, &err);
    signals_release();
    if (status < 0)
        return broken(&err);
    if (!options->devices && para_machine_gpu_workers(*out))
        message("running on %s", para_machine_devices(*out));
    return EXIT_DONE;
}

bool machine_fuses(const para_machine *m)
{
    return strstr(para_machine_devices(m), "cuda") != NULL;
}

int machine_all_workers(const para_machine *m)
{
    return para_machine_workers(m) + para_machine_gpu_workers(m);
}

int machine_tile_workers(const para_machine *m)
{
    return para_machine_gpu_workers(m) ? 1 : para_machine_workers(m);
}

/* --- model --- */

enum { LAYERS, HEADS, KV_HEADS, EMBD, FF, CONTEXT };
static const char *const size_names[MODEL_SIZES] = {"layers", "heads", "kv_heads", "embd", "ff", "context"};

#define SIZE(which) offsetof(struct model_options, size[which])

const struct option model_option_table[] = {
    {"preset", OPTION_TEXT, offsetof(struct model_options, preset), "P",
     "a model by name: tiny, gpt2-124m, gpt2-355m, gpt2-774m, gpt2-xl, llama-15m, llama-110m, llama2-7b, llama3.2-1b, "
     "qwen2.5-0.5b; the "
     "options below change it (without it: tiny, or, for bench, gpt2-124m)",
     0, 0, false},
    {"layers", OPTION_COUNT, SIZE(LAYERS), "N", "number of layers", 1, 10000, false},
    {"heads", OPTION_COUNT, SIZE(HEADS), "N", "attention heads", 1, 10000, false},
    {"kv-heads", OPTION_COUNT, SIZE(KV_HEADS), "N",
     "heads of keys and values, of Llama and its kin; if heads alone is given, as many where the model has as many", 1,
     10000, false},
    {"embd", OPTION_COUNT, SIZE(EMBD), "N", "width, a multiple of heads", 1, 1000000, false},
    {"ff", OPTION_COUNT, SIZE(FF), "N", "width of the feed-forward part; 4 x embd if embd alone is given", 1, 10000000,
     false},
    {"context", OPTION_COUNT, SIZE(CONTEXT), "N", "longest sequence", 1, 10000000, false},
    {0},
};

bool model_options_given(const struct model_options *o)
{
    bool given = o->preset;
    for (int i = 0; i < MODEL_SIZES; i++)
        given = given || o->size[i];
    return given;
}

/* Set a size that families may lack. */
static void follow(para_model *m, const char *name, int64_t value)
{
    para_error none;
    para_model_set_size(m, name, value, &none);
}

/* What follows from sizes that are given: of families that have it apart, the width of heads is embd / heads. */
static void follow_sizes(para_model *m, const int64_t size[MODEL_SIZES])
{
    para_model_sizes has = para_model_measure(m);
    int64_t heads = size[HEADS] ? size[HEADS] : has.heads, embd = size[EMBD] ? size[EMBD] : has.embd;
    if (size[HEADS] && has.kv_heads == has.heads)
        follow(m, "kv_heads", heads);
    if ((size[HEADS] || size[EMBD]) && embd % heads == 0)
        follow(m, "head_dim", embd / heads);
}

static int set_sizes(para_model *m, const struct model_options *o, para_error *err)
{
    int64_t size[MODEL_SIZES];
    memcpy(size, o->size, sizeof size);
    if (!size[FF])
        size[FF] = 4 * size[EMBD];
    follow_sizes(m, size);
    for (int i = 0; i < MODEL_SIZES; i++)
        if (size[i] && para_model_set_size(m, size_names[i], size[i], err) < 0)
            return err->code;
    return para_model_check(m, err);
}

int model_from_options(para_model **out, const struct model_options *o)
{
    para_error err;
    para_model *m;
    if (para_model_preset(&m, o->preset ? o->preset : "tiny", &err) < 0)
        return refused("--preset: ", &err);
    if (set_sizes(m, o, &err) < 0) {
        para_model_free(m);
        return refused("", &err);
    }
    *out = m;
    return EXIT_DONE;
}

static void list_sizes(int64_t out[MODEL_SIZES], const para_model *m)
{
    para_model_sizes s = para_model_measure(m);
    out[LAYERS] = s.layers;
    out[HEADS] = s.heads;
    out[KV_HEADS] = s.kv_heads;
    out[EMBD] = s.embd;
    out[FF] = s.ff;
    out[CONTEXT] = s.context;
}

/* A preset describes all sizes, options that go without one those that they give. */
int model_is_described(bool *out, const para_model *model, const struct model_options *o)
{
    int64_t has[MODEL_SIZES], told[MODEL_SIZES];
    memcpy(told, o->size, sizeof told);
    *out = true;
    if (o->preset) {
        para_model *described;
        TRY(model_from_options(&described, o));
        list_sizes(told, described);
        *out = strcmp(para_model_family(described), para_model_family(model)) == 0;
        para_model_free(described);
    }
    list_sizes(has, model);
    for (int i = 0; i < MODEL_SIZES; i++)
        *out = *out && (!told[i] || told[i] == has[i]);
    return EXIT_DONE;
}

void model_name(const struct model_options *o, char name[MODEL_NAME])
{
    size_t used = (size_t)snprintf(name, MODEL_NAME, "%.32s", o->preset ? o->preset : "tiny");
    for (int i = 0; i < MODEL_SIZES; i++)
        if (o->size[i])
            used += (size_t)snprintf(name + used, MODEL_NAME - used, ", %s %lld", size_names[i], (long long)o->size[i]);
}

int model_from_folder(para_model **out, const char *folder)
{
    para_error err;
    return para_model_open(out, folder, &err) < 0 ? broken(&err) : EXIT_DONE;
}

bool holds_model(const char *folder)
{
    static const char *const names[] = {"/model.safetensors", "/model.safetensors.index.json",
                                        "/adapter_model.safetensors", ".paragraph-next/model.safetensors",
                                        ".paragraph-next/adapter_model.safetensors"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++) {
        char path[4096];
        int used = snprintf(path, sizeof path, "%s%s", folder, names[i]);
        found = used < (int)sizeof path && access(path, F_OK) == 0;
    }
    return found;
}

para_dtype weights_type(const char *word)
{
    static const para_dtype types[] = {PARA_F32, PARA_BF16, PARA_Q8_0, PARA_Q4_0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(word, para_dtype_name(types[i])) == 0)
            return types[i];
    return PARA_I8; /* "int8" */
}

int model_to_read(para_model **out, const char *folder, const char *weights)
{
    TRY(model_from_folder(out, folder));
    para_model_set_weights(*out, weights_type(weights));
    return EXIT_DONE;
}

/* --- graph --- */

const struct option split_option_table[] = {
    {"split", OPTION_TEXT, offsetof(struct split_options, split), "LIST",
     "axes to split and into how many parts, as in batch=2,heads=2, of batch, seq, embd, qkv, heads, queries, "
     "head_dim, "
     "ff, vocab, context; auto: by a rule that knows the graph and the number of workers; none: not at all",
     0, 0, false},
    {"stages", OPTION_COUNT, offsetof(struct split_options, stages), "N",
     "place the layers on the workers in N stages, balanced by cost; with --split batch=M a pipeline", 1,
     PARA_MAX_PLACES, false},
    {"spread", OPTION_TEXT, offsetof(struct split_options, spread), "AXES[=D]",
     "put the parts of split axes on D devices, or groups of workers, of each stage, as in batch=2 or heads,ff=2; each "
     "parameter is updated on one of them; without D on as many as the first axis has parts",
     0, 0, false},
    {"precision", OPTION_CHOICE, offsetof(struct split_options, precision), "f32|bf16",
     "compute in float32, or in bfloat16 with sums, parameters and moments of float32", 0, 0, false},
    {"fuse", OPTION_FLAG, offsetof(struct split_options, fuse), NULL,
     "let one node stand for several that an op computes in one, as is always done on GPUs", 0, 0, false},
    {0},
};

const struct option memory_option_table[] = {
    {"recompute", OPTION_CHOICE, offsetof(struct memory_options, recompute), "none|cheap|layers",
     "what to compute again in the backward pass, not keep: nothing, norms and activations, or whole layers but for "
     "what enters them",
     0, 0, false},
    {0},
};

const struct option lora_option_table[] = {
    {"lora-r", OPTION_COUNT, offsetof(struct lora_options, rank), "N",
     "train low-rank adapters of this rank beside the model, which stays as it is", 1, INT32_MAX, false},
    {"lora-alpha", OPTION_REAL, offsetof(struct lora_options, alpha), "X",
     "adapters add alpha / r times their product (default: twice the rank)", 1e-6, 1e6, false},
    {"lora-targets", OPTION_TEXT, offsetof(struct lora_options, targets), "NAMES",
     "products that get adapters, by PEFT's target_modules, with commas: c_attn,c_proj or q_proj,v_proj; all-linear: "
     "all "
     "of the layers (default: all-linear)",
     0, 0, false},
    {"lora-rslora", OPTION_FLAG, offsetof(struct lora_options, rslora), NULL,
     "add alpha / sqrt(r) times their product, PEFT's use_rslora", 0, 0, false},
    {0},
};

int lora_check(const struct lora_options *o)
{
    if (!o->rank && (o->alpha > 0 || o->targets || o->rslora))
        return misused("--lora-%s says how adapters are made, expected --lora-r beside it", o->alpha > 0 ? "alpha"
                                                                                            : o->targets ? "targets"
                                                                                                         : "rslora");
    return EXIT_DONE;
}

para_lora lora_of(const struct lora_options *o)
{
    return (para_lora){.rank = o->rank,
                       .alpha = o->alpha > 0 ? o->alpha : 2 * (double)o->rank,
                       .rslora = o->rslora,
                       .targets = o->targets};
}

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

/* The most that the rule of --split auto cuts for. */
enum { RULE_CORES = 1024 };

bool split_is_none(const char *split)
{
    return !split || !split[0] || strcmp(split, "none") == 0;
}

para_dtype precision_type(const char *word)
{
    return word && strcmp(word, "bf16") == 0 ? PARA_BF16 : PARA_F32;
}

int graph_cut(para_graph **g, const struct split_options *o, int workers, char *chosen)
{
    para_error err;
    para_graph *cut;
    bool whole = split_is_none(o->split);
    para_arrangement how = {.precision = precision_type(o->precision),
                            .split = whole ? NULL : o->split,
                            .workers = workers < RULE_CORES ? workers : RULE_CORES,
                            .stages = (int)o->stages,
                            .spread = o->spread,
                            .as_written = o->as_written && whole && o->stages <= 1 && !o->spread,
                            .fuse = o->fuse};
    if (para_graph_arrange(&cut, *g, &how, chosen, SPLIT_TEXT, &err) < 0)
        return refused("--", &err);
    para_graph_free(*g);
    *g = cut;
    return EXIT_DONE;
}

/* Put adapters beside the products of *g, which is replaced by an open graph. */
static int adapt(para_graph **g, const struct graph_wish *wish, para_error *err)
{
    para_graph *adapted;
    if (!wish->lora || !wish->lora->rank)
        return 0;
    int status = para_graph_seal(*g, err);
    status = status < 0 ? status : para_model_lora(&adapted, *g, wish->model, wish->lora, err);
    if (status == 0) {
        para_graph_free(*g);
        *g = adapted;
    }
    return status;
}

/* Append what trains it. */
static int append_step(para_graph *g, const struct graph_wish *wish, struct graph_phases *phases, para_error *err)
{
    phases->backward = para_graph_node_count(g);
    int status = para_graph_backward(g, para_graph_value(g, "loss"), err);
    phases->optimizer = para_graph_node_count(g);
    return status < 0 ? status : para_graph_adamw(g, wish->adamw, err);
}

static int build(para_graph **g, const struct graph_wish *wish, para_error *err)
{
    bool training = wish->use == GRAPH_TRAINING;
    para_caches caches = {.batch = wish->batch,
                          .seq = wish->seq,
                          .cache = wish->cache,
                          .prefix = wish->prefix,
                          .likeliest = wish->likeliest};
    para_model_graph made = wish->use == GRAPH_CACHED
                                ? para_model_build_cached(*g, wish->model, &caches)
                                : para_model_build(*g, wish->model, wish->batch, wish->seq, training);
    int status = made.loss ? adapt(g, wish, err) : 0;
    struct graph_phases phases = {para_graph_node_count(*g), para_graph_node_count(*g)};
    if (made.loss && status == 0)
        status = append_step(*g, wish, &phases, err);
    if (wish->phases)
        *wish->phases = phases;
    return status < 0 ? status : para_graph_seal(*g, err);
}

int graph_make(para_graph **out, const struct graph_wish *wish, char *chosen)
{
    para_error err;
    para_graph *g = para_graph_new();
    if (!g)
        return out_of_memory("a graph", 0);
    struct split_options split = *wish->split;
    split.fuse = split.fuse || wish->fuse;
    int code = build(&g, wish, &err) < 0 ? refused("", &err) : graph_cut(&g, &split, wish->workers, chosen);
    code = code ? code : graph_recompute(&g, wish->memory);
    if (code == EXIT_DONE)
        *out = g;
    else
        para_graph_free(g);
    return code;
}
