/* Models of any family, through the calls that name none. */
#include "models/family.h"
#include "tests/support.h"

#include <string.h>

static para_model *preset(const char *name)
{
    para_error err = {0};
    para_model *model;
    must(para_model_preset(&model, name, &err), err);
    must(para_model_check(model, &err), err);
    return model;
}

static para_graph *graph_of(const para_model *model, int64_t batch, int64_t seq)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    assert_non_null(g);
    para_model_build(g, model, batch, seq, false);
    must(para_graph_seal(g, &err), err);
    return g;
}

static bool is_parameter(const para_tensor *t)
{
    return para_tensor_kind(t) == PARA_PARAMETER && !para_tensor_producer(t);
}

/* Elements of the parameters that products read in the scopes that a name begins with. */
static int64_t product_parameters(const para_graph *g, const char *scope)
{
    int64_t sum = 0;
    for (int i = 0; i < para_graph_node_count(g); i++) {
        const para_node *n = para_graph_node(g, i);
        const para_tensor *w = strcmp(para_node_op(n), "matmul") == 0 ? para_node_input(n, 1) : NULL;
        if (w && strncmp(para_node_scope(n), scope, strlen(scope)) == 0)
            sum += para_tensor_elements(w);
    }
    return sum;
}

/* What a family says of its sizes is what it builds. */
static void sizes_are_those_of_the_graph(void **state)
{
    (void)state;
    for (const struct para_family *const *f = para_families; *f; f++)
        for (const struct para_preset *p = (*f)->presets; p->name; p++) {
            para_model *model = preset(p->name);
            para_graph *g = graph_of(model, 1, 2);
            para_model_sizes s = para_model_measure(model);
            int64_t parameters = 0;
            for (int i = 0; i < para_graph_tensor_count(g); i++)
                parameters += is_parameter(para_graph_tensor(g, i)) ? para_tensor_elements(para_graph_tensor(g, i)) : 0;
            assert_int_equal(s.parameters, parameters);
            assert_int_equal(s.layer_parameters, product_parameters(g, "layer."));
            assert_int_equal(s.head_parameters, product_parameters(g, "head"));
            assert_string_equal(para_model_family(model), (*f)->name);
            para_graph_free(g);
            para_model_free(model);
        }
}

/* Every parameter has a place in files, and of no two it is the same. */
static void parameters_have_places_in_files(void **state)
{
    (void)state;
    enum { MOST = 512, NAME = 128 };
    static char names[MOST][NAME];
    for (const struct para_family *const *f = para_families; *f; f++) {
        if (!(*f)->presets[0].name)
            continue;
        para_model *model = preset((*f)->presets[0].name);
        para_graph *g = graph_of(model, 1, 2);
        int count = 0;
        for (int i = 0; i < para_graph_tensor_count(g); i++) {
            const para_tensor *t = para_graph_tensor(g, i);
            if (!is_parameter(t))
                continue;
            assert_in_range(count, 0, MOST - 1);
            assert_graph(g, para_family_name(*f, PARA_FOLDER, para_tensor_name(t), names[count], NAME),
                         "a name in files of \"%s\"", para_tensor_name(t));
            for (int k = 0; k < count; k++)
                assert_string_not_equal(names[k], names[count]);
            count++;
        }
        assert_in_range(count, 1, MOST);
        para_graph_free(g);
        para_model_free(model);
    }
}

/* Rows that contradict each other would be found by users. */
static void rows_agree_with_each_other(void **state)
{
    (void)state;
    for (const struct para_family *const *f = para_families; *f; f++) {
        for (const struct para_evidence *e = (*f)->forms[PARA_FOLDER].evidence; e->tensor; e++) {
            int found = 0;
            for (const struct para_field *field = (*f)->fields; field->name; field++)
                found += field->size && (strcmp(field->name, e->rows) == 0 || strcmp(field->name, e->columns) == 0);
            assert_int_equal(found, 2);
        }
        for (const struct para_field *field = (*f)->fields; field->name; field++) {
            bool told = field->kind == PARA_FIELD_FIXED || field->kind == PARA_FIELD_TOLD;
            assert_int_equal(told, field->json || field->tell);
            assert_true(field->kind == PARA_FIELD_SIZE || field->size == NULL);
            assert_int_equal(field->kind == PARA_FIELD_WORD, field->words != NULL);
        }
    }
}

static void presets_are_listed(void **state)
{
    (void)state;
    para_error err = {0};
    para_model *model = NULL;
    assert_int_equal(para_model_preset(&model, "gpt3", &err), PARA_ENAME);
    assert_string_equal(err.message, "no preset is called \"gpt3\"; there are tiny, gpt2-124m, gpt2-355m, "
                                     "gpt2-774m, gpt2-xl, llama-15m, llama-110m, llama2-7b, llama3.2-1b, qwen2.5-0.5b");
    assert_null(model);
}

static void numbers_are_set_one_by_one(void **state)
{
    (void)state;
    para_error err = {0};
    para_model *model = preset("tiny"), *copy;
    must(para_model_copy(&copy, model, &err), err);
    must(para_model_set_size(copy, "heads", 8, &err), err);
    must(para_model_set_dropout(copy, 0.25, &err), err);
    para_model_set_weights(copy, PARA_BF16);
    assert_int_equal(para_model_measure(copy).heads, 8);
    assert_int_equal(para_model_measure(copy).head_dim, 16);
    assert_int_equal(para_model_measure(model).heads, 4);
    assert_true(para_model_as_gpt2(copy)->dropout == 0.25);
    assert_int_equal(para_model_as_gpt2(copy)->weights, PARA_BF16);
    assert_int_equal(para_model_set_size(copy, "experts", 8, &err), PARA_ENAME);
    assert_string_equal(err.message,
                        "gpt2: no size is called \"experts\"; there are layers, heads, embd, ff, vocab, context");
    must(para_model_set_size(copy, "heads", 3, &err), err);
    assert_int_equal(para_model_check(copy, &err), PARA_ERANGE);
    assert_string_equal(err.message, "gpt2: embd is 128, expected a multiple of heads, 3");
    para_model_free(copy);
    para_model_free(model);
}

/* Dropout that a file asks for stops at attention weights, which can't be dropped; a probability given anew leaves them
 * whole. */
static void dropout_given_anew_leaves_attention_whole(void **state)
{
    (void)state;
    para_error err = {0};
    para_model *model;
    para_gpt2 config = {.layers = 1, .heads = 1, .embd = 4, .ff = 4, .vocab = 5, .context = 4, .norm_eps = 1e-5};
    config.attn_dropout = 0.1;
    must(para_model_from_gpt2(&model, &config, &err), err);
    for (int given = 0; given < 2; given++) {
        para_graph *g = para_graph_new();
        assert_non_null(g);
        para_model_build(g, model, 1, 4, true);
        assert_int_equal(para_graph_seal(g, &err), given ? 0 : PARA_ESUPPORT);
        para_graph_free(g);
        must(para_model_set_dropout(model, 0.1, &err), err);
    }
    para_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_graph), cmocka_unit_test(parameters_have_places_in_files),
        cmocka_unit_test(rows_agree_with_each_other),   cmocka_unit_test(presets_are_listed),
        cmocka_unit_test(numbers_are_set_one_by_one),   cmocka_unit_test(dropout_given_anew_leaves_attention_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
