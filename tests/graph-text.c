#include "tests/graph-text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

enum { MAX_WORD = 63, MAX_NAMES = 96, MAX_TENSORS = 16, MAX_STRINGS = 4, MAX_NUMBERS = 8 };

/* One call's arguments, sorted by kind; each kind keeps its order. */
struct args {
    para_tensor *t[MAX_TENSORS];
    char s[MAX_STRINGS][MAX_WORD + 1];
    double x[MAX_NUMBERS];
    int tensors, strings, numbers;
};

struct symbol {
    char name[MAX_WORD + 1];
    para_tensor *tensor; /* NULL when its call failed */
};

struct reader {
    const char *text, *at;
    para_graph *g;
    struct symbol symbols[MAX_NAMES];
    int count;
    para_tensor *last;
};

static void mistake(const struct reader *r, const char *expected)
{
    fail_msg("graph text: expected %s at \"%s\" of \"%s\"", expected, r->at, r->text);
}

static void skip_space(struct reader *r)
{
    while (isspace((unsigned char)*r->at))
        r->at++;
}

static bool accept(struct reader *r, char c)
{
    skip_space(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static void expect(struct reader *r, char c)
{
    if (!accept(r, c))
        mistake(r, (const char[]){'\'', c, '\'', 0});
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '\'';
}

static void read_word(struct reader *r, char word[MAX_WORD + 1])
{
    skip_space(r);
    size_t n = 0;
    while (is_word(r->at[n]))
        n++;
    if (n == 0 || n > MAX_WORD)
        mistake(r, "a name");
    memcpy(word, r->at, n);
    word[n] = 0;
    r->at += n;
}

static double read_number(struct reader *r)
{
    char *end;
    double x = strtod(r->at, &end);
    if (end == r->at)
        mistake(r, "a number");
    r->at = end;
    return x;
}

/* The dims up to `close`; axis names go to `names`, which must outlive the dims. */
static void read_dims(struct reader *r, char close, para_dim dims[PARA_MAX_RANK + 1],
                      char names[PARA_MAX_RANK][MAX_WORD + 1])
{
    int rank = 0;
    while (!accept(r, close)) {
        if (rank == PARA_MAX_RANK)
            mistake(r, "fewer dimensions");
        read_word(r, names[rank]);
        const char *extent = names[rank];
        if (accept(r, '=')) {
            dims[rank] = (para_dim){names[rank], (int64_t)read_number(r)};
        } else {
            dims[rank].extent = strtoll(extent, NULL, 10);
            snprintf(names[rank], MAX_WORD + 1, "n%lld", (long long)dims[rank].extent);
            dims[rank].axis = names[rank];
        }
        rank++;
        accept(r, ',');
    }
    dims[rank] = (para_dim){NULL, 0};
}

static void read_dims_of(const char *text, para_dim dims[PARA_MAX_RANK + 1], char names[PARA_MAX_RANK][MAX_WORD + 1])
{
    struct reader r = {.text = text, .at = text};
    read_dims(&r, 0, dims, names);
}

/* The builder calls, each with its number of tensors, strings and numbers (ANY: one or more tensors). */
enum { ANY = -1 };
struct builder {
    const char *name;
    int tensors, strings, numbers;
    para_tensor *(*build)(para_graph *g, const struct args *a);
};

#define BUILDER(name, call)                                                                                            \
    static para_tensor *build_##name(para_graph *g, const struct args *a)                                              \
    {                                                                                                                  \
        (void)g, (void)a;                                                                                              \
        return call;                                                                                                   \
    }
BUILDER(embedding, para_embedding(g, a->t[0], a->t[1], a->s[0]))
BUILDER(matmul, para_matmul(g, a->t[0], a->t[1], a->s[0]))
BUILDER(layernorm, para_layernorm(g, a->t[0], a->t[1], a->t[2], a->x[0]))
BUILDER(attention, para_attention(g, a->t[0], a->t[1], a->t[2], a->x[0] != 0.0))
BUILDER(attention_window, para_attention_window(g, a->t[0], a->t[1], a->t[2], (int64_t)a->x[0]))
BUILDER(attention_stacked, para_attention_stacked(g, a->t[0], a->x[0] != 0.0))
BUILDER(gelu, para_gelu(g, a->t[0]))
BUILDER(gelu_erf, para_gelu_erf(g, a->t[0]))
BUILDER(add, para_add(g, a->t[0], a->t[1]))
BUILDER(mul, para_mul(g, a->t[0], a->t[1]))
BUILDER(scale, para_scale(g, a->t[0], a->x[0]))
BUILDER(sum, para_sum(g, a->t, a->tensors))
BUILDER(dropout, para_dropout(g, a->t[0], a->t[1], a->x[0]))
BUILDER(logsumexp, para_logsumexp(g, a->t[0], a->s[0]))
BUILDER(softmax, para_softmax(g, a->t[0], a->s[0]))
BUILDER(cross_entropy, para_cross_entropy(g, a->t[0], a->t[1], a->s[0], (int)a->x[0]))
BUILDER(reduce_sum, para_reduce_sum(g, a->t[0], a->s[0]))
BUILDER(reduce_mean, para_reduce_mean(g, a->t[0], a->s[0]))
BUILDER(reduce_max, para_reduce_max(g, a->t[0], a->s[0]))
BUILDER(merge, para_merge(g, a->t[0], a->s[0], a->s[1]))
BUILDER(rename, para_rename(g, a->t[0], a->s[0], a->s[1]))
BUILDER(permute, para_permute(g, a->t[0], a->s[0]))
BUILDER(slice, para_slice(g, a->t[0], a->s[0], (int64_t)a->x[0], (int64_t)a->x[1], a->s[1]))
BUILDER(concat, para_concat(g, a->t, a->tensors, (int)a->x[0], a->s[0]))
BUILDER(arange, para_arange(g, a->s[0], (int64_t)a->x[0]))
BUILDER(arange_from, para_arange_from(g, a->t[0], a->s[0], (int64_t)a->x[0], (int64_t)a->x[1]))
BUILDER(output, para_output(a->t[0]))
BUILDER(step, para_step(g))

static para_tensor *build_unmerge(para_graph *g, const struct args *a)
{
    para_dim dims[PARA_MAX_RANK + 1];
    char names[PARA_MAX_RANK][MAX_WORD + 1];
    read_dims_of(a->s[1], dims, names);
    return para_unmerge(g, a->t[0], a->s[0], dims);
}

static para_tensor *build_fill(para_graph *g, const struct args *a)
{
    para_dim dims[PARA_MAX_RANK + 1];
    char names[PARA_MAX_RANK][MAX_WORD + 1];
    read_dims_of(a->s[0], dims, names);
    return para_fill(g, dims, a->x[0]);
}

static para_tensor *build_cast(para_graph *g, const struct args *a)
{
    for (int dtype = PARA_F32; dtype <= PARA_I32; dtype++)
        if (strcmp(a->s[0], para_dtype_name((para_dtype)dtype)) == 0)
            return para_cast(g, a->t[0], (para_dtype)dtype);
    fail_msg("graph text: cast to \"%s\", expected f32, f16, bf16 or i32", a->s[0]);
    return NULL;
}

static para_tensor *build_backward(para_graph *g, const struct args *a)
{
    para_error err = {0};
    must(para_graph_backward(g, a->t[0], &err), err);
    return a->t[0];
}

static para_tensor *build_train_adamw(para_graph *g, const struct args *a)
{
    para_adamw_options o = para_adamw_default();
    o.schedule.lr = a->x[0];
    o.weight_decay = a->x[1];
    o.clip = a->x[2];
    para_error err = {0};
    must(para_graph_adamw(g, &o, &err), err);
    return NULL;
}

static para_tensor *build_train_sgd(para_graph *g, const struct args *a)
{
    para_sgd_options o = para_sgd_default();
    o.schedule.lr = a->x[0];
    o.momentum = a->x[1];
    o.weight_decay = a->x[2];
    o.clip = a->x[3];
    para_error err = {0};
    must(para_graph_sgd(g, &o, &err), err);
    return NULL;
}

static para_tensor *build_push(para_graph *g, const struct args *a)
{
    para_scope_push(g, "%s", a->s[0]);
    return NULL;
}

static para_tensor *build_pop(para_graph *g, const struct args *a)
{
    (void)a;
    para_scope_pop(g);
    return NULL;
}

static const struct builder builders[] = {
    {"add", 2, 0, 0, build_add},
    {"arange", 0, 1, 1, build_arange},
    {"arange_from", 1, 1, 2, build_arange_from},
    {"attention", 3, 0, 1, build_attention},
    {"attention_stacked", 1, 0, 1, build_attention_stacked},
    {"attention_window", 3, 0, 1, build_attention_window},
    {"backward", 1, 0, 0, build_backward},
    {"cast", 1, 1, 0, build_cast},
    {"concat", ANY, 1, 1, build_concat},
    {"cross_entropy", 2, 1, 1, build_cross_entropy},
    {"dropout", 2, 0, 1, build_dropout},
    {"embedding", 2, 1, 0, build_embedding},
    {"fill", 0, 1, 1, build_fill},
    {"gelu", 1, 0, 0, build_gelu},
    {"gelu_erf", 1, 0, 0, build_gelu_erf},
    {"layernorm", 3, 0, 1, build_layernorm},
    {"logsumexp", 1, 1, 0, build_logsumexp},
    {"matmul", 2, 1, 0, build_matmul},
    {"merge", 1, 2, 0, build_merge},
    {"mul", 2, 0, 0, build_mul},
    {"output", 1, 0, 0, build_output},
    {"permute", 1, 1, 0, build_permute},
    {"pop", 0, 0, 0, build_pop},
    {"push", 0, 1, 0, build_push},
    {"reduce_max", 1, 1, 0, build_reduce_max},
    {"reduce_mean", 1, 1, 0, build_reduce_mean},
    {"reduce_sum", 1, 1, 0, build_reduce_sum},
    {"rename", 1, 2, 0, build_rename},
    {"scale", 1, 0, 1, build_scale},
    {"slice", 1, 2, 2, build_slice},
    {"softmax", 1, 1, 0, build_softmax},
    {"step", 0, 0, 0, build_step},
    {"sum", ANY, 0, 0, build_sum},
    {"train_adamw", 0, 0, 3, build_train_adamw},
    {"train_sgd", 0, 0, 4, build_train_sgd},
    {"unmerge", 1, 2, 0, build_unmerge},
};

/* An op of the table by its own name: attributes take strings and numbers in the table's order. */
static para_tensor *apply_op(struct reader *r, const char *name, const struct args *a)
{
    const struct para_op *op = para_op_find(name);
    if (!op) {
        mistake(r, "a builder call or an op of the table");
        return NULL;
    }
    union para_attr attr[PARA_MAX_ATTRS] = {{0}};
    int strings = 0, numbers = 0;
    for (int i = 0; i < PARA_MAX_ATTRS && op->attrs[i].name; i++) {
        if (op->attrs[i].type == PARA_ATTR_STRING)
            attr[i].s = a->s[strings++];
        else if (op->attrs[i].type == PARA_ATTR_INT)
            attr[i].i = (int64_t)a->x[numbers++];
        else
            attr[i].f = a->x[numbers++];
    }
    if (strings != a->strings || numbers != a->numbers)
        mistake(r, "as many strings and numbers as the op has attributes");
    return para_apply(op, r->g, a->t, a->tensors, attr);
}

static para_tensor *find_tensor(struct reader *r, const char *name)
{
    for (int i = r->count - 1; i >= 0; i--)
        if (strcmp(r->symbols[i].name, name) == 0)
            return r->symbols[i].tensor;
    const para_tensor *t = para_graph_find(r->g, name);
    if (!t)
        mistake(r, "the name of a tensor before this");
    return r->g->tensors[para_tensor_id(t)];
}

static void define(struct reader *r, const char *name, para_tensor *tensor)
{
    assert_true(r->count < MAX_NAMES);
    struct symbol *s = &r->symbols[r->count++];
    snprintf(s->name, sizeof s->name, "%s", name);
    s->tensor = r->last = tensor;
}

static void read_argument(struct reader *r, struct args *a)
{
    skip_space(r);
    if (accept(r, '"')) {
        assert_true(a->strings < MAX_STRINGS);
        size_t n = strcspn(r->at, "\"");
        assert_true(n <= MAX_WORD && r->at[n] == '"');
        memcpy(a->s[a->strings], r->at, n);
        a->s[a->strings++][n] = 0;
        r->at += n + 1;
    } else if (isdigit((unsigned char)*r->at) || *r->at == '-' || *r->at == '.') {
        assert_true(a->numbers < MAX_NUMBERS);
        a->x[a->numbers++] = read_number(r);
    } else {
        char word[MAX_WORD + 1];
        read_word(r, word);
        assert_true(a->tensors < MAX_TENSORS);
        para_tensor *t = find_tensor(r, word);
        a->t[a->tensors++] = accept(r, ':') && t ? t->producer->out[(int)read_number(r)] : t;
    }
}

static void check_counts(const struct reader *r, const struct builder *b, const struct args *a)
{
    bool fits = b->strings == a->strings && b->numbers == a->numbers &&
                (b->tensors == ANY ? a->tensors > 0 : b->tensors == a->tensors);
    if (!fits)
        mistake(r, "as many tensors, strings and numbers as the call before takes");
}

/* name(args), with the name read: build it. */
static para_tensor *read_call(struct reader *r, const char *name, struct args *a)
{
    expect(r, '(');
    while (!accept(r, ')')) {
        read_argument(r, a);
        accept(r, ',');
    }
    for (size_t i = 0; i < sizeof builders / sizeof builders[0]; i++) {
        if (strcmp(builders[i].name, name) == 0) {
            check_counts(r, &builders[i], a);
            return builders[i].build(r->g, a);
        }
    }
    return apply_op(r, name, a);
}

static bool is_argument(const struct args *a, const para_tensor *t)
{
    for (int i = 0; i < a->tensors; i++)
        if (a->t[i] == t)
            return true;
    return false;
}

static para_tensor *read_value(struct reader *r, const char *name)
{
    char kind[MAX_WORD + 1], names[PARA_MAX_RANK][MAX_WORD + 1];
    para_dim dims[PARA_MAX_RANK + 1];
    read_word(r, kind);
    expect(r, '[');
    read_dims(r, ']', dims, names);
    const para_init zero = {PARA_INIT_FILL, 0.0, 0.0}, normal = {PARA_INIT_NORMAL, 0.0, 1.0};
    if (strcmp(kind, "param") == 0)
        return para_param(r->g, name, dims, normal);
    if (strcmp(kind, "bf16") == 0)
        return para_param_as(r->g, name, PARA_BF16, dims, normal);
    if (strcmp(kind, "i8") == 0)
        return para_param_as(r->g, name, PARA_I8, dims, normal);
    if (strcmp(kind, "q8_0") == 0)
        return para_param_as(r->g, name, PARA_Q8_0, dims, normal);
    if (strcmp(kind, "q4_0") == 0)
        return para_param_as(r->g, name, PARA_Q4_0, dims, normal);
    if (strcmp(kind, "state") == 0)
        return para_state(r->g, name, PARA_F32, dims, zero);
    if (strcmp(kind, "count") == 0)
        return para_state(r->g, name, PARA_I32, dims, zero);
    if (strcmp(kind, "input") != 0 && strcmp(kind, "ids") != 0)
        mistake(r, "param, bf16, i8, q8_0, q4_0, input, ids, state or count before this");
    return para_input(r->g, name, kind[1] == 'd' ? PARA_I32 : PARA_F32, dims);
}

static void read_statement(struct reader *r)
{
    char name[MAX_WORD + 1], call[MAX_WORD + 1];
    struct args a = {0};
    read_word(r, name);
    if (accept(r, ':')) {
        define(r, name, read_value(r, name));
    } else if (accept(r, '=')) {
        read_word(r, call);
        para_tensor *t = read_call(r, call, &a);
        bool made = t && para_tensor_producer(t) && !is_argument(&a, t);
        define(r, name, made ? para_name(t, name) : t);
    } else {
        r->last = read_call(r, name, &a);
    }
}

para_tensor *graph_append(para_graph *g, const char *text)
{
    struct reader r = {.text = text, .at = text, .g = g};
    for (skip_space(&r); *r.at; skip_space(&r)) {
        read_statement(&r);
        skip_space(&r);
        if (*r.at)
            expect(&r, ';');
    }
    return r.last;
}

para_graph *graph_open(const char *text)
{
    para_graph *g = para_graph_new();
    assert_non_null(g);
    graph_append(g, text);
    return g;
}

para_graph *graph_of(const char *text)
{
    para_graph *g = graph_open(text);
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
    return g;
}

const para_node *node_of(const para_graph *g, const char *name)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t && para_tensor_producer(t), "looking for the node that makes \"%s\"", name);
    return para_tensor_producer(t);
}
