/* A small DAG built by hand, looked at, and run two ways.
 *
 * Two branches read the same input and meet in a loss; its gradients update two parameters in place. The analyzer
 * says which node must wait for which, and why; then the serial interpreter and StarPU run the same graph and must
 * agree to the last bit, because a reduction's order belongs to the graph and not to the schedule. */
#include <paragraph.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 8, COLUMNS = 4, STEPS = 5 };

/* loss = sum of (a x + gelu(b x))^2, and one step of gradient descent on a and b. The size of a is reported as well:
 * nothing but a's storage makes the step, which overwrites a, wait for it. */
static int build(para_graph *g, para_error *err)
{
    para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"row", ROWS}, {"column", COLUMNS}));
    para_tensor *a = para_param(g, "a", PARA_DIMS({"column", COLUMNS}), (para_init){PARA_INIT_FILL, 0.5, 0});
    para_tensor *b = para_param(g, "b", PARA_DIMS({"column", COLUMNS}), (para_init){PARA_INIT_UNIFORM, 0, 1});
    para_tensor *left = para_name(para_mul(g, x, a), "left");
    para_tensor *right = para_name(para_gelu(g, para_name(para_mul(g, x, b), "right.in")), "right");
    para_tensor *both = para_name(para_add(g, left, right), "both");
    para_tensor *loss = para_reduce_sum(g, para_name(para_mul(g, both, both), "square"), "");
    para_tensor *size = para_reduce_sum(g, para_name(para_mul(g, a, a), "a.square"), "");
    para_output(para_name(loss, "loss"));
    para_output(para_name(size, "a.size"));

    para_sgd_options sgd = para_sgd_default();
    return para_graph_backward(g, loss, err) || para_graph_sgd(g, &sgd, err) || para_graph_seal(g, err);
}

/* A line per node, and a line per node it must wait for: after whom, and the value that is the reason. */
static void print_edges(const para_graph *g, const para_deps *deps)
{
    static const char *const why[] = {[PARA_RAW] = "reads",
                                      [PARA_WAR] = "overwrites, once it is read,",
                                      [PARA_WAW] = "overwrites",
                                      [PARA_AFTER] = "is told to come after"};
    for (const para_node *n = para_graph_first(g); n; n = para_node_next(n)) {
        int count;
        const para_edge *edges = para_deps_of(deps, para_node_id(n), &count);
        printf("level %d  %s (%s)\n", para_deps_level(deps, para_node_id(n)), para_node_name(n), para_node_op(n));
        for (int e = 0; e < count; e++)
            printf("         after %s: %s \"%s\"\n", para_node_name(para_graph_node(g, edges[e].from)),
                   why[edges[e].kind], para_tensor_name(para_graph_tensor(g, edges[e].tensor)));
    }
}

static int analyze(const para_graph *g, para_error *err)
{
    para_deps *deps = NULL;
    para_parallelism p;
    int *path = malloc(sizeof *path * (size_t)para_graph_node_count(g));
    int failed = !path || para_deps_new(&deps, g, NULL, err) || para_deps_measure(deps, NULL, &p, path, err);
    if (!failed) {
        print_edges(g, deps);
        printf("%d nodes, %d edges\ncritical path, %d nodes:", para_graph_node_count(g), para_deps_edge_count(deps),
               p.path_length);
        for (int i = 0; i < p.path_length; i++)
            printf(" %s", para_node_name(para_graph_node(g, path[i])));
        printf("\nwidth: %.2f on average, %d at most\n", p.average_width, p.peak_width);
    }
    para_deps_free(deps);
    free(path);
    return failed;
}

struct result {
    float loss, size, a[COLUMNS], b[COLUMNS];
};

/* Run some steps; `machine` NULL is the serial interpreter. */
static int run(const para_graph *g, para_machine *machine, struct result *r, para_error *err)
{
    float x[ROWS * COLUMNS];
    para_session *s = NULL;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = sinf((float)i);
    int failed = para_session_new(&s, g, machine, NULL, err) || para_session_set(s, "x", x, sizeof x, err);
    for (int step = 0; step < STEPS && !failed; step++)
        failed = para_session_run(s, err);
    failed = failed || para_session_get(s, "loss", &r->loss, sizeof r->loss, err) ||
             para_session_get(s, "a.size", &r->size, sizeof r->size, err) ||
             para_session_get(s, "a", r->a, sizeof r->a, err) || para_session_get(s, "b", r->b, sizeof r->b, err);
    para_session_free(s);
    return failed;
}

static int compare(const struct result *serial, const struct result *parallel, para_error *err)
{
    printf("after %d steps: loss %.9g run serially, %.9g on StarPU\n", STEPS, serial->loss, parallel->loss);
    if (memcmp(serial, parallel, sizeof *serial) == 0)
        return 0;
    snprintf(err->message, sizeof err->message, "the two runs differ");
    return 1;
}

int main(void)
{
    para_error err = {.message = "out of memory"};
    para_machine *machine = NULL;
    struct result serial, parallel;
    para_graph *g = para_graph_new();
    int failed = !g || build(g, &err) || analyze(g, &err) || para_machine_open(&machine, NULL, &err) ||
                 run(g, NULL, &serial, &err) || run(g, machine, &parallel, &err) || compare(&serial, &parallel, &err);
    if (failed)
        fprintf(stderr, "small-dag: %s\n", err.message);
    para_machine_close(machine);
    para_graph_free(g);
    return failed;
}
