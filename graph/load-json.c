/* Reading a graph that graph/dump-json.c wrote. A file is not believed: every number, name and reference is checked
 * here, shapes by the makers in graph/ir.c, and what ops make of them by sealing. */
#include "graph/dump.h"
#include "graph/op.h"

#if defined(PARA_HAVE_IO) && PARA_HAVE_IO

#include "graph/cuts.h"
#include "graph/read-json.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The entry's id is its place in the list. */
static int check_id(struct para_loader *l, const json_t *object)
{
    int id;
    return para_json_get_integer(l, object, "id", l->entry, l->entry, &id);
}

static int load_axes(struct para_loader *l, json_t *axes)
{
    static const char *const names[] = {"axis", "extent", NULL};
    l->list = "axis";
    for (l->entry = 0; l->entry < (int)json_array_size(axes); l->entry++) {
        const json_t *entry = json_array_get(axes, (size_t)l->entry);
        const char *axis;
        int64_t extent = 0;
        PARA_TRY(para_json_fields(l, json_array_get(axes, (size_t)l->entry), names));
        PARA_TRY(para_json_get_name(l, entry, "axis", &axis));
        if (para_strmap_get(&l->g->axes, axis))
            return para_json_bad(l, "\"%s\" stands in the list already", axis);
        l->field = "extent";
        PARA_TRY(para_json_integer(l, json_object_get(entry, "extent"), 1, INT64_MAX, &extent));
        if (!para_axis_intern(l->g, axis, extent, "axes"))
            return para_json_refused(l);
    }
    return 0;
}

/* [axis, extent, begin, whole]; the makers check that the tile lies in the whole, and the axis's one extent. */
static int load_dim(struct para_loader *l, const json_t *v, struct para_extent *e)
{
    if (!json_is_array(v) || json_array_size(v) != 4)
        return para_json_bad(l, "expected lists of [axis, extent, begin, whole]");
    e->axis = json_string_value(json_array_get(v, 0));
    if (!e->axis || !para_strmap_get(&l->g->axes, e->axis))
        return para_json_bad(l, "axis \"%.60s\" is not in the list of axes", e->axis ? e->axis : "");
    PARA_TRY(para_json_integer(l, json_array_get(v, 3), 1, INT64_MAX, &e->whole));
    PARA_TRY(para_json_integer(l, json_array_get(v, 1), 1, e->whole, &e->extent));
    return para_json_integer(l, json_array_get(v, 2), 0, e->whole - e->extent, &e->begin);
}

static int load_shape(struct para_loader *l, const json_t *entry, struct para_shape *s)
{
    static const char *const dtypes[] = {"f32", "f16", "bf16", "i32", "i8", "q8_0", "q4_0", NULL};
    json_t *dims;
    int dtype;
    l->field = "dtype";
    PARA_TRY(para_json_word(l, json_object_get(entry, "dtype"), dtypes, &dtype));
    PARA_TRY(para_json_get_list(l, entry, "dims", &dims));
    *s = (struct para_shape){.dtype = (para_dtype)dtype, .rank = (int)json_array_size(dims)};
    if (s->rank > PARA_MAX_RANK)
        return para_json_bad(l, "has %d entries, expected at most %d", s->rank, PARA_MAX_RANK);
    for (int d = 0; d < s->rank; d++)
        PARA_TRY(load_dim(l, json_array_get(dims, (size_t)d), &s->dim[d]));
    return 0;
}

static int load_attr(struct para_loader *l, const json_t *v, enum para_attr_type type, union para_attr *out)
{
    if (type == PARA_ATTR_INT)
        return para_json_integer(l, v, INT64_MIN, INT64_MAX, &out->i);
    if (type == PARA_ATTR_FLOAT)
        return para_json_double(l, v, &out->f);
    out->s = json_string_value(v);
    return out->s ? 0 : para_json_bad(l, "is %s, expected a string", para_json_type(v));
}

static int load_attrs(struct para_loader *l, const json_t *entry, const struct para_op *op, union para_attr attr[])
{
    const char *names[PARA_MAX_ATTRS + 1] = {NULL};
    json_t *attrs = json_object_get(entry, "attrs");
    for (int a = 0; a < PARA_MAX_ATTRS && op->attrs[a].name; a++) {
        names[a] = op->attrs[a].name;
        if (op->optional && para_word_in(op->attrs[a].name, op->optional) && json_is_object(attrs) &&
            !json_object_get(attrs, names[a]) && json_object_set_new(attrs, names[a], json_integer(0)) < 0)
            return para_fail_memory(l->err, "loading a graph");
    }
    PARA_TRY(para_json_fields(l, attrs, names));
    for (int a = 0; a < PARA_MAX_ATTRS && op->attrs[a].name; a++) {
        l->field = names[a];
        PARA_TRY(load_attr(l, json_object_get(attrs, names[a]), op->attrs[a].type, &attr[a]));
    }
    return 0;
}

/* Inputs are tensors that stand before the node's outputs: no cycle can be written. Returns their number. */
static int load_inputs(struct para_loader *l, const json_t *entry, const struct para_op *op, para_tensor ***out)
{
    json_t *ids, *outputs;
    PARA_TRY(para_json_get_list(l, entry, "outputs", &outputs));
    PARA_TRY(para_json_get_list(l, entry, "inputs", &ids));
    int count = (int)json_array_size(ids);
    for (int k = 0; k < PARA_MAX_OUT && k < (int)json_array_size(outputs); k++)
        if (op->updates[k] > count)
            return para_json_bad(l, "has %d entries, but %s overwrites its input %d", count, op->name,
                                 op->updates[k] - 1);
    para_tensor **in = para_arena_alloc(&l->g->arena, sizeof *in * ((size_t)count + 1));
    if (!in)
        return para_fail_memory(l->err, "loading a graph");
    for (int i = 0; i < count; i++) {
        int64_t id = 0;
        PARA_TRY(
            para_json_integer(l, json_array_get(ids, (size_t)i), 0, (int64_t)json_array_size(l->tensors) - 1, &id));
        if (id >= l->g->n_tensors)
            return para_json_bad(l,
                                 "tensor %lld comes after the node's first output, tensor %d; expected one before it",
                                 (long long)id, l->g->n_tensors);
        in[i] = l->g->tensors[id];
    }
    *out = in;
    return count;
}

/* The outputs are the tensors that name the node as their producer, one after another. */
static int check_outputs(struct para_loader *l, const json_t *entry)
{
    json_t *ids;
    PARA_TRY(para_json_get_list(l, entry, "outputs", &ids));
    if (json_array_size(ids) < 1 || json_array_size(ids) > PARA_MAX_OUT)
        return para_json_bad(l, "has %zu entries, expected 1 to %d", json_array_size(ids), PARA_MAX_OUT);
    for (size_t k = 0; k < json_array_size(ids); k++) {
        int64_t first = l->g->n_tensors, id;
        PARA_TRY(para_json_integer(l, json_array_get(ids, k), first + (int64_t)k, first + (int64_t)k, &id));
        const json_t *tensor = json_array_get(l->tensors, (size_t)id);
        const json_t *producer = json_object_get(tensor, "producer");
        if (!json_is_integer(producer) || json_integer_value(producer) != l->entry)
            return para_json_bad(l, "lists tensor %lld, which does not name node %d as its producer", (long long)id,
                                 l->entry);
    }
    return 0;
}

static int load_marks(struct para_loader *l, const json_t *entry, para_node *n)
{
    const char *scope = "", *part = "";
    PARA_TRY(para_json_get_string(l, entry, "scope", &scope));
    PARA_TRY(para_json_get_string(l, entry, "part", &part));
    PARA_TRY(para_json_keep(l, scope, &n->scope));
    PARA_TRY(para_json_keep(l, part, &n->part));
    PARA_TRY(para_json_get_integer(l, entry, "origin", 0, INT_MAX, &n->origin));
    PARA_TRY(para_json_get_id(l, entry, "place", &n->place));
    if (n->place >= PARA_MAX_PLACES)
        return para_json_bad(l, "is %d, expected 0 to %d, or null", n->place, PARA_MAX_PLACES - 1);
    return para_json_get_bool(l, entry, "backward", &n->backward);
}

/* Nodes that it waits for, which stand before it, in their order. */
static int load_after(struct para_loader *l, const json_t *entry, para_node *n)
{
    json_t *ids;
    int64_t id = -1;
    if (!json_object_get(entry, "after"))
        return 0;
    PARA_TRY(para_json_get_list(l, entry, "after", &ids));
    if (json_array_size(ids) == 0)
        return para_json_bad(l, "is empty, expected at least one node, or no such field");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        PARA_TRY(para_json_integer(l, json_array_get(ids, i), id + 1, n->id - 1, &id));
        if (para_node_add_after(n, l->g->nodes[id]) < 0)
            return para_json_refused(l);
    }
    return 0;
}

/* Add node number l->entry. */
static int load_node(struct para_loader *l)
{
    enum { AFTER = 11 };
    const char *names[] = {"id",       "op",     "name",    "scope", "part", "origin", "place",
                           "backward", "inputs", "outputs", "attrs", NULL,   NULL};
    json_t *entry = json_array_get(l->nodes, (size_t)l->entry);
    const char *op_name, *name;
    union para_attr attr[PARA_MAX_ATTRS] = {{0}};
    para_tensor **in = NULL;
    names[AFTER] = json_object_get(entry, "after") ? "after" : NULL;
    PARA_TRY(para_json_fields(l, entry, names));
    PARA_TRY(check_id(l, entry));
    PARA_TRY(para_json_get_name(l, entry, "op", &op_name));
    const struct para_op *op = para_op_find(op_name);
    if (!op)
        return para_json_bad(l, "no op is called \"%.60s\"", op_name);
    PARA_TRY(para_json_get_name(l, entry, "name", &name));
    PARA_TRY(load_attrs(l, entry, op, attr));
    int n_in = load_inputs(l, entry, op, &in);
    PARA_TRY(n_in);
    PARA_TRY(check_outputs(l, entry));
    para_node *n = para_node_add(l->g, op, name, in, n_in, attr);
    if (!n)
        return para_json_refused(l);
    PARA_TRY(load_after(l, entry, n));
    return load_marks(l, entry, n);
}

static int load_init(struct para_loader *l, const json_t *v, para_tensor *t)
{
    int kind;
    l->field = "init";
    if (t->kind == PARA_INPUT || t->kind == PARA_INTERMEDIATE)
        return json_is_null(v)
                   ? 0
                   : para_json_bad(l, "is %s, expected null: only parameters and states have one", para_json_type(v));
    if (!json_is_array(v) || json_array_size(v) != 3)
        return para_json_bad(l, "expected [kind, mean, spread]");
    PARA_TRY(para_json_word(l, json_array_get(v, 0), para_init_names, &kind));
    t->init.kind = (para_init_kind)kind;
    PARA_TRY(para_json_double(l, json_array_get(v, 1), &t->init.mean));
    return para_json_double(l, json_array_get(v, 2), &t->init.spread);
}

/* The parameter of which it is a copy; sealing looks whether there is one. */
static int load_copied(struct para_loader *l, const json_t *entry, para_tensor *t)
{
    const char *name = "";
    if (t->kind != PARA_COPY)
        return 0;
    PARA_TRY(para_json_get_name(l, entry, "copies", &name));
    return para_json_keep(l, name, &t->copies);
}

static int load_frozen(struct para_loader *l, const json_t *entry, para_tensor *t)
{
    if (!json_object_get(entry, "frozen"))
        return 0;
    PARA_TRY(para_json_get_bool(l, entry, "frozen", &t->frozen));
    return t->frozen && t->kind == PARA_PARAMETER ? 0
                                                  : para_json_bad(l, "expected true, of a parameter, or no such field");
}

/* What doesn't follow from how the tensor is made. */
static int load_rest(struct para_loader *l, const json_t *entry, para_tensor *t)
{
    const char *base = "", *why_whole = "";
    int overwrites;
    PARA_TRY(para_json_get_name(l, entry, "base", &base));
    PARA_TRY(para_json_keep(l, base, &t->base));
    PARA_TRY(para_json_get_integer(l, entry, "origin", 0, INT_MAX, &t->origin));
    PARA_TRY(para_json_get_id(l, entry, "overwrites", &overwrites));
    int expected = t->overwrites ? t->overwrites->id : -1;
    l->field = "overwrites";
    if (overwrites != expected)
        return para_json_bad(l, "is %d, expected %d, going by the op (-1 is null)", overwrites, expected);
    PARA_TRY(para_json_get_bool(l, entry, "is_output", &t->is_output));
    PARA_TRY(load_init(l, json_object_get(entry, "init"), t));
    PARA_TRY(load_copied(l, entry, t));
    PARA_TRY(load_frozen(l, entry, t));
    if (json_is_null(json_object_get(entry, "why_whole")))
        return 0;
    PARA_TRY(para_json_get_string(l, entry, "why_whole", &why_whole));
    return para_json_keep(l, why_whole, &t->why_whole);
}

/* Return the node that makes the tensor, adding it before its first output. */
static int make_producer(struct para_loader *l, int id, int output, para_node **out)
{
    if (id == l->g->n_nodes && output == 0 && id < (int)json_array_size(l->nodes)) {
        struct para_loader at_node = *l;
        at_node.list = "node";
        at_node.entry = id;
        PARA_TRY(load_node(&at_node));
    }
    para_node *n = id < l->g->n_nodes ? l->g->nodes[id] : NULL;
    l->field = "producer";
    if (!n || id != l->g->n_nodes - 1 || output != n->n_out)
        return para_json_bad(
            l, "is output %d of node %d; nodes and their outputs are expected in order, and node %d is next", output,
            id, l->g->n_nodes);
    *out = n;
    return 0;
}

/* Add tensor number l->entry, and before it the node that makes it. */
static int load_tensor(struct para_loader *l)
{
    enum { ALWAYS = 13 };
    const char *names[] = {"id",     "kind",       "name",      "base", "dtype",     "dims", "producer", "output",
                           "origin", "overwrites", "is_output", "init", "why_whole", NULL,   NULL,       NULL};
    json_t *entry = json_array_get(l->tensors, (size_t)l->entry);
    struct para_shape shape;
    const char *name;
    int kind, producer, output, count = ALWAYS;
    if (json_object_get(entry, "copies"))
        names[count++] = "copies";
    if (json_object_get(entry, "frozen"))
        names[count++] = "frozen";
    PARA_TRY(para_json_fields(l, entry, names));
    PARA_TRY(check_id(l, entry));
    l->field = "kind";
    PARA_TRY(para_json_word(l, json_object_get(entry, "kind"), para_kind_names, &kind));
    PARA_TRY(para_json_get_name(l, entry, "name", &name));
    PARA_TRY(load_shape(l, entry, &shape));
    PARA_TRY(para_json_get_id(l, entry, "output", &output));
    PARA_TRY(para_json_get_id(l, entry, "producer", &producer));
    l->field = "producer";
    if ((kind == PARA_INTERMEDIATE) != (producer >= 0) || (producer >= 0) != (output >= 0))
        return para_json_bad(l, "intermediates alone are made by a node, as one of its outputs; this is of kind \"%s\"",
                             para_kind_names[kind]);
    para_tensor *t;
    if (producer >= 0) {
        para_node *n = NULL;
        PARA_TRY(make_producer(l, producer, output, &n));
        t = para_node_add_output(n, name, &shape);
    } else {
        t = para_tensor_add(l->g, (para_kind)kind, name, &shape);
    }
    return t ? load_rest(l, entry, t) : para_json_refused(l);
}

static int load_gradients(struct para_loader *l, json_t *list)
{
    l->list = "gradient";
    if (json_array_size(list) == 0)
        return 0;
    l->g->grads = calloc((size_t)l->g->n_tensors + 1, sizeof *l->g->grads);
    if (!l->g->grads)
        return para_fail_memory(l->err, "loading a graph");
    l->g->n_grads = l->g->n_tensors;
    for (l->entry = 0; l->entry < (int)json_array_size(list); l->entry++) {
        const json_t *pair = json_array_get(list, (size_t)l->entry);
        int64_t of, gradient;
        l->field = NULL;
        if (!json_is_array(pair) || json_array_size(pair) != 2)
            return para_json_bad(l, "expected [tensor, gradient]");
        PARA_TRY(para_json_integer(l, json_array_get(pair, 0), 0, l->g->n_tensors - 1, &of));
        PARA_TRY(para_json_integer(l, json_array_get(pair, 1), 0, l->g->n_tensors - 1, &gradient));
        if (l->g->grads[of])
            return para_json_bad(l, "tensor %lld has a gradient already", (long long)of);
        l->g->grads[of] = l->g->tensors[gradient];
    }
    return 0;
}

/* The extent of an axis in the list of axes; 0 if it isn't there. */
static int64_t listed_extent(json_t *axes, const char *axis)
{
    for (size_t i = 0; i < json_array_size(axes); i++) {
        const json_t *entry = json_array_get(axes, i);
        if (strcmp(json_string_value(json_object_get(entry, "axis")), axis) == 0)
            return json_integer_value(json_object_get(entry, "extent"));
    }
    return 0;
}

/* "batch=2,ff=2": axes of the list, in no more parts than elements, nor than there are tensors to be tiles. */
static int load_splits(struct para_loader *l, const char *splits, json_t *axes)
{
    const char *rest = splits;
    struct para_cut cut;
    for (int found; (found = para_cut_next(&rest, &cut)) != 0;) {
        int64_t most = found > 0 ? listed_extent(axes, cut.axis) : 0, tensors = (int64_t)json_array_size(l->tensors);
        if (found < 0 || cut.number < 1 || cut.number > most || cut.number > tensors)
            return para_json_bad(l, "is \"%.80s\", expected axes of this graph with numbers of parts, \"batch=2,ff=2\"",
                                 splits);
    }
    return para_json_keep(l, splits, &l->g->splits);
}

/* "batch=2": parts of splits, on as many devices at most. */
static int load_spread(struct para_loader *l, json_t *root)
{
    const char *spread = "";
    struct para_spreading read;
    para_error err = {0};
    l->list = NULL;
    if (!json_object_get(root, "spread"))
        return 0;
    PARA_TRY(para_json_get_string(l, root, "spread", &spread));
    if (para_spreading_read(&read, l->g, spread, &err) < 0)
        return para_json_bad(l, "%s", err.message);
    return para_json_keep(l, spread, &l->g->spread);
}

static int load_graph(struct para_loader *l, json_t *root)
{
    enum { SPREAD = 8 };
    const char *names[] = {"format",  "version", "splits",    "backward", "axes",
                           "tensors", "nodes",   "gradients", NULL,       NULL};
    static const char *const formats[] = {"paragraph-graph", NULL};
    json_t *axes, *gradients;
    const char *splits = "";
    int version;
    l->field = "format";
    PARA_TRY(para_json_word(l, json_object_get(root, "format"), formats, &version));
    names[SPREAD] = json_object_get(root, "spread") ? "spread" : NULL;
    PARA_TRY(para_json_fields(l, root, names));
    PARA_TRY(para_json_get_integer(l, root, "version", 1, 1, &version));
    PARA_TRY(para_json_get_list(l, root, "axes", &axes));
    PARA_TRY(para_json_get_list(l, root, "tensors", &l->tensors));
    PARA_TRY(para_json_get_list(l, root, "nodes", &l->nodes));
    PARA_TRY(para_json_get_list(l, root, "gradients", &gradients));
    PARA_TRY(load_axes(l, axes));
    l->list = NULL;
    PARA_TRY(para_json_get_string(l, root, "splits", &splits));
    PARA_TRY(load_splits(l, splits, axes));
    PARA_TRY(load_spread(l, root));
    l->list = "tensor";
    for (l->entry = 0; l->entry < (int)json_array_size(l->tensors); l->entry++)
        PARA_TRY(load_tensor(l));
    l->list = l->field = NULL;
    if (l->g->n_nodes != (int)json_array_size(l->nodes))
        return para_json_bad(l, "no tensor names node %d of %zu as its producer", l->g->n_nodes,
                             json_array_size(l->nodes));
    PARA_TRY(load_gradients(l, gradients));
    l->list = NULL;
    return para_json_get_bool(l, root, "backward", &l->g->has_backward);
}

int para_json_load_graph(struct para_loader *l, json_t *root)
{
    l->g = para_graph_new();
    int status = l->g ? load_graph(l, root) : para_fail_memory(l->err, "loading a graph");
    para_error sealing = {0};
    if (status == 0 && (status = para_graph_seal(l->g, &sealing)) < 0) {
        l->list = l->field = NULL;
        para_json_bad(l, "%s", sealing.message);
        status = PARA_EFORMAT;
    }
    return status;
}

int para_graph_load_json(para_graph **out, FILE *in, const char *name, para_error *err)
{
    struct para_loader l = {.file = name ? name : "graph", .err = err};
    int status = para_json_read(&l, in, para_json_load_graph);
    if (status < 0) {
        para_graph_free(l.g);
        return status;
    }
    *out = l.g;
    return 0;
}

#else

int para_graph_load_json(para_graph **out, FILE *in, const char *name, para_error *err)
{
    (void)out;
    (void)in;
    return para_fail(err, PARA_ESUPPORT, "%s: this build reads no graph files: configure it with jansson",
                     name ? name : "graph");
}

#endif
