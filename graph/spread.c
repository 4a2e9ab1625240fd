/* Spreading: the parts of split axes go to devices, each of which has a memory of its own; and so must all else.
 *
 * Part p of P goes to device floor(p D / P). Who updates a parameter goes to the parameter's owner, the parameters
 * being shared out by their bytes (ZeRO's first stage, Rajbhandari et al., 2020, by placing alone). The rest are gone
 * through from the last to the first, when it is known on which devices their results are read. Each goes to the device
 * where least is to be brought, as a rule the one that makes most of what it reads or reads what it makes; and it is
 * repeated on another that reads its result, on the same operands in the same order, where that costs less than
 * bringing the result there. For example, of a split of "heads" over two devices,
 *
 *     s = sum(y[heads=0], y[heads=1]); a[heads=0] = matmul(s, ..); a[heads=1] = matmul(s, ..)
 *
 * one s on device 0 would wait for y[heads=1], and a[heads=1] for s then; two sums wait for one transfer each. */
#include "base/fail.h"
#include "graph/cuts.h"
#include "graph/dump.h"
#include "graph/op.h"
#include "graph/rewrite.h"
#include "graph/time.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = -1 };

struct spread {
    struct para_rewrite pass;
    struct para_spreading to;
    int *home;                 /* by old node: the device that makes what all others read; NONE: not decided yet */
    bool *made;                /* by old node and device: it is made there */
    bool *deferred;            /* by old node: it comes later */
    const para_node **pending; /* those that do, in their order */
    int n_pending;
    bool *wanted;         /* by old tensor and device: a node of its stage that is decided reads it there */
    int *wanting;         /* by old tensor: on how many devices */
    para_tensor **copies; /* by old tensor and device: what was made there by a repeated node; NULL: nothing */
};

static int check(struct spread *s, const char *text)
{
    const para_graph *g = s->pass.from;
    para_error *err = &s->pass.to->error;
    if (g->spread[0])
        return para_fail(err, PARA_EINVAL, "the graph has been spread before (%s)", g->spread);
    PARA_TRY(para_spreading_read(&s->to, g, text, err));
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->place >= PARA_MAX_PLACES / s->to.devices)
            return para_fail(err, PARA_ERANGE, "stage %d of %d devices; expected at most %d devices in all",
                             g->nodes[i]->place, s->to.devices, PARA_MAX_PLACES);
    return 0;
}

/* --- where nodes go --- */

static int stage_of(const para_node *n)
{
    return n->place < 0 ? 0 : n->place;
}

static bool *row(const struct spread *s, bool *of, int id)
{
    return of + (size_t)id * (size_t)s->to.devices;
}

static void want(struct spread *s, const para_tensor *t, int device)
{
    bool *wanted = &row(s, s->wanted, t->id)[device];
    s->wanting[t->id] += !*wanted;
    *wanted = true;
}

static void put(struct spread *s, const para_node *n, int device)
{
    s->home[n->id] = s->home[n->id] == NONE ? device : s->home[n->id];
    row(s, s->made, n->id)[device] = true;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->producer && stage_of(n->in[i]->producer) == stage_of(n))
            want(s, n->in[i], device);
}

/* A node that updates a parameter. */
struct update {
    const para_node *node;
    size_t bytes; /* of the parameter and all else that it updates */
};

static struct update update_of(const para_node *n)
{
    struct update u = {.bytes = 0};
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *before = n->out[k]->overwrites;
        u.bytes += before ? para_shape_bytes(&before->shape) : 0;
        u.node = before && before->kind == PARA_PARAMETER ? n : u.node;
    }
    return u;
}

static int larger_first(const void *left, const void *right)
{
    const struct update *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return (a->node->id > b->node->id) - (a->node->id < b->node->id);
}

static int least_of(const size_t bytes[], int count)
{
    int least = 0;
    for (int d = 1; d < count; d++)
        least = bytes[d] < bytes[least] ? d : least;
    return least;
}

/* Put nodes of parts where their parts go, and share the updates of whole parameters out, the largest first, each to
 * the device of its stage that has least. `owned` is by stage and device, and counts the updates of parts. */
static int put_parts_and_updates(struct spread *s, struct update *updates, size_t *owned)
{
    const para_graph *g = s->pass.from;
    int count = 0;
    if (!updates || !owned)
        return PARA_ENOMEM;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        struct update u = update_of(n);
        int device = para_spreading_device(&s->to, n);
        if (device != NONE) {
            put(s, n, device);
            owned[stage_of(n) * s->to.devices + device] += u.node ? u.bytes : 0;
        } else if (u.node) {
            updates[count++] = u;
        }
    }
    qsort(updates, (size_t)count, sizeof *updates, larger_first);
    for (int i = 0; i < count; i++) {
        size_t *stage = owned + (size_t)stage_of(updates[i].node) * (size_t)s->to.devices;
        int owner = least_of(stage, s->to.devices);
        put(s, updates[i].node, owner);
        stage[owner] += updates[i].bytes;
    }
    return 0;
}

/* The bytes that must be brought to a device for a node to read an input there. Where nothing is known of the input yet
 * but that it is read here, it may be made where the node is, and only what it has more than the result, which would
 * come in its place, counts. */
static double missing_bytes(const struct spread *s, const para_node *n, int input, int device, double result)
{
    const para_tensor *t = n->in[input];
    double bytes = (double)para_shape_bytes(&t->shape);
    if (!t->producer || (input > 0 && n->in[input - 1] == t)) /* it is there before the run, or named already */
        return 0;
    if (s->home[t->producer->id] != NONE)
        return row(s, s->made, t->producer->id)[device] && stage_of(t->producer) == stage_of(n) ? 0 : bytes;
    if (row(s, s->wanted, t->id)[device])
        return 0;
    return s->wanting[t->id] ? bytes : bytes > result ? bytes - result : 0;
}

/* The time until a node's operands are on a device. */
static double bring_inputs_ns(const struct spread *s, const para_node *n, int device, double result)
{
    double bytes = 0;
    for (int i = 0; i < n->n_in; i++)
        bytes += missing_bytes(s, n, i, device, result);
    return bytes > 0 ? para_hop_ns(bytes) : 0;
}

/* The bytes of what a device reads of a node's results. */
static double wanted_bytes(const struct spread *s, const para_node *n, int device)
{
    double bytes = 0;
    for (int k = 0; k < n->n_out; k++)
        bytes += row(s, s->wanted, n->out[k]->id)[device] ? (double)para_shape_bytes(&n->out[k]->shape) : 0;
    return bytes;
}

/* The device where least is brought to and from a node. */
static int cheapest(const struct spread *s, const para_node *n, double result)
{
    double least = 0, wanted = 0;
    int best = NONE;
    for (int d = 0; d < s->to.devices; d++)
        wanted += wanted_bytes(s, n, d);
    for (int d = 0; d < s->to.devices; d++) {
        double others = wanted - wanted_bytes(s, n, d);
        double ns = bring_inputs_ns(s, n, d, result) + (others > 0 ? para_hop_ns(others) : 0);
        if (best == NONE || ns < least) {
            best = d;
            least = ns;
        }
    }
    return best;
}

static bool updates(const para_node *n)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k]->overwrites)
            return true;
    return false;
}

/* Put a node that no rule binds, whose readers all have their devices. */
static void put_freely(struct spread *s, const para_node *n)
{
    double result = 0;
    for (int k = 0; k < n->n_out; k++)
        result += (double)para_shape_bytes(&n->out[k]->shape);
    int home = cheapest(s, n, result), others = 0, repeated = 0;
    double own_ns = para_node_time_on_ns(n, PARA_GPU), home_ns = bring_inputs_ns(s, n, home, result);
    bool *repeat = row(s, s->made, n->id);
    for (int d = 0; d < s->to.devices; d++) {
        double bytes = wanted_bytes(s, n, d);
        if (d == home || bytes == 0)
            continue;
        repeat[d] = !updates(n) && own_ns + bring_inputs_ns(s, n, d, result) < home_ns + para_hop_ns(bytes);
        repeated += repeat[d];
        others++;
    }
    /* Nobody is left who reads it at home. */
    if (repeated > 0 && repeated == others && wanted_bytes(s, n, home) == 0)
        for (home = 0; !repeat[home];)
            home++;
    put(s, n, home);
    for (int d = 0; d < s->to.devices; d++)
        if (repeat[d])
            put(s, n, d);
}

static int find_devices(struct spread *s)
{
    const para_graph *g = s->pass.from;
    int stages = 1;
    for (int i = 0; i < g->n_nodes; i++) {
        stages = stage_of(g->nodes[i]) >= stages ? stage_of(g->nodes[i]) + 1 : stages;
        s->home[i] = NONE;
    }
    PARA_TRY(put_parts_and_updates(s, para_rewrite_alloc(&s->pass, g->n_nodes, sizeof(struct update)),
                                   para_rewrite_alloc(&s->pass, stages * s->to.devices, sizeof(size_t))));
    for (int i = g->n_nodes - 1; i >= 0; i--)
        if (s->home[i] == NONE)
            put_freely(s, g->nodes[i]);
    return 0;
}

/* --- the new graph --- */

static para_tensor **copy_of(const struct spread *s, const para_tensor *t, int device)
{
    return s->copies + (size_t)t->id * (size_t)s->to.devices + device;
}

/* What a node reads on a device: what was made there, else what was made at home. */
static para_tensor **operands(struct spread *s, const para_node *n, int device)
{
    para_tensor **in = para_rewrite_alloc(&s->pass, n->n_in, sizeof *in);
    for (int i = 0; i < n->n_in && in; i++) {
        para_tensor *copy = *copy_of(s, n->in[i], device);
        in[i] = copy ? copy : s->pass.value[n->in[i]->id];
    }
    return in;
}

static int place_of(const struct spread *s, const para_node *old, int device)
{
    return stage_of(old) * s->to.devices + device;
}

static int repeat(struct spread *s, const para_node *old, int device)
{
    int place = place_of(s, old, device);
    const char *name = para_name_unique(s->pass.to, "%s.on%d", old->name, place);
    para_node *n = para_rewrite_add_node(&s->pass, old, old->op, name, operands(s, old, device), old->n_in, old->attr);
    PARA_TRY(para_rewrite_add_after(&s->pass, n, old));
    n->place = place;
    for (int k = 0; k < old->n_out; k++) {
        const para_tensor *t = old->out[k];
        const char *output = k ? para_name_unique(s->pass.to, "%s.on%d", t->name, place) : name;
        if (!(*copy_of(s, t, device) = para_rewrite_add_between(t, n, output, &t->shape)))
            return PARA_ENOMEM;
    }
    return 0;
}

static int copy_node(struct spread *s, const para_node *old)
{
    PARA_TRY(para_rewrite_sources(&s->pass, old));
    int home = s->home[old->id];
    para_tensor **in = operands(s, old, home);
    para_node *n = in ? para_rewrite_copy_node(&s->pass, old, old->op, in, old->n_in) : NULL;
    if (!n)
        return PARA_ENOMEM;
    n->place = place_of(s, old, home);
    for (int d = 0; d < s->to.devices; d++)
        if (d != home && row(s, s->made, old->id)[d])
            PARA_TRY(repeat(s, old, d));
    return 0;
}

/* Whether nobody on its device waits for a node as its parts do: the sum of a weight's gradient, say. */
static bool may_come_later(const struct spread *s, const para_node *n)
{
    bool parts = false, repeated = false, overwritten = false;
    for (int i = 0; i < n->n_in; i++) {
        parts = parts || (n->in[i]->producer && para_spreading_device(&s->to, n->in[i]->producer) >= 0);
        overwritten = overwritten || n->in[i]->overwritten_by;
    }
    for (int d = 0; d < s->to.devices; d++)
        repeated = repeated || (d != s->home[n->id] && row(s, s->made, n->id)[d]);
    return parts && !repeated && !overwritten && !updates(n) && n->backward && n->n_after == 0 &&
           para_spreading_device(&s->to, n) < 0;
}

static int copy_with_needed(struct spread *s, const para_node *n)
{
    for (int i = 0; i < n->n_in + n->n_after; i++) {
        const para_node *before = i < n->n_in ? n->in[i]->producer : n->after[i - n->n_in];
        if (!before || !s->deferred[before->id])
            continue;
        s->deferred[before->id] = false;
        PARA_TRY(copy_with_needed(s, before));
    }
    return copy_node(s, n);
}

/* Copy what has been put off, the last first: it waits for the latest of all, and on a GPU the others can then be of
 * its task. */
static int copy_pending(struct spread *s)
{
    while (s->n_pending > 0) {
        const para_node *n = s->pending[--s->n_pending];
        if (!s->deferred[n->id])
            continue;
        s->deferred[n->id] = false;
        PARA_TRY(copy_with_needed(s, n));
    }
    return 0;
}

static bool same_unit(const para_node *a, const para_node *b)
{
    size_t length = para_scope_cut(a->scope, 1);
    return length == para_scope_cut(b->scope, 1) && memcmp(a->scope, b->scope, length) == 0;
}

/* Copy all, in their order but for what may come later: that is put off until somebody needs it or the scope ends, so
 * that all of a layer's parts on a device can be one task. */
static int copy_nodes(struct spread *s)
{
    const para_graph *g = s->pass.from;
    for (int i = 0; i < g->n_nodes; i++) {
        if (i > 0 && !same_unit(g->nodes[i - 1], g->nodes[i]))
            PARA_TRY(copy_pending(s));
        s->deferred[i] = may_come_later(s, g->nodes[i]);
        if (s->deferred[i])
            s->pending[s->n_pending++] = g->nodes[i];
        else
            PARA_TRY(copy_with_needed(s, g->nodes[i]));
    }
    PARA_TRY(copy_pending(s));
    return para_rewrite_sources(&s->pass, NULL);
}

static int run(struct spread *s, const char *text)
{
    const para_graph *g = s->pass.from;
    PARA_TRY(check(s, text));
    s->home = para_rewrite_alloc(&s->pass, g->n_nodes, sizeof *s->home);
    s->made = para_rewrite_alloc(&s->pass, g->n_nodes, (size_t)s->to.devices * sizeof *s->made);
    s->wanted = para_rewrite_alloc(&s->pass, g->n_tensors, (size_t)s->to.devices * sizeof *s->wanted);
    s->wanting = para_rewrite_alloc(&s->pass, g->n_tensors, sizeof *s->wanting);
    s->deferred = para_rewrite_alloc(&s->pass, g->n_nodes, sizeof *s->deferred);
    s->pending = para_rewrite_alloc(&s->pass, g->n_nodes, sizeof(const para_node *));
    s->copies = para_rewrite_alloc(&s->pass, g->n_tensors, (size_t)s->to.devices * sizeof(para_tensor *));
    if (s->pass.to->error.code)
        return PARA_ENOMEM;
    PARA_TRY(find_devices(s));
    PARA_TRY(copy_nodes(s));
    s->pass.to->spread = para_arena_format(&s->pass.to->arena, "%.*s=%d", (int)strcspn(text, "="), text, s->to.devices);
    return s->pass.to->spread ? 0 : PARA_ENOMEM;
}

int para_graph_spread(para_graph **out, const para_graph *g, const char *axes, para_error *err)
{
    struct spread s = {.home = NULL};
    PARA_TRY(para_rewrite_begin(&s.pass, g, err, "spread %s", axes));
    return para_rewrite_finish(&s.pass, run(&s, axes), out, err);
}
