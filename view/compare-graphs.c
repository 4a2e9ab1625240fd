/* Two graphs: what they begin with, then node by node. */
#include <paragraph/compare.h>

#include "base/fail.h"
#include "base/grow.h"
#include "graph/dump.h"
#include "graph/op.h"
#include "view/page.h"
#include "view/text.h"

#include <stdlib.h>
#include <string.h>

struct comparison {
    struct para_matching m;
    int flags;
    int nodes[PARA_SIGNS],
        begin[PARA_SIGNS]; /* how many have each: of the union's nodes, and of what graphs begin with */
    struct para_source_change *sources;
    int n_sources, capacity;
    FILE *out;
};

static int write_text(struct para_matching *m, const struct para_match *match, enum para_sign sign, const char *change,
                      FILE *out)
{
    const para_node *n = para_match_node(m, match);
    const char *name = para_text_visible(&m->arena, n->name), *how = para_text_visible(&m->arena, change);
    if (!name || !how)
        return -1;
    fprintf(out, "%c %s  %s%s%s\n", para_signs[sign], name, n->op->name, how[0] ? "  " : "", how);
    return 0;
}

static void write_json(struct para_matching *m, const struct para_match *match, enum para_sign sign, const char *change,
                       FILE *out)
{
    const para_node *n = para_match_node(m, match);
    fprintf(out, "{\"sign\":\"%c\",\"name\":", para_signs[sign]);
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

static int add_source(struct comparison *c, const para_tensor *a, const para_tensor *b)
{
    const char *from = a ? describe(&c->m.arena, a) : "", *to = b ? describe(&c->m.arena, b) : "";
    if (!from || !to || para_grow(&c->sources, c->n_sources, &c->capacity, sizeof *c->sources) < 0)
        return -1;
    bool differ = a && b && strcmp(from, to) != 0;
    enum para_sign sign = !a ? PARA_ONLY_B : !b ? PARA_ONLY_A : differ ? PARA_CHANGED : PARA_SAME;
    const char *text = differ ? para_arena_format(&c->m.arena, "%s -> %s", from, to) : b ? to : from;
    c->sources[c->n_sources++] = (struct para_source_change){sign, b ? b->base : a->base, b ? to : from, text};
    c->begin[sign]++;
    return text ? 0 : -1;
}

static int collect_sources(struct comparison *c)
{
    struct para_strmap a = {0}, b = {0};
    int status = find_sources(&a, c->m.a) < 0 || find_sources(&b, c->m.b) < 0 ? -1 : 0;
    for (int i = 0; i < c->m.a->n_tensors && status == 0; i++) {
        const para_tensor *t = c->m.a->tensors[i];
        if (para_strmap_get(&a, t->base) == t && !para_strmap_get(&b, t->base))
            status = add_source(c, t, NULL);
    }
    for (int i = 0; i < c->m.b->n_tensors && status == 0; i++) {
        const para_tensor *t = c->m.b->tensors[i];
        if (para_strmap_get(&b, t->base) == t)
            status = add_source(c, para_strmap_get(&a, t->base), t);
    }
    para_strmap_free(&a);
    para_strmap_free(&b);
    return status;
}

static int write_source(struct comparison *c, const struct para_source_change *source)
{
    const char *visible = para_text_visible(&c->m.arena, source->name);
    if (!visible)
        return -1;
    if (!(c->flags & PARA_COMPARE_JSON)) {
        fprintf(c->out, "%c %s  %s\n", para_signs[source->sign], visible, source->text);
        return 0;
    }
    fprintf(c->out, "{\"sign\":\"%c\",\"name\":", para_signs[source->sign]);
    para_json_string(c->out, source->name);
    fputs(",\"value\":", c->out);
    para_json_string(c->out, source->value);
    fputs(",\"change\":", c->out);
    para_json_string(c->out, source->sign == PARA_CHANGED ? source->text : "");
    fputs("}\n", c->out);
    return 0;
}

/* ---- the whole ---- */

static bool is_left_out(const struct comparison *c, enum para_sign sign)
{
    return sign == PARA_SAME && c->flags & PARA_COMPARE_CHANGED;
}

static int write_node(struct comparison *c, const struct para_match *match)
{
    const char *change = para_match_change(&c->m, match);
    if (!change)
        return -1;
    enum para_sign sign = para_match_sign(match, change);
    c->nodes[sign] += match->b < 0 ? 1 : match->n_b;
    if (is_left_out(c, sign))
        return 0;
    if (!(c->flags & PARA_COMPARE_JSON))
        return write_text(&c->m, match, sign, change, c->out);
    write_json(&c->m, match, sign, change, c->out);
    return 0;
}

static void write_counts(const struct comparison *c, const char *key, const char *of, const int count[PARA_SIGNS])
{
    bool json = c->flags & PARA_COMPARE_JSON;
    fprintf(c->out,
            json ? "{\"of\":\"%s\",\"same\":%d,\"changed\":%d,\"only_a\":%d,\"only_b\":%d}\n"
                 : "%s: %d the same, %d changed (~), %d in the first alone (-), %d in the second alone (+)\n",
            json ? key : of, count[PARA_SAME], count[PARA_CHANGED], count[PARA_ONLY_A], count[PARA_ONLY_B]);
}

static int write_lines(struct comparison *c)
{
    int status = 0;
    for (int i = 0; i < c->n_sources && status == 0; i++)
        if (!is_left_out(c, c->sources[i].sign))
            status = write_source(c, &c->sources[i]);
    for (int i = 0; i < c->m.count && status == 0; i++)
        status = write_node(c, &c->m.matches[i]);
    write_counts(c, "begin", "what they begin with", c->begin);
    write_counts(c, "nodes", "nodes, each part one", c->nodes);
    return status;
}

static int write_page(struct comparison *c, para_error *err)
{
    struct para_union u;
    PARA_TRY(para_union_new(&u, &c->m, err));
    for (int i = 0; i < u.graph.n_nodes; i++)
        c->nodes[u.sign[i]]++;
    const struct para_page_comparison told = {
        .sources = c->sources, .n_sources = c->n_sources, .changed_only = c->flags & PARA_COMPARE_CHANGED};
    int status = para_page_write_joined(&u, &told, c->out, err);
    para_union_free(&u);
    return status;
}

static int compare(struct comparison *c, para_error *err)
{
    bool page = c->flags & PARA_COMPARE_HTML;
    if (collect_sources(c) < 0 || (!page && write_lines(c) < 0))
        return para_fail_memory(err, "comparing graphs");
    return page ? write_page(c, err) : 0;
}

int para_graph_compare(const para_graph *a, const para_graph *b, int flags, FILE *out, bool *same, para_error *err)
{
    struct comparison c = {.flags = flags, .out = out};
    PARA_TRY(para_matching_new(&c.m, a, b, err));
    int status = compare(&c, err);
    para_matching_free(&c.m);
    free(c.sources);
    if (status < 0)
        return status;
    *same = true;
    for (int sign = PARA_CHANGED; sign < PARA_SIGNS; sign++)
        *same = *same && c.nodes[sign] == 0 && c.begin[sign] == 0;
    return para_dump_finish(out, "the comparison", err);
}
