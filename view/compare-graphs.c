/* Two graphs: what they begin with, then node by node. */
#include <paragraph/compare.h>

#include "base/fail.h"
#include "graph/dump.h"
#include "graph/op.h"
#include "view/match.h"
#include "view/text.h"

#include <string.h>

/* What stands before a node, and how many have each. */
enum sign { SAME, CHANGED, ONLY_A, ONLY_B, SIGNS };
static const char signs[SIGNS] = {' ', '~', '-', '+'};

struct comparison {
    struct para_matching m;
    int flags, count[SIGNS];
    FILE *out;
};

static enum sign sign_of(const struct para_match *match, const char *change)
{
    return match->b < 0 ? ONLY_A : match->a < 0 ? ONLY_B : change[0] ? CHANGED : SAME;
}

static int write_text(struct para_matching *m, const struct para_match *match, enum sign sign, const char *change,
                      FILE *out)
{
    const para_node *n = para_match_node(m, match);
    const char *name = para_text_visible(&m->arena, n->name), *how = para_text_visible(&m->arena, change);
    if (!name || !how)
        return -1;
    fprintf(out, "%c %s  %s%s%s\n", signs[sign], name, n->op->name, how[0] ? "  " : "", how);
    return 0;
}

static void write_json(struct para_matching *m, const struct para_match *match, enum sign sign, const char *change,
                       FILE *out)
{
    const para_node *n = para_match_node(m, match);
    fprintf(out, "{\"sign\":\"%c\",\"name\":", signs[sign]);
    para_json_string(out, n->name);
    fprintf(out, ",\"op\":\"%s\",\"scope\":", n->op->name);
    para_json_string(out, n->scope);
    fprintf(out, ",\"a\":%d,\"b\":%d,\"change\":", match->n_a, match->n_b);
    para_json_string(out, change);
    fputs("}\n", out);
}

/* ---- what the graphs begin with ---- */

/* A parameter, state, input or copy as a whole: "parameter f32 (embd 16) normal 0 +- 0.02". */
static const char *describe(struct para_arena *arena, const para_tensor *t)
{
    char shape[PARA_SHAPE_TEXT], mean[PARA_DOUBLE_TEXT], spread[PARA_DOUBLE_TEXT];
    struct para_shape whole = t->shape;
    for (int d = 0; d < whole.rank; d++) {
        whole.dim[d].begin = 0;
        whole.dim[d].extent = whole.dim[d].whole;
    }
    const char *text = para_arena_format(arena, "%s %s%s", para_kind_names[t->kind], para_shape_text(&whole, shape),
                                         t->is_output ? " output" : "");
    return !text || t->kind == PARA_INPUT
               ? text
               : para_arena_format(arena, "%s %s %s +- %s", text, para_init_names[t->init.kind],
                                   para_double_text(t->init.mean, mean), para_double_text(t->init.spread, spread));
}

/* The first tile of each whole value that no node makes, by name. */
static int find_sources(struct para_strmap *map, const para_graph *g)
{
    for (int i = 0; i < g->n_tensors; i++)
        if (!g->tensors[i]->producer && !para_strmap_get(map, g->tensors[i]->base) &&
            para_strmap_set(map, g->tensors[i]->base, g->tensors[i]) < 0)
            return -1;
    return 0;
}

static int write_source(struct comparison *c, const para_tensor *a, const para_tensor *b)
{
    struct para_arena *arena = &c->m.arena;
    const char *from = a ? describe(arena, a) : "", *to = b ? describe(arena, b) : "";
    const char *name = b ? b->base : a->base, *visible = para_text_visible(arena, name);
    if (!from || !to || !visible)
        return -1;
    bool equal = strcmp(from, to) == 0;
    const char *change = !a || !b || equal ? "" : para_arena_format(arena, "%s -> %s", from, to);
    enum sign sign = !a ? ONLY_B : !b ? ONLY_A : equal ? SAME : CHANGED;
    if (!change)
        return -1;
    c->count[sign]++;
    if (sign == SAME && c->flags & PARA_COMPARE_CHANGED)
        return 0;
    if (!(c->flags & PARA_COMPARE_JSON)) {
        fprintf(c->out, "%c %s  %s\n", signs[sign], visible, change[0] ? change : b ? to : from);
        return 0;
    }
    fprintf(c->out, "{\"sign\":\"%c\",\"name\":", signs[sign]);
    para_json_string(c->out, name);
    fputs(",\"value\":", c->out);
    para_json_string(c->out, b ? to : from);
    fputs(",\"change\":", c->out);
    para_json_string(c->out, change);
    fputs("}\n", c->out);
    return 0;
}

static int compare_sources(struct comparison *c)
{
    struct para_strmap a = {0}, b = {0};
    int status = find_sources(&a, c->m.a) < 0 || find_sources(&b, c->m.b) < 0 ? -1 : 0;
    for (int i = 0; i < c->m.a->n_tensors && status == 0; i++) {
        const para_tensor *t = c->m.a->tensors[i];
        if (para_strmap_get(&a, t->base) == t && !para_strmap_get(&b, t->base))
            status = write_source(c, t, NULL);
    }
    for (int i = 0; i < c->m.b->n_tensors && status == 0; i++) {
        const para_tensor *t = c->m.b->tensors[i];
        if (para_strmap_get(&b, t->base) == t)
            status = write_source(c, para_strmap_get(&a, t->base), t);
    }
    para_strmap_free(&a);
    para_strmap_free(&b);
    return status;
}

static int compare_nodes(struct comparison *c)
{
    for (int i = 0; i < c->m.count; i++) {
        const char *change = para_match_change(&c->m, &c->m.matches[i]);
        if (!change)
            return -1;
        enum sign sign = sign_of(&c->m.matches[i], change);
        c->count[sign]++;
        if (sign == SAME && c->flags & PARA_COMPARE_CHANGED)
            continue;
        if (c->flags & PARA_COMPARE_JSON)
            write_json(&c->m, &c->m.matches[i], sign, change, c->out);
        else if (write_text(&c->m, &c->m.matches[i], sign, change, c->out) < 0)
            return -1;
    }
    return 0;
}

int para_graph_compare(const para_graph *a, const para_graph *b, int flags, FILE *out, bool *same, para_error *err)
{
    struct comparison c = {.flags = flags, .out = out};
    PARA_TRY(para_matching_new(&c.m, a, b, err));
    int status = compare_sources(&c) < 0 || compare_nodes(&c) < 0 ? -1 : 0;
    para_matching_free(&c.m);
    if (status < 0)
        return para_fail_memory(err, "comparing graphs");
    *same = c.count[CHANGED] + c.count[ONLY_A] + c.count[ONLY_B] == 0;
    fprintf(out,
            flags & PARA_COMPARE_JSON ? "{\"same\":%d,\"changed\":%d,\"only_a\":%d,\"only_b\":%d}\n"
                                      : "%d the same, %d changed (~), %d in the first alone (-), %d in the second "
                                        "alone (+)\n",
            c.count[SAME], c.count[CHANGED], c.count[ONLY_A], c.count[ONLY_B]);
    return para_dump_finish(out, "the comparison", err);
}
