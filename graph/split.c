/* Splitting an axis: every graph, every axis, every op, from the roles that ops declare.
 *
 * Each old value becomes either one whole value or one tile per part. A node whose operands have the axis is made
 * once per part; outputs that the axis reduces are combined in part order. Where an op needs a value whole that
 * exists in tiles, a gather is made, and a tile where it is the other way round, once per value, when first used.
 * Source: GSPMD (Xu et al., 2021), section 3. */
#include "base/dtype.h"
#include "base/fail.h"
#include "graph/cuts.h"
#include "graph/op.h"
#include "graph/rewrite.h"

#include <string.h>

/* An old value becomes a whole one, pass.value[], or tiles, or both: either form is made from the other when asked for.
 * An old node becomes one node, pass.node[], or one per part. */
struct split {
    struct para_rewrite pass;
    const char *axis;
    int parts;
    int64_t extent;
    para_tensor ***tiles;     /* by old tensor id, then by part; NULL: no tiles yet */
    para_node ***cut;         /* by old node id, then by part; NULL: not cut */
    const para_node *current; /* the old node that is being split */
};

static bool has_axis(const struct split *s, const para_tensor *t)
{
    return para_shape_find(&t->shape, s->axis) >= 0;
}

/* "qkv" -> "qkv[heads=1]", "qkv[batch=0]" -> "qkv[batch=0,heads=1]". */
static const char *part_name(const struct split *s, const char *name, int p)
{
    size_t length = strlen(name);
    bool again = length && name[length - 1] == ']';
    return para_name_unique(s->pass.to, "%.*s%c%s=%d]", (int)(length - again), name, again ? ',' : '[', s->axis, p);
}

static struct para_shape part_shape(const struct split *s, const struct para_shape *shape, int p)
{
    struct para_shape tile = *shape;
    struct para_extent *e = &tile.dim[para_shape_find(shape, s->axis)];
    e->begin = para_part_begin(s->extent, s->parts, p);
    e->extent = para_part_begin(s->extent, s->parts, p + 1) - e->begin;
    return tile;
}

/* Add a node in the place of the old node that is being split. Part p, or -1 for a node of no part. */
static para_node *add_node(struct split *s, const struct para_op *op, const char *name, para_tensor *const in[],
                           int n_in, const union para_attr attr[], int p)
{
    para_node *n = para_rewrite_add_node(&s->pass, s->current, op, name, in, n_in, attr);
    if (!n || p < 0)
        return n;
    n->part = para_arena_format(&s->pass.to->arena, "%s%s%s=%d", n->part, n->part[0] ? "," : "", s->axis, p);
    return n->part ? n : NULL;
}

/* Add a gather or a tile node. */
static para_tensor *retile(struct split *s, const char *op, const char *name, para_tensor *const in[], int n_in,
                           const para_tensor *old, const struct para_shape *shape, int p)
{
    const union para_attr attr[PARA_MAX_ATTRS] = {{.s = s->axis}};
    para_node *n = add_node(s, para_op_find(op), name, in, n_in, attr, p);
    return para_rewrite_add_between(old, n, name, shape);
}

static para_tensor *whole_of(struct split *s, const para_tensor *old)
{
    para_tensor **whole = &s->pass.value[old->id];
    if (!*whole) {
        const char *name = para_name_unique(s->pass.to, "%s.gather", old->name);
        *whole = retile(s, "gather", name, s->tiles[old->id], s->parts, old, &old->shape, -1);
    }
    return *whole;
}

static para_tensor **tiles_of(struct split *s, const para_tensor *old)
{
    para_tensor ***tiles = &s->tiles[old->id];
    if (!*tiles)
        *tiles = para_rewrite_alloc(&s->pass, s->parts, sizeof(para_tensor *));
    return *tiles;
}

static para_tensor *tile_of(struct split *s, const para_tensor *old, int p)
{
    para_tensor **tile = tiles_of(s, old);
    if (tile && !tile[p]) {
        struct para_shape shape = part_shape(s, &old->shape, p);
        const char *base = para_arena_format(&s->pass.work, "%s.tile", old->name);
        const char *name = base ? part_name(s, base, p) : NULL;
        tile[p] = retile(s, "tile", name, &s->pass.value[old->id], 1, old, &shape, p);
    }
    return tile ? tile[p] : NULL;
}

/* Note why this split leaves a value whole, after the reasons of the splits before. */
static int note_whole(struct split *s, para_tensor *t, const char *before, const char *why)
{
    t->why_whole =
        para_arena_format(&s->pass.to->arena, "%s%s%s: %s", before ? before : "", before ? "; " : "", s->axis, why);
    return t->why_whole ? 0 : PARA_ENOMEM;
}

static const char cuts_blocks[] = "a border of its parts lies within a block";

/* Whether the parts of a value that has the axis can be tiles: of one in blocks, whole blocks. */
static bool has_tiles(const struct split *s, const para_tensor *old)
{
    bool fits = true;
    for (int p = 0; p < s->parts && fits && para_dtype_blocks(old->shape.dtype); p++) {
        struct para_shape tile = part_shape(s, &old->shape, p), blocks;
        fits = para_shape_in_blocks(&tile, &blocks);
    }
    return fits;
}

static int copy_source(struct split *s, const para_tensor *old)
{
    para_tensor *copy = para_rewrite_add_value(&s->pass, old, NULL, old->name, &old->shape);
    s->pass.value[old->id] = copy;
    return !copy ? PARA_ENOMEM : has_axis(s, old) ? note_whole(s, copy, old->why_whole, cuts_blocks) : 0;
}

/* Inputs, parameters and states with the axis become tiles, each with storage of its own. */
static int split_source(struct split *s, const para_tensor *old)
{
    if (!has_axis(s, old) || !has_tiles(s, old))
        return copy_source(s, old);
    para_tensor **tile = tiles_of(s, old);
    for (int p = 0; p < s->parts; p++) {
        struct para_shape shape = part_shape(s, &old->shape, p);
        para_tensor *t = tile ? para_rewrite_add_value(&s->pass, old, NULL, part_name(s, old->name, p), &shape) : NULL;
        if (!t)
            return PARA_ENOMEM;
        tile[p] = t;
    }
    return 0;
}

static enum para_role role_of(const struct split *s, const para_node *n, int output, const char **why)
{
    *why = "";
    return n->op->role ? n->op->role(n, s->axis, output, why) : PARA_PARALLEL;
}

static bool follows(const struct split *s, const para_node *n, int in)
{
    return has_axis(s, n->in[in]) && (!n->op->follows || n->op->follows(n, s->axis, in));
}

/* Whether a node is made once per part: it loops over the axis, and no result of it needs the axis whole, nor has an
 * operand to stay so. If one does, *why_whole says why; else it is NULL. */
static bool loops(const struct split *s, const para_node *n, const char **why_whole)
{
    bool any = false;
    *why_whole = NULL;
    for (int i = 0; i < n->n_in; i++) {
        bool loop = follows(s, n, i);
        any = any || loop;
        if (loop && !has_tiles(s, n->in[i]))
            *why_whole = cuts_blocks;
    }
    for (int k = 0; k < n->n_out; k++) {
        const char *why;
        enum para_role role = role_of(s, n, k, &why);
        any = any || (has_axis(s, n->out[k]) && role == PARA_PARALLEL);
        if (role == PARA_WHOLE)
            *why_whole = why;
    }
    return any && !*why_whole;
}

/* Let a node wait for what the old one waits for. Part p waits for part p of a node that is cut too; a node made once
 * (p is -1) waits for all its parts. */
static int wait_alike(struct split *s, para_node *n, const para_node *old, int p)
{
    PARA_TRY(para_rewrite_add_after(&s->pass, n, old));
    for (int i = 0; i < old->n_after; i++) {
        para_node **part = s->cut[old->after[i]->id];
        for (int q = 0; q < s->parts && part; q++)
            if (p < 0 || p == q)
                PARA_TRY(para_node_add_after(n, part[q]));
    }
    return 0;
}

/* A node that the axis doesn't concern, or that can't be cut, the reason being why_whole: once, on whole operands. */
static int copy_node(struct split *s, const para_node *n, const char *why_whole)
{
    para_tensor **in = para_rewrite_alloc(&s->pass, n->n_in, sizeof *in);
    for (int k = 0; k < n->n_out; k++)
        if (n->op->updates[k] && !s->pass.value[n->out[k]->overwrites->id])
            return para_fail(&s->pass.to->error, PARA_EINVAL, "%s: %s updates \"%s\" in place and can't be cut: %s",
                             n->name, n->op->name, n->out[k]->overwrites->name,
                             why_whole ? why_whole : "it has no such axis");
    for (int i = 0; i < n->n_in && in; i++)
        in[i] = whole_of(s, n->in[i]);
    para_node *copy = in ? para_rewrite_copy_node(&s->pass, n, n->op, in, n->n_in) : NULL;
    if (!copy)
        return PARA_ENOMEM;
    for (int k = 0; k < n->n_out && why_whole; k++)
        if (has_axis(s, n->out[k]))
            PARA_TRY(note_whole(s, copy->out[k], n->out[k]->why_whole, why_whole));
    return wait_alike(s, copy, n, -1);
}

/* A partial result is as large as what the parts combine to, and where that has the axis, so has each of them, whole:
 * of attention split along "seq", each part of the queries gives a gradient for all keys. */
static int mark_partial(struct split *s, para_tensor *t, const para_tensor *old)
{
    if (has_axis(s, old))
        return note_whole(s, t, old->why_whole, "each part adds to all of it");
    t->why_whole = old->why_whole ? para_arena_string(&s->pass.to->arena, old->why_whole) : NULL;
    return !old->why_whole || t->why_whole ? 0 : PARA_ENOMEM;
}

/* Output k of part p of a node: a tile, or a partial result. */
static int add_output(struct split *s, const para_node *n, para_node *part, int p, int k)
{
    const para_tensor *old = n->out[k];
    const char *why, *name = part_name(s, old->name, p);
    bool parallel = role_of(s, n, k, &why) == PARA_PARALLEL;
    if (parallel && !has_axis(s, old))
        return para_fail(&s->pass.to->error, PARA_EINVAL,
                         "%s: op %s says that \"%s\" is parallel, and output %d lacks it", n->name, n->op->name,
                         s->axis, k);
    if (!parallel && n->op->updates[k])
        return para_fail(&s->pass.to->error, PARA_EINVAL,
                         "%s: can't split \"%s\": %s updates \"%s\" in place, which would be done once per part",
                         n->name, s->axis, n->op->name, old->overwrites->name);
    struct para_shape shape = parallel ? part_shape(s, &old->shape, p) : old->shape;
    para_tensor *t = parallel ? para_rewrite_add_value(&s->pass, old, part, name, &shape)
                              : para_rewrite_add_between(old, part, name, &shape);
    if (!t)
        return PARA_ENOMEM;
    return parallel ? 0 : mark_partial(s, t, old);
}

static int add_part(struct split *s, const para_node *n, int p)
{
    para_tensor **in = para_rewrite_alloc(&s->pass, n->n_in, sizeof *in);
    for (int i = 0; i < n->n_in && in; i++)
        in[i] = follows(s, n, i) ? tile_of(s, n->in[i], p) : whole_of(s, n->in[i]);
    para_node *part = add_node(s, n->op, part_name(s, n->name, p), in, n->n_in, n->attr, p);
    PARA_TRY(wait_alike(s, part, n, p));
    s->cut[n->id][p] = part;
    for (int k = 0; k < n->n_out; k++)
        PARA_TRY(add_output(s, n, part, p, k));
    return 0;
}

static int combine(struct split *s, const para_node *n, int k, para_tensor *const partial[])
{
    const para_tensor *old = n->out[k];
    const struct para_op *op = n->op->combine ? n->op->combine : para_op_find("sum");
    para_node *sum = add_node(s, op, para_name_unique(s->pass.to, "%s", old->name), partial, s->parts, NULL, -1);
    para_tensor *t = sum ? para_rewrite_add_value(&s->pass, old, sum, old->name, &old->shape) : NULL;
    s->pass.value[old->id] = t;
    return t ? mark_partial(s, t, old) : PARA_ENOMEM;
}

/* Make a node once per part; then tiles are what its parallel outputs have become, and the others are combined. */
static int cut_node(struct split *s, const para_node *n)
{
    s->cut[n->id] = para_rewrite_alloc(&s->pass, s->parts, sizeof(para_node *));
    if (!s->cut[n->id])
        return PARA_ENOMEM;
    for (int p = 0; p < s->parts; p++)
        PARA_TRY(add_part(s, n, p));
    for (int k = 0; k < n->n_out; k++) {
        const char *why;
        para_tensor **out = para_rewrite_alloc(&s->pass, s->parts, sizeof *out);
        for (int p = 0; p < s->parts && out; p++)
            out[p] = s->cut[n->id][p]->out[k];
        if (out && role_of(s, n, k, &why) == PARA_PARALLEL)
            s->tiles[n->out[k]->id] = out;
        else
            PARA_TRY(combine(s, n, k, out));
    }
    return 0;
}

static int split_node(struct split *s, const para_node *n)
{
    const char *why_whole;
    s->current = n;
    if (loops(s, n, &why_whole))
        return cut_node(s, n);
    return copy_node(s, n, why_whole);
}

/* Find the axis, in one piece, and its extent. */
static int find_axis(const para_graph *g, const char *axis, int64_t *extent, para_error *err)
{
    *extent = 0;
    if (para_cut_find(g->splits, axis) >= 0)
        return para_fail(err, PARA_EAXIS, "split %s: the axis has been split before (%s)", axis, g->splits);
    for (int i = 0; i < g->n_tensors; i++) {
        int d = para_shape_find(&g->tensors[i]->shape, axis);
        const struct para_extent *e = d < 0 ? NULL : &g->tensors[i]->shape.dim[d];
        if (e && e->extent != e->whole)
            return para_fail(err, PARA_EAXIS, "split %s: \"%s\" is a tile of the axis already", axis,
                             g->tensors[i]->name);
        if (e)
            *extent = e->whole;
    }
    if (*extent)
        return 0;
    char what[PARA_MAX_AXIS_NAME + 16];
    snprintf(what, sizeof what, "split %.*s: ", PARA_MAX_AXIS_NAME, axis);
    return para_cut_refuse(g, what, axis, err);
}

static int run(struct split *s)
{
    const para_graph *g = s->pass.from;
    s->tiles = para_rewrite_alloc(&s->pass, g->n_tensors, sizeof *s->tiles);
    s->cut = para_rewrite_alloc(&s->pass, g->n_nodes, sizeof *s->cut);
    if (!s->tiles || !s->cut)
        return PARA_ENOMEM;
    for (int i = 0; i < g->n_tensors; i++)
        if (!g->tensors[i]->producer)
            PARA_TRY(split_source(s, g->tensors[i]));
    for (int i = 0; i < g->n_nodes; i++)
        PARA_TRY(split_node(s, g->nodes[i]));
    s->pass.to->splits =
        para_arena_format(&s->pass.to->arena, "%s%s%s=%d", g->splits, g->splits[0] ? "," : "", s->axis, s->parts);
    s->pass.drops_gradients = true;
    return s->pass.to->splits ? 0 : PARA_ENOMEM;
}

int para_graph_split(para_graph **out, const para_graph *g, const char *axis, int parts, para_error *err)
{
    struct split s = {.axis = axis, .parts = parts};
    PARA_TRY(find_axis(g, axis, &s.extent, err));
    PARA_TRY(para_rewrite_begin(&s.pass, g, err, "split %s=%d", axis, parts));
    int status = parts >= 1 && parts <= s.extent
                     ? run(&s)
                     : para_fail(&s.pass.to->error, PARA_ERANGE, "expected 1 to %lld parts, the axis's extent",
                                 (long long)s.extent);
    return para_rewrite_finish(&s.pass, status, out, err);
}
