/* A comparison as columns. */
#include "view/page-compare.h"

#include <stdio.h>

struct source {
    const struct para_page_comparison *compare;
    const struct para_union *u;
    struct para_columns *columns;
    const double *ns; /* of the run, or of what else is being written */
    const struct para_compared_list *list;
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

/* ---- workers, scopes, ops ---- */

static int64_t time_name(void *source, int i)
{
    struct source *s = source;
    return para_columns_text(s->columns, s->list->rows[i].name);
}

static const struct para_column time_columns[] = {{"name", time_name}, {0}};

static int64_t time_ns(void *source, int i)
{
    return para_columns_whole(((struct source *)source)->ns[i]);
}

/* Names, and a list of times per name: one of each run. */
static void write_list(struct source *s, const char *name, const char *times, const struct para_compared_list *list)
{
    s->list = list;
    para_columns_write_group(s->columns, name, time_columns, s, list->count);
    fprintf(s->columns->out, ",\n\"%s\":[", times);
    for (int i = 0; i < list->count; i++) {
        s->ns = list->rows[i].ns;
        fputs(i ? ",\n" : "\n", s->columns->out);
        para_columns_write_list(s->columns, time_ns, s, s->compare->runs_a + s->compare->runs_b);
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
    fprintf(c->out, ",\n\"compare\":{\"changedOnly\":%d,\"onlyA\":%d,\"caution\":%lld", compare->changed_only,
            u->n_only_a, (long long)para_columns_text(c, compare->caution ? compare->caution : ""));
    para_columns_write_group(c, "nodes", node_columns, &s, u->graph.n_nodes);
    para_columns_write_group(c, "sources", source_columns, &s, compare->n_sources);
    write_runs(&s);
    write_list(&s, "workers", "workerTimes", &compare->lists[PARA_COMPARED_WORKERS]);
    write_list(&s, "scopes", "scopeTimes", &compare->lists[PARA_COMPARED_SCOPES]);
    write_list(&s, "ops", "opTimes", &compare->lists[PARA_COMPARED_OPS]);
    fputc('}', c->out);
}
