#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "tests/profiles.h"

#include "tests/graph-text.h"

#include <string.h>

const char *const diamond = "x:input[batch=2,rows=4]; push(\"in\"); a = scale(x, 2); b = scale(x, 3); pop(); "
                            "push(\"out\"); c = add(a, b); d = scale(c, 2); pop(); output(d)";
const struct para_timing diamond_times[] = {
    {.task = 0, .worker = 0, .submit_ns = 5000, .ready_ns = 5000, .start_ns = 10000, .end_ns = 40001},
    {.task = 1, .worker = 1, .submit_ns = 6000, .ready_ns = 6000, .start_ns = 8000, .end_ns = 20000},
    {.task = 2, .worker = 1, .submit_ns = 7000, .ready_ns = 40001, .start_ns = 43000, .end_ns = 60000},
    {.task = 3, .worker = 0, .submit_ns = 8000, .ready_ns = 60000, .start_ns = 61000, .end_ns = 90000},
};

static void fill_waits(para_profile *p, const para_deps *d)
{
    static const enum para_wait_kind kinds[] = {PARA_WAIT_RAW, PARA_WAIT_WAR, PARA_WAIT_WAW, PARA_WAIT_AFTER};
    for (int i = 0, count = 0; i < p->g->n_nodes; i++) {
        int edges;
        const para_edge *edge = para_deps_of(d, i, &edges);
        for (int e = 0; e < edges; e++)
            p->waits[count++] = (struct para_wait){edge[e].from, kinds[edge[e].kind], edge[e].tensor, edge[e].tensor};
        p->first_wait[i + 1] = count;
    }
}

para_profile *profile_of(const char *graph, int workers, const struct para_timing *times, int64_t wall_ns)
{
    para_error err = {0};
    para_deps *d = NULL;
    para_graph *g = graph_of(graph);
    must(para_deps_new(&d, g, NULL, &err), err);
    para_profile *p = para_profile_new(g, workers, para_deps_edge_count(d));
    assert_non_null(p);
    p->own = g;
    p->wall_ns = wall_ns;
    memcpy(p->nodes, times, (size_t)g->n_nodes * sizeof *times);
    for (int w = 0; w < workers; w++)
        p->gpu[w] = -1;
    fill_waits(p, d);
    para_deps_free(d);
    must(para_graph_digest(g, p->digest, &err), err);
    must(para_profile_order(p, &err), err);
    return p;
}

char *save_profile(const para_profile *p)
{
    para_error err = {0};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    must(para_profile_save(p, out, &err), err);
    fclose(out);
    return text;
}

char *dump_profile(const para_profile *p, enum profile_format format, int fold)
{
    para_error err = {0};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    if (format == PROFILE_TEXT)
        must(para_profile_dump_text(p, out, fold, &err), err);
    else if (format == PROFILE_SVG)
        must(para_profile_dump_svg(p, out, fold, &err), err);
    else if (format == PROFILE_TIMELINE)
        must(para_profile_dump_timeline(p, out, &err), err);
    else
        must(para_profile_dump_trace(p, out, &err), err);
    fclose(out);
    return text;
}

int load_profile(para_profile **out, const char *json, para_error *err)
{
    FILE *in = tmpfile();
    assert_non_null(in);
    fputs(json, in);
    rewind(in);
    int status = para_profile_load(out, in, "p.json", err);
    fclose(in);
    return status;
}
