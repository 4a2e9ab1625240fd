/* A graph as Graphviz DOT, for `dot -Tsvg`: a subgraph per scope, nodes coloured by what they are for and outlined by
 * worker group, values that begin the graph in shapes of their own, edges with the shape of what flows where it isn't
 * that of what flowed into the node before, and dashed, where an update must wait for readers of what it overwrites. A
 * scope holds forward and backward nodes, so subgraphs form cycles: dot must rank nodes across them (newrank), stop
 * early (nslimit), and place labels last (xlabel), or it fails or takes minutes.
 */
#include "graph/dump.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* A scope and, in lists, what lies in it. */
struct subgraph {
    char *scope; /* in full */
    int depth, id;
    struct subgraph *inner, *last, *next; /* first and last inner subgraph; the next one in the outer */
    struct item *items, *last_item;
};

/* A box of the drawing: a unit, or a source value (unit -1). */
struct item {
    const para_tensor *source;
    int unit;
    struct item *next;
};

/* An arrow between boxes; box of unit u is u, of source tensor t is units + t. */
struct arrow {
    int from, to, kind, tensor;
};

struct dot {
    FILE *out;
    const para_graph *g;
    struct para_fold fold;
    int *group; /* by unit: the worker group of all its nodes; -1 if they have none or several */
    const para_node **reader;
    struct para_arena arena;
    struct para_strmap subgraphs; /* by scope in full */
    struct subgraph top;
    int n_subgraphs;
    struct arrow *arrows;
    size_t n_arrows;
};

static void write_escaped(FILE *out, const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes && s[i]; i++) {
        if (s[i] == '"' || s[i] == '\\')
            fputc('\\', out);
        fputc((unsigned char)s[i] < 0x20 ? ' ' : s[i], out);
    }
}

static void write_name(FILE *out, const char *s)
{
    write_escaped(out, s, strlen(s));
}

/* Find or make the subgraph of a scope's first `depth` components. */
static struct subgraph *subgraph_of(struct dot *d, const char *scope, int depth)
{
    if (depth == 0)
        return &d->top;
    size_t bytes = para_scope_cut(scope, depth);
    char *key = para_arena_alloc(&d->arena, bytes + 1);
    if (!key)
        return NULL;
    memcpy(key, scope, bytes);
    struct subgraph *c = para_strmap_get(&d->subgraphs, key);
    if (c)
        return c;
    struct subgraph *outer = subgraph_of(d, scope, depth - 1);
    c = outer ? para_arena_alloc(&d->arena, sizeof *c) : NULL;
    if (!c || para_strmap_set(&d->subgraphs, key, c) < 0)
        return NULL;
    *c = (struct subgraph){.scope = key, .depth = depth, .id = d->n_subgraphs++};
    *(outer->last ? &outer->last->next : &outer->inner) = c;
    outer->last = c;
    return c;
}

static int add_item(struct dot *d, struct subgraph *c, const para_tensor *source, int unit)
{
    struct item *item = c ? para_arena_alloc(&d->arena, sizeof *item) : NULL;
    if (!item)
        return PARA_ENOMEM;
    *item = (struct item){source, unit, NULL};
    *(c->last_item ? &c->last_item->next : &c->items) = item;
    c->last_item = item;
    return 0;
}

/* A folded unit stands in the subgraph around its scope. */
static struct subgraph *home(struct dot *d, int unit)
{
    const struct para_unit *u = &d->fold.units[unit];
    char *scope = para_arena_alloc(&d->arena, u->scope_bytes + 1);
    if (!scope)
        return NULL;
    memcpy(scope, u->first->scope, u->scope_bytes);
    return subgraph_of(d, scope, para_scope_depth(scope) - u->folded);
}

/* The box that stands for a tensor: its maker; if it begins the graph, the folded unit of its first reader or a box
 * of its own. -1 for a value that nobody reads. */
static int box_of(const struct dot *d, const para_tensor *t)
{
    if (t->producer)
        return d->fold.of[t->producer->id];
    if (!d->reader[t->id])
        return -1;
    int unit = d->fold.of[d->reader[t->id]->id];
    return d->fold.units[unit].folded ? unit : d->fold.count + t->id;
}

static int place_items(struct dot *d)
{
    for (int id = 0; id < d->g->n_tensors; id++) {
        const para_tensor *t = d->g->tensors[id];
        if (box_of(d, t) == d->fold.count + id)
            PARA_TRY(add_item(d, home(d, d->fold.of[d->reader[id]->id]), t, -1));
    }
    for (int unit = 0; unit < d->fold.count; unit++)
        PARA_TRY(add_item(d, home(d, unit), NULL, unit));
    return 0;
}

static void write_source(const struct dot *d, const para_tensor *t)
{
    static const char *const looks[] = {"shape=parallelogram,style=filled,fillcolor=\"#f2f2f2\"",
                                        "shape=cylinder,style=filled,fillcolor=\"#fff2b3\"",
                                        "shape=folder,style=filled,fillcolor=\"#e8dcf5\"", "shape=ellipse,style=filled",
                                        "shape=cylinder,style=filled,fillcolor=\"#fff9d9\""};
    char shape[PARA_SHAPE_TEXT];
    fprintf(d->out, "t%d [%s,label=\"", t->id, looks[t->kind]);
    write_name(d->out, t->name);
    fputs("\\n", d->out);
    write_name(d->out, para_shape_text(&t->shape, shape));
    fputs("\"];\n", d->out);
}

/* The name without its scope. */
static const char *short_name(const para_node *n)
{
    size_t bytes = strlen(n->scope);
    return bytes && strncmp(n->name, n->scope, bytes) == 0 && n->name[bytes] == '.' ? n->name + bytes + 1 : n->name;
}

static const char *const class_colours[] = {"#d6e8fa", "#fbdcd2", "#d9f0d3"};

/* Outlines of worker groups, taken in turn. */
enum { GROUP_COLOURS = 6 };
static const char *const group_colours[GROUP_COLOURS] = {"#1f77b4", "#d62728", "#2ca02c",
                                                         "#9467bd", "#ff7f0e", "#17becf"};

/* The op, the node's own name if it has another, and its part if the name doesn't say it. */
static void write_node(const struct dot *d, const para_node *n)
{
    write_name(d->out, n->op->name);
    if (strcmp(short_name(n), n->op->name) != 0) {
        fputs("\\n", d->out);
        write_name(d->out, short_name(n));
    }
    if (!strstr(short_name(n), n->part)) {
        fputs("\\n", d->out);
        write_name(d->out, n->part);
    }
}

static int write_unit(const struct dot *d, int unit)
{
    const struct para_unit *u = &d->fold.units[unit];
    int group = d->group[unit];
    bool output = false;
    for (int k = 0; k < u->first->n_out; k++)
        output = output || u->first->out[k]->is_output;
    fprintf(d->out, "u%d [fillcolor=\"%s\"", unit, class_colours[u->class]);
    if (group >= 0)
        fprintf(d->out, ",penwidth=2.5,color=\"%s\"", group_colours[group % GROUP_COLOURS]);
    fprintf(d->out, "%s,label=\"", output && !u->folded ? ",peripheries=2" : "");
    if (u->folded) {
        const char *class = para_class_name(u->class);
        write_escaped(d->out, u->first->scope, u->scope_bytes);
        if (u->scope_bytes != strlen(class) || memcmp(u->first->scope, class, u->scope_bytes) != 0)
            fprintf(d->out, " (%s)", class);
        fputs("\\n", d->out);
        PARA_TRY(para_unit_ops(&d->fold, unit, d->g, d->out));
    } else {
        write_node(d, u->first);
    }
    if (group >= 0)
        fprintf(d->out, "\\ngroup %d", group);
    fputs("\"];\n", d->out);
    return 0;
}

/* What colours and lines mean, of those that are there. */
static void write_legend(const struct dot *d)
{
    bool present[3] = {false}, has_group[PARA_MAX_PLACES] = {false}, waits = false;
    for (int unit = 0; unit < d->fold.count; unit++) {
        present[d->fold.units[unit].class] = true;
        if (d->group[unit] >= 0)
            has_group[d->group[unit]] = true;
    }
    for (size_t i = 0; i < d->n_arrows; i++)
        waits = waits || d->arrows[i].kind != PARA_RAW;
    fputs("legend [shape=plaintext,style=\"\",label=<<table border=\"0\" cellborder=\"0\" cellspacing=\"4\"><tr>",
          d->out);
    for (int c = 0; c < 3; c++)
        if (present[c])
            fprintf(d->out, "<td bgcolor=\"%s\">%s</td>", class_colours[c], para_class_name((enum para_class)c));
    for (int group = 0; group < PARA_MAX_PLACES; group++)
        if (has_group[group])
            fprintf(d->out, "<td border=\"2\" color=\"%s\">group %d</td>", group_colours[group % GROUP_COLOURS], group);
    if (waits)
        fputs("<td><font color=\"#b03060\">- - waits to overwrite</font></td>", d->out);
    fputs("<td>double outline: output</td></tr></table>>];\n", d->out);
}

static int write_subgraph(const struct dot *d, const struct subgraph *c)
{
    if (c->depth) {
        size_t outer = para_scope_cut(c->scope, c->depth - 1);
        fprintf(d->out, "subgraph cluster_%d {\nlabel=\"", c->id);
        write_name(d->out, c->scope + outer + (outer > 0));
        fputs("\";\n", d->out);
    }
    for (const struct item *i = c->items; i; i = i->next) {
        if (i->source)
            write_source(d, i->source);
        else
            PARA_TRY(write_unit(d, i->unit));
    }
    for (const struct subgraph *inner = c->inner; inner; inner = inner->next)
        PARA_TRY(write_subgraph(d, inner));
    fputs(c->depth ? "}\n" : "", d->out);
    return 0;
}

static void add_arrow(struct dot *d, int from, int to, int kind, int tensor)
{
    if (from != to && from >= 0)
        d->arrows[d->n_arrows++] = (struct arrow){from, to, kind, tensor};
}

static int by_ends(const void *a, const void *b)
{
    const struct arrow *x = a, *y = b;
    int left[] = {x->from, x->to, x->kind, x->tensor}, right[] = {y->from, y->to, y->kind, y->tensor};
    for (int k = 0; k < 4; k++)
        if (left[k] != right[k])
            return left[k] < right[k] ? -1 : 1;
    return 0;
}

/* Values that are read, and what the analyzer adds to them: updates that wait. */
static int collect_arrows(struct dot *d, const para_deps *deps)
{
    size_t slots = (size_t)para_deps_edge_count(deps) + 1;
    for (int id = 0; id < d->g->n_nodes; id++)
        slots += (size_t)d->g->nodes[id]->n_in;
    d->arrows = calloc(slots, sizeof *d->arrows);
    if (!d->arrows)
        return PARA_ENOMEM;
    for (int id = 0; id < d->g->n_nodes; id++) {
        const para_node *n = d->g->nodes[id];
        int count = 0;
        const para_edge *edges = para_deps_of(deps, id, &count);
        for (int i = 0; i < n->n_in; i++)
            add_arrow(d, box_of(d, n->in[i]), d->fold.of[id], PARA_RAW, n->in[i]->id);
        for (int e = 0; e < count; e++)
            if (edges[e].kind != PARA_RAW)
                add_arrow(d, d->fold.of[edges[e].from], d->fold.of[id], (int)edges[e].kind, edges[e].tensor);
    }
    qsort(d->arrows, d->n_arrows, sizeof *d->arrows, by_ends);
    return 0;
}

static int find_groups(struct dot *d)
{
    d->group = malloc(sizeof *d->group * ((size_t)d->fold.count + 1));
    if (!d->group)
        return PARA_ENOMEM;
    for (int unit = 0; unit < d->fold.count; unit++)
        d->group[unit] = d->fold.units[unit].first->place;
    for (int id = 0; id < d->g->n_nodes; id++)
        if (d->group[d->fold.of[id]] != d->g->nodes[id]->place)
            d->group[d->fold.of[id]] = -1;
    return 0;
}

/* Whether an arrow says what flows: on the way to the value's first reader, unless it is as what flowed into the node
 * that made it. A value that begins the graph has its shape in its own box, or in a folded one. */
static bool tells_shape(const struct dot *d, const struct arrow *a)
{
    const para_tensor *t = d->g->tensors[a->tensor];
    const para_node *n = t->producer;
    if (a->kind != PARA_RAW || !n || d->fold.of[d->reader[t->id]->id] != a->to)
        return false;
    return d->fold.units[a->from].folded || n->n_in == 0 || !para_shape_same_tile(&n->in[0]->shape, &t->shape);
}

static void write_box(const struct dot *d, int box)
{
    fprintf(d->out, box < d->fold.count ? "u%d" : "t%d", box < d->fold.count ? box : box - d->fold.count);
}

/* One line per pair of boxes, with the shape of the one value that flows, or their number. */
static void write_arrows(const struct dot *d)
{
    static const char *const looks[] = {"", " [style=dashed,constraint=false,color=\"#b03060\"]",
                                        " [style=dotted,constraint=false,color=\"#b03060\"]",
                                        " [style=dashed,constraint=false,color=\"#3060b0\"]"};
    for (size_t i = 0, end; i < d->n_arrows; i = end) {
        const struct arrow *a = &d->arrows[i];
        int values = 1;
        for (end = i + 1; end < d->n_arrows && d->arrows[end].from == a->from && d->arrows[end].to == a->to &&
                          d->arrows[end].kind == a->kind;
             end++)
            values += d->arrows[end].tensor != d->arrows[end - 1].tensor;
        char text[PARA_SHAPE_TEXT];
        write_box(d, a->from);
        fputs(" -> ", d->out);
        write_box(d, a->to);
        fputs(looks[a->kind], d->out);
        if (values > 1 && a->kind == PARA_RAW) {
            fprintf(d->out, " [xlabel=\"%d values\"]", values);
        } else if (tells_shape(d, a)) {
            fputs(" [xlabel=\"", d->out);
            write_name(d->out, para_shape_text(&d->g->tensors[a->tensor]->shape, text));
            fputs("\"]", d->out);
        }
        fputs(";\n", d->out);
    }
}

static int write_all(struct dot *d, const para_deps *deps)
{
    d->reader = para_first_readers(d->g);
    if (!d->reader)
        return PARA_ENOMEM;
    PARA_TRY(place_items(d));
    PARA_TRY(collect_arrows(d, deps));
    PARA_TRY(find_groups(d));
    fputs("digraph paragraph {\n"
          "graph "
          "[rankdir=TB,newrank=true,nslimit=1,nslimit1=1,fontname=\"Helvetica\",fontsize=12,style=\"rounded\",color=\"#"
          "888888\"];\n"
          "node [shape=box,style=\"filled,rounded\",fontname=\"Helvetica\",fontsize=10,color=\"#555555\"];\n"
          "edge [fontname=\"Helvetica\",fontsize=8,color=\"#555555\"];\n",
          d->out);
    PARA_TRY(write_subgraph(d, &d->top));
    write_arrows(d);
    write_legend(d);
    fputs("}\n", d->out);
    return 0;
}

int para_graph_dump_dot(const para_graph *g, FILE *out, int fold, para_error *err)
{
    struct dot d = {.out = out, .g = g};
    para_deps *deps = NULL;
    if (fold < 0)
        return para_fail(err, PARA_ERANGE, "fold is %d, expected a depth of scopes, or 0 to fold none", fold);
    PARA_TRY(para_deps_new(&deps, g, NULL, err));
    int status = para_fold_new(&d.fold, g, fold, err);
    if (status == 0 && write_all(&d, deps) < 0)
        status = para_fail_memory(err, "dumping a graph");
    para_deps_free(deps);
    para_fold_free(&d.fold);
    para_arena_free(&d.arena);
    para_strmap_free(&d.subgraphs);
    free(d.group);
    free(d.reader);
    free(d.arrows);
    return status < 0 ? status : para_dump_finish(out, "the dump", err);
}
