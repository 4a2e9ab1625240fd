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

struct pair {
    int node, tensor;
};

/* That a node waits for another: the analyzer's, or the plan's with which it ran. */
struct wait {
    int node;
    struct para_wait why;
};

struct source {
    const struct para_outline *o;
    const para_graph *g;
    const struct para_timeline *run; /* NULL: none was measured */
    struct para_columns columns;
    para_deps *deps;
    struct para_times times;
    struct pair *reads;
    struct wait *waits;
    int n_reads, n_waits;
    int *path; /* the nominal critical path, node by node */
    para_parallelism parallelism;
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
        const char *gap = a ? " " : "";
        if (spec->type == PARA_ATTR_INT)
            words =
                para_arena_format(&s->columns.arena, "%s%s%s=%lld", words, gap, spec->name, (long long)n->attr[a].i);
        else
            words = para_arena_format(&s->columns.arena, "%s%s%s=%s", words, gap, spec->name,
                                      spec->type == PARA_ATTR_FLOAT ? para_double_text(n->attr[a].f, number)
                                      : n->attr[a].s                ? n->attr[a].s
                                                                    : "");
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

static int64_t node_cost(void *s, int i)
{
    return para_columns_whole(((struct source *)s)->times.cost_ns[i]);
}

/* How much later it may begin without making the run longer. */
static int64_t node_slack(void *source, int i)
{
    const struct para_times *t = &((struct source *)source)->times;
    return para_columns_whole(t->critical_ns - t->start_ns[i] - t->rest_ns[i]);
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

static int64_t path_node(void *s, int i)
{
    return ((struct source *)s)->path[i];
}

static const struct para_column path_column = {"criticalPath", path_node};

/* ---- the whole ---- */

static int collect_reads(struct source *s)
{
    for (int id = 0; id < s->g->n_nodes; id++)
        s->n_reads += s->g->nodes[id]->n_in;
    s->reads = calloc((size_t)s->n_reads + 1, sizeof *s->reads);
    if (!s->reads)
        return -1;
    struct pair *next = s->reads;
    for (int id = 0; id < s->g->n_nodes; id++)
        for (int i = 0; i < s->g->nodes[id]->n_in; i++)
            *next++ = (struct pair){id, s->g->nodes[id]->in[i]->id};
    return 0;
}

static int collect_waits(struct source *s)
{
    const para_profile *p = s->run ? s->run->p : NULL;
    int all = p ? p->first_wait[s->g->n_nodes] : para_deps_edge_count(s->deps);
    s->waits = calloc((size_t)all + 1, sizeof *s->waits);
    if (!s->waits)
        return -1;
    for (int id = 0; id < s->g->n_nodes; id++) {
        int count;
        const para_edge *edges = para_deps_of(s->deps, id, &count);
        for (int e = 0; e < count && !p; e++)
            s->waits[s->n_waits++] =
                (struct wait){id, {edges[e].from, (enum para_wait_kind)edges[e].kind, edges[e].tensor, -1}};
        for (int e = p ? p->first_wait[id] : 0; p && e < p->first_wait[id + 1]; e++)
            s->waits[s->n_waits++] = (struct wait){id, p->waits[e]};
    }
    return 0;
}

static int analyze(struct source *s, para_error *err)
{
    PARA_TRY(para_deps_new(&s->deps, s->g, NULL, err));
    s->path = calloc((size_t)s->g->n_nodes + 1, sizeof *s->path);
    if (!s->path || collect_reads(s) < 0 || collect_waits(s) < 0 || para_times_new(&s->times, s->g, s->deps, 0) < 0)
        return para_fail_memory(err, "writing a page");
    return para_deps_measure(s->deps, s->times.cost_ns, &s->parallelism, s->path, err);
}

static int write_all(struct source *s, para_error *err)
{
    FILE *out = s->columns.out;
    fprintf(out, "{\"version\":1,\n\"splits\":%lld,\n\"workNs\":%lld,\n\"criticalNs\":%lld",
            (long long)text(s, s->g->splits), (long long)para_columns_whole(s->parallelism.work),
            (long long)para_columns_whole(s->parallelism.critical));
    para_columns_write_group(&s->columns, "boxes", box_columns, s, s->o->n_boxes);
    para_columns_write_group(&s->columns, "wires", wire_columns, s, s->o->n_wires);
    para_columns_write_group(&s->columns, "nodes", node_columns, s, s->g->n_nodes);
    para_columns_write_group(&s->columns, "values", tensor_columns, s, s->g->n_tensors);
    para_columns_write_group(&s->columns, "reads", read_columns, s, s->n_reads);
    para_columns_write_group(&s->columns, "waits", wait_columns, s, s->n_waits);
    fputs(",\n", out);
    para_columns_write(&s->columns, &path_column, s, s->parallelism.path_length);
    if (s->run)
        PARA_TRY(para_page_run(s->run, &s->columns, err));
    fputs(",\n", out);
    para_columns_write_texts(&s->columns, "texts");
    fputs("}\n", out);
    return s->columns.failed ? para_fail_memory(err, "writing a page") : 0;
}

int para_page_data(const struct para_outline *o, const struct para_timeline *run, FILE *out, para_error *err)
{
    struct source s = {.o = o, .g = o->graph, .run = run, .columns = {.out = out}};
    int status = analyze(&s, err);
    if (status == 0)
        status = write_all(&s, err);
    para_columns_free(&s.columns);
    para_times_free(&s.times);
    para_deps_free(s.deps);
    free(s.reads);
    free(s.waits);
    free(s.path);
    return status;
}
