/* A graph as text for reading: totals, values that begin it, nodes by scope, and what splits did to it. */
#include "graph/dump.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* Values of one kind in a folded scope. */
struct share {
    int values;
    size_t bytes;
};

struct text {
    FILE *out;
    const para_graph *g;
    struct para_fold fold;
    bool *leaves;         /* by tensor id: another unit than its maker's reads it */
    int *seen;            /* by tensor id: 1 + the last unit that was said to read it */
    struct share *shares; /* by unit; all zero between lists */
};

static int count_scopes(const para_graph *g, para_error *err)
{
    struct para_strmap seen = {0};
    int status = 0;
    for (int id = 0; id < g->n_nodes && status == 0; id++)
        if (g->nodes[id]->scope[0] && !para_strmap_get(&seen, g->nodes[id]->scope))
            status = para_strmap_set(&seen, g->nodes[id]->scope, g->nodes[id]);
    int count = (int)seen.count;
    para_strmap_free(&seen);
    return status < 0 ? para_fail_memory(err, "dumping a graph") : count;
}

static int write_totals(const struct text *x, para_error *err)
{
    const para_graph *g = x->g;
    double flops = 0.0, bytes = 0.0;
    long long parameters = 0;
    int scopes = count_scopes(g, err);
    PARA_TRY(scopes);
    for (int id = 0; id < g->n_nodes; id++) {
        flops += para_node_flops(g->nodes[id]);
        bytes += para_node_bytes(g->nodes[id]);
    }
    for (int id = 0; id < g->n_tensors; id++)
        if (g->tensors[id]->kind == PARA_PARAMETER)
            parameters += para_shape_elements(&g->tensors[id]->shape);
    fprintf(x->out, "graph: %d nodes, %d values, ", g->n_nodes, g->n_tensors);
    para_quantity(flops, "FLOP", x->out);
    fputs(" and ", x->out);
    para_quantity(bytes, "B", x->out);
    fprintf(x->out, " moved per run, %lld parameters, %d scopes", parameters, scopes);
    if (g->splits[0])
        fprintf(x->out, ", split %s", g->splits);
    if (g->spread[0])
        fprintf(x->out, ", spread %s", g->spread);
    fputc('\n', x->out);
    return 0;
}

/* The first unit that is a folded scope with the value in it; NULL: none, as for all inputs. */
static struct share *share_of(const struct text *x, const para_tensor *t)
{
    for (int u = 0; u < x->fold.count && t->kind != PARA_INPUT; u++) {
        const struct para_unit *unit = &x->fold.units[u];
        if (unit->folded && strncmp(t->name, unit->first->scope, unit->scope_bytes) == 0 &&
            t->name[unit->scope_bytes] == '.')
            return &x->shares[u];
    }
    return NULL;
}

static void write_source(const struct text *x, const para_tensor *t)
{
    char shape[PARA_SHAPE_TEXT], mean[PARA_DOUBLE_TEXT], spread[PARA_DOUBLE_TEXT];
    fprintf(x->out, "  %-32s %s", t->name, para_shape_text(&t->shape, shape));
    if (t->kind != PARA_INPUT) {
        fprintf(x->out, "  %s %s", para_init_names[t->init.kind], para_double_text(t->init.mean, mean));
        if (t->init.kind != PARA_INIT_FILL)
            fprintf(x->out, " +- %s", para_double_text(t->init.spread, spread));
    }
    fputs(t->is_output ? "  output\n" : "\n", x->out);
}

/* A folded scope's line, where its first value stands. */
static void write_share(const struct text *x, struct share *s)
{
    const struct para_unit *unit = &x->fold.units[s - x->shares];
    fprintf(x->out, "  %-32.*s %d value%s, ", (int)unit->scope_bytes, unit->first->scope, s->values,
            s->values == 1 ? "" : "s");
    para_quantity((double)s->bytes, "B", x->out);
    fputc('\n', x->out);
    *s = (struct share){0};
}

static void write_sources(const struct text *x, para_kind kind, const char *title)
{
    bool first = true;
    for (int id = 0; id < x->g->n_tensors; id++) {
        const para_tensor *t = x->g->tensors[id];
        struct share *s = t->kind == kind ? share_of(x, t) : NULL;
        if (s) {
            s->values++;
            s->bytes += para_shape_bytes(&t->shape);
        }
    }
    for (int id = 0; id < x->g->n_tensors; id++) {
        const para_tensor *t = x->g->tensors[id];
        if (t->kind != kind)
            continue;
        if (first)
            fprintf(x->out, "\n%s\n", title);
        first = false;
        struct share *s = share_of(x, t);
        if (!s)
            write_source(x, t);
        else if (s->values)
            write_share(x, s);
    }
}

/* The op and its attributes; empty strings go without saying. */
static void write_op(const struct text *x, const para_node *n)
{
    char number[PARA_DOUBLE_TEXT];
    fputs(n->op->name, x->out);
    for (int a = 0; a < PARA_MAX_ATTRS && n->op->attrs[a].name; a++) {
        const struct para_attr_spec *spec = &n->op->attrs[a];
        if (para_attr_is_left_out(n, a))
            continue;
        if (spec->type == PARA_ATTR_INT)
            fprintf(x->out, " %s=%lld", spec->name, (long long)n->attr[a].i);
        else if (spec->type == PARA_ATTR_FLOAT)
            fprintf(x->out, " %s=%s", spec->name, para_double_text(n->attr[a].f, number));
        else if (n->attr[a].s && n->attr[a].s[0])
            fprintf(x->out, " %s=\"%s\"", spec->name, n->attr[a].s);
    }
}

/* Names, the first few of them and how many more. */
struct names {
    FILE *out;
    const char *title;
    int count;
};

enum { NAMES_SHOWN = 4 };

static void add_name(struct names *n, const char *name)
{
    if (n->count == 0)
        fprintf(n->out, "; %s %s", n->title, name);
    else if (n->count < NAMES_SHOWN)
        fprintf(n->out, ", %s", name);
    n->count++;
}

static void end_names(const struct names *n)
{
    if (n->count > NAMES_SHOWN)
        fprintf(n->out, " and %d more", n->count - NAMES_SHOWN);
}

static void write_node(const struct text *x, const para_node *n)
{
    struct names after = {x->out, "after", 0};
    char shape[PARA_SHAPE_TEXT];
    fprintf(x->out, "  %5d  %s", n->id, n->name);
    if (!strstr(n->name, n->part))
        fprintf(x->out, " <%s>", n->part);
    fputs("  ", x->out);
    write_op(x, n);
    fputs(" (", x->out);
    for (int i = 0; i < n->n_in; i++)
        fprintf(x->out, i ? ", %s" : "%s", n->in[i]->name);
    fputs(") ->", x->out);
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *t = n->out[k];
        fprintf(x->out, "%s %s", k ? "," : "", para_shape_text(&t->shape, shape));
        if (t->overwrites)
            fprintf(x->out, " over %s", t->overwrites->name);
        fputs(t->is_output ? " output" : "", x->out);
    }
    if (n->place >= 0)
        fprintf(x->out, "  group %d", n->place);
    for (int i = 0; i < n->n_after; i++)
        add_name(&after, n->after[i]->name);
    end_names(&after);
    fputc('\n', x->out);
}

/* What a folded unit reads and others made: parameters and states by number, the rest by name. */
static void write_reads(const struct text *x, int unit)
{
    struct names names = {x->out, "reads", 0};
    int kept[2] = {0, 0};
    for (int id = x->fold.units[unit].first->id; id < x->g->n_nodes; id++) {
        const para_node *n = x->g->nodes[id];
        for (int i = 0; x->fold.of[id] == unit && i < n->n_in; i++) {
            const para_tensor *t = n->in[i];
            if (x->seen[t->id] == unit + 1 || (t->producer && x->fold.of[t->producer->id] == unit))
                continue;
            x->seen[t->id] = unit + 1;
            if (t->kind == PARA_PARAMETER || t->kind == PARA_STATE || t->kind == PARA_COPY)
                kept[t->kind == PARA_STATE]++;
            else
                add_name(&names, t->name);
        }
    }
    end_names(&names);
    if (kept[0])
        fprintf(x->out, "; %d parameter%s", kept[0], kept[0] == 1 ? "" : "s");
    if (kept[1])
        fprintf(x->out, "; %d state value%s", kept[1], kept[1] == 1 ? "" : "s");
}

/* What a folded unit makes and others read, or the user. */
static void write_makes(const struct text *x, int unit)
{
    struct names names = {x->out, "makes", 0};
    for (int id = x->fold.units[unit].first->id; id < x->g->n_nodes; id++)
        for (int k = 0; x->fold.of[id] == unit && k < x->g->nodes[id]->n_out; k++) {
            const para_tensor *t = x->g->nodes[id]->out[k];
            if (x->leaves[t->id] || t->is_output || t->overwrites)
                add_name(&names, t->name);
        }
    end_names(&names);
}

static int write_folded(const struct text *x, int unit)
{
    const struct para_unit *u = &x->fold.units[unit];
    double flops = 0.0;
    for (int id = u->first->id; id < x->g->n_nodes; id++)
        flops += x->fold.of[id] == unit ? para_node_flops(x->g->nodes[id]) : 0.0;
    fprintf(x->out, "%.*s (%s, folded)  ", (int)u->scope_bytes, u->first->scope, para_class_name(u->class));
    PARA_TRY(para_unit_ops(&x->fold, unit, x->g, x->out));
    fputs("; ", x->out);
    para_quantity(flops, "FLOP", x->out);
    write_reads(x, unit);
    write_makes(x, unit);
    fputc('\n', x->out);
    return 0;
}

/* Program order; a scope's name stands wherever it changes, a folded unit where its first node does. */
static int write_nodes(const struct text *x)
{
    const char *scope = NULL;
    fputs("\nnodes\n", x->out);
    for (int u = 0; u < x->fold.count; u++) {
        const struct para_unit *unit = &x->fold.units[u];
        if (unit->folded) {
            PARA_TRY(write_folded(x, u));
            scope = NULL;
            continue;
        }
        if (!scope || strcmp(scope, unit->first->scope) != 0)
            fprintf(x->out, "%s\n", unit->first->scope[0] ? unit->first->scope : "(no scope)");
        scope = unit->first->scope;
        write_node(x, unit->first);
    }
    return 0;
}

static void mark_leaving(const struct text *x)
{
    for (int id = 0; id < x->g->n_nodes; id++)
        for (int i = 0; i < x->g->nodes[id]->n_in; i++) {
            const para_tensor *t = x->g->nodes[id]->in[i];
            if (t->producer && x->fold.of[t->producer->id] != x->fold.of[id])
                x->leaves[t->id] = true;
        }
}

static int write_all(const struct text *x, para_error *err)
{
    if (!x->leaves || !x->seen || !x->shares)
        return para_fail_memory(err, "dumping a graph");
    mark_leaving(x);
    PARA_TRY(write_totals(x, err));
    write_sources(x, PARA_INPUT, "inputs");
    write_sources(x, PARA_PARAMETER, "parameters");
    write_sources(x, PARA_COPY, "copies of parameters");
    write_sources(x, PARA_STATE, "state");
    if (write_nodes(x) < 0)
        return para_fail_memory(err, "dumping a graph");
    PARA_TRY(para_dump_splits(x->g, x->out, err));
    return para_dump_finish(x->out, "the dump", err);
}

int para_graph_dump_text(const para_graph *g, FILE *out, int fold, para_error *err)
{
    struct text x = {.out = out, .g = g};
    if (fold < 0)
        return para_fail(err, PARA_ERANGE, "fold is %d, expected a depth of scopes, or 0 to fold none", fold);
    PARA_TRY(para_fold_new(&x.fold, g, fold, err));
    x.leaves = calloc((size_t)g->n_tensors + 1, sizeof *x.leaves);
    x.seen = calloc((size_t)g->n_tensors + 1, sizeof *x.seen);
    x.shares = calloc((size_t)x.fold.count + 1, sizeof *x.shares);
    int status = write_all(&x, err);
    free(x.shares);
    free(x.leaves);
    free(x.seen);
    para_fold_free(&x.fold);
    return status;
}
