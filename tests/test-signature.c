/* Signatures: how they are read, and that every op keeps to its own.
 *
 * The last test takes each op of the table as it stands in a graph of the conformance table, its gradient or its
 * splits, and gives each of its inputs each element type in turn. The node is refused, with a message that names the
 * input and both types; or its kernel and its reference agree, and agree with what the op makes of the same values in
 * the types that it was written for, and each gives the same where an output lies over the input that over[] names.
 * Buffers are of the exact size, so that sanitizers see a kernel that reads another. */
#include "tests/op-cases.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/strmap.h"
#include "graph/op.h"
#include "graph/signature.h"

/* Types of single elements; those in blocks come after them. */
enum { TYPES = PARA_I8 + 1, MAX_INPUTS = 16, MOST = 3 /* values are -3 to 3, which every type has */ };
static const double TOLERANCE = 1e-5;

/* --- how signatures are read --- */

static const struct para_attr_spec dtype_attr = {"dtype", PARA_ATTR_STRING};

/* Check inputs of these types against a signature; outputs' types, or the message, are put into text. */
static int check(const char *types, const char *inputs, const char *attr, char text[480])
{
    struct para_op op = {.name = "op", .attrs = {dtype_attr}, .types = types};
    para_graph *g = para_graph_new();
    para_tensor *in[MAX_INPUTS];
    int count = 0;
    char list[64], *rest = list;
    snprintf(list, sizeof list, "%s", inputs);
    for (char *word; (word = strsep(&rest, " "));) {
        if (!*word)
            continue;
        char name[2] = {(char)('a' + count), '\0'};
        for (int t = 0; t < TYPES; t++)
            if (strcmp(word, para_dtype_name((para_dtype)t)) == 0)
                in[count++] = para_input(g, name, (para_dtype)t, PARA_SCALAR);
    }
    para_node *n = para_node_add(g, &op, "op", in, count, (const union para_attr[PARA_MAX_ATTRS]){{.s = attr}});
    para_dtype out[PARA_MAX_OUT];
    para_error err = {0};
    int outputs = para_signature_check(n, out, &err);
    text[0] = '\0';
    for (int k = 0; k < outputs; k++)
        sprintf(text + strlen(text), "%s%s", k ? " " : "", para_dtype_name(out[k]));
    if (outputs < 0)
        strcpy(text, err.message);
    para_graph_free(g);
    return outputs;
}

static void assert_check(const char *types, const char *inputs, const char *attr, const char *expected)
{
    char text[480];
    check(types, inputs, attr, text);
    assert_string_equal(text, expected);
}

static void signatures_say_what_outputs_are(void **state)
{
    (void)state;
    assert_check("f32 i32 -> f32 bf16", "f32 i32", "", "f32 bf16");
    assert_check("f32 f32|bf16|i8 -> f32", "f32 i8", "", "f32");
    assert_check("T i32 -> T", "f16 i32", "", "f16");
    assert_check("T:f32|i32 U T -> U T", "i32 i8 i32", "", "i8 i32");
    assert_check("f32 T... -> T", "f32 i8 i8 i8", "", "i8");
    assert_check("-> i32; i32 -> f32", "", "", "i32");
    assert_check("-> i32; i32 -> f32", "i32", "", "f32");
    assert_check("f32 -> @dtype:f16|i32; f16 -> @dtype:f32", "f32", "i32", "i32");
    assert_check("f32 -> @dtype:f16|i32; f16 -> @dtype:f32", "f16", "f32", "f32");
}

static void signatures_say_what_is_wrong(void **state)
{
    (void)state;
    assert_check("f32 i32 -> f32", "f32 bf16", "", "\"b\" is bf16, expected i32");
    assert_check("f32 f32|bf16|i8 -> f32", "f32 i32", "", "\"b\" is i32, expected f32, bf16 or i8");
    assert_check("T:f32|i32 T -> T", "i32 f32", "", "\"b\" is f32, expected i32");
    assert_check("T... -> T", "i8 i8 f16", "", "\"c\" is f16, expected i8");
    assert_check("f32 -> f32; bf16 -> f32", "i8", "", "\"a\" is i8, expected f32 or bf16");
    assert_check("f32 -> @dtype:f16|i32", "f32", "f32", "dtype is \"f32\", expected f16 or i32, as \"a\" is f32");
    assert_check("-> @dtype:f16|i32", "", "f32", "dtype is \"f32\", expected f16 or i32");
    assert_check("f32 -> @dtype:f16|i32", "f32", "f16|i32",
                 "dtype is \"f16|i32\", expected f16 or i32, as \"a\" is f32");
    assert_check("f32 f32 -> f32", "f32", "", "1 input, expected 2");
    assert_check("f32... -> f32", "", "", "0 inputs, expected at least 1");
    assert_check("-> i32; i32 -> i32", "i32 i32", "", "2 inputs, expected 0 to 1");
}

/* --- every op keeps to its own --- */

/* A small integer in an element type, and back. */
static const uint16_t halves[MOST + 1] = {0, 0x3c00, 0x4000, 0x4200}, brains[MOST + 1] = {0, 0x3f80, 0x4000, 0x4040};

static void put(para_dtype dtype, void *data, int64_t i, int value)
{
    uint16_t sign = value < 0 ? 0x8000 : 0;
    switch (dtype) {
    case PARA_F32:
        ((float *)data)[i] = (float)value;
        break;
    case PARA_I32:
        ((int32_t *)data)[i] = value;
        break;
    case PARA_I8:
        ((int8_t *)data)[i] = (int8_t)value;
        break;
    case PARA_F16:
        ((uint16_t *)data)[i] = halves[abs(value)] | sign;
        break;
    case PARA_BF16:
        ((uint16_t *)data)[i] = brains[abs(value)] | sign;
        break;
    default:
        fail_msg("%s holds no single elements", para_dtype_name(dtype));
    }
}

static double get(para_dtype dtype, const void *data, int64_t i)
{
    if (dtype == PARA_BF16)
        return para_of_bf16(((const uint16_t *)data)[i]);
    if (dtype == PARA_F32)
        return ((const float *)data)[i];
    if (dtype == PARA_I32)
        return ((const int32_t *)data)[i];
    if (dtype == PARA_I8)
        return ((const int8_t *)data)[i];
    uint16_t half = ((const uint16_t *)data)[i];
    for (int value = 0; value <= MOST; value++)
        if ((half & 0x7fff) == halves[value])
            return half & 0x8000 ? -value : value;
    return NAN;
}

/* A node like one of a case's graph, alone in a graph of its own, with buffers. */
struct trial {
    const para_node *like;
    int32_t bound;
    bool over; /* outputs lie in the place of the inputs that the op's over[] names */
    para_graph *g;
    para_node *n;
    void *in[MAX_INPUTS], *out[PARA_MAX_OUT];
};

/* Make the node with input `varied` of another type, or, with WIDENED, those of bfloat16 as float32; false if it is
 * refused. */
enum { AS_WRITTEN = -1, WIDENED = -2 };
static bool make(struct trial *t, const para_node *like, int varied, para_dtype dtype, para_error *err)
{
    *t = (struct trial){.like = like, .g = para_graph_new()};
    para_tensor *in[MAX_INPUTS];
    assert_true(like->n_in <= MAX_INPUTS);
    for (int i = 0; i < like->n_in; i++) {
        char name[] = {(char)('a' + i), '\0'};
        struct para_shape shape = like->in[i]->shape;
        shape.dtype = i == varied ? dtype : varied == WIDENED && shape.dtype == PARA_BF16 ? PARA_F32 : shape.dtype;
        in[i] = para_tensor_add(t->g, PARA_INPUT, name, &shape);
    }
    t->n = para_node_add(t->g, like->op, "node", in, like->n_in, like->attr);
    assert_non_null(t->n);
    struct para_shape whole[PARA_MAX_OUT];
    int outputs = para_node_infer(t->n, whole, err);
    for (int k = 0; k < outputs; k++) {
        struct para_shape shape = like->out[k]->shape;
        shape.dtype = whole[k].dtype;
        char name[] = {(char)('p' + k), '\0'};
        assert_non_null(para_node_add_output(t->n, name, &shape));
    }
    return outputs > 0;
}

static void *buffer(const para_tensor *t)
{
    return must_alloc(para_shape_bytes(&t->shape));
}

/* The input whose buffer output k has; -1: none. */
static int lies_in(const struct trial *t, int k)
{
    const para_node *n = t->n;
    if (n->op->updates[k])
        return n->op->updates[k] - 1;
    int over = n->op->over[k] - 1;
    bool fits = t->over && over >= 0 && over < n->n_in &&
                para_shape_bytes(&n->in[over]->shape) == para_shape_bytes(&n->out[k]->shape);
    return fits ? over : -1;
}

/* The same values whatever the types: ids are 0 to bound - 1, alike in all inputs, so that no row's position lies
 * before its prefix; other values are -3 to 3. */
static void fill(struct trial *t, int32_t bound)
{
    for (int i = 0; i < t->n->n_in; i++) {
        const para_tensor *in = t->n->in[i];
        bool ids = t->like->in[i]->shape.dtype == PARA_I32;
        t->in[i] = buffer(in);
        for (int64_t e = 0; e < para_shape_elements(&in->shape); e++) {
            int value = (int)((e * 5 + i * 3) % 7) - MOST;
            put(in->shape.dtype, t->in[i], e, ids ? (int)(e % (bound && bound < MOST ? bound : MOST)) : value);
        }
    }
    for (int k = 0; k < t->n->n_out; k++) {
        int in = lies_in(t, k);
        t->out[k] = in >= 0 ? t->in[in] : buffer(t->n->out[k]);
    }
}

static void run(struct trial *t, int32_t bound, bool reference)
{
    fill(t, bound);
    para_error err = {0};
    size_t bytes = para_op_scratch(t->n);
    void *scratch = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(scratch);
    struct para_call call = {.node = t->n, .in = t->in, .out = t->out, .scratch = scratch, .seed = 1, .err = &err};
    int status = para_op_call(&call, reference);
    if (status < 0)
        fail_msg("%s: %s", t->n->op->name, err.message);
    free(scratch);
}

static void end(struct trial *t)
{
    for (int k = 0; k < PARA_MAX_OUT; k++)
        if (t->out[k] && lies_in(t, k) < 0)
            free(t->out[k]);
    for (int i = 0; i < MAX_INPUTS; i++)
        free(t->in[i]);
    para_graph_free(t->g);
}

static void compare(const struct trial *a, const struct trial *b, const char *what)
{
    for (int k = 0; k < a->n->n_out; k++) {
        const struct para_shape *s = &a->n->out[k]->shape, *r = &b->n->out[k]->shape;
        double norm = 0, miss = 0;
        for (int64_t e = 0; e < para_shape_elements(s); e++) {
            double x = get(s->dtype, a->out[k], e), y = get(r->dtype, b->out[k], e);
            bool same = x == y || (isnan(x) && isnan(y));
            miss += same ? 0 : (x - y) * (x - y);
            norm += isfinite(y) ? y * y : 0;
        }
        double tolerance = s->dtype == PARA_BF16 || r->dtype == PARA_BF16 ? 0x1p-8 : TOLERANCE;
        if (!(sqrt(miss) <= tolerance * sqrt(norm)))
            fail_msg("%s of %s inputs: output %d of %s is %g from what was expected, of norm %g", a->n->op->name,
                     para_dtype_name(a->n->in[0]->shape.dtype), k, what, sqrt(miss), sqrt(norm));
    }
}

/* Whether a message names the op, one of its inputs (of those that must be alike it may be another than the one that
 * was changed), the type, and what was expected. */
static bool is_refusal(const char *message, const para_node *like, para_dtype dtype)
{
    bool named = false;
    for (int i = 0; i < like->n_in; i++) {
        char name[] = {'"', (char)('a' + i), '"', '\0'};
        named = named || strstr(message, name);
    }
    return named && strstr(message, like->op->name) && strstr(message, para_dtype_name(dtype)) &&
           strstr(message, ", expected ");
}

/* One op with input i of one type. Returns whether it was accepted. */
static bool try_type(const para_node *like, int i, para_dtype dtype, int32_t bound)
{
    struct trial kernel, reference, written, kernel_over, reference_over;
    para_error err = {0};
    if (!make(&kernel, like, i, dtype, &err)) {
        if (!is_refusal(err.message, like, dtype))
            fail_msg("%s with input %d of %s says \"%s\"", like->op->name, i, para_dtype_name(dtype), err.message);
        end(&kernel);
        return false;
    }
    assert_true(make(&reference, like, i, dtype, &err));
    assert_true(make(&written, like, -1, dtype, &err));
    assert_true(make(&kernel_over, like, i, dtype, &err));
    assert_true(make(&reference_over, like, i, dtype, &err));
    kernel_over.over = reference_over.over = true;
    run(&kernel, bound, false);
    run(&reference, bound, true);
    run(&written, bound, true);
    run(&kernel_over, bound, false);
    run(&reference_over, bound, true);
    compare(&kernel, &reference, "the kernel");
    compare(&reference, &written, "the reference");
    compare(&kernel_over, &kernel, "the kernel, written over an input,");
    compare(&reference_over, &reference, "the reference, written over an input,");
    end(&kernel);
    end(&reference);
    end(&written);
    end(&kernel_over);
    end(&reference_over);
    return true;
}

/* A node of bfloat16 operands: kernel, reference, and, where the op takes them too, the same of float32. */
static void try_half(const para_node *like, int32_t bound)
{
    struct trial kernel, reference, widened;
    para_error err = {0};
    must(make(&kernel, like, AS_WRITTEN, PARA_BF16, &err) ? 0 : err.code, err);
    must(make(&reference, like, AS_WRITTEN, PARA_BF16, &err) ? 0 : err.code, err);
    run(&kernel, bound, false);
    run(&reference, bound, true);
    compare(&kernel, &reference, "the kernel");
    if (make(&widened, like, WIDENED, PARA_F32, &err)) {
        run(&widened, bound, true);
        compare(&reference, &widened, "the reference");
    }
    end(&kernel);
    end(&reference);
    end(&widened);
}

/* What has been tried: an op with its inputs' types, "matmul f32 i8", and each op by itself. */
static struct para_strmap tried;
static struct para_arena names;
static int accepted, refused;

/* Note what is tried; false if it has been. */
static bool is_new(const char *what)
{
    if (para_strmap_get(&tried, what))
        return false;
    char *name = para_arena_string(&names, what);
    assert_non_null(name);
    assert_int_equal(para_strmap_set(&tried, name, name), 0);
    return true;
}

static bool has_blocks(const para_node *n)
{
    bool found = false;
    for (int i = 0; i < n->n_in; i++)
        found = found || para_dtype_blocks(n->in[i]->shape.dtype);
    return found;
}

static void try_graph(const para_graph *g, int32_t bound)
{
    for (int id = 0; id < g->n_nodes; id++) {
        const para_node *n = g->nodes[id];
        if (n->n_in > MAX_INPUTS || has_blocks(n))
            continue;
        char what[256];
        int used = snprintf(what, sizeof what, "%s", n->op->name);
        is_new(what);
        for (int i = 0; i < n->n_in; i++)
            used += snprintf(what + used, sizeof what - (size_t)used, " %s", para_dtype_name(n->in[i]->shape.dtype));
        if (!is_new(what))
            continue;
        for (int i = 0; i < n->n_in; i++)
            for (int t = 0; t < TYPES; t++)
                *(try_type(n, i, (para_dtype)t, bound) ? &accepted : &refused) += 1;
    }
}

static bool has_half(const para_node *n)
{
    bool found = false;
    for (int i = 0; i < n->n_in; i++)
        found = found || n->in[i]->shape.dtype == PARA_BF16;
    return found;
}

static void try_halves(const para_graph *g, int32_t bound)
{
    for (int id = 0; id < g->n_nodes; id++) {
        const para_node *n = g->nodes[id];
        char what[64];
        snprintf(what, sizeof what, "half %s", n->op->name);
        if (has_half(n) && n->n_in <= MAX_INPUTS && is_new(what))
            try_half(n, bound);
    }
    try_graph(g, bound);
}

/* What precision makes of a case's graph, and accumulation and fusing of that. */
static void try_precision(const para_graph *g, int32_t bound)
{
    para_graph *made = NULL, *chained = NULL, *fused = NULL;
    para_error err = {0};
    must(para_graph_precision(&made, g, PARA_BF16, &err), err);
    must(para_graph_accumulate(&chained, made, &err), err);
    try_halves(made, bound);
    must(para_graph_fuse(&fused, chained, &err), err);
    try_halves(chained, bound);
    try_halves(fused, bound);
    para_graph_free(fused);
    para_graph_free(chained);
    para_graph_free(made);
}

/* What fusing makes of the graph as it is. */
static void try_fused(const para_graph *g, int32_t bound)
{
    para_graph *fused = NULL;
    para_error err = {0};
    must(para_graph_fuse(&fused, g, &err), err);
    try_graph(fused, bound);
    try_halves(fused, bound);
    para_graph_free(fused);
}

/* Every op that says it takes bfloat16 has been given it. */
static void check_halves(void)
{
    for (int k = 0; para_op_table[k]; k++) {
        const struct para_op *op = para_op_table[k];
        char what[64];
        snprintf(what, sizeof what, "half %s", op->name);
        if (strstr(op->types, "bf16") && !strchr(op->types, '@') && !para_strmap_get(&tried, what))
            fail_msg("op %s, %s, stands in no case's graph of bfloat16", op->name, op->types);
    }
}

static void try_splits(const para_graph *g, int32_t bound)
{
    for (int i = 0; i < g->n_tensors; i++)
        for (int d = 0; d < g->tensors[i]->shape.rank; d++) {
            para_graph *split = NULL;
            if (para_graph_split(&split, g, g->tensors[i]->shape.dim[d].axis, 2, NULL) == 0)
                try_graph(split, bound);
            para_graph_free(split);
        }
}

static void every_op_refuses_a_type_or_computes_it(void **state)
{
    (void)state;
    int count;
    const struct op_case *cases = op_cases(&count);
    for (int i = 0; i < count; i++) {
        if (cases[i].error)
            continue;
        para_graph *g = op_case_graph(&cases[i]);
        para_error err = {0};
        must(para_graph_seal(g, &err), err);
        try_graph(g, cases[i].bound);
        try_splits(g, cases[i].bound);
        try_fused(g, cases[i].bound);
        try_precision(g, cases[i].bound);
        para_graph_free(g);
    }
    for (int k = 0; para_op_table[k]; k++)
        if (!para_strmap_get(&tried, para_op_table[k]->name))
            fail_msg("op %s stands in no case's graph", para_op_table[k]->name);
    check_halves();
    print_message("%d combinations of op, input and type computed, %d refused\n", accepted, refused);
    para_strmap_free(&tried);
    para_arena_free(&names);
}

/* How many numbers of inputs, less than 10, a signature allows. */
static int count_allowed(const char *types)
{
    bool allowed[10] = {false};
    int count = 0;
    for (const char *form = types; form; form = strchr(form, ';') ? strchr(form, ';') + 1 : NULL) {
        int inputs = 0;
        for (const char *at = form + strspn(form, " "); strncmp(at, "->", 2) != 0; at += strcspn(at, " ") + 1)
            inputs++;
        count += !allowed[inputs];
        allowed[inputs] = true;
    }
    return strstr(types, "...") ? 9 : count;
}

/* Every op refuses any number of inputs but its own. */
static void numbers_of_inputs_are_checked(void **state)
{
    (void)state;
    for (int k = 0; para_op_table[k]; k++) {
        const struct para_op *op = para_op_table[k];
        union para_attr attr[PARA_MAX_ATTRS] = {{0}};
        for (int a = 0; a < PARA_MAX_ATTRS && op->attrs[a].name; a++)
            if (op->attrs[a].type == PARA_ATTR_STRING)
                attr[a].s = "n";
        int wrong = 0;
        for (int count = 0; count < 10; count++) {
            para_graph *g = para_graph_new();
            para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"n", 4})), *in[10];
            for (int i = 0; i < count; i++)
                in[i] = x;
            para_error err = {0};
            para_node *n = para_node_add(g, op, "node", in, count, attr);
            para_dtype out[PARA_MAX_OUT];
            if (para_signature_check(n, out, &err) < 0 && strstr(err.message, "input")) {
                assert_int_equal(err.code, PARA_EINVAL);
                wrong++;
            }
            para_graph_free(g);
        }
        if (wrong != 10 - count_allowed(op->types))
            fail_msg("op %s, %s: %d of 10 numbers of inputs were refused", op->name, op->types, wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_say_what_outputs_are),
        cmocka_unit_test(signatures_say_what_is_wrong),
        cmocka_unit_test(numbers_of_inputs_are_checked),
        cmocka_unit_test(every_op_refuses_a_type_or_computes_it),
    };
    return cmocka_run_group_tests_name("signature", tests, NULL, NULL);
}
