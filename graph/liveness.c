/* Buffer assignment by liveness: first come in program order, best fit among the buffers that have come free.
 *
 * A buffer is free for a node if all its users precede the node in the DAG. One whose users only stand before the node
 * in the program may be taken over too, and the node then waits for them, if there is time for it: its earliest start
 * and the longest path from it to the end, which are kept up to date, may not exceed a limit together. */
#include "graph/liveness.h"

#include "base/fail.h"
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>

/* A graph that recomputes gives time for memory: its critical path may become a tenth longer. */
static const double RECOMPUTE_STRETCH = 1.1;

/* The part of each worker's share of the work that a path may take: with less room workers are idle. */
static const double SHARE = 0.8;

/* Who must be done before a buffer can be taken over: the readers of what it holds, or its writer if none. */
struct occupant {
    int *users;
    int count;
    int last; /* the latest user in program order */
};

struct assignment {
    const para_graph *g;
    const para_deps *d;
    struct para_buffers *b;
    struct occupant *of_tensor; /* by tensor id of the first version of a storage */
    int *held;                  /* by buffer: storage it holds now */
    int *free_list;
    int n_free;
    size_t live_bytes; /* of the values that are needed at this point of the program */
    int *next_due;     /* chains of storages by the node after which they are free */
    int *due;
    uint64_t *ancestors; /* by node: a row of `words`, those by edges that reuse adds among them */
    size_t words;
    double *start_ns;          /* by node: the earliest, with unlimited workers at nominal rates */
    double *cost_ns, *rest_ns; /* by node: its time; that of the longest path from its start to the end */
    double limit_ns;           /* of start and rest of a node that waits for a buffer; 0: none waits */
};

static bool precedes(const struct assignment *a, int before, int node)
{
    return a->ancestors[a->words * (size_t)node + (size_t)before / 64] >> (before % 64) & 1;
}

/* Let a node wait for another that stands before it. */
static void wait_for(struct assignment *a, int before, int node)
{
    uint64_t *row = a->ancestors + a->words * (size_t)node, *other = a->ancestors + a->words * (size_t)before;
    for (size_t w = 0; w <= (size_t)before / 64; w++)
        row[w] |= other[w];
    row[before / 64] |= (uint64_t)1 << (before % 64);
    a->start_ns[node] = fmax(a->start_ns[node], a->start_ns[before] + a->cost_ns[before]);
}

/* The longest paths to the end, and the limit that follows from them. */
static void measure_time(struct assignment *a, int workers)
{
    double work = 0, critical = 0, stretch = 1;
    for (int i = a->g->n_nodes - 1; i >= 0; i--) {
        int count;
        const para_edge *edges = para_deps_of(a->d, i, &count);
        a->cost_ns[i] = para_node_time_ns(a->g->nodes[i]);
        a->rest_ns[i] += a->cost_ns[i];
        work += a->cost_ns[i];
        critical = fmax(critical, a->rest_ns[i]);
        stretch = a->g->nodes[i]->n_after ? RECOMPUTE_STRETCH : stretch;
        for (int e = 0; e < count; e++)
            a->rest_ns[edges[e].from] = fmax(a->rest_ns[edges[e].from], a->rest_ns[i]);
    }
    a->limit_ns = workers > 0 ? fmax(stretch * critical, SHARE * work / workers) : 0;
}

/* Count, then collect, the nodes that use each storage. Values that stay (sources and outputs) have none. */
static int collect_users(struct assignment *a)
{
    const para_graph *g = a->g;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < g->n_nodes; i++) {
            const para_node *n = g->nodes[i];
            for (int k = 0; k < n->n_in + n->n_out; k++) {
                const para_tensor *t = para_node_operand(n, k);
                struct occupant *o = &a->of_tensor[t->storage];
                if (pass == 1)
                    o->users[o->count] = i;
                o->count++;
                o->last = i;
            }
            if (pass == 1 || i + 1 < g->n_nodes)
                continue;
            for (int t = 0; t < g->n_tensors; t++) {
                struct occupant *o = &a->of_tensor[t];
                o->users = o->count ? malloc(sizeof *o->users * (size_t)o->count) : NULL;
                if (o->count && !o->users)
                    return PARA_ENOMEM;
                o->count = 0;
            }
        }
    return 0;
}

static bool stays(const para_graph *g, const para_tensor *t)
{
    if (!g->tensors[t->storage]->producer)
        return true;
    for (const para_tensor *v = g->tensors[t->storage]; v; v = v->overwritten_by)
        if (v->is_output)
            return true;
    return false;
}

/* What it costs a node to wait until all others have done with a storage. */
enum price {
    NOTHING, /* they precede it anyway */
    SOME,    /* it has the time to wait */
    TOO_MUCH
};

static enum price price_of(const struct assignment *a, const struct occupant *o, int node)
{
    double start = a->start_ns[node];
    bool waits = false;
    for (int u = 0; u < o->count; u++) {
        int user = o->users[u];
        if (user == node || precedes(a, user, node))
            continue;
        waits = true;
        start = fmax(start, a->start_ns[user] + a->cost_ns[user]);
    }
    if (!waits)
        return NOTHING;
    return start + a->rest_ns[node] <= a->limit_ns ? SOME : TOO_MUCH;
}

static void wait_for_users(struct assignment *a, const struct occupant *o, int node)
{
    for (int u = 0; u < o->count; u++)
        if (o->users[u] != node && !precedes(a, o->users[u], node))
            wait_for(a, o->users[u], node);
}

static int new_buffer(struct assignment *a, const para_tensor *t, bool keep)
{
    int buffer = a->b->count++;
    a->b->bytes[buffer] = para_shape_bytes(&t->shape);
    a->b->keep[buffer] = keep;
    return buffer;
}

/* The cheapest buffer for the node, of those the smallest, that is large enough and at most twice too large. */
static int take_free(struct assignment *a, size_t bytes, int node)
{
    int best = -1;
    enum price least = TOO_MUCH;
    for (int f = 0; f < a->n_free; f++) {
        int buffer = a->free_list[f];
        size_t size = a->b->bytes[buffer];
        bool smaller = best < 0 || size < a->b->bytes[a->free_list[best]];
        if (size < bytes || size - bytes > bytes || (least == NOTHING && !smaller))
            continue;
        enum price price = price_of(a, &a->of_tensor[a->held[buffer]], node);
        if (price < least || (price == least && price != TOO_MUCH && smaller)) {
            best = f;
            least = price;
        }
    }
    if (best < 0)
        return -1;
    int buffer = a->free_list[best];
    for (int f = best; f + 1 < a->n_free; f++)
        a->free_list[f] = a->free_list[f + 1];
    a->n_free--;
    wait_for_users(a, &a->of_tensor[a->held[buffer]], node);
    return buffer;
}

/* Whether a node may as well wait for another: with unlimited workers that begins no later, and takes no more than a
 * hundredth of the node's own time. So waits make no path longer by more than that. */
static bool is_short(const struct assignment *a, int other, int node)
{
    return a->start_ns[other] <= a->start_ns[node] && 100.0 * a->cost_ns[other] <= a->cost_ns[node];
}

/* The buffer of the input that the node's output may replace, or -1. */
static int take_input(struct assignment *a, const para_tensor *out, const para_node *n)
{
    int over = n->op->over[out->output] - 1, uses = 0;
    const para_tensor *in = over >= 0 && over < n->n_in ? n->in[over] : NULL;
    if (!in || stays(a->g, in) || para_shape_bytes(&in->shape) != para_shape_bytes(&out->shape))
        return -1;
    for (int i = 0; i < n->n_in; i++)
        uses += n->in[i]->storage == in->storage;
    const struct occupant *o = &a->of_tensor[in->storage];
    if (uses > 1 || o->last != n->id)
        return -1;
    bool patient = price_of(a, o, n->id) != TOO_MUCH;
    for (int u = 0; u < o->count && !patient; u++)
        if (o->users[u] != n->id && !precedes(a, o->users[u], n->id) && !is_short(a, o->users[u], n->id))
            return -1;
    wait_for_users(a, o, n->id);
    return a->b->of[in->storage];
}

static void assign_output(struct assignment *a, const para_tensor *t, int node)
{
    if (t->overwrites) {
        a->b->of[t->id] = a->b->of[t->storage];
        return;
    }
    bool keep = stays(a->g, t);
    size_t bytes = para_shape_bytes(&t->shape);
    int buffer = keep ? -1 : take_input(a, t, a->g->nodes[node]);
    a->live_bytes += buffer < 0 ? bytes : 0;
    a->b->live_bytes = a->live_bytes > a->b->live_bytes ? a->live_bytes : a->b->live_bytes;
    if (buffer < 0 && !keep)
        buffer = take_free(a, bytes, node);
    if (buffer < 0)
        buffer = new_buffer(a, t, keep);
    a->b->of[t->id] = buffer;
    a->held[buffer] = t->id;
    a->b->unshared_bytes += bytes;
    if (!keep) {
        int last = a->of_tensor[t->id].last;
        a->next_due[t->id] = a->due[last];
        a->due[last] = t->id;
    }
}

static void assign(struct assignment *a)
{
    const para_graph *g = a->g;
    for (int t = 0; t < g->n_tensors; t++)
        if (!g->tensors[t]->producer)
            a->b->of[t] = new_buffer(a, g->tensors[t], true);
    for (int i = 0; i < g->n_nodes; i++)
        a->due[i] = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        int count;
        const para_edge *edges = para_deps_of(a->d, i, &count);
        for (int e = 0; e < count; e++)
            wait_for(a, edges[e].from, i);
        for (int k = 0; k < g->nodes[i]->n_out; k++)
            assign_output(a, g->nodes[i]->out[k], i);
        for (int t = a->due[i]; t >= 0; t = a->next_due[t])
            if (a->held[a->b->of[t]] == t) {
                a->free_list[a->n_free++] = a->b->of[t];
                a->live_bytes -= para_shape_bytes(&g->tensors[t]->shape);
            }
    }
}

static bool allocate(struct assignment *a)
{
    size_t tensors = (size_t)a->g->n_tensors + 1, nodes = (size_t)a->g->n_nodes + 1;
    a->b->of = calloc(tensors, sizeof *a->b->of);
    a->b->bytes = calloc(tensors, sizeof *a->b->bytes);
    a->b->keep = calloc(tensors, sizeof *a->b->keep);
    a->of_tensor = calloc(tensors, sizeof *a->of_tensor);
    a->held = calloc(tensors, sizeof *a->held);
    a->free_list = calloc(tensors, sizeof *a->free_list);
    a->next_due = calloc(tensors, sizeof *a->next_due);
    a->due = calloc(nodes, sizeof *a->due);
    a->words = (nodes + 63) / 64;
    a->ancestors = calloc(nodes * a->words, sizeof *a->ancestors);
    a->start_ns = calloc(nodes, sizeof *a->start_ns);
    a->cost_ns = calloc(nodes, sizeof *a->cost_ns);
    a->rest_ns = calloc(nodes, sizeof *a->rest_ns);
    return a->b->of && a->b->bytes && a->b->keep && a->of_tensor && a->held && a->free_list && a->next_due && a->due &&
           a->ancestors && a->start_ns && a->cost_ns && a->rest_ns;
}

int para_buffers_new(struct para_buffers *out, const para_graph *g, const para_deps *d, int workers, para_error *err)
{
    struct para_buffers b = {0};
    struct assignment a = {.g = g, .d = d, .b = &b};
    int status = allocate(&a) ? collect_users(&a) : PARA_ENOMEM;
    if (status == 0) {
        measure_time(&a, workers);
        assign(&a);
    }
    for (int t = 0; a.of_tensor && t < g->n_tensors; t++)
        free(a.of_tensor[t].users);
    free(a.of_tensor);
    free(a.held);
    free(a.free_list);
    free(a.next_due);
    free(a.due);
    free(a.ancestors);
    free(a.start_ns);
    free(a.cost_ns);
    free(a.rest_ns);
    if (status == 0) {
        *out = b;
        return 0;
    }
    para_buffers_free(&b);
    return para_fail_memory(err, "assigning buffers");
}

void para_buffers_free(struct para_buffers *b)
{
    free(b->of);
    free(b->bytes);
    free(b->keep);
    *b = (struct para_buffers){0};
}
