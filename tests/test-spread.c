/* Spreading parts over devices: where each node goes, what is repeated, and that results keep their bits. */
#include "tests/graph-text.h"
#include "tests/training.h"

#include <stdlib.h>
#include <string.h>

#include "graph/cuts.h"
#include "graph/op.h"
#include "graph/spread.h"

static para_graph *spread_of(const para_graph *g, const char *axes)
{
    para_error err = {0};
    para_graph *out = NULL;
    must(para_graph_spread(&out, g, axes, &err), err);
    must(para_graph_verify(out, &err), err);
    return out;
}

/* The graph of a text, split and spread. */
static para_graph *small(const char *text, const char *splits, const char *axes)
{
    para_error err = {0};
    para_graph *g = graph_of(text), *cut = NULL;
    must(para_graph_split_list(&cut, g, splits, NULL, 0, &err), err);
    para_graph *out = spread_of(cut, axes);
    para_graph_free(cut);
    para_graph_free(g);
    return out;
}

static int place_of(const para_graph *g, const char *name)
{
    return node_of(g, name)->place;
}

/* Four parts over three devices: 0, 1 on the first (0 * 3 / 4 and 1 * 3 / 4), 2 on the second, 3 on the third. */
static void parts_go_by_their_numbers(void **state)
{
    (void)state;
    para_graph *g = small("x:input[rows=8,cols=4]; y = gelu(x); z = scale(y, 2); output(z)", "rows=4", "rows=3");
    static const int expected[] = {0, 0, 1, 2};
    for (int p = 0; p < 4; p++) {
        char name[16];
        snprintf(name, sizeof name, "y[rows=%d]", p);
        assert_int_equal(place_of(g, name), expected[p]);
        snprintf(name, sizeof name, "z[rows=%d]", p);
        assert_int_equal(place_of(g, name), expected[p]);
    }
    assert_string_equal(para_graph_spreading(g), "rows=3");
    para_graph_free(g);
}

/* Of two products in a row, as in a block whose heads are split: the sum of the first one's parts is made twice, so
 * that neither device waits for the other to add up; and what comes after it, for both to read it, too. */
static void sums_that_all_read_are_repeated(void **state)
{
    (void)state;
    para_graph *g = small("x:input[m=256,k=256]; w:param[k=256,h=256]; v:param[h=256,n=256]; u:param[n=256,k=256];"
                          "b:param[n=256]; a = matmul(x, w, \"k\"); s = matmul(a, v, \"h\"); t = add(s, b);"
                          "y = matmul(t, u, \"n\"); z = gelu(y); output(z)",
                          "h=2,k=2", "h,k");
    static const char *const repeated[] = {"s", "t"};
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "%s.on1", repeated[i]);
        const para_node *one = node_of(g, repeated[i]), *other = node_of(g, name);
        assert_int_equal(one->place, 0);
        assert_int_equal(other->place, 1);
    }
    for (int i = 0; i < node_of(g, "s")->n_in; i++) /* the same terms in the same order */
        assert_ptr_equal(node_of(g, "s")->in[i], node_of(g, "s.on1")->in[i]);
    assert_string_equal(node_of(g, "t.on1")->in[0]->name, "s.on1");
    assert_string_equal(node_of(g, "y[k=1]")->in[0]->name, "t.on1");
    assert_string_equal(node_of(g, "y[k=0]")->in[0]->name, "t");
    para_graph_free(g);
}

/* A step of data parallelism: weights of one size go to the two devices in turn; the gradient's parts are added where
 * the weight is updated, and there alone, and there its squares are summed; the norm of all, a few bytes that both
 * devices read, is made twice. */
static const char STEP[] =
    "x:input[batch=256,a=256]; v:param[a=256,b=256]; w:param[b=256,c=256]; h = matmul(x, v, \"a\");"
    "y = matmul(h, w, \"b\"); l = reduce_mean(y, \"\"); output(l); backward(l); train_adamw(0.1, 0, 1)";

static const para_node *update_of(const para_graph *g, const char *parameter)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_out; k++) {
            const para_tensor *before = g->nodes[i]->out[k]->overwrites;
            if (before && strcmp(before->name, parameter) == 0)
                return g->nodes[i];
        }
    fail_msg("nothing updates %s", parameter);
    return NULL;
}

static void owners_add_up_and_update(void **state)
{
    (void)state;
    para_graph *g = small(STEP, "batch=2", "batch");
    const char *const weights[] = {"v", "w"};
    int owner[2];
    for (int i = 0; i < 2; i++) {
        const para_node *update = update_of(g, weights[i]), *sum = update->in[1]->producer;
        owner[i] = update->place;
        assert_graph(g, strcmp(sum->op->name, "sum") == 0 && sum->place == owner[i], "the sum of the gradient of %s",
                     weights[i]);
        int readers = 0;
        for (int k = 0; k < g->n_nodes; k++)
            for (int o = 0; o < g->nodes[k]->n_in; o++)
                if (g->nodes[k]->in[o] == sum->out[0]) {
                    assert_graph(g, g->nodes[k]->place == owner[i], "%s reads it", g->nodes[k]->name);
                    readers++;
                }
        assert_int_equal(readers, 2); /* the update and its squares */
    }
    assert_int_equal(owner[0] + owner[1], 1);
    struct para_spread_counts *c = must_alloc(sizeof *c);
    assert_int_equal(para_spread_count(c, g), 0);
    assert_int_equal(c->updates, 2);
    assert_int_equal(c->owned[0], 256 * 256 * sizeof(float));
    assert_int_equal(c->owned[1], 256 * 256 * sizeof(float));
    assert_true(c->repeated >= 2);
    /* Half a gradient and a weight each way, and some scalars. */
    assert_in_range(c->in[0], 2 * 256 * 256 * sizeof(float), 2 * 256 * 256 * sizeof(float) + 256);
    assert_in_range(c->in[1], 2 * 256 * 256 * sizeof(float), 2 * 256 * 256 * sizeof(float) + 256);
    assert_int_equal(c->bytes, c->in[0] + c->in[1]);
    free(c);
    para_graph_free(g);
}

/* --- properties of a model's step --- */

static int number_after(const char *part, const char *axis)
{
    char word[40];
    snprintf(word, sizeof word, "%s=", axis);
    for (const char *at = part; (at = strstr(at, word)); at++)
        if (at == part || at[-1] == ',')
            return atoi(at + strlen(word));
    return -1;
}

/* Each node on a device of its stage; parts of the first axis listed that they are of, on their part's. */
static void check_places(const para_graph *g, const para_graph *cut, const struct plan_case *c)
{
    struct para_spreading s;
    para_error err = {0};
    must(para_spreading_read(&s, cut, c->spread, &err), err);
    int stages = c->stages ? c->stages : 1;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        assert_graph(g, n->place >= 0 && n->place < stages * s.devices, "%s is at %d", n->name, n->place);
        for (int a = 0; a < s.n_axes; a++) {
            int p = number_after(n->part, s.axis[a]);
            if (p < 0)
                continue;
            assert_graph(g, n->place % s.devices == p * s.devices / s.parts[a], "%s of %s is at %d", n->name, n->part,
                         n->place);
            break;
        }
    }
}

static bool starts_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* A node that was added is one of the split graph's, on another device of its stage, on the same operands or what is
 * made of them there. Returns whether it was added. */
static bool check_repeated(const para_graph *g, const para_graph *cut, const para_node *n, int devices)
{
    const char *end = strstr(n->name, ".on");
    if (para_graph_find(cut, n->out[0]->name) || !end)
        return false;
    const para_node *first = NULL;
    for (int i = n->id - 1; i >= 0 && !first; i--)
        if (starts_with(n->name, g->nodes[i]->name) && g->nodes[i]->name[end - n->name] == '\0')
            first = g->nodes[i];
    assert_graph(g, first != NULL, "%s repeats a node", n->name);
    assert_ptr_equal(n->op, first->op);
    assert_int_equal(n->n_in, first->n_in);
    assert_int_equal(n->origin, first->origin);
    assert_string_equal(n->part, first->part);
    assert_true(n->place != first->place && n->place / devices == first->place / devices);
    for (int k = 0; k < n->n_in; k++) {
        const para_tensor *own = n->in[k], *other = first->in[k];
        assert_graph(g, own == other || (own->origin == other->origin && own->producer->op == other->producer->op),
                     "operand %d of %s", k, n->name);
    }
    for (int k = 0; k < n->n_out; k++)
        assert_false(n->out[k]->overwrites || n->out[k]->is_output);
    return true;
}

/* What the devices of a stage update of whole parameters, with their moments, differs by the largest at most. */
static void check_owners(const para_graph *g, int stages, int devices)
{
    size_t owned[16] = {0}, largest = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        size_t bytes = 0;
        bool parameter = false;
        for (int k = 0; k < n->n_out; k++) {
            const para_tensor *before = n->out[k]->overwrites;
            bytes += before ? para_shape_bytes(&before->shape) : 0;
            parameter = parameter || (before && before->kind == PARA_PARAMETER);
        }
        if (!parameter)
            continue;
        owned[n->place] += bytes;
        largest = bytes > largest ? bytes : largest;
    }
    for (int s = 0; s < stages; s++)
        for (int d = 0; d < devices; d++)
            for (int e = 0; e < d; e++) {
                size_t a = owned[s * devices + d], b = owned[s * devices + e];
                assert_graph(g, (a > b ? a - b : b - a) <= largest, "stage %d: devices update %zu and %zu bytes", s, a,
                             b);
            }
}

static const struct plan_case cases[] = {
    {"batch=2", 0, "batch"},
    {"batch=4", 0, "batch=2"},
    {"batch=6", 0, "batch=4"},
    {"heads=2,ff=2,vocab=2", 0, "heads,ff,vocab=2"},
    {"batch=2,heads=2", 0, "batch"},
    {"batch=2,heads=2,ff=2,vocab=2", 0, "heads,ff,vocab"},
    {"batch=4", 2, "batch=2"},
    {"batch=2,heads=2,ff=2", 2, "heads,ff"},
    {NULL, 0, NULL},
};

static void properties_hold(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    for (const struct plan_case *c = cases; c->split; c++) {
        para_graph *cut = cut_graph(g, &(struct plan_case){c->split, c->stages, NULL}), *s = spread_of(cut, c->spread);
        int devices = atoi(strchr(para_graph_spreading(s), '=') + 1), repeated = 0;
        check_places(s, cut, c);
        check_owners(s, c->stages ? c->stages : 1, devices);
        for (int i = 0; i < s->n_nodes; i++)
            repeated += check_repeated(s, cut, s->nodes[i], devices);
        assert_graph(s, repeated > 0, "split \"%s\", spread \"%s\": some are repeated", c->split, c->spread);
        assert_int_equal(s->n_nodes, cut->n_nodes + repeated);
        para_graph_free(s);
        para_graph_free(cut);
    }
    para_graph_free(g);
}

/* --- bits --- */

static uint64_t train_bits(const para_graph *g, const para_graph *cut, para_machine *m)
{
    para_session *s = training_session(g, cut, m, false);
    uint64_t h = 0xcbf29ce484222325u;
    for (int step = 0; step < 3; step++) {
        float loss = training_step(s, g, step);
        uint32_t bits;
        memcpy(&bits, &loss, sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
    }
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_weight(t))
            continue;
        float *x = get_floats(s, para_tensor_name(t), para_tensor_elements(t));
        const unsigned char *byte = (const unsigned char *)x;
        for (size_t b = 0; b < para_tensor_bytes(t); b++)
            h = (h ^ byte[b]) * 0x100000001b3u;
        free(x);
    }
    para_session_free(s);
    return h;
}

/* Three steps give the weights of the split graph bit by bit, spread or not; and, sums accumulated, on a group of one
 * worker for each place those of the same graph in program order. */
static void bits_stay(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    para_machine *m = machine_of(2);
    for (const struct plan_case *c = cases; c->split; c++) {
        para_graph *cut = cut_graph(g, &(struct plan_case){c->split, c->stages, NULL}), *s = cut_graph(g, c),
                   *chained = accumulated_graph(g, c);
        if (train_bits(g, cut, NULL) != train_bits(g, s, NULL))
            fail_msg("split \"%s\", stages %d: spread \"%s\" has other bits", c->split, c->stages, c->spread);
        if (train_bits(g, chained, NULL) != train_bits(g, chained, m))
            fail_msg("split \"%s\", stages %d, spread \"%s\": two workers give other bits", c->split, c->stages,
                     c->spread);
        para_graph_free(cut);
        para_graph_free(s);
        para_graph_free(chained);
    }
    para_machine_close(m);
    para_graph_free(g);
}

/* Four parts on two devices: each device adds up its own, and one value crosses. */
static void devices_add_up_their_own_first(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = small(STEP, "batch=4", "batch=2"), *chained = NULL;
    must(para_graph_accumulate(&chained, g, &err), err);
    const para_node *sum = update_of(chained, "w")->in[1]->producer;
    assert_string_equal(sum->op->name, "sum");
    assert_int_equal(sum->n_in, 2);
    for (int i = 0; i < 2; i++) {
        const para_node *end = sum->in[i]->producer;
        assert_string_equal(end->op->name, "matmul_add");
        assert_int_equal(end->place, i);
        assert_int_equal(sum->in[i]->overwrites->producer->place, i);
    }
    para_graph_free(chained);
    para_graph_free(g);
}

/* --- what is refused --- */

static void bad_spreads_are_refused(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of("x:input[rows=4,cols=4]; y = gelu(x); output(y)"), *cut = NULL, *out = NULL;
    must(para_graph_split(&cut, g, "rows", 2, &err), err);
    static const struct {
        const char *axes;
        int code;
        const char *message;
    } bad[] = {
        {"row=2", PARA_EAXIS, "spread row=2: no axis is called \"row\"; this graph has rows, cols"},
        {"cols=2", PARA_EAXIS, "\"cols\" isn't split, and it is parts that are spread; splits: rows=2"},
        {"rows=3", PARA_ERANGE, "3 devices, expected at most 2: \"rows\" is split into no more parts"},
        {"rows=0", PARA_ERANGE, "0 devices, expected 1 or more"},
        {"rows=", PARA_EINVAL, "is no list of axes"},
        {"rows=2x", PARA_EINVAL, "is no list of axes"},
        {"rows=-2", PARA_EINVAL, "is no list of axes"},
        {"rows=2,cols=2", PARA_EINVAL, "is no list of axes"},
        {"rows,", PARA_EINVAL, "is no list of axes"},
        {"", PARA_EINVAL, "is no list of axes"},
        {"rows=99999999999", PARA_EINVAL, "is no list of axes"},
        {"a,b,c,d,e,f,g,h,i", PARA_EINVAL, "is no list of axes"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(para_graph_spread(&out, cut, bad[i].axes, &err), bad[i].code);
        assert_null(out);
        assert_graph(NULL, strstr(err.message, bad[i].message) != NULL, "\"%s\" says \"%s\"", err.message,
                     bad[i].message);
    }
    para_graph *once = spread_of(cut, "rows"), *placed = NULL;
    assert_int_equal(para_graph_spread(&out, once, "rows", &err), PARA_EINVAL);
    assert_non_null(strstr(err.message, "spread before (rows=2)"));
    must(para_graph_place(&placed, cut, "", PARA_MAX_PLACES / 2, &err), err);
    assert_int_equal(para_graph_spread(&out, placed, "rows", &err), PARA_ERANGE);
    assert_non_null(strstr(err.message, "stage 2048 of 2 devices"));
    assert_null(out);
    para_graph_free(placed);
    para_graph_free(once);
    para_graph_free(cut);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_go_by_their_numbers),      cmocka_unit_test(sums_that_all_read_are_repeated),
        cmocka_unit_test(owners_add_up_and_update),       cmocka_unit_test(properties_hold),
        cmocka_unit_test(devices_add_up_their_own_first), cmocka_unit_test(bits_stay),
        cmocka_unit_test(bad_spreads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
