/* Two sets of runs: accounts, scopes, ops and nodes, each with what it took on average and how far its runs are apart.
 */
#include <paragraph/compare.h>

#include "base/fail.h"
#include "graph/dump.h"
#include "view/page.h"
#include "view/text.h"
#include "view/timeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 44, NODES = 20, ACCOUNT = 4 };

struct set {
    const para_profile *const *runs;
    int count;
};

/* What something took in each run, of the first set and then of the second, nanoseconds. */
struct row {
    const char *name, *detail;
    bool in_a, in_b;
    double *ns;
};

struct spread {
    double mean, low, high;
};

struct comparison {
    struct set a, b;
    struct para_matching m;
    struct row *rows; /* of what is being compared */
    int count, flags;
    FILE *out;
};

static struct spread spread_of(const double *ns, int count)
{
    struct spread s = {0, ns[0], ns[0]};
    for (int i = 0; i < count; i++) {
        s.mean += ns[i] / count;
        s.low = fmin(s.low, ns[i]);
        s.high = fmax(s.high, ns[i]);
    }
    return s;
}

/* Of one run each: nothing tells how far runs are apart. */
static bool is_single(const struct comparison *c)
{
    return c->a.count + c->b.count == 2;
}

/* Whether all runs of one set took longer than all of the other. */
static bool apart(const struct comparison *c, const struct spread *a, const struct spread *b)
{
    return !is_single(c) && (a->low > b->high || b->low > a->high);
}

static const double *of_b(const struct comparison *c, const struct row *r)
{
    return r->ns + c->a.count;
}

static enum para_sign sign_of(const struct comparison *c, const struct row *r)
{
    struct spread a = spread_of(r->ns, c->a.count), b = spread_of(of_b(c, r), c->b.count);
    return !r->in_b ? PARA_ONLY_A : !r->in_a ? PARA_ONLY_B : apart(c, &a, &b) ? PARA_CHANGED : PARA_SAME;
}

/* ---- rows ---- */

static struct row *new_row(struct comparison *c, const char *name, const char *detail)
{
    struct row *r = &c->rows[c->count];
    size_t runs = (size_t)(c->a.count + c->b.count);
    *r = (struct row){.name = name, .detail = detail, .ns = para_arena_alloc(&c->m.arena, runs * sizeof *r->ns)};
    c->count += r->ns != NULL;
    return r->ns ? r : NULL;
}

/* The row of a key, which names it; made the first time. */
static struct row *row_of(struct comparison *c, struct para_strmap *map, const char *name, const char *detail)
{
    const char *key = para_arena_format(&c->m.arena, "%s\n%s", name, detail);
    struct row *r = key ? para_strmap_get(map, key) : NULL;
    if (r || !key)
        return r;
    r = new_row(c, name, detail);
    return r && para_strmap_set(map, key, r) == 0 ? r : NULL;
}

static void add_node(const struct comparison *c, struct row *r, bool second, int node)
{
    const struct set *s = second ? &c->b : &c->a;
    double *ns = r->ns + (second ? c->a.count : 0);
    *(second ? &r->in_b : &r->in_a) = true;
    for (int i = 0; i < s->count; i++)
        ns[i] += (double)(s->runs[i]->nodes[node].end_ns - s->runs[i]->nodes[node].start_ns);
}

/* Rows by what name_of() says of nodes. */
static int fold(struct comparison *c, const char *(*name_of)(struct para_arena *, const para_node *),
                const char *(*detail_of)(const para_node *))
{
    struct para_strmap map = {0};
    int status = 0;
    c->count = 0;
    for (int side = 0; side < 2; side++) {
        const para_graph *g = side ? c->m.b : c->m.a;
        for (int i = 0; i < g->n_nodes && status == 0; i++) {
            const char *name = name_of(&c->m.arena, g->nodes[i]);
            struct row *r = name ? row_of(c, &map, name, detail_of(g->nodes[i])) : NULL;
            if (r)
                add_node(c, r, side, i);
            else
                status = -1;
        }
    }
    para_strmap_free(&map);
    return status;
}

static const char *scope_name(struct para_arena *arena, const para_node *n)
{
    return n->scope[0] ? para_arena_format(arena, "%.*s", (int)para_scope_cut(n->scope, 1), n->scope) : n->name;
}

static const char *scope_detail(const para_node *n)
{
    return para_class_name(para_class_of(n));
}

static const char *op_name(struct para_arena *arena, const para_node *n)
{
    (void)arena;
    return para_node_op(n);
}

static const char *no_detail(const para_node *n)
{
    (void)n;
    return "";
}

/* A node's name; of several parts what they are parts of, and how many either side has. */
static const char *row_name(struct comparison *c, const struct para_match *m, const para_node *n)
{
    if ((m->n_a == 1 && m->n_b == 1) || m->a < 0 || m->b < 0)
        return n->name;
    return para_arena_format(&c->m.arena, "%.*s[%d -> %d parts]", (int)strcspn(n->name, "["), n->name, m->n_a, m->n_b);
}

static int fill_nodes(struct comparison *c)
{
    c->count = 0;
    for (int i = 0; i < c->m.count; i++) {
        const para_node *n = para_match_node(&c->m, &c->m.matches[i]);
        const char *name = row_name(c, &c->m.matches[i], n);
        if (!name || !new_row(c, name, para_node_op(n)))
            return -1;
    }
    for (int i = 0; i < c->m.a->n_nodes; i++)
        add_node(c, &c->rows[c->m.of_a[i]], false, i);
    for (int i = 0; i < c->m.b->n_nodes; i++)
        add_node(c, &c->rows[c->m.of_b[i]], true, i);
    return 0;
}

static int add_account(struct comparison *c, int run, const para_profile *p, para_error *err)
{
    para_worker_time *times = calloc((size_t)p->workers + 1, sizeof *times);
    int status = times ? para_profile_times(p, times, err) : para_fail_memory(err, "comparing runs");
    c->rows[0].ns[run] = (double)p->wall_ns;
    for (int w = 0; w < p->workers && status == 0; w++) {
        c->rows[1].ns[run] += times[w].task_ns;
        c->rows[2].ns[run] += times[w].idle_ns;
        c->rows[3].ns[run] += times[w].runtime_ns;
    }
    free(times);
    return status;
}

static int fill_account(struct comparison *c, para_error *err)
{
    static const char *const names[ACCOUNT] = {"wall", "task", "idle", "runtime"};
    c->count = 0;
    for (int i = 0; i < ACCOUNT; i++) {
        struct row *r = new_row(c, names[i], i ? "of all workers" : "");
        if (!r)
            return para_fail_memory(err, "comparing runs");
        r->in_a = r->in_b = true;
    }
    for (int i = 0; i < c->a.count + c->b.count; i++)
        PARA_TRY(add_account(c, i, i < c->a.count ? c->a.runs[i] : c->b.runs[i - c->a.count], err));
    return 0;
}

/* ---- writing ---- */

static double difference(const struct comparison *c, const struct row *r)
{
    return spread_of(of_b(c, r), c->b.count).mean - spread_of(r->ns, c->a.count).mean;
}

/* Of one run none is known. */
static void write_spread(const struct comparison *c, const struct spread *s, int runs)
{
    if (runs > 1)
        fprintf(c->out, " %10.3f", (s->high - s->low) / 1e6);
    else
        fprintf(c->out, " %10s", "-");
}

static int write_text(struct comparison *c, const struct row *r)
{
    const char *name = para_text_visible(&c->m.arena, r->name);
    struct spread a = spread_of(r->ns, c->a.count), b = spread_of(of_b(c, r), c->b.count);
    if (!name)
        return -1;
    int over = (int)strlen(name) - NAME, detail = 14 - (over > 0 ? over : 0);
    fprintf(c->out, "%c %-*s %-*s %10.3f %10.3f %+10.3f", para_signs[sign_of(c, r)], NAME, name, detail, r->detail,
            a.mean / 1e6, b.mean / 1e6, (b.mean - a.mean) / 1e6);
    write_spread(c, &a, c->a.count);
    write_spread(c, &b, c->b.count);
    fputc('\n', c->out);
    return 0;
}

static void write_number(const struct comparison *c, const char *lead, double value)
{
    char text[PARA_DOUBLE_TEXT];
    fprintf(c->out, "%s%s", lead, para_double_text(value, text));
}

static void write_json(const struct comparison *c, const char *of, const struct row *r)
{
    struct spread a = spread_of(r->ns, c->a.count), b = spread_of(of_b(c, r), c->b.count);
    fprintf(c->out, "{\"of\":\"%s\",\"sign\":\"%c\",\"name\":", of, para_signs[sign_of(c, r)]);
    para_json_string(c->out, r->name);
    fputs(",\"detail\":", c->out);
    para_json_string(c->out, r->detail);
    write_number(c, ",\"a_ns\":", a.mean);
    write_number(c, ",\"b_ns\":", b.mean);
    write_number(c, ",\"a_spread_ns\":", a.high - a.low);
    write_number(c, ",\"b_spread_ns\":", b.high - b.low);
    fputs("}\n", c->out);
}

/* With JSON all rows, in their order; as text at most so many, a line each below a title. */
static int write_rows(struct comparison *c, const char *of, int most)
{
    int written = 0;
    if (!(c->flags & PARA_COMPARE_JSON))
        fprintf(c->out, "\n  %-*s %10s %10s %10s %10s %10s\n", NAME + 15, of, "first ms", "second ms", "difference",
                "1st spread", "2nd spread");
    for (int i = 0; i < c->count; i++) {
        if (c->flags & PARA_COMPARE_CHANGED && sign_of(c, &c->rows[i]) == PARA_SAME)
            continue;
        if (c->flags & PARA_COMPARE_JSON)
            write_json(c, of, &c->rows[i]);
        else if (written++ < most && write_text(c, &c->rows[i]) < 0)
            return -1;
    }
    if (written > most)
        fprintf(c->out, "  and %d more\n", written - most);
    return 0;
}

/* A row with how much it differs, for sorting without asking again. */
struct ranked {
    struct row row;
    double size;
    int place;
};

static int most_first(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->size != b->size)
        return a->size < b->size ? 1 : -1;
    return (a->place > b->place) - (a->place < b->place);
}

/* Rows by the size of the difference. */
static int rank(struct comparison *c)
{
    struct ranked *ranked = malloc(((size_t)c->count + 1) * sizeof *ranked);
    if (!ranked)
        return -1;
    for (int i = 0; i < c->count; i++)
        ranked[i] = (struct ranked){c->rows[i], fabs(difference(c, &c->rows[i])), i};
    qsort(ranked, (size_t)c->count, sizeof *ranked, most_first);
    for (int i = 0; i < c->count; i++)
        c->rows[i] = ranked[i].row;
    free(ranked);
    return 0;
}

/* ---- what runs are worth ---- */

/* How many runs of a set were disturbed, as para_timeline_new() judges. */
static int count_disturbed(int *out, const struct set *s, para_error *err)
{
    *out = 0;
    for (int i = 0; i < s->count; i++) {
        struct para_timeline t;
        PARA_TRY(para_timeline_new(&t, s->runs[i], err));
        *out += t.disturbed;
        para_timeline_free(&t);
    }
    return 0;
}

/* What is to be known before runs are believed, of which so many of either set were disturbed. */
static int caution(struct comparison *c, int a, int b, const char **out, para_error *err)
{
    *out = is_single(c)
               ? "How far runs are apart isn't known of one each, so none is called changed: give several, A1,A2."
               : "";
    if (a + b > 0)
        *out = para_arena_format(&c->m.arena,
                                 "%s%sOf the first %d and of the second %d were disturbed: some nodes took far longer "
                                 "than others like them, or were begun far later.",
                                 *out, **out ? " " : "", a, b);
    return *out ? 0 : para_fail_memory(err, "comparing runs");
}

/* ---- as a page ---- */

/* What nodes of the union took in one run. They are the second graph's where it has them: what the first cut otherwise
 * is shared out evenly among the parts there. */
static double *times_of(struct comparison *c, const struct para_union *u, int run)
{
    bool second = run >= c->a.count;
    const para_profile *p = second ? c->b.runs[run - c->a.count] : c->a.runs[run];
    double *ns = para_arena_alloc(&c->m.arena, ((size_t)u->graph.n_nodes + 1) * sizeof *ns);
    double *all = para_arena_alloc(&c->m.arena, ((size_t)c->m.count + 1) * sizeof *all); /* by match */
    if (!ns || !all)
        return NULL;
    for (int i = 0; i < p->g->n_nodes; i++) {
        double took = (double)(p->nodes[i].end_ns - p->nodes[i].start_ns);
        if (second)
            ns[u->of_b[i]] = took;
        else
            all[c->m.of_a[i]] += took;
    }
    for (int i = 0; i < u->graph.n_nodes && !second; i++) {
        int match = u->in_b[i] >= 0 ? c->m.of_b[u->in_b[i]] : c->m.of_a[u->in_a[i]];
        ns[i] = all[match] / (u->in_b[i] >= 0 ? c->m.matches[match].n_b : 1);
    }
    return ns;
}

/* Signs are those of times, and say of all parts of a node what they took together. */
static void take_signs(struct comparison *c, struct para_union *u)
{
    for (int i = 0; i < u->graph.n_nodes; i++) {
        int match = u->in_b[i] >= 0 ? c->m.of_b[u->in_b[i]] : c->m.of_a[u->in_a[i]];
        u->sign[i] = sign_of(c, &c->rows[match]);
    }
}

/* Rows as they are now. */
static int tell(struct comparison *c, struct para_compared_list *list)
{
    struct para_compared_times *rows = para_arena_alloc(&c->m.arena, ((size_t)c->count + 1) * sizeof *rows);
    for (int i = 0; i < c->count && rows; i++) {
        const struct row *r = &c->rows[i];
        rows[i].name = r->detail[0] ? para_arena_format(&c->m.arena, "%s %s", r->name, r->detail) : r->name;
        rows[i].ns = r->ns;
        if (!rows[i].name)
            return -1;
    }
    *list = (struct para_compared_list){rows, c->count};
    return rows ? 0 : -1;
}

static int tell_all(struct comparison *c, struct para_compared_list lists[PARA_COMPARED])
{
    if (tell(c, &lists[PARA_COMPARED_WORKERS]) < 0 || fold(c, scope_name, scope_detail) < 0 || rank(c) < 0 ||
        tell(c, &lists[PARA_COMPARED_SCOPES]) < 0 || fold(c, op_name, no_detail) < 0 || rank(c) < 0)
        return -1;
    return tell(c, &lists[PARA_COMPARED_OPS]);
}

static int write_union(struct comparison *c, struct para_union *u, para_error *err)
{
    int runs = c->a.count + c->b.count;
    struct para_page_comparison told = {.runs_a = c->a.count,
                                        .runs_b = c->b.count,
                                        .ns = para_arena_alloc(&c->m.arena, (size_t)runs * sizeof(double *)),
                                        .changed_only = c->flags & PARA_COMPARE_CHANGED};
    int a, b;
    PARA_TRY(count_disturbed(&a, &c->a, err));
    PARA_TRY(count_disturbed(&b, &c->b, err));
    PARA_TRY(caution(c, a, b, &told.caution, err));
    if (!told.ns || tell_all(c, told.lists) < 0 || fill_nodes(c) < 0)
        return para_fail_memory(err, "comparing runs");
    take_signs(c, u);
    for (int run = 0; run < runs; run++) {
        told.ns[run] = times_of(c, u, run);
        if (!told.ns[run])
            return para_fail_memory(err, "comparing runs");
    }
    return para_page_write_joined(u, &told, c->out, err);
}

static int write_page(struct comparison *c, para_error *err)
{
    struct para_union u;
    PARA_TRY(para_union_new(&u, &c->m, err));
    int status = write_union(c, &u, err);
    para_union_free(&u);
    return status;
}

/* ---- the whole ---- */

static int write_head(struct comparison *c, para_error *err)
{
    int a, b;
    PARA_TRY(count_disturbed(&a, &c->a, err));
    PARA_TRY(count_disturbed(&b, &c->b, err));
    if (c->flags & PARA_COMPARE_JSON) {
        fprintf(c->out, "{\"of\":\"runs\",\"a\":%d,\"b\":%d,\"a_disturbed\":%d,\"b_disturbed\":%d}\n", c->a.count,
                c->b.count, a, b);
        return 0;
    }
    const char *text;
    PARA_TRY(caution(c, a, b, &text, err));
    fprintf(c->out, "%d run%s and %d%s\n", c->a.count, c->a.count == 1 ? "" : "s", c->b.count,
            is_single(c) ? "" : "; ~ where none of the first lies within what those of the second took");
    if (*text)
        fprintf(c->out, "%s\n", text);
    return 0;
}

static int write_lines(struct comparison *c, para_error *err)
{
    PARA_TRY(write_head(c, err));
    if (write_rows(c, "account", ACCOUNT) < 0 || fold(c, scope_name, scope_detail) < 0 ||
        write_rows(c, "scope", c->count) < 0 || fold(c, op_name, no_detail) < 0 || write_rows(c, "op", c->count) < 0 ||
        fill_nodes(c) < 0 || rank(c) < 0 || write_rows(c, "node", NODES) < 0)
        return para_fail_memory(err, "comparing runs");
    return 0;
}

static int compare(struct comparison *c, bool *same, para_error *err)
{
    c->rows = para_arena_alloc(&c->m.arena, ((size_t)c->m.a->n_nodes + (size_t)c->m.b->n_nodes + 4) * sizeof *c->rows);
    if (!c->rows)
        return para_fail_memory(err, "comparing runs");
    PARA_TRY(fill_account(c, err));
    *same = sign_of(c, &c->rows[0]) == PARA_SAME && strcmp(c->a.runs[0]->digest, c->b.runs[0]->digest) == 0;
    return c->flags & PARA_COMPARE_HTML ? write_page(c, err) : write_lines(c, err);
}

static int check_set(const struct set *s, para_error *err)
{
    if (s->count < 1)
        return para_fail(err, PARA_EINVAL, "a set has no runs, expected one or more");
    for (int i = 1; i < s->count; i++)
        if (strcmp(s->runs[i]->digest, s->runs[0]->digest) != 0)
            return para_fail(err, PARA_EINVAL,
                             "the runs of one set are of several graphs, %.12s and %.12s; expected runs of one",
                             s->runs[0]->digest, s->runs[i]->digest);
    return 0;
}

int para_profile_compare(const para_profile *const a[], int n_a, const para_profile *const b[], int n_b, int flags,
                         FILE *out, bool *same, para_error *err)
{
    struct comparison c = {.a = {a, n_a}, .b = {b, n_b}, .flags = flags, .out = out};
    PARA_TRY(check_set(&c.a, err));
    PARA_TRY(check_set(&c.b, err));
    PARA_TRY(para_matching_new(&c.m, a[0]->g, b[0]->g, err));
    int status = compare(&c, same, err);
    para_matching_free(&c.m);
    return status < 0 ? status : para_dump_finish(out, "the comparison", err);
}
