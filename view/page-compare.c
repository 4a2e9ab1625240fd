/* A comparison as columns. */
#include "view/page-compare.h"

#include <stdio.h>

struct source {
    const struct para_page_comparison *compare;
    const struct para_union *u;
    struct para_columns *columns;
    const double *ns; /* of the run that is being written */
};

/* ---- nodes ---- */

static int64_t node_sign(void *source, int i)
{
    return (int64_t)((struct source *)source)->u->sign[i];
}

static int64_t node_change(void *source, int i)
{
    struct source *s = source;
    return para_columns_text(s->columns, s->u->change[i]);
}

static const struct para_column node_columns[] = {{"sign", node_sign}, {"change", node_change}, {0}};

static int64_t node_ns(void *source, int i)
{
    return para_columns_whole(((struct source *)source)->ns[i]);
}

/* A column per run. */
static void write_runs(struct source *s)
{
    fprintf(s->columns->out, ",\n\"runsA\":%d,\"runsB\":%d,\n\"times\":[", s->compare->runs_a, s->compare->runs_b);
    for (int run = 0; run < s->compare->runs_a + s->compare->runs_b; run++) {
        s->ns = s->compare->ns[run];
        fputs(run ? ",\n" : "\n", s->columns->out);
        para_columns_write_list(s->columns, node_ns, s, s->u->graph.n_nodes);
    }
    fputc(']', s->columns->out);
}

/* ---- ops ---- */

static int64_t op_name(void *source, int i)
{
    struct source *s = source;
    return para_columns_text(s->columns, s->compare->ops[i].name);
}

static const struct para_column op_columns[] = {{"name", op_name}, {0}};

static int64_t op_ns(void *source, int i)
{
    return para_columns_whole(((struct source *)source)->ns[i]);
}

/* Names, and a list of times per op: one of each run. */
static void write_ops(struct source *s)
{
    para_columns_write_group(s->columns, "ops", op_columns, s, s->compare->n_ops);
    fputs(",\n\"opTimes\":[", s->columns->out);
    for (int i = 0; i < s->compare->n_ops; i++) {
        s->ns = s->compare->ops[i].ns;
        fputs(i ? ",\n" : "\n", s->columns->out);
        para_columns_write_list(s->columns, op_ns, s, s->compare->runs_a + s->compare->runs_b);
    }
    fputc(']', s->columns->out);
}

/* ---- what the graphs begin with ---- */

static int64_t source_sign(void *source, int i)
{
    return (int64_t)((struct source *)source)->compare->sources[i].sign;
}

static int64_t source_name(void *source, int i)
{
    struct source *s = source;
    return para_columns_text(s->columns, s->compare->sources[i].name);
}

static int64_t source_text(void *source, int i)
{
    struct source *s = source;
    return para_columns_text(s->columns, s->compare->sources[i].text);
}

static const struct para_column source_columns[] = {
    {"sign", source_sign}, {"name", source_name}, {"text", source_text}, {0}};

/* ---- the whole ---- */

void para_page_compare(const struct para_page_comparison *compare, const struct para_union *u, struct para_columns *c)
{
    struct source s = {.compare = compare, .u = u, .columns = c};
    fprintf(c->out, ",\n\"compare\":{\"changedOnly\":%d,\"onlyA\":%d", compare->changed_only, u->n_only_a);
    para_columns_write_group(c, "nodes", node_columns, &s, u->graph.n_nodes);
    para_columns_write_group(c, "sources", source_columns, &s, compare->n_sources);
    write_runs(&s);
    write_ops(&s);
    fputc('}', c->out);
}
