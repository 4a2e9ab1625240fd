/* paragraph bench: a training step against the floor that this machine sets, both measured in turns in one run. */
#include "tools/commands.h"
#include "tools/common.h"

#include "base/philox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { WARM_UP_STEPS = 2, MAX_OPS = 64 };

struct bench_options {
    int64_t batch, seq, steps, repeat;
    bool json;
    struct model_options model;
    struct split_options split;
    struct machine_options machine;
};

static const struct option bench_table[] = {
    {"batch", OPTION_COUNT, offsetof(struct bench_options, batch), "N", "windows of a step", 1, INT32_MAX, false},
    {"seq", OPTION_COUNT, offsetof(struct bench_options, seq), "N", "tokens of a window", 1, INT32_MAX, false},
    {"steps", OPTION_COUNT, offsetof(struct bench_options, steps), "N", "steps between two measurements of the floor",
     1, 100000, false},
    {"repeat", OPTION_COUNT, offsetof(struct bench_options, repeat), "N", "measurements of the floor", 1, 100000,
     false},
    {"json", OPTION_FLAG, offsetof(struct bench_options, json), NULL, "print one JSON object", 0, 0, false},
    {0},
};

/* Time and work of all nodes of one op, over all measured steps. */
struct op_share {
    const char *op;
    double ns, flops;
};

struct bench {
    const struct bench_options *o;
    para_gpt2 model;
    char name[MODEL_NAME]; /* of the model */
    para_graph *graph;
    para_machine *machine;
    para_session *session;
    char splits[SPLIT_TEXT];
    double *step_ms;                 /* of repeat x steps */
    double *floor_ms, *gflops, *gbs; /* of repeat */
    int64_t measured;                /* steps so far */
    double run_ns;                   /* of all measured steps */
    double *busy_ns;                 /* by worker */
    struct op_share ops[MAX_OPS];
    int op_count;
    size_t peak_rss_bytes; /* of training: taken before the floor's own memory */
};

/* Parameters that matrix products read: the layers' matrices and the head, which is tied to the token table. */
static double product_parameters(const para_gpt2 *m)
{
    double width = (double)m->embd, layer = 4 * width * width + 2 * width * (double)m->ff;
    return (double)m->layers * layer + (double)m->vocab * width;
}

/* All parameters: those, the position table, biases (3 + 1 + 1 widths and ff) and norms (4 widths a layer, 2 at last).
 */
static double all_parameters(const para_gpt2 *m)
{
    double width = (double)m->embd;
    return product_parameters(m) + (double)m->context * width + (double)m->layers * (9 * width + (double)m->ff) +
           2 * width;
}

/* The least time of a step at the machine's own rates: (6 P tokens + 6 layers width seq^2 batch) FLOPs by the rate of
 * products and 28 N bytes (AdamW reads p, g, m, v and writes p, m, v) by that of memory. doc/design.md, the floor. */
static double step_floor_ms(const struct bench *b, const para_floor *f)
{
    double batch = (double)b->o->batch, seq = (double)b->o->seq;
    double flops = 6 * product_parameters(&b->model) * batch * seq +
                   6 * (double)b->model.layers * (double)b->model.embd * seq * seq * batch;
    return flops / (f->sgemm_gflops * 1e6) + 28 * all_parameters(&b->model) / (f->memory_gbs * 1e6);
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts the values. */
static double median(double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

static void add_op(struct bench *b, const para_node *n, double ns)
{
    int i = 0;
    while (i < b->op_count && strcmp(b->ops[i].op, para_node_op(n)) != 0)
        i++;
    if (i == MAX_OPS)
        return;
    if (i == b->op_count)
        b->ops[b->op_count++].op = para_node_op(n);
    b->ops[i].ns += ns;
    b->ops[i].flops += para_node_flops(n);
}

static void add_profile(struct bench *b)
{
    int count;
    const para_sample *samples = para_session_profile(b->session, &count);
    for (int i = 0; i < count; i++) {
        double ns = samples[i].end_ns - samples[i].start_ns;
        add_op(b, para_graph_node(b->graph, samples[i].node), ns);
        if (samples[i].worker >= 0 && samples[i].worker < para_machine_workers(b->machine))
            b->busy_ns[samples[i].worker] += ns;
    }
}

static int run_step(struct bench *b, bool measured)
{
    para_error err;
    if (para_session_run(b->session, &err) < 0)
        return broken(&err);
    if (!measured)
        return EXIT_DONE;
    double run_ns = para_session_count(b->session).run_ns;
    b->step_ms[b->measured++] = run_ns * 1e-6;
    b->run_ns += run_ns;
    add_profile(b);
    return EXIT_DONE;
}

static int measure(struct bench *b)
{
    struct rusage usage;
    for (int i = 0; i < WARM_UP_STEPS; i++)
        TRY(run_step(b, false));
    getrusage(RUSAGE_SELF, &usage);
    b->peak_rss_bytes = (size_t)usage.ru_maxrss * 1024;
    for (int64_t r = 0; r < b->o->repeat; r++) {
        para_error err;
        para_floor f;
        if (para_machine_floor(b->machine, &f, &err) < 0)
            return broken(&err);
        b->floor_ms[r] = step_floor_ms(b, &f);
        b->gflops[r] = f.sgemm_gflops;
        b->gbs[r] = f.memory_gbs;
        for (int64_t i = 0; i < b->o->steps; i++)
            TRY(run_step(b, true));
    }
    return EXIT_DONE;
}

static int set_random(struct bench *b, const char *name, uint64_t stream)
{
    para_error err;
    size_t count = (size_t)(b->o->batch * b->o->seq);
    int32_t *ids = calloc(count, sizeof *ids);
    if (!ids)
        return out_of_memory("a batch", (double)(count * sizeof *ids));
    for (size_t i = 0; i < count; i++)
        ids[i] = (int32_t)(para_draw(1, stream, i) % (uint32_t)b->model.vocab);
    int status = para_session_set(b->session, name, ids, count * sizeof *ids, &err);
    free(ids);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

static int prepare(struct bench *b)
{
    const struct bench_options *o = b->o;
    para_error err;
    para_adamw_options adamw = para_adamw_default();
    adamw.clip = 1.0;
    adamw.weight_decay = 0.1;
    struct model_options own = o->model;
    own.preset = own.preset ? own.preset : "gpt2-124m";
    TRY(model_from_options(&b->model, &own));
    model_name(&own, b->name);
    TRY(machine_open(&b->machine, &o->machine));
    struct graph_wish wish = {.model = &b->model,
                              .batch = o->batch,
                              .seq = o->seq,
                              .use = GRAPH_TRAINING,
                              .workers = para_machine_workers(b->machine),
                              .adamw = &adamw,
                              .split = &o->split};
    para_session_options session = para_session_default();
    session.profile = true;
    TRY(graph_make(&b->graph, &wish, b->splits));
    if (para_session_new(&b->session, b->graph, b->machine, &session, &err) < 0)
        return broken(&err);
    TRY(set_random(b, "tokens", 0));
    TRY(set_random(b, "targets", 1));
    b->step_ms = calloc((size_t)(o->repeat * o->steps), sizeof *b->step_ms);
    b->floor_ms = calloc((size_t)o->repeat, sizeof *b->floor_ms);
    b->gflops = calloc((size_t)o->repeat, sizeof *b->gflops);
    b->gbs = calloc((size_t)o->repeat, sizeof *b->gbs);
    b->busy_ns = calloc((size_t)para_machine_workers(b->machine), sizeof *b->busy_ns);
    return b->step_ms && b->floor_ms && b->gflops && b->gbs && b->busy_ns
               ? EXIT_DONE
               : out_of_memory("the measurements", (double)(o->repeat * (o->steps + 3)) * sizeof(double));
}

static int more_time_first(const void *left, const void *right)
{
    const struct op_share *a = left, *b = right;
    return (a->ns < b->ns) - (a->ns > b->ns);
}

static void print_ops(struct bench *b)
{
    double all = 0, steps = (double)b->measured;
    for (int i = 0; i < b->op_count; i++)
        all += b->ops[i].ns;
    qsort(b->ops, (size_t)b->op_count, sizeof *b->ops, more_time_first);
    printf("\n%-26s %10s %7s %9s\n", "op", "ms/step", "share", "GFLOP/s");
    for (int i = 0; i < b->op_count; i++) {
        const struct op_share *s = &b->ops[i];
        printf("%-26s %10.3f %6.1f%% %9.1f\n", s->op, s->ns * 1e-6 / steps, all > 0 ? 100 * s->ns / all : 0,
               s->ns > 0 ? s->flops / s->ns : 0);
    }
    putchar('\n');
    for (int w = 0; w < para_machine_workers(b->machine); w++)
        printf("worker %d idle %.1f%%\n", w, 100 * (1 - b->busy_ns[w] / b->run_ns));
}

static void report(struct bench *b)
{
    const struct bench_options *o = b->o;
    int workers = para_machine_workers(b->machine);
    double step = median(b->step_ms, b->measured), floor = median(b->floor_ms, o->repeat);
    double gflops = median(b->gflops, o->repeat), gbs = median(b->gbs, o->repeat);
    if (o->json) {
        fputs("{\"preset\":", stdout);
        json_string(stdout, b->name);
        printf(",\"workers\":%d,\"step_ms\":%.17g,\"floor_ms\":%.17g,\"ratio\":%.17g,\"peak_rss_bytes\":%zu,"
               "\"sgemm_gflops\":%.17g,\"memory_gbs\":%.17g}\n",
               workers, step, floor, step / floor, b->peak_rss_bytes, gflops, gbs);
        return;
    }
    printf("%s, batch %lld, seq %lld, %d worker%s, splits %s\n", b->name, (long long)o->batch, (long long)o->seq,
           workers, workers == 1 ? "" : "s", b->splits[0] ? b->splits : "none");
    printf("step   %10.3f ms (median of %lld, %.3f to %.3f)\n", step, (long long)b->measured, b->step_ms[0],
           b->step_ms[b->measured - 1]);
    printf("floor  %10.3f ms (%.1f GFLOP/s of products, %.1f GB/s of memory)\n", floor, gflops, gbs);
    printf("ratio  %10.3f\n", step / floor);
    printf("memory %10.3f GiB at most\n", (double)b->peak_rss_bytes / (1 << 30));
    print_ops(b);
}

static void close_bench(struct bench *b)
{
    para_session_free(b->session);
    para_machine_close(b->machine);
    para_graph_free(b->graph);
    free(b->step_ms);
    free(b->floor_ms);
    free(b->gflops);
    free(b->gbs);
    free(b->busy_ns);
}

static int run(const void *parsed)
{
    struct bench b = {.o = parsed};
    int code = prepare(&b);
    code = code ? code : measure(&b);
    if (code == EXIT_DONE)
        report(&b);
    close_bench(&b);
    return code;
}

static const struct option_group bench_groups[] = {
    {"Options", bench_table, 0},
    {"Model", model_option_table, offsetof(struct bench_options, model)},
    {"Parallelism", split_option_table, offsetof(struct bench_options, split)},
    {"Machine", machine_option_table, offsetof(struct bench_options, machine)},
    {0},
};

static const struct bench_options bench_defaults = {
    .batch = 4, .seq = 64, .steps = 3, .repeat = 3, .split = {.split = "auto", .stages = 1}};

const struct command command_bench = {
    .name = "bench",
    .summary = "time a training step against the measured floor",
    .text =
        "Time a training step (random tokens, AdamW, clipping) and, in turns with it, the rates of matrix products and "
        "of memory on all workers at once. The floor is the time that the step's products and AdamW's traffic take at "
        "these "
        "rates. Medians are printed, then where the time goes, by op, and each worker's idle share.\n\n"
        "JSON keys: preset (and the sizes that change it), workers, step_ms, floor_ms, ratio, peak_rss_bytes (of "
        "training), sgemm_gflops, memory_gbs.",
    .groups = bench_groups,
    .defaults = &bench_defaults,
    .bytes = sizeof bench_defaults,
    .run = run,
};
