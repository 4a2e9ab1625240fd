#include "tests/checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const para_gpt2 small = {.layers = 2,
                         .heads = 2,
                         .embd = 8,
                         .ff = 20,
                         .vocab = 11,
                         .context = 7,
                         .dropout = 0.125,
                         .embd_dropout = 0.125,
                         .norm_eps = 1e-5};

para_graph *checkpoint_graph(const para_gpt2 *model)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_model_graph built = para_gpt2_build(g, model, 2, 4, true);
    must(para_graph_backward(g, built.loss, &err), err);
    para_adamw_options options = para_adamw_default();
    must(para_graph_adamw(g, &options, &err), err);
    must(para_graph_seal(g, &err), err);
    return g;
}

para_model *model_of(const para_gpt2 *config)
{
    para_error err = {0};
    para_model *model;
    must(para_model_from_gpt2(&model, config, &err), err);
    return model;
}

int set_up(void **state)
{
    static struct run r;
    r.parent = temp_dir();
    r.dir = path_join(r.parent, "model");
    r.model = model_of(&small);
    r.g = checkpoint_graph(&small);
    r.s = serial_session(r.g, false);
    *state = &r;
    return 0;
}

int tear_down(void **state)
{
    struct run *r = *state;
    para_session_free(r->s);
    para_graph_free(r->g);
    para_model_free(r->model);
    free(r->dir);
    temp_dir_remove(r->parent);
    return 0;
}

static bool is_kept(const para_tensor *t)
{
    para_kind kind = para_tensor_kind(t);
    return (kind == PARA_PARAMETER || kind == PARA_STATE) && !para_tensor_producer(t);
}

void fill_session(para_session *s, const para_graph *g, int32_t seed)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_kept(t))
            continue;
        int64_t n = para_tensor_elements(t);
        float *x = must_alloc((size_t)n * sizeof *x);
        fill_uniform(x, n, (uint64_t)seed, (uint64_t)i, -1, 1);
        if (strcmp(para_tensor_name(t), PARA_STEP) == 0)
            memcpy(x, &seed, sizeof seed);
        set_value(s, para_tensor_name(t), x, (size_t)n * sizeof *x);
        free(x);
    }
}

void assert_same_values(const para_graph *g, para_session *a, para_session *b)
{
    int values = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_kept(t))
            continue;
        int64_t n = para_tensor_elements(t);
        float *x = get_floats(a, para_tensor_name(t), n), *y = get_floats(b, para_tensor_name(t), n);
        if (memcmp(x, y, (size_t)n * sizeof *x) != 0)
            fail_msg("\"%s\" differs", para_tensor_name(t));
        free(x);
        free(y);
        values++;
    }
    assert_int_equal(values, 3 * 28 + 1); /* parameters, two moments each, the step */
}

bool there(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    struct stat about;
    bool found = lstat(path, &about) == 0;
    free(path);
    return found;
}

void assert_alone(const struct run *r)
{
    assert_true(there(r->parent, "model"));
    assert_false(there(r->parent, "model.paragraph-new"));
    assert_false(there(r->parent, "model.paragraph-next"));
}

void write_text(const char *folder, const char *name, const char *text)
{
    char *path = path_join(folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(path);
}

void save(struct run *r, const para_trainer *trainer)
{
    para_error err = {0};
    must(para_checkpoint_save(r->dir, r->model, r->g, r->s, trainer, &err), err);
}

void assert_says(const para_error *err, const char *text)
{
    if (!strstr(err->message, text))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err->message, text);
}
