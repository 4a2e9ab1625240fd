/* A graph as JSON, one value or node to a line, so that files can be compared line by line. Written by hand: the
 * core builds without a JSON library. graph/load-json.c reads it.
 *
 *   {"format": "paragraph-graph", "version": 1, "splits": "batch=2", "backward": true,
 *    "axes": [{"axis", "extent"}, ...],
 *    "tensors": [{"id", "kind", "name", "base", "dtype", "dims": [[axis, extent, begin, whole], ...], "producer",
 *                 "output", "origin", "overwrites", "is_output", "init": [kind, mean, spread], "why_whole"}, ...],
 *    "nodes": [{"id", "op", "name", "scope", "part", "origin", "place", "backward", "inputs", "outputs", "attrs"},
 * ...], "gradients": [[tensor, gradient], ...]}
 *
 * A graph that was spread has "spread", "batch=2", after "splits".
 * A copy of a parameter has "copies", the parameter's base, and a parameter that isn't trained "frozen": true.
 * A node that waits for others whose results it doesn't read has "after", their ids, before "attrs".
 * Absent things are null. Ids are places in the lists; what a split tensor or node was made from (origin) is an id in
 * the graph as written. Floats are written so that they read back as the same value; "inf", "-inf" and "nan" are
 * strings, as JSON has no such numbers. */
#include "graph/dump.h"
#include "graph/op.h"

#include <string.h>

struct writer {
    FILE *out;
    const char *bad; /* the first string that isn't UTF-8 */
};

static void write_string(struct writer *w, const char *string)
{
    if (!para_json_string(w->out, string) && !w->bad)
        w->bad = string;
}

/* ,"key":"string", or null */
static void write_text(struct writer *w, const char *key, const char *string)
{
    fprintf(w->out, ",\"%s\":", key);
    if (string)
        write_string(w, string);
    else
        fputs("null", w->out);
}

static void write_double(struct writer *w, double value)
{
    char text[PARA_DOUBLE_TEXT];
    para_double_text(value, text);
    bool number = strpbrk(text, "in") == NULL;
    fprintf(w->out, number ? "%s" : "\"%s\"", text);
}

/* ,"key":12, or null for a negative id */
static void write_id(struct writer *w, const char *key, int id)
{
    if (id < 0)
        fprintf(w->out, ",\"%s\":null", key);
    else
        fprintf(w->out, ",\"%s\":%d", key, id);
}

static void write_bool(struct writer *w, const char *key, bool value)
{
    fprintf(w->out, ",\"%s\":%s", key, value ? "true" : "false");
}

/* The comma and the new line between entries of a list. */
static void next_entry(struct writer *w, bool first)
{
    fputs(first ? "\n" : ",\n", w->out);
}

/* Each axis once, in the order in which tensors bring them up. */
static int write_axes(struct writer *w, const para_graph *g)
{
    struct para_strmap seen = {0};
    int status = 0;
    for (int id = 0; id < g->n_tensors && status == 0; id++) {
        struct para_shape *s = &g->tensors[id]->shape;
        for (int d = 0; d < s->rank && status == 0; d++) {
            if (para_strmap_get(&seen, s->dim[d].axis))
                continue;
            next_entry(w, seen.count == 0);
            status = para_strmap_set(&seen, s->dim[d].axis, &s->dim[d]);
            fputs("{\"axis\":", w->out);
            write_string(w, s->dim[d].axis);
            fprintf(w->out, ",\"extent\":%lld}", (long long)s->dim[d].whole);
        }
    }
    para_strmap_free(&seen);
    return status;
}

static void write_dims(struct writer *w, const struct para_shape *s)
{
    fputs(",\"dims\":[", w->out);
    for (int d = 0; d < s->rank; d++) {
        const struct para_extent *e = &s->dim[d];
        fputs(d ? ",[" : "[", w->out);
        write_string(w, e->axis);
        fprintf(w->out, ",%lld,%lld,%lld]", (long long)e->extent, (long long)e->begin, (long long)e->whole);
    }
    fputc(']', w->out);
}

static void write_init(struct writer *w, const para_tensor *t)
{
    if (t->kind == PARA_INPUT || t->kind == PARA_INTERMEDIATE) {
        fputs(",\"init\":null", w->out);
        return;
    }
    fprintf(w->out, ",\"init\":[\"%s\",", para_init_names[t->init.kind]);
    write_double(w, t->init.mean);
    fputc(',', w->out);
    write_double(w, t->init.spread);
    fputc(']', w->out);
}

static void write_tensor(struct writer *w, const para_tensor *t)
{
    fprintf(w->out, "{\"id\":%d", t->id);
    write_text(w, "kind", para_kind_names[t->kind]);
    write_text(w, "name", t->name);
    write_text(w, "base", t->base);
    write_text(w, "dtype", para_dtype_name(t->shape.dtype));
    write_dims(w, &t->shape);
    write_id(w, "producer", t->producer ? t->producer->id : -1);
    write_id(w, "output", t->producer ? t->output : -1);
    write_id(w, "origin", t->origin);
    write_id(w, "overwrites", t->overwrites ? t->overwrites->id : -1);
    write_bool(w, "is_output", t->is_output);
    write_init(w, t);
    write_text(w, "why_whole", t->why_whole);
    if (t->copies)
        write_text(w, "copies", t->copies);
    if (t->frozen)
        write_bool(w, "frozen", true);
    fputc('}', w->out);
}

static void write_ids(struct writer *w, const char *key, para_tensor *const t[], int count)
{
    fprintf(w->out, ",\"%s\":[", key);
    for (int i = 0; i < count; i++)
        fprintf(w->out, i ? ",%d" : "%d", t[i]->id);
    fputc(']', w->out);
}

static void write_attrs(struct writer *w, const para_node *n)
{
    const char *comma = "";
    fputs(",\"attrs\":{", w->out);
    for (int a = 0; a < PARA_MAX_ATTRS && n->op->attrs[a].name; a++) {
        if (para_attr_is_left_out(n, a))
            continue;
        fprintf(w->out, "%s\"%s\":", comma, n->op->attrs[a].name);
        comma = ",";
        if (n->op->attrs[a].type == PARA_ATTR_INT)
            fprintf(w->out, "%lld", (long long)n->attr[a].i);
        else if (n->op->attrs[a].type == PARA_ATTR_FLOAT)
            write_double(w, n->attr[a].f);
        else
            write_string(w, n->attr[a].s ? n->attr[a].s : "");
    }
    fputc('}', w->out);
}

static void write_node(struct writer *w, const para_node *n)
{
    fprintf(w->out, "{\"id\":%d", n->id);
    write_text(w, "op", n->op->name);
    write_text(w, "name", n->name);
    write_text(w, "scope", n->scope);
    write_text(w, "part", n->part);
    write_id(w, "origin", n->origin);
    write_id(w, "place", n->place);
    write_bool(w, "backward", n->backward);
    write_ids(w, "inputs", n->in, n->n_in);
    write_ids(w, "outputs", n->out, n->n_out);
    for (int i = 0; i < n->n_after; i++)
        fprintf(w->out, i ? ",%d" : ",\"after\":[%d", n->after[i]->id);
    fputs(n->n_after ? "]" : "", w->out);
    write_attrs(w, n);
    fputc('}', w->out);
}

static void write_gradients(struct writer *w, const para_graph *g)
{
    bool first = true;
    for (int id = 0; id < g->n_grads; id++) {
        if (!g->grads[id])
            continue;
        next_entry(w, first);
        fprintf(w->out, "[%d,%d]", id, g->grads[id]->id);
        first = false;
    }
}

int para_graph_dump_json(const para_graph *g, FILE *out, para_error *err)
{
    struct writer w = {out, NULL};
    fputs("{\"format\":\"paragraph-graph\",\"version\":1", out);
    write_text(&w, "splits", g->splits);
    if (g->spread[0])
        write_text(&w, "spread", g->spread);
    write_bool(&w, "backward", g->has_backward);
    fputs(",\n\"axes\":[", out);
    if (write_axes(&w, g) < 0)
        return para_fail_memory(err, "dumping a graph");
    fputs("\n],\n\"tensors\":[", out);
    for (int id = 0; id < g->n_tensors; id++) {
        next_entry(&w, id == 0);
        write_tensor(&w, g->tensors[id]);
    }
    fputs("\n],\n\"nodes\":[", out);
    for (int id = 0; id < g->n_nodes; id++) {
        next_entry(&w, id == 0);
        write_node(&w, g->nodes[id]);
    }
    fputs("\n],\n\"gradients\":[", out);
    write_gradients(&w, g);
    fputs("\n]}\n", out);
    if (w.bad)
        return para_fail(err, PARA_EINVAL, "\"%s\" is not UTF-8, which names in JSON must be", w.bad);
    return para_dump_finish(out, "the dump", err);
}
