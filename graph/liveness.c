/* Buffers by liveness: nodes in program order, and for each value the best fit among the buffers that have come free.
 *
 * A buffer has come free once its last user in program order has been gone through. Whether that user, and the others,
 * also precede the node that wants the buffer, whatever order tasks run in, is asked of the index of ancestors; if not,
 * the node can be made to wait for them, and the index learns of that. A wait must leave the run as short as it is: the
 * node's earliest start, which the waits so far count in, and the longest path from it to the end may not exceed a
 * limit together. */
#include "graph/liveness.h"

#include "base/fail.h"
#include "graph/deps.h"
#include "graph/op.h"
#include "graph/time.h"

#include <math.h>
#include <stdlib.h>

/* A graph that recomputes gives time for memory: its critical path may become a tenth longer. */
static const double RECOMPUTE_STRETCH = 1.1;

/* The part of each worker's share of the work that a path may take: with less room workers are idle. */
static const double SHARE = 0.8;

/* How many free buffers are looked at for a value, one whose users must be looked for among ancestors counting as
 * several: more than most plans of models ask for, and few enough that the time per node stays the same, however many
 * are free and must not be taken. */
enum { MOST_LOOKS = 8192, LOOKS_OF_SEARCH = 4 };

enum { NONE = -1, ON_CPUS = -1 };

/* Who must be done before a storage's buffer can be taken over: the readers of what it holds, or its writer if none. */
struct occupant {
    int first, count; /* places in `users` */
    int last;         /* the latest user in program order */
    double end_ns;    /* when all of them can be done */
};

/* Free buffers of one size, the one that came free first at the front. */
struct shelf {
    size_t bytes;
    int first, last;
};

struct assignment {
    const para_graph *g;
    const para_deps *d;
    const int *gpu; /* by node; NULL: all run on CPUs */
    struct para_buffers *b;
    struct occupant *of_tensor; /* by tensor id of the first version of a storage */
    int *users;
    int *held;           /* by buffer: storage it holds now */
    struct shelf *shelf; /* by size, ascending */
    int n_shelves;
    int *behind;       /* by free buffer: the next on its shelf */
    size_t live_bytes; /* of the values that are needed at this point of the program */
    int *next_due;     /* chains of storages by the node after which they are free */
    int *due;
    struct para_reach *reach; /* edges that reuse adds among them */
    struct para_times times;  /* starts grow with the waits so far */
    double limit_ns;          /* of start and rest of a node that waits for a buffer; 0: none waits */
};

static double end_ns(const struct assignment *a, int node)
{
    return a->times.start_ns[node] + a->times.cost_ns[node];
}

static int gpu_of(const struct assignment *a, int node)
{
    return a->gpu ? a->gpu[node] : ON_CPUS;
}

/* Whether a node that stands before another in the program is done before it begins, whatever order tasks run in. */
static bool precedes(const struct assignment *a, int before, int node)
{
    if (gpu_of(a, node) >= 0 && gpu_of(a, before) == gpu_of(a, node))
        return true;
    return para_reach_precedes(a->reach, before, node, PARA_REACH_SEARCH);
}

/* Let a node wait for another that stands before it. */
static void wait_for(struct assignment *a, int before, int node)
{
    para_reach_wait(a->reach, before, node);
    a->times.start_ns[node] = fmax(a->times.start_ns[node], end_ns(a, before));
}

/* How long a path may be on which a node waits for a buffer. */
static double find_limit(const struct assignment *a, int workers)
{
    double stretch = 1;
    for (int i = 0; i < a->g->n_nodes; i++)
        stretch = a->g->nodes[i]->n_after ? RECOMPUTE_STRETCH : stretch;
    return workers > 0 ? fmax(stretch * a->times.critical_ns, SHARE * a->times.work_ns / workers) : 0;
}

/* Count, then list, the nodes that use each storage. */
static void list_users(struct assignment *a)
{
    const para_graph *g = a->g;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < g->n_nodes; i++)
            for (int k = 0; k < g->nodes[i]->n_in + g->nodes[i]->n_out; k++) {
                struct occupant *o = &a->of_tensor[para_node_operand(g->nodes[i], k)->storage];
                if (pass == 1)
                    a->users[o->first + o->count] = i;
                o->count++;
                o->last = i;
            }
        for (int t = 0, used = 0; t < g->n_tensors && pass == 0; t++) {
            a->of_tensor[t].first = used;
            used += a->of_tensor[t].count;
            a->of_tensor[t].count = 0;
        }
    }
}

/* Leave out users that others follow: who waits for these waits for them. Each is compared with a few of the later. */
static void drop_followed(struct assignment *a, struct occupant *o)
{
    enum { COMPARED = 8 };
    int *users = a->users + o->first, kept = o->count;
    for (int u = o->count - 1; u >= 0; u--) {
        bool followed = false;
        for (int k = kept; k < o->count && k < kept + COMPARED && !followed; k++)
            followed = users[k] == users[u] || precedes(a, users[u], users[k]);
        if (!followed)
            users[--kept] = users[u];
    }
    o->first += kept;
    o->count -= kept;
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

static bool all_precede(const struct assignment *a, const struct occupant *o, int node)
{
    for (int u = o->first; u < o->first + o->count; u++)
        if (a->users[u] != node && !precedes(a, a->users[u], node))
            return false;
    return true;
}

/* When all users but one can be done. */
static double users_end_ns(const struct assignment *a, const struct occupant *o, int but)
{
    double end = 0;
    for (int u = o->first; u < o->first + o->count; u++)
        end = a->users[u] != but ? fmax(end, end_ns(a, a->users[u])) : end;
    return end;
}

/* A user that ends after the node can start doesn't precede it. So its users' latest end tells most prices. */
static enum price price_of(const struct assignment *a, const struct occupant *o, int node)
{
    if (gpu_of(a, node) >= 0 && all_precede(a, o, node))
        return NOTHING;
    double start = fmax(a->times.start_ns[node], o->end_ns);
    enum price waiting = start + a->times.rest_ns[node] <= a->limit_ns ? SOME : TOO_MUCH;
    return o->end_ns <= a->times.start_ns[node] && all_precede(a, o, node) ? NOTHING : waiting;
}

static void wait_for_users(struct assignment *a, const struct occupant *o, int node)
{
    for (int u = o->first; u < o->first + o->count; u++)
        if (a->users[u] != node && !precedes(a, a->users[u], node))
            wait_for(a, a->users[u], node);
}

/* The device that makes a value; else the one that updates it, or the first that uses it. */
static int home_of(const struct assignment *a, const para_tensor *t)
{
    const para_tensor *last = t;
    if (t->producer)
        return gpu_of(a, t->producer->id);
    while (last->overwritten_by)
        last = last->overwritten_by;
    const struct occupant *o = &a->of_tensor[t->storage];
    if (last->producer)
        return gpu_of(a, last->producer->id);
    return o->count ? gpu_of(a, a->users[o->first]) : ON_CPUS;
}

static int new_buffer(struct assignment *a, const para_tensor *t, bool keep)
{
    int buffer = a->b->count++;
    a->b->gpu[buffer] = home_of(a, t);
    a->b->bytes[buffer] = para_shape_bytes(&t->shape);
    a->b->keep[buffer] = keep;
    return buffer;
}

/* The first shelf of buffers that are large enough. */
static int find_shelf(const struct assignment *a, size_t bytes)
{
    int low = 0, high = a->n_shelves;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (a->shelf[middle].bytes < bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void shelve(struct assignment *a, int buffer)
{
    struct shelf *s = &a->shelf[find_shelf(a, a->b->bytes[buffer])];
    a->behind[buffer] = NONE;
    if (s->first == NONE)
        s->first = buffer;
    else
        a->behind[s->last] = buffer;
    s->last = buffer;
}

/* Take the buffer that comes after another on its shelf; NONE: the first. */
static void unshelve(struct assignment *a, struct shelf *s, int before)
{
    int buffer = before == NONE ? s->first : a->behind[before];
    if (before == NONE)
        s->first = a->behind[buffer];
    else
        a->behind[before] = a->behind[buffer];
    s->last = s->last == buffer ? before : s->last;
}

/* The cheapest buffer for the node, of those the smallest, that is large enough and at most twice too large. */
static int take_free(struct assignment *a, size_t bytes, int node)
{
    struct shelf *from = NULL;
    int best = NONE, before_best = NONE, looks = 0;
    enum price least = TOO_MUCH;
    for (int i = find_shelf(a, bytes); i < a->n_shelves && a->shelf[i].bytes - bytes <= bytes; i++) {
        for (int f = a->shelf[i].first, before = NONE; f != NONE; before = f, f = a->behind[f]) {
            const struct occupant *o = &a->of_tensor[a->held[f]];
            enum price price = a->b->gpu[f] == gpu_of(a, node) ? price_of(a, o, node) : TOO_MUCH;
            looks += o->end_ns <= a->times.start_ns[node] ? LOOKS_OF_SEARCH : 1;
            if (price < least) {
                least = price;
                from = &a->shelf[i];
                best = f;
                before_best = before;
            }
            if (least == NOTHING || looks >= MOST_LOOKS)
                break;
        }
        if (least == NOTHING || ++looks >= MOST_LOOKS)
            break;
    }
    if (best == NONE)
        return NONE;
    unshelve(a, from, before_best);
    wait_for_users(a, &a->of_tensor[a->held[best]], node);
    return best;
}

/* Whether a node may as well wait for another: with unlimited workers that begins no later, and takes no more than a
 * hundredth of the node's own time. So waits make no path longer by more than that. */
static bool is_short(const struct assignment *a, int other, int node)
{
    return a->times.start_ns[other] <= a->times.start_ns[node] &&
           100.0 * a->times.cost_ns[other] <= a->times.cost_ns[node];
}

/* The buffer of the input that the node's output may replace, or NONE. */
static int take_input(struct assignment *a, const para_tensor *out, const para_node *n)
{
    int over = n->op->over[out->output] - 1, uses = 0;
    const para_tensor *in = over >= 0 && over < n->n_in ? n->in[over] : NULL;
    if (!in || stays(a->g, in) || para_shape_bytes(&in->shape) != para_shape_bytes(&out->shape))
        return NONE;
    for (int i = 0; i < n->n_in; i++)
        uses += n->in[i]->storage == in->storage;
    struct occupant *o = &a->of_tensor[in->storage];
    o->end_ns = users_end_ns(a, o, n->id);
    if (uses > 1 || o->last != n->id || a->b->gpu[a->b->of[in->storage]] != gpu_of(a, n->id))
        return NONE;
    bool patient = price_of(a, o, n->id) != TOO_MUCH;
    for (int u = o->first; u < o->first + o->count && !patient; u++)
        if (a->users[u] != n->id && !precedes(a, a->users[u], n->id) && !is_short(a, a->users[u], n->id))
            return NONE;
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
    int buffer = keep ? NONE : take_input(a, t, a->g->nodes[node]);
    a->live_bytes += buffer == NONE ? bytes : 0;
    a->b->live_bytes = a->live_bytes > a->b->live_bytes ? a->live_bytes : a->b->live_bytes;
    if (buffer == NONE && !keep)
        buffer = take_free(a, bytes, node);
    if (buffer == NONE)
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

/* What is needed by no later node comes free. */
static void release(struct assignment *a, int node)
{
    for (int t = a->due[node]; t != NONE; t = a->next_due[t])
        if (a->held[a->b->of[t]] == t) {
            drop_followed(a, &a->of_tensor[t]);
            a->of_tensor[t].end_ns = users_end_ns(a, &a->of_tensor[t], NONE);
            shelve(a, a->b->of[t]);
            a->live_bytes -= para_shape_bytes(&a->g->tensors[t]->shape);
        }
}

static int assign(struct assignment *a)
{
    const para_graph *g = a->g;
    for (int t = 0; t < g->n_tensors; t++)
        if (!g->tensors[t]->producer)
            a->b->of[t] = new_buffer(a, g->tensors[t], true);
    for (int i = 0; i < g->n_nodes; i++)
        a->due[i] = NONE;
    for (int i = 0; i < g->n_nodes; i++) {
        int count;
        const para_edge *edges = para_deps_of(a->d, i, &count);
        for (int e = count - 1; e >= 0; e--)
            wait_for(a, edges[e].from, i);
        for (int k = 0; k < g->nodes[i]->n_out; k++)
            assign_output(a, g->nodes[i]->out[k], i);
        PARA_TRY(para_reach_close(a->reach, i));
        release(a, i);
    }
    return 0;
}

static int by_bytes(const void *left, const void *right)
{
    const struct shelf *a = left, *b = right;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* An empty shelf for each size of a value. */
static void build_shelves(struct assignment *a)
{
    int count = 0;
    for (int t = 0; t < a->g->n_tensors; t++)
        if (a->g->tensors[t]->producer)
            a->shelf[count++] = (struct shelf){para_shape_bytes(&a->g->tensors[t]->shape), NONE, NONE};
    if (count > 0)
        qsort(a->shelf, (size_t)count, sizeof *a->shelf, by_bytes);
    for (int s = 0; s < count; s++)
        if (s == 0 || a->shelf[s].bytes != a->shelf[a->n_shelves - 1].bytes)
            a->shelf[a->n_shelves++] = a->shelf[s];
}

static int allocate(struct assignment *a)
{
    size_t tensors = (size_t)a->g->n_tensors + 1, nodes = (size_t)a->g->n_nodes + 1, uses = 1;
    for (int i = 0; i < a->g->n_nodes; i++)
        uses += (size_t)(a->g->nodes[i]->n_in + a->g->nodes[i]->n_out);
    a->b->of = calloc(tensors, sizeof *a->b->of);
    a->b->bytes = calloc(tensors, sizeof *a->b->bytes);
    a->b->keep = calloc(tensors, sizeof *a->b->keep);
    a->b->gpu = calloc(tensors, sizeof *a->b->gpu);
    a->of_tensor = calloc(tensors, sizeof *a->of_tensor);
    a->users = calloc(uses, sizeof *a->users);
    a->held = calloc(tensors, sizeof *a->held);
    a->shelf = calloc(tensors, sizeof *a->shelf);
    a->behind = calloc(tensors, sizeof *a->behind);
    a->next_due = calloc(tensors, sizeof *a->next_due);
    a->due = calloc(nodes, sizeof *a->due);
    bool enough = a->b->of && a->b->bytes && a->b->keep && a->b->gpu && a->of_tensor && a->users && a->held &&
                  a->shelf && a->behind && a->next_due && a->due;
    return enough ? para_times_new(&a->times, a->g, a->d, 0) : PARA_ENOMEM;
}

int para_buffers_new(struct para_buffers *out, const para_graph *g, para_deps *d, const int *gpu, int workers,
                     para_error *err)
{
    struct para_buffers b = {0};
    struct assignment a = {.g = g, .d = d, .gpu = gpu, .b = &b, .reach = para_deps_lend(d)};
    int status = allocate(&a);
    if (status == 0) {
        list_users(&a);
        build_shelves(&a);
        a.limit_ns = find_limit(&a, workers);
        status = assign(&a);
    }
    free(a.of_tensor);
    free(a.users);
    free(a.held);
    free(a.shelf);
    free(a.behind);
    free(a.next_due);
    free(a.due);
    para_times_free(&a.times);
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
    free(b->gpu);
    *b = (struct para_buffers){0};
}
