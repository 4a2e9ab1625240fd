/* The page's data: a column per property of boxes, wires, nodes, values, reads and waits. */
#include "view/page-data.h"

#include "base/fail.h"
#include "graph/op.h"
#include "graph/time.h"
#include "view/columns.h"
#include "view/label.h"
#include "view/page-run.h"

#include <stdlib.h>
#include <string.h>

/* That a node waits for another: by the analysis, or by the plan with which it ran. */
struct wait {
    int node;
    struct para_wait why;
};

/* What is known of a graph without running it. */
struct analysis {
    const para_graph *g; /* NULL: there is none */
    para_deps *deps;
    struct para_times times;
    int *path; /* the nominal critical path, node by node */
    para_parallelism parallelism;
};

struct source {
    const struct para_page *page;
    const struct para_outline *o;
    const para_graph *g;
    const struct para_union *joined; /* NULL: one graph is drawn */
    struct para_columns columns;
    struct analysis own, first; /* the second graph's, of two, and the first's */
    struct para_read *reads;
    struct wait *waits;
    int n_reads, n_waits;
};

static int64_t text(struct source *s, const char *words)
{
    return para_columns_text(&s->columns, words ? words : "");
}

/* ---- boxes and wires ---- */

static const struct para_box *box_at(void *source, int i)
{
    return &((struct source *)source)->o->boxes[i];
}

static int64_t box_kind(void *s, int i)
{
    return (int64_t)box_at(s, i)->kind;
}

static int64_t box_class(void *s, int i)
{
    return (int64_t)box_at(s, i)->class;
}

static int64_t box_end(void *s, int i)
{
    return box_at(s, i)->end;
}

static int64_t box_item(void *s, int i)
{
    return box_at(s, i)->item;
}

static int64_t box_rank(void *s, int i)
{
    return box_at(s, i)->rank;
}

static int64_t box_leaves(void *s, int i)
{
    return box_at(s, i)->leaves;
}

static int64_t box_kept(void *s, int i)
{
    return box_at(s, i)->kept;
}

static int64_t box_fed(void *s, int i)
{
    return box_at(s, i)->fed;
}

static int64_t box_name(void *s, int i)
{
    return para_columns_visible(&((struct source *)s)->columns, box_at(s, i)->name);
}

static int64_t box_detail(void *s, int i)
{
    return para_columns_visible(&((struct source *)s)->columns, box_at(s, i)->detail);
}

/* The scope's whole name. */
static int64_t box_scope(void *source, int i)
{
    struct source *s = source;
    const struct para_box *box = box_at(s, i);
    if (box->kind != PARA_BOX_SCOPE)
        return text(s, "");
    const char *scope = para_arena_format(&s->columns.arena, "%.*s", box->scope_bytes, s->g->nodes[box->item]->scope);
    s->columns.failed = s->columns.failed || !scope;
    return text(s, scope);
}

static int64_t box_width(void *s, int i)
{
    return box_at(s, i)->width;
}

static const struct para_column box_columns[] = {
    {"kind", box_kind},
    {"class", box_class},
    {"end", box_end},
    {"item", box_item},
    {"rank", box_rank},
    {"leaves", box_leaves},
    {"kept", box_kept},
    {"fed", box_fed},
    {"name", box_name},
    {"detail", box_detail},
    {"scope", box_scope},
    {"width", box_width},
    {0},
};

static const struct para_wire *wire_at(void *source, int i)
{
    return &((struct source *)source)->o->wires[i];
}

static int64_t wire_from(void *s, int i)
{
    return wire_at(s, i)->from;
}

static int64_t wire_to(void *s, int i)
{
    return wire_at(s, i)->to;
}

static int64_t wire_values(void *s, int i)
{
    return wire_at(s, i)->values;
}

static int64_t wire_slot(void *s, int i)
{
    return wire_at(s, i)->slot;
}

static int64_t wire_back(void *s, int i)
{
    return wire_at(s, i)->back;
}

static const struct para_column wire_columns[] = {
    {"from", wire_from}, {"to", wire_to}, {"values", wire_values}, {"slot", wire_slot}, {"back", wire_back}, {0},
};

/* ---- nodes ---- */

static const para_node *node_at(void *source, int i)
{
    return ((struct source *)source)->g->nodes[i];
}

static int64_t node_name(void *s, int i)
{
    return text(s, node_at(s, i)->name);
}

static int64_t node_op(void *s, int i)
{
    return text(s, node_at(s, i)->op->name);
}

/* "axis=embd alpha=2" */
static int64_t node_attributes(void *source, int i)
{
    struct source *s = source;
    const para_node *n = node_at(s, i);
    const char *words = "";
    char number[PARA_DOUBLE_TEXT];
    for (int a = 0; a < PARA_MAX_ATTRS && n->op->attrs[a].name && words; a++) {
        const struct para_attr_spec *spec = &n->op->attrs[a];
        const char *gap = *words ? " " : "";
        bool is_empty =
            spec->type != PARA_ATTR_INT && spec->type != PARA_ATTR_FLOAT && (!n->attr[a].s || !*n->attr[a].s);
        if (para_attr_is_left_out(n, a) || is_empty)
            continue;
        if (spec->type == PARA_ATTR_INT)
            words =
                para_arena_format(&s->columns.arena, "%s%s%s=%lld", words, gap, spec->name, (long long)n->attr[a].i);
        else
            words = para_arena_format(&s->columns.arena, "%s%s%s=%s", words, gap, spec->name,
                                      spec->type == PARA_ATTR_FLOAT ? para_double_text(n->attr[a].f, number)
                                                                    : n->attr[a].s);
    }
    s->columns.failed = s->columns.failed || !words;
    return text(s, words);
}

static int64_t node_scope(void *s, int i)
{
    return text(s, node_at(s, i)->scope);
}

static int64_t node_part(void *source, int i)
{
    struct source *s = source;
    const char *part = para_part_text(&s->columns.arena, node_at(s, i));
    s->columns.failed = s->columns.failed || !part;
    return text(s, part);
}

static int64_t node_origin(void *s, int i)
{
    return node_at(s, i)->origin;
}

static int64_t node_place(void *s, int i)
{
    return node_at(s, i)->place;
}

static int64_t node_flops(void *s, int i)
{
    return para_columns_whole(para_node_flops(node_at(s, i)));
}

static int64_t node_bytes(void *s, int i)
{
    return para_columns_whole(para_node_bytes(node_at(s, i)));
}

/* What is known of a node, and its id there. */
static const struct analysis *analysis_of(const struct source *s, int node, int *id)
{
    bool own = !s->joined || s->joined->in_b[node] >= 0;
    *id = !s->joined ? node : own ? s->joined->in_b[node] : s->joined->in_a[node];
    return own ? &s->own : &s->first;
}

static int64_t node_cost(void *s, int i)
{
    int id;
    const struct analysis *a = analysis_of(s, i, &id);
    return para_columns_whole(a->times.cost_ns[id]);
}

/* How much later it may begin without making the run longer. */
static int64_t node_slack(void *source, int i)
{
    int id;
    const struct para_times *t = &analysis_of(source, i, &id)->times;
    return para_columns_whole(t->critical_ns - t->start_ns[id] - t->rest_ns[id]);
}

static const struct para_column node_columns[] = {
    {"name", node_name},   {"op", node_op},         {"attributes", node_attributes}, {"scope", node_scope},
    {"part", node_part},   {"origin", node_origin}, {"place", node_place},           {"flops", node_flops},
    {"bytes", node_bytes}, {"costNs", node_cost},   {"slackNs", node_slack},         {0},
};

/* ---- values ---- */

static const para_tensor *tensor_at(void *source, int i)
{
    return ((struct source *)source)->g->tensors[i];
}

static int64_t tensor_name(void *s, int i)
{
    return text(s, tensor_at(s, i)->name);
}

static int64_t tensor_base(void *s, int i)
{
    return text(s, tensor_at(s, i)->base);
}

static int64_t tensor_kind(void *s, int i)
{
    return (int64_t)tensor_at(s, i)->kind;
}

static int64_t tensor_shape(void *source, int i)
{
    struct source *s = source;
    char shape[PARA_SHAPE_TEXT];
    const char *kept = para_arena_string(&s->columns.arena, para_shape_text(&tensor_at(s, i)->shape, shape));
    s->columns.failed = s->columns.failed || !kept;
    return text(s, kept);
}

static int64_t tensor_bytes(void *s, int i)
{
    return para_columns_whole((double)para_shape_bytes(&tensor_at(s, i)->shape));
}

static int64_t tensor_whole(void *s, int i)
{
    return text(s, tensor_at(s, i)->why_whole);
}

static int64_t tensor_producer(void *s, int i)
{
    const para_node *producer = tensor_at(s, i)->producer;
    return producer ? producer->id : -1;
}

static int64_t tensor_overwrites(void *s, int i)
{
    const para_tensor *before = tensor_at(s, i)->overwrites;
    return before ? before->id : -1;
}

static int64_t tensor_is_output(void *s, int i)
{
    return tensor_at(s, i)->is_output;
}

static const struct para_column tensor_columns[] = {
    {"name", tensor_name},          {"base", tensor_base},
    {"kind", tensor_kind},          {"shape", tensor_shape},
    {"bytes", tensor_bytes},        {"whole", tensor_whole},
    {"producer", tensor_producer},  {"overwrites", tensor_overwrites},
    {"isOutput", tensor_is_output}, {0},
};

/* ---- which node reads what, and waits for which ---- */

static int64_t read_node(void *s, int i)
{
    return ((struct source *)s)->reads[i].node;
}

static int64_t read_tensor(void *s, int i)
{
    return ((struct source *)s)->reads[i].tensor;
}

static const struct para_column read_columns[] = {{"node", read_node}, {"value", read_tensor}, {0}};

static const struct wait *wait_at(void *source, int i)
{
    return &((struct source *)source)->waits[i];
}

static int64_t wait_node(void *s, int i)
{
    return wait_at(s, i)->node;
}

static int64_t wait_from(void *s, int i)
{
    return wait_at(s, i)->why.from;
}

static int64_t wait_kind(void *s, int i)
{
    return (int64_t)wait_at(s, i)->why.kind;
}

static int64_t wait_tensor(void *s, int i)
{
    return wait_at(s, i)->why.tensor;
}

static const struct para_column wait_columns[] = {
    {"node", wait_node}, {"from", wait_from}, {"kind", wait_kind}, {"value", wait_tensor}, {0}};

static int64_t path_node(void *source, int i)
{
    const struct source *s = source;
    return s->joined ? s->joined->of_b[s->own.path[i]] : s->own.path[i];
}

static const struct para_column path_column = {"criticalPath", path_node};

/* ---- the whole ---- */

static int collect_reads(struct source *s)
{
    int more = s->joined ? s->joined->n_only_a : 0;
    for (int id = 0; id < s->g->n_nodes; id++)
        s->n_reads += s->g->nodes[id]->n_in;
    s->reads = calloc((size_t)s->n_reads + (size_t)more + 1, sizeof *s->reads);
    if (!s->reads)
        return -1;
    struct para_read *next = s->reads;
    for (int id = 0; id < s->g->n_nodes; id++)
        for (int i = 0; i < s->g->nodes[id]->n_in; i++)
            *next++ = (struct para_read){id, s->g->nodes[id]->in[i]->id};
    for (int i = 0; i < more; i++)
        *next++ = s->joined->only_a[i];
    s->n_reads += more;
    return 0;
}

/* The waits of a node by its analysis. */
static void add_analyzed(struct source *s, int node)
{
    int id, count;
    const struct analysis *a = analysis_of(s, node, &id);
    const struct para_union *u = s->joined;
    const para_edge *edges = para_deps_of(a->deps, id, &count);
    for (int e = 0; e < count; e++) {
        int from = edges[e].from, tensor = edges[e].tensor;
        if (u) {
            from = a == &s->own ? u->of_b[from] : u->of_a[from];
            tensor = a == &s->own || tensor < 0 ? tensor : u->value_of_a[tensor];
        }
        s->waits[s->n_waits++] = (struct wait){node, {from, (enum para_wait_kind)edges[e].kind, tensor, -1}};
    }
}

static int collect_waits(struct source *s)
{
    const para_profile *p = s->page->run ? s->page->run->p : NULL;
    int all = p ? p->first_wait[s->g->n_nodes] : para_deps_edge_count(s->own.deps);
    if (s->joined)
        all += para_deps_edge_count(s->first.deps);
    s->waits = calloc((size_t)all + 1, sizeof *s->waits);
    if (!s->waits)
        return -1;
    for (int id = 0; id < s->g->n_nodes; id++) {
        if (!p)
            add_analyzed(s, id);
        for (int e = p ? p->first_wait[id] : 0; p && e < p->first_wait[id + 1]; e++)
            s->waits[s->n_waits++] = (struct wait){id, p->waits[e]};
    }
    return 0;
}

static int analyze(struct analysis *a, para_error *err)
{
    PARA_TRY(para_deps_new(&a->deps, a->g, NULL, err));
    a->path = calloc((size_t)a->g->n_nodes + 1, sizeof *a->path);
    if (!a->path || para_times_new(&a->times, a->g, a->deps, 0) < 0)
        return para_fail_memory(err, "writing a page");
    return para_deps_measure(a->deps, a->times.cost_ns, &a->parallelism, a->path, err);
}

static void forget(struct analysis *a)
{
    para_times_free(&a->times);
    para_deps_free(a->deps);
    free(a->path);
}

static int collect(struct source *s, para_error *err)
{
    PARA_TRY(analyze(&s->own, err));
    if (s->joined)
        PARA_TRY(analyze(&s->first, err));
    return collect_reads(s) < 0 || collect_waits(s) < 0 ? para_fail_memory(err, "writing a page") : 0;
}

static int write_all(struct source *s, para_error *err)
{
    FILE *out = s->columns.out;
    fprintf(out, "{\"version\":1,\n\"splits\":%lld,\n\"workNs\":%lld,\n\"criticalNs\":%lld",
            (long long)text(s, s->g->splits), (long long)para_columns_whole(s->own.parallelism.work),
            (long long)para_columns_whole(s->own.parallelism.critical));
    para_columns_write_group(&s->columns, "boxes", box_columns, s, s->o->n_boxes);
    para_columns_write_group(&s->columns, "wires", wire_columns, s, s->o->n_wires);
    para_columns_write_group(&s->columns, "nodes", node_columns, s, s->g->n_nodes);
    para_columns_write_group(&s->columns, "values", tensor_columns, s, s->g->n_tensors);
    para_columns_write_group(&s->columns, "reads", read_columns, s, s->n_reads);
    para_columns_write_group(&s->columns, "waits", wait_columns, s, s->n_waits);
    fputs(",\n", out);
    para_columns_write(&s->columns, &path_column, s, s->own.parallelism.path_length);
    if (s->page->run)
        PARA_TRY(para_page_run(s->page->run, &s->columns, err));
    if (s->page->compare)
        para_page_compare(s->page->compare, s->joined, &s->columns);
    fputs(",\n", out);
    para_columns_write_texts(&s->columns, "texts");
    fputs("}\n", out);
    return s->columns.failed ? para_fail_memory(err, "writing a page") : 0;
}

int para_page_data(const struct para_page *page, FILE *out, para_error *err)
{
    const struct para_outline *o = page->outline;
    struct source s = {.page = page, .o = o, .g = o->graph, .joined = o->joined, .columns = {.out = out}};
    s.own.g = s.joined ? s.joined->b : s.g;
    s.first.g = s.joined ? s.joined->a : NULL;
    int status = collect(&s, err);
    if (status == 0)
        status = write_all(&s, err);
    para_columns_free(&s.columns);
    forget(&s.own);
    forget(&s.first);
    free(s.reads);
    free(s.waits);
    return status;
}
