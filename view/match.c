/* Matching the nodes of two graphs: two passes with a map from what they have in common. */
#include "view/match.h"

#include "base/fail.h"
#include "graph/dump.h"
#include "graph/op.h"

#include <string.h>

/* Nodes of `a` with one key, in the order of the graph; taken ones go. */
struct queue {
    int first, last;
};

struct matcher {
    struct para_matching *m;
    struct para_strmap map; /* key -> struct queue of a's nodes */
    int *next;              /* by node of a: the next one in its queue; -1: none */
    int *to_b, *to_a;       /* the first of the other side, by node; -1: none yet */
};

typedef const char *key_of(struct para_arena *arena, const para_node *n);

static const char *name_key(struct para_arena *arena, const para_node *n)
{
    return para_arena_format(arena, "%s\n%s\n%s", n->scope, n->name, n->part);
}

static const char *origin_key(struct para_arena *arena, const para_node *n)
{
    return para_arena_format(arena, "%d\n%s\n%s\n%d", n->origin, n->op->name, n->scope, n->backward);
}

static struct queue *queue_of(struct matcher *x, key_of *key, const para_node *n, bool make)
{
    const char *text = key(&x->m->arena, n);
    struct queue *q = text ? para_strmap_get(&x->map, text) : NULL;
    if (q || !make || !text)
        return q;
    q = para_arena_alloc(&x->m->arena, sizeof *q);
    if (!q || para_strmap_set(&x->map, text, q) < 0)
        return NULL;
    *q = (struct queue){-1, -1};
    return q;
}

/* Queue up what `a` has that has no match yet. */
static int enqueue(struct matcher *x, key_of *key)
{
    for (int i = 0; i < x->m->a->n_nodes; i++) {
        if (x->to_b[i] >= 0)
            continue;
        struct queue *q = queue_of(x, key, x->m->a->nodes[i], true);
        if (!q)
            return -1;
        x->next[i] = -1;
        *(q->last < 0 ? &q->first : &x->next[q->last]) = i;
        q->last = i;
    }
    return 0;
}

static int match_names(struct matcher *x)
{
    if (enqueue(x, name_key) < 0)
        return -1;
    for (int i = 0; i < x->m->b->n_nodes; i++) {
        struct queue *q = queue_of(x, name_key, x->m->b->nodes[i], false);
        if (!q || q->first < 0)
            continue;
        x->to_a[i] = q->first;
        x->to_b[q->first] = i;
        q->first = x->next[q->first];
    }
    para_strmap_free(&x->map);
    x->map = (struct para_strmap){0};
    return 0;
}

/* All of a queue goes with all of b's nodes that have its key: each with the other side's first. */
static int match_origins(struct matcher *x)
{
    if (enqueue(x, origin_key) < 0)
        return -1;
    for (int i = 0; i < x->m->b->n_nodes; i++) {
        struct queue *q = x->to_a[i] < 0 ? queue_of(x, origin_key, x->m->b->nodes[i], false) : NULL;
        if (!q)
            continue;
        x->to_a[i] = q->first;
        for (int k = q->first; k >= 0 && x->to_b[k] < 0; k = x->next[k])
            x->to_b[k] = i;
    }
    return 0;
}

/* ---- one order of both ---- */

static int add(struct para_matching *m, int a, int b)
{
    m->matches[m->count] = (struct para_match){a, b, a >= 0, b >= 0};
    return m->count++;
}

/* Add what `a` alone has, from *done on, up to `end` or, if that is negative, to the next that both have. */
static void add_alone(struct matcher *x, int *done, int end)
{
    for (; *done < (end < 0 ? x->m->a->n_nodes : end); ++*done)
        if (x->to_b[*done] < 0)
            x->m->of_a[*done] = add(x->m, *done, -1);
        else if (end < 0)
            break;
}

/* What `a` alone has stands between those that it stands between in `a`, and before what `b` alone has there. */
static void put_in_order(struct matcher *x)
{
    struct para_matching *m = x->m;
    int done = 0;
    for (int i = 0; i < m->b->n_nodes; i++) {
        int a = x->to_a[i];
        if (a >= 0 && m->of_a[a] >= 0) { /* another part of what is there already */
            m->of_b[i] = m->of_a[a];
            m->matches[m->of_b[i]].n_b++;
            continue;
        }
        add_alone(x, &done, a);
        m->of_b[i] = add(m, a, i);
        if (a >= 0)
            m->of_a[a] = m->of_b[i];
        done = a >= done ? a + 1 : done;
    }
    add_alone(x, &done, m->a->n_nodes);
    for (int i = 0; i < m->a->n_nodes; i++) /* further parts on a's side */
        if (m->of_a[i] < 0) {
            m->of_a[i] = m->of_b[x->to_b[i]];
            m->matches[m->of_a[i]].n_a++;
        }
}

static int match(struct matcher *x)
{
    struct para_matching *m = x->m;
    size_t na = (size_t)m->a->n_nodes, nb = (size_t)m->b->n_nodes;
    int **arrays[] = {&x->next, &x->to_b, &m->of_a, &x->to_a, &m->of_b};
    size_t counts[] = {na, na, na, nb, nb};
    for (int i = 0; i < 5; i++) {
        int *array = *arrays[i] = para_arena_alloc(&m->arena, (counts[i] + 1) * sizeof *array);
        for (size_t k = 0; array && k < counts[i]; k++)
            array[k] = -1;
        if (!array)
            return -1;
    }
    m->matches = para_arena_alloc(&m->arena, (na + nb + 1) * sizeof *m->matches);
    if (!m->matches || match_names(x) < 0 || match_origins(x) < 0)
        return -1;
    put_in_order(x);
    return 0;
}

int para_matching_new(struct para_matching *out, const para_graph *a, const para_graph *b, para_error *err)
{
    struct para_matching m = {.a = a, .b = b};
    struct matcher x = {.m = &m};
    int status = match(&x);
    para_strmap_free(&x.map);
    if (status < 0) {
        para_matching_free(&m);
        return para_fail_memory(err, "comparing graphs");
    }
    *out = m;
    return 0;
}

void para_matching_free(struct para_matching *m)
{
    para_arena_free(&m->arena);
}

const para_node *para_match_node(const struct para_matching *m, const struct para_match *match)
{
    return match->b >= 0 ? m->b->nodes[match->b] : m->a->nodes[match->a];
}

/* ---- what differs ---- */

/* Add "WHAT: FROM -> TO" to a text, if they differ; NULL once memory has run out. */
static void differ(struct para_arena *arena, const char **text, const char *what, const char *from, const char *to)
{
    if (*text && strcmp(from, to) != 0)
        *text = para_arena_format(arena, "%s%s%s: %s -> %s", *text, **text ? "; " : "", what, from[0] ? from : "none",
                                  to[0] ? to : "none");
}

static const char *attribute_text(struct para_arena *arena, const para_node *n, int a)
{
    char number[PARA_DOUBLE_TEXT];
    if (n->op->attrs[a].type == PARA_ATTR_INT)
        return para_arena_format(arena, "%lld", (long long)n->attr[a].i);
    if (n->op->attrs[a].type == PARA_ATTR_FLOAT)
        return para_arena_string(arena, para_double_text(n->attr[a].f, number));
    return n->attr[a].s ? n->attr[a].s : "";
}

static void compare_attributes(struct para_arena *arena, const char **text, const para_node *a, const para_node *b)
{
    for (int i = 0; a->op == b->op && i < PARA_MAX_ATTRS && a->op->attrs[i].name && *text; i++) {
        const char *from = attribute_text(arena, a, i), *to = attribute_text(arena, b, i);
        if (from && to)
            differ(arena, text, a->op->attrs[i].name, from, to);
        else
            *text = NULL;
    }
}

static void compare_results(struct para_arena *arena, const char **text, const para_node *a, const para_node *b)
{
    char from[PARA_SHAPE_TEXT], to[PARA_SHAPE_TEXT];
    for (int k = 0; k < a->n_out || k < b->n_out; k++) {
        differ(arena, text, "makes", k < a->n_out ? para_shape_text(&a->out[k]->shape, from) : "",
               k < b->n_out ? para_shape_text(&b->out[k]->shape, to) : "");
        differ(arena, text, "output", k < a->n_out && a->out[k]->is_output ? "yes" : "no",
               k < b->n_out && b->out[k]->is_output ? "yes" : "no");
    }
}

static void compare_operands(struct para_arena *arena, const char **text, const para_node *a, const para_node *b)
{
    for (int k = 0; k < a->n_in || k < b->n_in; k++)
        differ(arena, text, "reads", k < a->n_in ? a->in[k]->name : "", k < b->n_in ? b->in[k]->name : "");
}

static const char *group_text(const para_node *n, char text[16])
{
    text[0] = '\0';
    if (n->place >= 0)
        snprintf(text, 16, "%d", n->place);
    return text;
}

/* The axes along which a node was cut: of "batch=0,ff=1" "batch,ff"; NULL when memory runs out. */
static const char *cut_axes(struct para_arena *arena, const char *part)
{
    char *axes = para_arena_alloc(arena, strlen(part) + 1), *end = axes;
    for (bool in_name = true; axes && *part; part++) {
        in_name = *part == ',' || (in_name && *part != '=');
        if (in_name)
            *end++ = *part;
    }
    return axes;
}

static const char *compare_counts(struct para_arena *arena, const struct para_match *match, const para_node *a,
                                  const para_node *b)
{
    const char *from = cut_axes(arena, a->part), *to = cut_axes(arena, b->part);
    const char *text = para_arena_format(arena, "%d node%s -> %d", match->n_a, match->n_a == 1 ? "" : "s", match->n_b);
    if (!from || !to)
        return NULL;
    if (from[0] && to[0])
        differ(arena, &text, "cut along", from, to);
    return text;
}

const char *para_match_change(struct para_matching *m, const struct para_match *match)
{
    char from[16], to[16];
    const char *text = "";
    if (match->a < 0 || match->b < 0)
        return text;
    const para_node *a = m->a->nodes[match->a], *b = m->b->nodes[match->b];
    if (match->n_a != 1 || match->n_b != 1)
        return compare_counts(&m->arena, match, a, b);
    differ(&m->arena, &text, "name", a->name, b->name);
    differ(&m->arena, &text, "op", a->op->name, b->op->name);
    compare_attributes(&m->arena, &text, a, b);
    compare_operands(&m->arena, &text, a, b);
    compare_results(&m->arena, &text, a, b);
    differ(&m->arena, &text, "group", group_text(a, from), group_text(b, to));
    return text;
}
