/* Splitting an axis: every graph, every axis, every op, from the roles that ops declare.
 *
 * Each old value becomes either one whole value or one tile per part. A node whose operands have the axis is made
 * once per part; outputs that the axis reduces are combined in part order. Where an op needs a value whole that
 * exists in tiles, a gather is made, and a tile where it is the other way round, once per value, when first used.
 * Source: GSPMD (Xu et al., 2021), section 3. */
#include "graph/ir.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* What an old value has become; either form is made from the other when asked for. */
struct piece {
    para_tensor *whole;
    para_tensor **tile;
};

/* The nodes that an old node has become: one, or one per part. */
struct copies {
    para_node *whole, **part;
};

struct split {
    const para_graph *from;
    para_graph *to;
    const char *axis;
    int parts;
    int64_t extent;
    struct piece *pieces;     /* by old tensor id */
    struct copies *copies;    /* by old node id */
    const para_node *current; /* the old node that is being split */
};

static int64_t part_begin(const struct split *s, int p)
{
    int64_t small = s->extent / s->parts, larger = s->extent % s->parts;
    return p * small + (p < larger ? p : larger);
}

static bool has_axis(const struct split *s, const para_tensor *t)
{
    return para_shape_find(&t->shape, s->axis) >= 0;
}

/* "qkv" -> "qkv[heads=1]", "qkv[batch=0]" -> "qkv[batch=0,heads=1]". */
static const char *part_name(const struct split *s, const char *name, int p)
{
    size_t length = strlen(name);
    bool again = length && name[length - 1] == ']';
    return para_name_unique(s->to, "%.*s%c%s=%d]", (int)(length - again), name, again ? ',' : '[', s->axis, p);
}

static struct para_shape part_shape(const struct split *s, const struct para_shape *shape, int p)
{
    struct para_shape tile = *shape;
    struct para_extent *e = &tile.dim[para_shape_find(shape, s->axis)];
    e->origin = part_begin(s, p);
    e->extent = part_begin(s, p + 1) - e->origin;
    return tile;
}

/* Copy a string to the new graph; NULL with the error kept there. */
static const char *keep_string(struct para_graph *to, const char *text)
{
    const char *copy = para_arena_string(&to->arena, text);
    return copy ? copy : para_graph_error(to, PARA_ENOMEM, "out of memory: splitting a graph");
}

/* Copy what a value keeps through the split; running out of memory is kept in the graph. */
static void inherit(para_tensor *t, const para_tensor *old)
{
    t->kind = old->kind;
    t->base = keep_string(t->graph, old->base);
    t->init = old->init;
    t->origin = old->origin;
    t->is_output = old->is_output;
    t->whole = old->whole ? keep_string(t->graph, old->whole) : NULL;
}

/* Add a node in the place of the old node that is being split. Part p, or -1 for a node of no part. */
static para_node *add_node(struct split *s, const struct para_op *op, const char *name, para_tensor *const in[],
                           int n_in, const union para_attr attr[], int p)
{
    const para_node *old = s->current;
    para_node *n = name ? para_node_add(s->to, op, name, in, n_in, attr) : NULL;
    if (!n)
        return NULL;
    n->scope = para_arena_string(&s->to->arena, old->scope);
    if (p < 0)
        n->part = para_arena_string(&s->to->arena, old->part);
    else
        n->part = para_arena_format(&s->to->arena, "%s%s%s=%d", old->part, old->part[0] ? "," : "", s->axis, p);
    n->origin = old->origin;
    n->place = old->place;
    n->backward = old->backward;
    return n->scope && n->part ? n : para_graph_error(s->to, PARA_ENOMEM, "out of memory: splitting %s", name);
}

/* Add a gather or a tile node. */
static para_tensor *retile(struct split *s, const char *op, const char *name, para_tensor *const in[], int n_in,
                           const para_tensor *old, const struct para_shape *shape, int p)
{
    const union para_attr attr[PARA_MAX_ATTRS] = {{.s = s->axis}};
    para_node *n = add_node(s, para_op_find(op), name, in, n_in, attr, p);
    para_tensor *t = n ? para_node_add_output(n, name, shape) : NULL;
    if (t)
        t->origin = old->origin;
    return t;
}

static para_tensor *whole_of(struct split *s, const para_tensor *old)
{
    struct piece *piece = &s->pieces[old->id];
    if (piece->whole)
        return piece->whole;
    const char *name = para_name_unique(s->to, "%s.gather", old->name);
    piece->whole = retile(s, "gather", name, piece->tile, s->parts, old, &old->shape, -1);
    return piece->whole;
}

static para_tensor **new_tiles(struct split *s, struct piece *piece)
{
    if (!piece->tile)
        piece->tile = para_arena_alloc(&s->to->arena, sizeof *piece->tile * (size_t)s->parts);
    if (!piece->tile)
        para_graph_error(s->to, PARA_ENOMEM, "out of memory: splitting axis \"%s\"", s->axis);
    return piece->tile;
}

static para_tensor *tile_of(struct split *s, const para_tensor *old, int p)
{
    struct piece *piece = &s->pieces[old->id];
    if (!new_tiles(s, piece))
        return NULL;
    if (!piece->tile[p]) {
        struct para_shape shape = part_shape(s, &old->shape, p);
        const char *base = para_arena_format(&s->to->arena, "%s.tile", old->name);
        const char *name = base ? part_name(s, base, p) : NULL;
        piece->tile[p] = retile(s, "tile", name, &piece->whole, 1, old, &shape, p);
    }
    return piece->tile[p];
}

/* Inputs, parameters and states with the axis become tiles, each with storage of its own. */
static int split_source(struct split *s, const para_tensor *old)
{
    struct piece *piece = &s->pieces[old->id];
    if (!has_axis(s, old)) {
        piece->whole = para_tensor_add(s->to, old->kind, old->name, &old->shape);
        if (piece->whole)
            inherit(piece->whole, old);
        return piece->whole ? 0 : PARA_ENOMEM;
    }
    if (!new_tiles(s, piece))
        return PARA_ENOMEM;
    for (int p = 0; p < s->parts; p++) {
        struct para_shape shape = part_shape(s, &old->shape, p);
        const char *name = part_name(s, old->name, p);
        piece->tile[p] = name ? para_tensor_add(s->to, old->kind, name, &shape) : NULL;
        if (!piece->tile[p])
            return PARA_ENOMEM;
        inherit(piece->tile[p], old);
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

/* Whether a node loops over the axis, and if it must stay whole, why. */
static bool loops(const struct split *s, const para_node *n, const char **whole)
{
    bool any = false;
    *whole = NULL;
    for (int i = 0; i < n->n_in; i++)
        any = any || follows(s, n, i);
    for (int k = 0; k < n->n_out; k++) {
        const char *why;
        enum para_role role = role_of(s, n, k, &why);
        any = any || (has_axis(s, n->out[k]) && role == PARA_PARALLEL);
        if (role == PARA_WHOLE)
            *whole = why;
    }
    return any && !*whole;
}

/* Note why this split leaves a value whole, after the reasons of the splits before. */
static void note_whole(const struct split *s, para_tensor *t, const char *why)
{
    t->whole =
        para_arena_format(&s->to->arena, "%s%s%s: %s", t->whole ? t->whole : "", t->whole ? "; " : "", s->axis, why);
    if (!t->whole)
        para_graph_error(s->to, PARA_ENOMEM, "out of memory: splitting a graph");
}

/* Let a node wait for what the old one waits for: part p for the same part of nodes that are cut too, another, p being
 * -1, for all of it. */
static int wait_alike(struct split *s, para_node *n, const para_node *old, int p)
{
    for (int i = 0; i < old->n_after; i++) {
        const struct copies *c = &s->copies[old->after[i]->id];
        if (c->whole)
            PARA_TRY(para_node_add_after(n, c->whole));
        for (int q = 0; q < s->parts && c->part; q++)
            if (p < 0 || p == q)
                PARA_TRY(para_node_add_after(n, c->part[q]));
    }
    return 0;
}

/* A node that the axis doesn't concern, or that can't be cut: once, on whole operands. */
static int copy_node(struct split *s, const para_node *n, const char *whole)
{
    para_tensor **in = para_arena_alloc(&s->to->arena, sizeof *in * (size_t)(n->n_in + 1));
    for (int k = 0; k < n->n_out; k++)
        if (n->op->updates[k] && !s->pieces[n->out[k]->overwrites->id].whole)
            return para_fail(&s->to->error, PARA_EINVAL, "%s: %s updates \"%s\" in place and can't be cut: %s", n->name,
                             n->op->name, n->out[k]->overwrites->name, whole ? whole : "it has no such axis");
    for (int i = 0; in && i < n->n_in; i++)
        in[i] = whole_of(s, n->in[i]);
    para_node *copy = in ? add_node(s, n->op, n->name, in, n->n_in, n->attr, -1) : NULL;
    s->copies[n->id].whole = copy;
    if (!copy || wait_alike(s, copy, n, -1) < 0)
        return PARA_ENOMEM;
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *old = n->out[k];
        para_tensor *t = para_node_add_output(copy, old->name, &old->shape);
        if (!t)
            return PARA_ENOMEM;
        inherit(t, old);
        if (whole && has_axis(s, old))
            note_whole(s, t, whole);
        s->pieces[old->id].whole = t;
    }
    return 0;
}

/* A partial result has all of the axis, if any, as what they combine to has. */
static void mark_partial(struct split *s, para_tensor *t, const para_tensor *old)
{
    t->origin = old->origin;
    t->whole = old->whole ? keep_string(s->to, old->whole) : NULL;
    if (has_axis(s, old))
        note_whole(s, t, "each part adds to all of it");
}

/* Part p of a node; out[k] are its outputs: tiles, or partial results. */
static int add_part(struct split *s, const para_node *n, int p, para_tensor *out[])
{
    para_tensor **in = para_arena_alloc(&s->to->arena, sizeof *in * (size_t)(n->n_in + 1));
    for (int i = 0; in && i < n->n_in; i++)
        in[i] = follows(s, n, i) ? tile_of(s, n->in[i], p) : whole_of(s, n->in[i]);
    for (int i = 0; in && i < n->n_in; i++)
        if (!in[i])
            return PARA_ENOMEM;
    para_node *part = in ? add_node(s, n->op, part_name(s, n->name, p), in, n->n_in, n->attr, p) : NULL;
    s->copies[n->id].part[p] = part;
    if (!part || wait_alike(s, part, n, p) < 0)
        return PARA_ENOMEM;
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *old = n->out[k];
        const char *why, *name = part_name(s, old->name, p);
        bool parallel = role_of(s, n, k, &why) == PARA_PARALLEL;
        if (parallel && !has_axis(s, old))
            return para_fail(&s->to->error, PARA_EINVAL,
                             "%s: op %s says that \"%s\" is parallel, and output %d lacks it", n->name, n->op->name,
                             s->axis, k);
        if (!parallel && n->op->updates[k])
            return para_fail(&s->to->error, PARA_EINVAL,
                             "%s: can't split \"%s\": %s updates \"%s\" in place, which would "
                             "be done once per part",
                             n->name, s->axis, n->op->name, old->overwrites->name);
        struct para_shape shape = parallel ? part_shape(s, &old->shape, p) : old->shape;
        out[k] = name ? para_node_add_output(part, name, &shape) : NULL;
        if (!out[k])
            return PARA_ENOMEM;
        if (parallel)
            inherit(out[k], old);
        else
            mark_partial(s, out[k], old);
    }
    return 0;
}

static int combine(struct split *s, const para_node *n, int k, para_tensor *const partial[])
{
    const para_tensor *old = n->out[k];
    const struct para_op *op = n->op->combine ? n->op->combine : para_op_find("sum");
    para_node *sum = add_node(s, op, para_name_unique(s->to, "%s", old->name), partial, s->parts, NULL, -1);
    para_tensor *t = sum ? para_node_add_output(sum, old->name, &old->shape) : NULL;
    if (!t)
        return PARA_ENOMEM;
    inherit(t, old);
    mark_partial(s, t, old);
    s->pieces[old->id].whole = t;
    return 0;
}

static int cut_node(struct split *s, const para_node *n)
{
    para_tensor **out = para_arena_alloc(&s->to->arena, sizeof *out * (size_t)s->parts * PARA_MAX_OUT);
    struct copies *copies = &s->copies[n->id];
    copies->part = para_arena_alloc(&s->to->arena, sizeof(para_node *) * (size_t)s->parts);
    if (!out || !copies->part)
        return PARA_ENOMEM;
    for (int p = 0; p < s->parts; p++) {
        para_tensor *part[PARA_MAX_OUT];
        PARA_TRY(add_part(s, n, p, part));
        for (int k = 0; k < n->n_out; k++)
            out[k * s->parts + p] = part[k];
    }
    for (int k = 0; k < n->n_out; k++) {
        const char *why;
        if (role_of(s, n, k, &why) == PARA_PARALLEL)
            s->pieces[n->out[k]->id].tile = out + k * s->parts;
        else
            PARA_TRY(combine(s, n, k, out + k * s->parts));
    }
    return 0;
}

static int split_node(struct split *s, const para_node *n)
{
    const char *whole;
    s->current = n;
    if (loops(s, n, &whole))
        return cut_node(s, n);
    return copy_node(s, n, whole);
}

bool para_axis_is_split(const para_graph *g, const char *axis)
{
    size_t length = strlen(axis);
    for (const char *at = g->splits; *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, axis, length) == 0 && at[length] == '=')
            return true;
    return false;
}

/* Find the axis, in one piece, and its extent. */
static int find_axis(const para_graph *g, const char *axis, int64_t *extent, para_error *err)
{
    char known[320] = "";
    size_t used = 0;
    *extent = 0;
    if (para_axis_is_split(g, axis))
        return para_fail(err, PARA_EAXIS, "split %s: the axis has been split before (%s)", axis, g->splits);
    for (int i = 0; i < g->n_tensors; i++)
        for (int d = 0; d < g->tensors[i]->shape.rank; d++) {
            const struct para_extent *e = &g->tensors[i]->shape.dim[d];
            if (strcmp(e->axis, axis) == 0 && e->extent != e->whole)
                return para_fail(err, PARA_EAXIS, "split %s: \"%s\" is a tile of the axis already", axis,
                                 g->tensors[i]->name);
            if (strcmp(e->axis, axis) == 0)
                *extent = e->whole;
            char list[sizeof known];
            memcpy(list, known, sizeof list);
            for (char *c = list; *c; c++)
                *c = *c == ',' ? ' ' : *c;
            if (!para_word_in(e->axis, list) && used < sizeof known)
                used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", e->axis);
        }
    if (*extent)
        return 0;
    return para_fail(err, PARA_EAXIS, "split %s: no axis is called \"%s\"; this graph has %s", axis, axis, known);
}

static int run(struct split *s)
{
    const para_graph *g = s->from;
    for (int i = 0; i < g->n_tensors; i++)
        if (!g->tensors[i]->producer)
            PARA_TRY(split_source(s, g->tensors[i]));
    for (int i = 0; i < g->n_nodes; i++)
        PARA_TRY(split_node(s, g->nodes[i]));
    s->to->splits =
        para_arena_format(&s->to->arena, "%s%s%s=%d", g->splits, g->splits[0] ? "," : "", s->axis, s->parts);
    s->to->has_backward = g->has_backward;
    return s->to->splits ? para_graph_seal(s->to, &s->to->error) : PARA_ENOMEM;
}

int para_graph_split(para_graph **out, const para_graph *g, const char *axis, int parts, para_error *err)
{
    struct split s = {.from = g, .axis = axis, .parts = parts};
    if (!g->sealed)
        return para_fail(err, PARA_EINVAL, "split %s: the graph is not sealed", axis);
    PARA_TRY(find_axis(g, axis, &s.extent, err));
    if (parts < 1 || parts > s.extent)
        return para_fail(err, PARA_ERANGE, "split %s=%d: expected 1 to %lld parts, the axis's extent", axis, parts,
                         (long long)s.extent);
    s.pieces = calloc((size_t)g->n_tensors, sizeof *s.pieces);
    s.copies = calloc((size_t)g->n_nodes + 1, sizeof *s.copies);
    s.to = para_graph_new();
    int status = s.pieces && s.copies && s.to ? run(&s) : PARA_ENOMEM;
    free(s.pieces);
    free(s.copies);
    if (status == 0) {
        *out = s.to;
        return 0;
    }
    if (s.to && s.to->error.code)
        status = para_fail(err, s.to->error.code, "split %s=%d: %s", axis, parts, s.to->error.message);
    else
        para_fail_memory(err, "splitting a graph");
    para_graph_free(s.to);
    return status;
}
