/* Footprints, by which StarPU files how long tasks take: tasks that may take different times have different ones. */
#include "tests/graph-text.h"

#include "runtime/codelets.h"

/* The footprint of the node that makes y. */
static uint32_t footprint_of(const char *text)
{
    para_graph *g = graph_of(text);
    const para_node *y = node_of(g, "y");
    uint32_t footprint = para_task_footprint(&(struct para_task_nodes){&y, 1});
    para_graph_free(g);
    return footprint;
}

static void times_that_may_differ_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *what, *one, *other;
    } cases[] = {
        {"the op", "x:input[m=4]; y = reduce_sum(x, \"m\")", "x:input[m=4]; y = reduce_max(x, \"m\")"},
        {"an extent", "x:input[m=4]; y = gelu(x)", "x:input[m=5]; y = gelu(x)"},
        {"the order of axes", "x:input[m=4,n=4]; w:param[m=4,n=4]; y = matmul(x, w, \"n\")",
         "x:input[m=4,n=4]; w:param[n=4,m=4]; y = matmul(x, w, \"n\")"},
        {"a parameter's type, bf16", "x:input[m=4,k=8]; w:param[k=8,n=8]; y = matmul(x, w, \"k\")",
         "x:input[m=4,k=8]; w:bf16[k=8,n=8]; y = matmul(x, w, \"k\")"},
        {"a parameter's type, i8", "x:input[m=4,k=8]; w:bf16[k=8,n=8]; y = matmul(x, w, \"k\")",
         "x:input[m=4,k=8]; w:i8[k=8,n=8]; y = matmul(x, w, \"k\")"},
        {"a result's type", "x:input[m=4]; y = cast(x, \"f16\")", "x:input[m=4]; y = cast(x, \"bf16\")"},
        {"a number", "x:input[m=4]; y = scale(x, 0.5)", "x:input[m=4]; y = scale(x, 0.25)"},
        {"a whole number", "x:input[m=4]; y = slice(x, \"m\", \"k\", 0, 2)",
         "x:input[m=4]; y = slice(x, \"m\", \"k\", 1, 2)"},
        {"words", "x:input[m=4,n=4]; y = reduce_sum(x, \"m\")", "x:input[m=4,n=4]; y = reduce_sum(x, \"n\")"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (footprint_of(cases[i].one) == footprint_of(cases[i].other))
            fail_msg("%s: \"%s\" and \"%s\" have the same footprint", cases[i].what, cases[i].one, cases[i].other);
}

/* Names, scopes and places don't count: layers share what is measured. */
static void layers_share_a_footprint(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[m=4,n=4]; push(\"layer.0\"); a = gelu(x); pop(); push(\"layer.1\"); y = gelu(a);"
                             "pop()");
    uint32_t one = para_task_footprint(&(struct para_task_nodes){(const para_node *[]){g->nodes[0]}, 1});
    uint32_t other = para_task_footprint(&(struct para_task_nodes){(const para_node *[]){g->nodes[1]}, 1});
    uint32_t both = para_task_footprint(&(struct para_task_nodes){(const para_node *[]){g->nodes[0], g->nodes[1]}, 2});
    assert_int_equal(one, other);
    assert_int_not_equal(one, both);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_that_may_differ_are_told_apart),
        cmocka_unit_test(layers_share_a_footprint),
    };
    return cmocka_run_group_tests_name("codelets", tests, NULL, NULL);
}
