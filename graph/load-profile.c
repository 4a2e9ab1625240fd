/* Reading a profile that graph/save-profile.c wrote. A file is not believed: what it says of nodes must fit its graph,
 * and no worker does two things at once. */
#include "graph/profile.h"

#include "base/fail.h"

#if defined(PARA_HAVE_IO) && PARA_HAVE_IO

#include "graph/json-line.h"
#include "graph/read-json.h"

#include <stdlib.h>
#include <string.h>

/* What is being made, beside what the loader of JSON knows. */
struct reader {
    struct para_loader l; /* l.g: the graph */
    para_profile *p;
    json_t *nodes, *workers;
    int waits, room; /* read so far, and how many there are */
    int64_t most_ns; /* of each time: those of all workers together are at most PARA_MOST_NS */
};

/* The graph is a document of its own in the file; its messages have the file's lines. */
static int read_graph(struct reader *r, json_t *root)
{
    const char *all = r->l.text, *at = para_json_member(all, "graph");
    r->l.field = "graph";
    if (!at)
        return para_json_bad(&r->l, "is missing, expected a graph");
    for (const char *c = all; c < at; c++)
        r->l.lines_before += *c == '\n';
    r->l.text = at;
    r->l.field = NULL;
    int status = para_json_load_graph(&r->l, json_object_get(root, "graph"));
    r->l.text = all;
    r->l.lines_before = 0;
    r->l.list = r->l.field = NULL;
    return status;
}

/* How many waits the file has, as far as it looks like it. */
static int count_waits(struct reader *r)
{
    size_t count = 0, index;
    json_t *node;
    json_array_foreach(r->nodes, index, node) count += json_array_size(json_object_get(node, "waits"));
    r->room = (int)count;
    r->l.field = "nodes";
    return count > INT32_MAX / 4 ? para_json_bad(&r->l, "have %zu waits, which are too many", count) : 0;
}

static int keep(struct reader *r, json_t *root, const char *key, const char **out)
{
    const char *text = "";
    PARA_TRY(para_json_get_string(&r->l, root, key, &text));
    *out = para_arena_string(&r->p->arena, text);
    return *out ? 0 : para_fail_memory(r->l.err, "loading a profile");
}

static int read_head(struct reader *r, json_t *root)
{
    const char *digest = "";
    PARA_TRY(keep(r, root, "command", &r->p->command));
    PARA_TRY(keep(r, root, "model", &r->p->model));
    PARA_TRY(keep(r, root, "recompute", &r->p->recompute));
    PARA_TRY(para_json_get_count(&r->l, root, "run", PARA_MOST_NS, &r->p->run));
    PARA_TRY(para_json_get_count(&r->l, root, "wall_ns", r->most_ns, &r->p->wall_ns));
    PARA_TRY(para_json_get_string(&r->l, root, "graph_digest", &digest));
    PARA_TRY(para_graph_digest(r->l.g, r->p->digest, r->l.err));
    if (strcmp(digest, r->p->digest) != 0)
        return para_json_bad(&r->l, "is \"%.64s\", but the graph in this file has %s: one of them was changed", digest,
                             r->p->digest);
    return 0;
}

/* "cpu" or "cuda:0" */
static int read_device(struct reader *r, const json_t *entry, int *gpu)
{
    const char *device = "";
    PARA_TRY(para_json_get_string(&r->l, entry, "device", &device));
    int end = 0;
    *gpu = -1;
    if (strcmp(device, "cpu") == 0 || (sscanf(device, "cuda:%4d%n", gpu, &end) == 1 && *gpu >= 0 && !device[end]))
        return 0;
    return para_json_bad(&r->l, "is \"%.40s\", expected \"cpu\" or \"cuda:0\", \"cuda:1\", ...", device);
}

static int read_workers(struct reader *r)
{
    r->l.list = "worker";
    for (r->l.entry = 0; r->l.entry < r->p->workers; r->l.entry++) {
        const json_t *entry = json_array_get(r->workers, (size_t)r->l.entry);
        int id;
        PARA_TRY(para_json_get_integer(&r->l, entry, "worker", r->l.entry, r->l.entry, &id));
        PARA_TRY(read_device(r, entry, &r->p->gpu[id]));
    }
    return 0;
}

/* [node, kind, tensor, buffer] */
static int read_wait(struct reader *r, const json_t *v, int to)
{
    int64_t from = 0, tensor = 0, buffer = 0;
    int kind = 0;
    if (!json_is_array(v) || json_array_size(v) != 4)
        return para_json_bad(&r->l, "expected lists of [node, kind, tensor, buffer]");
    PARA_TRY(para_json_integer(&r->l, json_array_get(v, 0), 0, (int64_t)to - 1, &from));
    PARA_TRY(para_json_word(&r->l, json_array_get(v, 1), para_wait_names, &kind));
    PARA_TRY(para_json_integer(&r->l, json_array_get(v, 2), 0, r->l.g->n_tensors - 1, &tensor));
    PARA_TRY(para_json_integer(&r->l, json_array_get(v, 3), 0, r->l.g->n_tensors - 1, &buffer));
    r->p->waits[r->waits++] = (struct para_wait){(int)from, (enum para_wait_kind)kind, (int)tensor, (int)buffer};
    return 0;
}

static int read_times(struct reader *r, const json_t *entry, struct para_timing *t)
{
    PARA_TRY(para_json_get_count(&r->l, entry, "submit_ns", r->most_ns, &t->submit_ns));
    PARA_TRY(para_json_get_count(&r->l, entry, "ready_ns", r->most_ns, &t->ready_ns));
    PARA_TRY(para_json_get_count(&r->l, entry, "start_ns", r->most_ns, &t->start_ns));
    PARA_TRY(para_json_get_count(&r->l, entry, "end_ns", r->most_ns, &t->end_ns));
    return t->end_ns >= t->start_ns ? 0
                                    : para_json_bad(&r->l, "is %lld, expected start_ns, %lld, or later",
                                                    (long long)t->end_ns, (long long)t->start_ns);
}

static int read_node(struct reader *r, int id)
{
    const json_t *entry = json_array_get(r->nodes, (size_t)id);
    struct para_timing *t = &r->p->nodes[id];
    const char *name = "";
    json_t *waits;
    PARA_TRY(para_json_get_integer(&r->l, entry, "node", id, id, &id));
    PARA_TRY(para_json_get_string(&r->l, entry, "name", &name));
    if (strcmp(name, r->l.g->nodes[id]->name) != 0)
        return para_json_bad(&r->l, "is \"%.80s\", but the graph calls node %d \"%.80s\"", name, id,
                             r->l.g->nodes[id]->name);
    PARA_TRY(para_json_get_integer(&r->l, entry, "task", 0, r->l.g->n_nodes - 1, &t->task));
    PARA_TRY(para_json_get_integer(&r->l, entry, "worker", 0, r->p->workers - 1, &t->worker));
    PARA_TRY(read_times(r, entry, t));
    PARA_TRY(para_json_get_list(&r->l, entry, "waits", &waits));
    r->p->first_wait[id] = r->waits;
    for (size_t e = 0; e < json_array_size(waits); e++)
        PARA_TRY(read_wait(r, json_array_get(waits, e), id));
    r->p->first_wait[id + 1] = r->waits;
    return 0;
}

static int read_nodes(struct reader *r)
{
    r->l.list = "node";
    for (r->l.entry = 0; r->l.entry < r->l.g->n_nodes; r->l.entry++)
        PARA_TRY(read_node(r, r->l.entry));
    return 0;
}

static int order(struct reader *r)
{
    para_error err = {0};
    int status = para_profile_order(r->p, &err);
    r->l.list = r->l.field = NULL;
    if (status == PARA_EINVAL)
        return para_json_bad(&r->l, "%s", err.message);
    return status < 0 ? para_fail_memory(r->l.err, "loading a profile") : 0;
}

static int read_lists(struct reader *r, json_t *root)
{
    PARA_TRY(para_json_get_list(&r->l, root, "workers", &r->workers));
    if (json_array_size(r->workers) < 1 || json_array_size(r->workers) > PARA_MOST_WORKERS)
        return para_json_bad(&r->l, "has %zu entries, expected 1 to %d", json_array_size(r->workers),
                             PARA_MOST_WORKERS);
    r->most_ns = PARA_MOST_NS / (int64_t)json_array_size(r->workers);
    PARA_TRY(para_json_get_list(&r->l, root, "nodes", &r->nodes));
    PARA_TRY(read_graph(r, root));
    r->l.field = "nodes";
    if (json_array_size(r->nodes) != (size_t)r->l.g->n_nodes)
        return para_json_bad(&r->l, "has %zu entries, but the graph has %d nodes", json_array_size(r->nodes),
                             r->l.g->n_nodes);
    return count_waits(r);
}

static int read_profile(struct para_loader *l, json_t *root)
{
    static const char *const formats[] = {"paragraph-profile", NULL};
    struct reader *r = (struct reader *)(void *)l; /* its first field */
    int version;
    if (!json_is_object(root))
        return para_json_bad(l, "is %s, expected an object", para_json_type(root));
    l->field = "format";
    PARA_TRY(para_json_word(l, json_object_get(root, "format"), formats, &version));
    PARA_TRY(para_json_get_integer(l, root, "version", 2, 2, &version));
    PARA_TRY(read_lists(r, root));
    r->p = para_profile_new(l->g, (int)json_array_size(r->workers), r->room);
    if (!r->p)
        return para_fail_memory(l->err, "loading a profile");
    PARA_TRY(read_head(r, root));
    PARA_TRY(read_workers(r));
    PARA_TRY(read_nodes(r));
    return order(r);
}

int para_profile_load(para_profile **out, FILE *in, const char *name, para_error *err)
{
    struct reader r = {.l = {.file = name ? name : "profile", .err = err}};
    int status = para_json_read(&r.l, in, read_profile);
    if (status < 0) {
        para_profile_free(r.p);
        para_graph_free(r.l.g);
        return status;
    }
    r.p->own = r.l.g;
    *out = r.p;
    return 0;
}

#else

int para_profile_load(para_profile **out, FILE *in, const char *name, para_error *err)
{
    (void)out;
    (void)in;
    return para_fail(err, PARA_ESUPPORT, "%s: this build reads no profiles: configure it with jansson",
                     name ? name : "profile");
}

#endif
