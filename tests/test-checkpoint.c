/* Checkpoints: what is saved is loaded, in any split; folders that hold something else are told apart. */
#include "tests/checkpoint.h"

#include "base/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- what is saved is loaded --- */

static void loads_what_was_saved(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 41);
    para_trainer saved = {.step = 41, .seed = UINT64_MAX, .best_loss = 1.8761234567890123}, loaded = {0};
    save(r, &saved);
    assert_alone(r);
    para_session *other = serial_session(r->g, false);
    para_error err = {0};
    must(para_checkpoint_load(r->dir, r->g, other, &loaded, &err), err);
    assert_same_values(r->g, r->s, other);
    assert_int_equal(loaded.step, saved.step);
    assert_true(loaded.seed == saved.seed);
    assert_true(loaded.best_loss == saved.best_loss);
    para_session_free(other);
    para_model *model;
    must(para_model_open(&model, r->dir, &err), err);
    assert_memory_equal(para_model_as_gpt2(model), &small, sizeof small);
    para_model_free(model);
}

static void trainers_are_kept_exactly(void **state)
{
    struct run *r = *state;
    static const para_trainer trainers[] = {
        {.step = 0, .seed = 0, .best_loss = -1},
        {.step = 5, .seed = (uint64_t)1 << 53, .best_loss = 0},
        {.step = 7,
         .seed = ((uint64_t)1 << 53) + 1,
         .best_loss = 0.1,
         .batch = 3,
         .seq = 1024,
         .sequential = true,
         .adamw = {{PARA_SCHEDULE_LINEAR, 1.0 / 3, 1e-300, 5, INT32_MAX}, 0.9, 0.99, 1e-8, 0.1, 0.7}},
        {.step = 8,
         .seed = 1,
         .best_loss = -1,
         .batch = 1,
         .seq = 1,
         .adamw = {{.kind = PARA_SCHEDULE_CONSTANT, .lr = 0.1}, 0.9, 0.99, 1e-8, 0, 0}}};
    para_error err = {0};
    for (size_t i = 0; i < sizeof trainers / sizeof trainers[0]; i++) {
        para_trainer loaded = {0}, told = {0};
        fill_session(r->s, r->g, (int32_t)trainers[i].step);
        save(r, &trainers[i]);
        must(para_checkpoint_trainer(r->dir, &told, &err), err);
        assert_memory_equal(&told, &trainers[i], sizeof told);
        must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
        assert_memory_equal(&loaded, &trainers[i], sizeof loaded);
    }
}

/* What can't be read back isn't written. */
static void bad_trainers_are_refused(void **state)
{
    struct run *r = *state;
    const para_trainer good = {.step = 1,
                               .seed = 1,
                               .best_loss = -1,
                               .batch = 1,
                               .seq = 1,
                               .adamw = {{.kind = PARA_SCHEDULE_CONSTANT, .lr = 0.1}, 0.9, 0.99, 1e-8, 0, 0}};
    para_trainer bad[] = {good, good, good, good};
    static const char *const names[] = {"schedule", "lr", "beta2", "batch"};
    bad[0].adamw.schedule.kind = (para_schedule_kind)3;
    bad[1].adamw.schedule.lr = (double)NAN;
    bad[2].adamw.beta2 = -1;
    bad[3].batch = -1;
    fill_session(r->s, r->g, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        para_error err = {0};
        assert_int_equal(para_checkpoint_save(r->dir, r->model, r->g, r->s, &bad[i], &err), PARA_EINVAL);
        assert_non_null(strstr(err.message, names[i]));
    }
}

static void assert_entry(const para_safetensors *f, const char *name, int rank, int64_t rows, int64_t columns)
{
    int i = para_safetensors_find(f, name);
    if (i < 0)
        fail_msg("the file has no tensor \"%s\"", name);
    para_entry e = para_safetensors_entry(f, i);
    assert_int_equal(e.rank, rank);
    assert_int_equal(e.shape[0], rows);
    if (rank == 2)
        assert_int_equal(e.shape[1], columns);
}

/* The names and shapes of GPT2LMHeadModel, and the elements in the graph's order. */
static void files_are_those_of_transformers(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 3);
    para_trainer trainer = {.step = 3, .seed = 1, .best_loss = -1};
    save(r, &trainer);
    para_error err = {0};
    char *path = path_join(r->dir, "model.safetensors"), *moments = path_join(r->dir, "optimizer.safetensors");
    para_safetensors *f;
    must(para_safetensors_open(&f, path, &err), err);
    assert_int_equal(para_safetensors_count(f), 28);
    assert_entry(f, "transformer.wte.weight", 2, 11, 8);
    assert_entry(f, "transformer.wpe.weight", 2, 7, 8);
    assert_entry(f, "transformer.h.1.attn.c_attn.weight", 2, 8, 24);
    assert_entry(f, "transformer.h.1.attn.c_attn.bias", 1, 24, 0);
    assert_entry(f, "transformer.h.1.attn.c_proj.weight", 2, 8, 8);
    assert_entry(f, "transformer.h.1.mlp.c_fc.weight", 2, 8, 20);
    assert_entry(f, "transformer.h.1.mlp.c_proj.weight", 2, 20, 8);
    assert_entry(f, "transformer.ln_f.bias", 1, 8, 0);
    para_entry e = para_safetensors_entry(f, para_safetensors_find(f, "transformer.h.1.attn.c_attn.weight"));
    float *x = get_floats(r->s, "layer.1.attn.qkv.weight", 8 * 24);
    assert_memory_equal(x, e.data, e.bytes);
    free(x);
    para_safetensors_close(f);

    must(para_safetensors_open(&f, moments, &err), err);
    assert_int_equal(para_safetensors_count(f), 2 * 28 + 1);
    assert_entry(f, "transformer.h.1.attn.c_attn.weight.m", 2, 8, 24);
    assert_entry(f, "transformer.wte.weight.v", 2, 11, 8);
    e = para_safetensors_entry(f, para_safetensors_find(f, PARA_STEP));
    assert_int_equal(e.rank, 0);
    assert_int_equal(e.dtype, PARA_I32);
    para_safetensors_close(f);
    free(path);
    free(moments);
}

/* Saved under one split, loaded under another and under none: moments too. */
static void splits_do_not_show(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 9);
    para_trainer trainer = {.step = 9, .seed = 1, .best_loss = -1}, loaded;
    save(r, &trainer);
    para_error err = {0};
    para_graph *split;
    must(para_graph_split_list(&split, r->g, "batch=2,heads=2,ff=3,vocab=2", NULL, 0, &err), err);
    para_session *s = serial_session(split, false), *back = serial_session(r->g, false);
    must(para_checkpoint_load(r->dir, split, s, &loaded, &err), err);
    assert_same_values(r->g, r->s, s);
    char *second = path_join(r->parent, "second");
    must(para_checkpoint_save(second, r->model, split, s, &trainer, &err), err);
    must(para_checkpoint_load(second, r->g, back, &loaded, &err), err);
    assert_same_values(r->g, r->s, back);
    free(second);
    para_session_free(back);
    para_session_free(s);
    para_graph_free(split);
}

/* --- folders that aren't what they should be --- */

/* Rewrite a file of the checkpoint, with one entry changed by `change`, which may drop it by setting its name to
 * NULL. Names lose their prefix, if `bare`. */
static void rewrite(const struct run *r, const char *file, bool bare, void (*change)(para_entry *e))
{
    enum { MOST = 64 };
    para_entry entries[MOST];
    int count = 0;
    para_error err = {0};
    char *path = path_join(r->dir, file);
    para_safetensors *f;
    must(para_safetensors_open(&f, path, &err), err);
    for (int i = 0; i < para_safetensors_count(f) && count < MOST; i++) {
        para_entry e = para_safetensors_entry(f, i);
        if (bare)
            e.name += strlen("transformer.");
        if (change)
            change(&e);
        if (e.name)
            entries[count++] = e;
    }
    must(para_safetensors_write(path, entries, count, &err), err);
    para_safetensors_close(f);
    free(path);
}

static void narrow_qkv(para_entry *e)
{
    if (strcmp(e->name, "h.1.attn.c_attn.weight") == 0) {
        e->shape[1] = 20;
        e->bytes = 8 * 20 * 4;
    }
}

static void flatten_proj(para_entry *e)
{
    if (strcmp(e->name, "h.0.attn.c_proj.weight") == 0) {
        e->shape[0] = 64;
        e->rank = 1;
    }
}

static void drop_norm(para_entry *e)
{
    if (strcmp(e->name, "h.1.ln_2.bias") == 0)
        e->name = NULL;
}

static void retype_norm(para_entry *e)
{
    if (strcmp(e->name, "ln_f.weight") == 0)
        e->dtype = PARA_I32;
}

static void untie_head(para_entry *e)
{
    static const float zeros[11 * 8];
    if (strcmp(e->name, "ln_f.bias") == 0)
        *e = (para_entry){"lm_head.weight", PARA_F32, 2, {11, 8}, zeros, sizeof zeros};
}

static void rename_norm(para_entry *e)
{
    if (strcmp(e->name, "h.1.ln_2.bias") == 0)
        e->name = "h.2.ln_2.bias";
}

/* Loading fails with the message and leaves the session as it was. */
static void assert_not_loaded(struct run *r, para_trainer *trainer, int code, const char *text)
{
    para_error err = {0};
    para_session *before = serial_session(r->g, false);
    fill_session(r->s, r->g, 77);
    fill_session(before, r->g, 77);
    int status = para_checkpoint_load(r->dir, r->g, r->s, trainer, &err);
    if (status != code)
        fail_msg("loading returned %s (%s), expected %s: %s", para_status_name(status), err.message,
                 para_status_name(code), text);
    assert_says(&err, text);
    assert_same_values(r->g, before, r->s);
    para_session_free(before);
}

static void names_may_lack_their_prefix(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 2);
    para_trainer trainer = {.step = 2, .seed = 1, .best_loss = -1};
    save(r, &trainer);
    rewrite(r, "model.safetensors", true, NULL);
    para_session *other = serial_session(r->g, false);
    para_error err = {0};
    must(para_checkpoint_load(r->dir, r->g, other, &trainer, &err), err);
    assert_same_values(r->g, r->s, other);
    para_session_free(other);
}

static void wrong_tensors_are_named(void **state)
{
    struct run *r = *state;
    static const struct {
        void (*change)(para_entry *e);
        int code;
        const char *text;
    } wrongs[] = {
        {narrow_qkv, PARA_ESHAPE,
         "model.safetensors: tensor \"h.1.attn.c_attn.weight\" has shape (8, 20), expected (8, 24)"
         " = (embd, 3 x heads x head_dim)"},
        {flatten_proj, PARA_ESHAPE,
         "\"h.0.attn.c_proj.weight\" has shape (64), expected (8, 8) = (heads x head_dim, embd)"},
        {drop_norm, PARA_EFORMAT, "model.safetensors: has no tensor \"transformer.h.1.ln_2.bias\""},
        {rename_norm, PARA_EFORMAT, "has no tensor \"transformer.h.1.ln_2.bias\""},
        {retype_norm, PARA_EFORMAT, "tensor \"ln_f.weight\" is i32, expected f32"},
        {untie_head, PARA_EFORMAT, "has no tensor \"transformer.ln_f.bias\""},
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        save(r, NULL);
        rewrite(r, "model.safetensors", true, wrongs[i].change);
        assert_not_loaded(r, NULL, wrongs[i].code, wrongs[i].text);
    }
}

/* Add a tensor to the checkpoint's model file. */
static void add_tensor(const struct run *r, const char *name, int64_t rows, int64_t columns)
{
    enum { COUNT = 28 };
    para_entry entries[COUNT + 1];
    para_error err = {0};
    char *path = path_join(r->dir, "model.safetensors");
    para_safetensors *f;
    must(para_safetensors_open(&f, path, &err), err);
    for (int i = 0; i < COUNT; i++)
        entries[i] = para_safetensors_entry(f, i);
    size_t bytes = (size_t)(rows * columns) * sizeof(float);
    float *zeros = must_alloc(bytes);
    memset(zeros, 0, bytes);
    entries[COUNT] = (para_entry){name, PARA_F32, 2, {rows, columns}, zeros, bytes};
    must(para_safetensors_write(path, entries, COUNT + 1, &err), err);
    para_safetensors_close(f);
    free(zeros);
    free(path);
}

static void extra_tensors_are_told_apart(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    save(r, NULL);
    add_tensor(r, "transformer.h.0.attn.bias", 7, 7); /* a mask, as older files have it */
    must(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), err);
    save(r, NULL);
    add_tensor(r, "transformer.h.2.attn.c_proj.weight", 8, 8);
    assert_not_loaded(r, NULL, PARA_EFORMAT,
                      "tensor \"transformer.h.2.attn.c_proj.weight\" has no place in this graph");
    save(r, NULL);
    add_tensor(r, "lm_head.weight", 11, 8);
    assert_not_loaded(r, NULL, PARA_ESUPPORT, "\"lm_head.weight\" differs from \"transformer.wte.weight\"");
}

/* Four heads of two are no two heads of four, though all shapes are the same. */
static void heads_are_compared(void **state)
{
    struct run *r = *state;
    para_gpt2 other = small;
    other.heads = 4;
    para_model *model = model_of(&other);
    para_graph *g = checkpoint_graph(&other);
    para_session *s = serial_session(g, false);
    para_error err = {0};
    must(para_checkpoint_save(r->dir, model, g, s, NULL, &err), err);
    para_session_free(s);
    para_graph_free(g);
    para_model_free(model);
    assert_not_loaded(r, NULL, PARA_ESHAPE, "config.json: n_head is 4, the graph has 2 heads");
}

#define TRAINING(batch, order, schedule, clip)                                                                         \
    "\"batch\": " batch ", \"seq\": 8, \"order\": " order ", \"schedule\": " schedule                                  \
    ", \"steps\": 9, \"warmup\": 0, \"lr\": 1e-3, \"min_lr\": 0, \"beta1\": 0.9, \"beta2\": 0.99, \"eps\": 1e-8, "     \
    "\"weight_decay\": 0, \"clip\": " clip

/* How a run is trained, in trainer.json, and what is wrong with it. */
static const char *const wrong_trainings[][2] = {
    {TRAINING("0", "\"random\"", "\"cosine\"", "1"), "\"batch\" is 0, expected a whole number from 1 to 2147483647"},
    {TRAINING("2147483648", "\"random\"", "\"cosine\"", "1"), "\"batch\" is 2147483648, expected a whole number"},
    {TRAINING("2.0", "\"random\"", "\"cosine\"", "1"), "\"batch\" is 2.0, expected a whole number"},
    {TRAINING("2", "\"reversed\"", "\"cosine\"", "1"),
     "\"order\" is \"reversed\", expected \"random\" or \"sequential\""},
    {TRAINING("2", "\"random\"", "0", "1"), "\"schedule\" is 0, expected \"constant\" or \"cosine\" or \"linear\""},
    {TRAINING("2", "\"random\"", "\"linear\"", "-1"), "\"clip\" is -1, expected a number of at least 0"},
    {"\"batch\": 2, \"order\": \"random\", \"schedule\": \"linear\"", "\"seq\" is missing, expected a whole number"},
};

static void a_trainer_needs_its_files(void **state)
{
    struct run *r = *state;
    para_trainer trainer = {.step = 5, .seed = 1, .best_loss = -1}, loaded = {.step = 1, .seed = 2, .best_loss = 3};
    save(r, NULL);
    assert_not_loaded(r, &loaded, PARA_EIO, "optimizer.safetensors: can't open");
    para_error err = {0};
    assert_int_equal(para_checkpoint_trainer(r->dir, &loaded, &err), PARA_EIO);
    assert_says(&err, "trainer.json: can't open");
    fill_session(r->s, r->g, 5);
    save(r, &trainer);
    write_text(r->dir, "trainer.json", "{\"step\": 6, \"seed\": 1, \"best_loss\": null}");
    assert_not_loaded(r, &loaded, PARA_EFORMAT, "trainer.json: step is 6, optimizer.safetensors has 5");
    write_text(r->dir, "trainer.json", "{\"step\": 5, \"seed\": \"18446744073709551616\", \"best_loss\": null}");
    assert_not_loaded(r, &loaded, PARA_EFORMAT, "\"seed\" is \"18446744073709551616\", expected a whole number from 0");
    write_text(r->dir, "trainer.json", "{\"step\": 5, \"seed\": -1, \"best_loss\": null}");
    assert_not_loaded(r, &loaded, PARA_EFORMAT, "\"seed\" is -1");
    write_text(r->dir, "trainer.json", "{\"step\": 5, \"seed\": 1}");
    assert_not_loaded(r, &loaded, PARA_EFORMAT, "\"best_loss\" is missing");
    for (size_t i = 0; i < sizeof wrong_trainings / sizeof wrong_trainings[0]; i++) {
        char text[400];
        snprintf(text, sizeof text, "{\"step\": 5, \"seed\": 1, \"best_loss\": null, %s}", wrong_trainings[i][0]);
        write_text(r->dir, "trainer.json", text);
        assert_not_loaded(r, &loaded, PARA_EFORMAT, wrong_trainings[i][1]);
    }
    write_text(r->dir, "trainer.json", "{\"step\": 5,");
    assert_not_loaded(r, &loaded, PARA_EFORMAT, "trainer.json:1:");
    assert_int_equal(loaded.step, 1);
}

static void spoil_moment(para_entry *e)
{
    static float spoilt[8] = {[5] = NAN};
    if (strcmp(e->name, "transformer.ln_f.bias.m") == 0)
        e->data = spoilt;
}

static void states_must_be_finite(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 5);
    save(r, &(para_trainer){.step = 5, .seed = 1, .best_loss = -1});
    rewrite(r, "optimizer.safetensors", false, spoil_moment);
    assert_not_loaded(
        r, &(para_trainer){0}, PARA_EFORMAT,
        "optimizer.safetensors: tensor \"transformer.ln_f.bias.m\" has an element, number 5, that isn't finite");
}

static void save_checks_the_step(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 4);
    para_trainer trainer = {.step = 5, .seed = 1, .best_loss = -1};
    para_error err = {0};
    assert_int_equal(para_checkpoint_save(r->dir, r->model, r->g, r->s, &trainer, &err), PARA_EINVAL);
    assert_says(&err, "the trainer has done 5 steps, the session's optimizer.step is 4");
    assert_false(there(r->parent, "model"));
    assert_false(there(r->parent, "model.paragraph-new"));
}

/* A checkpoint of a run in bfloat16 is one of float32: nothing in it tells. */
static void checkpoints_hold_float32(void **state)
{
    struct run *r = *state;
    para_trainer trainer = {.seed = 5, .step = 3, .best_loss = -1}, found;
    para_error err = {0};
    para_graph *half = NULL;
    must(para_graph_precision(&half, r->g, PARA_BF16, &err), err);
    para_session *s = serial_session(half, false), *back = serial_session(r->g, false);
    fill_session(r->s, r->g, 3);
    save(r, &trainer);
    must(para_checkpoint_load(r->dir, half, s, &found, &err), err);
    assert_same_values(r->g, r->s, s);
    must(para_checkpoint_save(r->dir, r->model, half, s, &trainer, &err), err);
    must(para_checkpoint_load(r->dir, r->g, back, &found, &err), err);
    assert_same_values(r->g, s, back);
    para_session_free(back);
    para_session_free(s);
    para_graph_free(half);
}

/* --- weights in blocks --- */

/* Heads are 48 wide, one and a half blocks. */
static const para_gpt2 wide = {
    .layers = 1, .heads = 4, .embd = 192, .ff = 96, .vocab = 11, .context = 7, .norm_eps = 1e-5};

static para_graph *wide_graph(para_dtype weights, const char *split)
{
    para_gpt2 model = wide;
    para_graph *written = para_graph_new(), *g = NULL;
    para_error err = {0};
    model.weights = weights;
    para_gpt2_build(written, &model, 1, 4, false);
    must(para_graph_seal(written, &err), err);
    must(para_graph_split_list(&g, written, split, NULL, 0, &err), err);
    para_graph_free(written);
    return g;
}

/* A parameter of `g`, written or split, holds the values x of t in its own type and order. */
static void assert_holds(const para_graph *g, para_session *s, const para_tensor *t, const float *x)
{
    const para_tensor *own = NULL;
    for (int i = 0; i < para_graph_tensor_count(g) && !own; i++)
        if (strcmp(para_tensor_base(para_graph_tensor(g, i)), para_tensor_name(t)) == 0)
            own = para_graph_tensor(g, i);
    assert_non_null(own);
    int64_t n = whole_elements(t);
    size_t bytes = para_dtype_span(para_tensor_dtype(own), n);
    float *ordered = must_alloc((size_t)n * sizeof *ordered);
    void *expected = ordered, *found = must_alloc(bytes);
    put_in_order_of(own, t, x, ordered);
    if (para_tensor_dtype(own) != PARA_F32) {
        expected = must_alloc(bytes);
        assert_true(para_quantize(para_tensor_dtype(own), n, ordered, expected));
    }
    para_error err = {0};
    must(para_session_get(s, para_tensor_name(t), found, bytes, &err), err);
    assert_memory_equal(found, expected, bytes);
    if (expected != ordered)
        free(expected);
    free(found);
    free(ordered);
}

static void check_blocks(const char *folder, const para_graph *full, para_session *from, para_dtype weights,
                         const char *split)
{
    para_graph *g = wide_graph(weights, split);
    para_session *s = serial_session(g, false);
    para_error err = {0};
    must(para_checkpoint_load(folder, g, s, NULL, &err), err);
    for (int i = 0; i < para_graph_tensor_count(full); i++) {
        const para_tensor *t = para_graph_tensor(full, i);
        if (para_tensor_kind(t) != PARA_PARAMETER)
            continue;
        float *x = get_floats(from, para_tensor_name(t), para_tensor_elements(t));
        assert_holds(g, s, t, x);
        free(x);
    }
    para_model *model = model_of(&wide);
    assert_int_equal(para_checkpoint_save(folder, model, g, s, NULL, &err), PARA_ESUPPORT);
    assert_says(&err, "expected weights of f32 or bf16 to save");
    para_model_free(model);
    para_session_free(s);
    para_graph_free(g);
}

/* A file's matrices have what products contract first, blocks last. */
static void blocks_are_made_of_rows(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    para_graph *full = wide_graph(PARA_F32, "");
    para_session *from = serial_session(full, false);
    para_model *model = model_of(&wide);
    fill_session(from, full, 9);
    must(para_checkpoint_save(r->dir, model, full, from, NULL, &err), err);
    check_blocks(r->dir, full, from, PARA_Q8_0, "");
    check_blocks(r->dir, full, from, PARA_Q8_0, "heads=2,ff=3,vocab=2");
    check_blocks(r->dir, full, from, PARA_Q4_0, "heads=4,ff=2,embd=2");
    para_model_free(model);
    para_session_free(from);
    para_graph_free(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(checkpoints_hold_float32, set_up, tear_down),
        cmocka_unit_test_setup_teardown(loads_what_was_saved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blocks_are_made_of_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trainers_are_kept_exactly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_trainers_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_those_of_transformers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_do_not_show, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_may_lack_their_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_tensors_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(extra_tensors_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(heads_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_trainer_needs_its_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(states_must_be_finite, set_up, tear_down),
        cmocka_unit_test_setup_teardown(save_checks_the_step, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
