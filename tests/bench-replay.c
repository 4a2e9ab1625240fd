/* What a session's replay costs beside StarPU's own: the 124M training step with all extents shrunk, so that kernels
 * cost next to nothing, against a bare StarPU program that resubmits as many empty tasks with the same handles, modes,
 * priorities and edges. Nodes so small would all be clustered: here each is a task of its own. Rounds alternate;
 * medians are printed, and the ratio beside its bar. Usage: bench-replay [WORKERS]; one JSON line on standard output,
 * text on standard error. */
#include "runtime/session.h"

#include <paragraph.h>

#include <starpu.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 21, RUNS = 20 };
static const double BAR = 1.3;

/* As many layers and heads as GPT-2 124M: the nodes, and the edges, are those of its step. */
static const para_gpt2 shrunk = {
    .layers = 12, .heads = 12, .embd = 12, .ff = 4, .vocab = 4, .context = 2, .norm_eps = 1e-5};
static const char SPLIT[] = "vocab=2,heads=2,ff=2";

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            stop(#call, &err);                                                                                         \
    } while (0)

static void stop(const char *call, const para_error *err)
{
    fprintf(stderr, "bench-replay: %s: %s\n", call, err->message);
    exit(1);
}

static void *must_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes + 1);
    if (!memory)
        stop("calloc", &(para_error){.message = "out of memory"});
    return memory;
}

/* In the place of para_clusters_new(), by the linker: a task per node. */
int __wrap_para_clusters_new(struct para_clusters *out, const para_graph *g, const para_deps *d,
                             const struct para_gpus *gpus, int workers, para_error *err);
int __wrap_para_clusters_new(struct para_clusters *out, const para_graph *g, const para_deps *d,
                             const struct para_gpus *gpus, int workers, para_error *err)
{
    (void)gpus;
    (void)workers;
    (void)err;
    size_t nodes = (size_t)g->n_nodes + 1, edges = (size_t)para_deps_edge_count(d);
    *out = (struct para_clusters){.count = g->n_nodes,
                                  .of = must_alloc(nodes * sizeof *out->of),
                                  .first = must_alloc(nodes * sizeof *out->first),
                                  .nodes = must_alloc(nodes * sizeof *out->nodes),
                                  .first_edge = must_alloc(nodes * sizeof *out->first_edge),
                                  .from = must_alloc(edges * sizeof *out->from)};
    for (int i = 0; i < g->n_nodes; i++) {
        int count;
        const para_edge *from = para_deps_of(d, i, &count);
        out->of[i] = out->first[i] = out->nodes[i] = i;
        for (int e = 0; e < count; e++)
            out->from[out->n_edges++] = from[e].from;
        out->first_edge[i + 1] = out->n_edges;
    }
    out->first[g->n_nodes] = g->n_nodes;
    return 0;
}

static para_graph *training_step(void)
{
    para_error err;
    para_adamw_options adamw = para_adamw_default();
    adamw.clip = 1.0;
    para_graph *g = para_graph_new(), *cut = NULL, *chained = NULL;
    para_model_graph made = para_gpt2_build(g, &shrunk, 2, 2, true);
    MUST(para_graph_backward(g, made.loss, &err));
    MUST(para_graph_adamw(g, &adamw, &err));
    MUST(para_graph_seal(g, &err));
    MUST(para_graph_split_list(&cut, g, SPLIT, NULL, 0, &err));
    MUST(para_graph_accumulate(&chained, cut, &err));
    para_graph_free(cut);
    para_graph_free(g);
    return chained;
}

static para_session *session_of(const para_graph *g, para_machine *m)
{
    para_error err;
    para_session *s;
    int32_t ids[4] = {0, 1, 2, 3};
    MUST(para_session_new(&s, g, m, NULL, &err));
    MUST(para_session_set(s, "tokens", ids, sizeof ids, &err));
    MUST(para_session_set(s, "targets", ids, sizeof ids, &err));
    return s;
}

/* --- the bare program --- */

struct bare {
    starpu_data_handle_t *handles;
    struct bare_task {
        struct starpu_task *starpu;
        starpu_data_handle_t *handles;
        enum starpu_data_access_mode *modes;
        int n_handles;
    } * tasks;
    void **memory;
    int n_tasks, n_handles;
};

static void do_nothing(void *buffers[], void *argument)
{
    (void)buffers;
    (void)argument;
}

static struct starpu_codelet empty = {
    .where = STARPU_CPU, .cpu_funcs = {do_nothing}, .nbuffers = STARPU_VARIABLE_NBUFFERS, .name = "empty"};

static void add_access(struct bare_task *t, starpu_data_handle_t handle, enum starpu_data_access_mode mode)
{
    int slot = 0;
    while (slot < t->n_handles && t->handles[slot] != handle)
        slot++;
    if (slot == t->n_handles) {
        t->handles[slot] = handle;
        t->modes[slot] = STARPU_NONE;
        t->n_handles++;
    }
    t->modes[slot] = (enum starpu_data_access_mode)(t->modes[slot] | mode);
}

/* Beyond STARPU_NMAXBUFS handles, StarPU forgets them after each run. */
static void name_handles(struct bare_task *t)
{
    if (t->n_handles > STARPU_NMAXBUFS) {
        free(t->starpu->dyn_interfaces);
        t->starpu->dyn_interfaces = NULL;
        t->starpu->dyn_handles = t->handles;
        t->starpu->dyn_modes = t->modes;
        return;
    }
    memcpy(t->starpu->handles, t->handles, (size_t)t->n_handles * sizeof *t->handles);
    memcpy(t->starpu->modes, t->modes, (size_t)t->n_handles * sizeof *t->modes);
}

static void make_bare_task(struct bare *b, const para_session *s, const para_node *n)
{
    struct bare_task *t = &b->tasks[n->id];
    const struct para_buffers *buffers = &s->plan->buffers;
    t->handles = must_alloc((size_t)(n->n_in + n->n_out) * sizeof *t->handles);
    t->modes = must_alloc((size_t)(n->n_in + n->n_out) * sizeof *t->modes);
    for (int k = 0; k < n->n_in + n->n_out; k++)
        add_access(t, b->handles[buffers->of[para_node_operand(n, k)->id]], k < n->n_in ? STARPU_R : STARPU_W);
    t->starpu = starpu_task_create();
    t->starpu->cl = &empty;
    t->starpu->destroy = 0;
    t->starpu->priority = s->plan->priority[n->id];
    t->starpu->sequential_consistency = 0;
    t->starpu->nbuffers = t->n_handles;
    name_handles(t);
    int count;
    const para_edge *edges = para_deps_of(s->plan->deps, n->id, &count);
    struct starpu_task **before = must_alloc((size_t)count * sizeof(*before));
    for (int e = 0; e < count; e++)
        before[e] = b->tasks[edges[e].from].starpu;
    if (count)
        starpu_task_declare_deps_array(t->starpu, (unsigned)count, before);
    free(before);
}

static struct bare bare_of(const para_session *s)
{
    const struct para_buffers *buffers = &s->plan->buffers;
    struct bare b = {.n_tasks = s->g->n_nodes, .n_handles = buffers->count};
    b.handles = must_alloc((size_t)b.n_handles * sizeof *b.handles);
    b.memory = must_alloc((size_t)b.n_handles * sizeof *b.memory);
    b.tasks = must_alloc((size_t)b.n_tasks * sizeof *b.tasks);
    for (int i = 0; i < b.n_handles; i++) {
        size_t words = (buffers->bytes[i] + 3) / 4;
        b.memory[i] = must_alloc(4 * words);
        starpu_vector_data_register(&b.handles[i], STARPU_MAIN_RAM, (uintptr_t)b.memory[i], (uint32_t)words, 4);
        starpu_data_set_sequential_consistency_flag(b.handles[i], 0);
    }
    for (int i = 0; i < b.n_tasks; i++)
        make_bare_task(&b, s, s->g->nodes[i]);
    return b;
}

static void run_bare(struct bare *b)
{
    para_error err = {.message = "StarPU refuses a task"};
    for (int i = 0; i < b->n_tasks; i++)
        MUST(starpu_task_submit(b->tasks[i].starpu));
    starpu_task_wait_for_all();
    for (int i = 0; i < b->n_tasks; i++)
        if (b->tasks[i].n_handles > STARPU_NMAXBUFS)
            name_handles(&b->tasks[i]);
}

static void free_bare(struct bare *b)
{
    for (int i = 0; i < b->n_tasks; i++) {
        free(b->tasks[i].starpu->dyn_interfaces);
        b->tasks[i].starpu->dyn_interfaces = NULL;
        b->tasks[i].starpu->dyn_handles = NULL;
        b->tasks[i].starpu->dyn_modes = NULL;
        starpu_task_destroy(b->tasks[i].starpu);
        free(b->tasks[i].handles);
        free(b->tasks[i].modes);
    }
    for (int i = 0; i < b->n_handles; i++) {
        starpu_data_unregister(b->handles[i]);
        free(b->memory[i]);
    }
    free(b->tasks);
    free(b->handles);
    free(b->memory);
}

/* --- in turns --- */

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

/* Microseconds per run. */
static double time_session(para_session *s)
{
    para_error err;
    double began = para_now_ns();
    for (int i = 0; i < RUNS; i++)
        MUST(para_session_run(s, &err));
    return (para_now_ns() - began) / RUNS * 1e-3;
}

static double time_bare(struct bare *b)
{
    double began = para_now_ns();
    for (int i = 0; i < RUNS; i++)
        run_bare(b);
    return (para_now_ns() - began) / RUNS * 1e-3;
}

int main(int argc, char **argv)
{
    para_error err;
    para_machine *m;
    para_machine_options options = para_machine_default();
    options.workers = argc > 1 ? atoi(argv[1]) : 0;
    MUST(para_machine_open(&m, &options, &err));
    para_graph *g = training_step();
    para_session *ours = session_of(g, m), *serial = session_of(g, NULL);
    struct bare bare = bare_of(ours);
    double session_us[ROUNDS], bare_us[ROUNDS], serial_us[ROUNDS];
    for (int r = -1; r < ROUNDS; r++) { /* the first warms up */
        int slot = r < 0 ? 0 : r;
        session_us[slot] = time_session(ours);
        bare_us[slot] = time_bare(&bare);
        serial_us[slot] = time_session(serial);
    }
    double a = median(session_us, ROUNDS), b = median(bare_us, ROUNDS), c = median(serial_us, ROUNDS);
    printf("{\"work\":\"replay\",\"workers\":%d,\"tasks\":%d,\"edges\":%d,\"handles\":%d,\"session_us\":%.17g,"
           "\"bare_us\":%.17g,\"serial_us\":%.17g,\"ratio\":%.17g,\"bar\":%g}\n",
           para_machine_workers(m), bare.n_tasks, para_deps_edge_count(ours->plan->deps), bare.n_handles, a, b, c,
           a / b, BAR);
    fprintf(stderr,
            "replay of %d tasks, %d workers: %.1f us, bare StarPU %.1f us, ratio %.3f (bar %.2f); the same kernels one "
            "after another without StarPU %.1f us\n",
            bare.n_tasks, para_machine_workers(m), a, b, a / b, BAR, c);
    free_bare(&bare);
    para_session_free(ours);
    para_session_free(serial);
    para_graph_free(g);
    para_machine_close(m);
    return 0;
}
