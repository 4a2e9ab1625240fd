/* Checkpoints: what is saved is loaded, in any split; a crash leaves a whole one; other folders are told apart. */
#include "tests/support.h"

#include <paragraph/data.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const para_gpt2 small = {
    .layers = 2, .heads = 2, .embd = 8, .ff = 20, .vocab = 11, .context = 7, .dropout = 0.125, .norm_eps = 1e-5};

/* A training graph of the small model, a session of it, and a folder to save to. */
struct run {
    char *parent, *dir;
    para_graph *g;
    para_session *s;
};

static para_graph *training_graph(const para_gpt2 *model)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_gpt2_graph built = para_gpt2_build(g, model, 2, 4, true);
    must(para_graph_backward(g, built.loss, &err), err);
    para_adamw_options options = para_adamw_default();
    must(para_graph_adamw(g, &options, &err), err);
    must(para_graph_seal(g, &err), err);
    return g;
}

static int set_up(void **state)
{
    static struct run r;
    r.parent = temp_dir();
    r.dir = path_join(r.parent, "model");
    r.g = training_graph(&small);
    r.s = serial_session(r.g, false);
    *state = &r;
    return 0;
}

static int tear_down(void **state)
{
    struct run *r = *state;
    para_session_free(r->s);
    para_graph_free(r->g);
    free(r->dir);
    temp_dir_remove(r->parent);
    return 0;
}

static bool is_kept(const para_tensor *t)
{
    para_kind kind = para_tensor_kind(t);
    return (kind == PARA_PARAMETER || kind == PARA_STATE) && !para_tensor_producer(t);
}

/* Set every parameter and moment to values of their own, made from `seed`, and the step to `seed` too. */
static void fill_session(para_session *s, const para_graph *g, int32_t seed)
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

/* Fail unless every kept value of session b, whatever its splits, is that of a, to the bit. */
static void assert_same_values(const para_graph *g, para_session *a, para_session *b)
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

static bool there(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    struct stat about;
    bool found = lstat(path, &about) == 0;
    free(path);
    return found;
}

/* Nothing but the checkpoint itself may be left in its parent folder. */
static void assert_alone(const struct run *r)
{
    assert_true(there(r->parent, "model"));
    assert_false(there(r->parent, "model.paragraph-new"));
    assert_false(there(r->parent, "model.paragraph-old"));
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char *path = path_join(folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(path);
}

static void save(struct run *r, const para_trainer *trainer)
{
    para_error err = {0};
    must(para_checkpoint_save(r->dir, &small, r->g, r->s, trainer, &err), err);
}

static void assert_says(const para_error *err, const char *text)
{
    if (!strstr(err->message, text))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err->message, text);
}

/* --- what is saved is loaded --- */

static void loads_what_was_saved(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 41);
    para_trainer saved = {41, UINT64_MAX, 1.8761234567890123}, loaded = {0};
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
    para_gpt2 config;
    must(para_checkpoint_config(r->dir, &config, &err), err);
    assert_memory_equal(&config, &small, sizeof small);
}

static void trainers_are_kept_exactly(void **state)
{
    struct run *r = *state;
    static const para_trainer trainers[] = {{0, 0, -1}, {5, (uint64_t)1 << 53, 0}, {7, ((uint64_t)1 << 53) + 1, 0.1}};
    para_error err = {0};
    for (size_t i = 0; i < sizeof trainers / sizeof trainers[0]; i++) {
        para_trainer loaded = {0};
        fill_session(r->s, r->g, (int32_t)trainers[i].step);
        save(r, &trainers[i]);
        must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
        assert_memory_equal(&loaded, &trainers[i], sizeof loaded);
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
    para_trainer trainer = {3, 1, -1};
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
    para_trainer trainer = {9, 1, -1}, loaded;
    save(r, &trainer);
    para_error err = {0};
    para_graph *split;
    must(para_graph_split_list(&split, r->g, "batch=2,heads=2,ff=3,vocab=2", NULL, 0, &err), err);
    para_session *s = serial_session(split, false), *back = serial_session(r->g, false);
    must(para_checkpoint_load(r->dir, split, s, &loaded, &err), err);
    assert_same_values(r->g, r->s, s);
    char *second = path_join(r->parent, "second");
    must(para_checkpoint_save(second, &small, split, s, &trainer, &err), err);
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
    para_trainer trainer = {2, 1, -1};
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
    para_graph *g = training_graph(&other);
    para_session *s = serial_session(g, false);
    para_error err = {0};
    must(para_checkpoint_save(r->dir, &other, g, s, NULL, &err), err);
    para_session_free(s);
    para_graph_free(g);
    assert_not_loaded(r, NULL, PARA_ESHAPE, "config.json: n_head is 4, the graph has 2 heads");
}

static void a_trainer_needs_its_files(void **state)
{
    struct run *r = *state;
    para_trainer trainer = {5, 1, -1}, loaded = {1, 2, 3};
    save(r, NULL);
    assert_not_loaded(r, &loaded, PARA_EIO, "optimizer.safetensors: can't open");
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
    write_text(r->dir, "trainer.json", "{\"step\": 5,");
    assert_not_loaded(r, &loaded, PARA_EFORMAT, "trainer.json:1:");
    assert_int_equal(loaded.step, 1);
}

static void save_checks_the_step(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 4);
    para_trainer trainer = {5, 1, -1};
    para_error err = {0};
    assert_int_equal(para_checkpoint_save(r->dir, &small, r->g, r->s, &trainer, &err), PARA_EINVAL);
    assert_says(&err, "the trainer has done 5 steps, the session's optimizer.step is 4");
    assert_false(there(r->parent, "model"));
    assert_false(there(r->parent, "model.paragraph-new"));
}

static void config_fields_are_checked(void **state)
{
    struct run *r = *state;
    static const char start[] = "{\"model_type\": \"gpt2\", \"n_layer\": 2, \"n_head\": 2, \"n_embd\": 8, ";
    static const char rest[] = "\"vocab_size\": 11, \"n_positions\": 7";
    static const struct {
        const char *start, *rest, *more, *text;
    } wrongs[] = {
        {"", "", "", "config.json:1:0"},
        {"[", "3]", "", "expected a JSON object"},
        {"{", "}", "", "\"model_type\" is missing, expected \"gpt2\""},
        {"{\"model_type\": \"llama\"", "}", "", "\"model_type\" is \"llama\", expected \"gpt2\""},
        {start, "\"vocab_size\": 11", "}", "\"n_positions\" is missing, expected a whole number of at least 1"},
        {start, rest, ", \"n_inner\": 0}", "\"n_inner\" is 0"},
        {start, rest, ", \"n_inner\": \"20\"}", "\"n_inner\" is \"20\""},
        {start, rest, ", \"n_layer\": 3}", "duplicate"},
        {start, rest, ", \"activation_function\": \"relu\"}",
         "\"activation_function\" is \"relu\", expected \"gelu_new\""},
        {start, rest, ", \"tie_word_embeddings\": false}", "\"tie_word_embeddings\" is false, expected true"},
        {start, rest, ", \"scale_attn_by_inverse_layer_idx\": true}", "expected false"},
        {start, rest, ", \"layer_norm_epsilon\": \"small\"}", "\"layer_norm_epsilon\" is \"small\", expected a number"},
        {start, rest, ", \"resid_pdrop\": 1.5}", "dropout is 1.5"},
    };
    save(r, NULL);
    para_error err = {0};
    para_gpt2 model = small;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s%s", wrongs[i].start, wrongs[i].rest, wrongs[i].more);
        write_text(r->dir, "config.json", text);
        assert_int_equal(para_checkpoint_config(r->dir, &model, &err), PARA_EFORMAT);
        assert_says(&err, "config.json");
        assert_says(&err, wrongs[i].text);
    }
    assert_memory_equal(&model, &small, sizeof small);
    char text[512];
    snprintf(text, sizeof text, "%s%s, \"n_inner\": null}", start, rest);
    write_text(r->dir, "config.json", text);
    must(para_checkpoint_config(r->dir, &model, &err), err);
    assert_int_equal(model.ff, 4 * 8);
    assert_true(model.norm_eps == 1e-5);
    assert_int_equal(para_checkpoint_config(r->parent, &model, &err), PARA_EIO);
}

/* --- folders being replaced --- */

static void other_files_stay(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 1);
    para_trainer trainer = {1, 1, -1};
    save(r, &trainer);
    write_text(r->dir, "merges.txt", "a b\n");
    save(r, NULL);
    assert_true(there(r->dir, "merges.txt"));
    assert_false(there(r->dir, "optimizer.safetensors"));
    assert_false(there(r->dir, "trainer.json"));
    assert_alone(r);
}

static void folders_that_hold_folders_are_not_replaced(void **state)
{
    struct run *r = *state;
    save(r, NULL);
    char *inner = path_join(r->dir, "precious");
    assert_int_equal(mkdir(inner, 0777), 0);
    para_error err = {0};
    assert_int_equal(para_checkpoint_save(r->dir, &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_says(&err, "holds a folder, \"precious\"");
    assert_true(there(r->dir, "precious"));
    assert_alone(r);
    assert_int_equal(para_checkpoint_save(".", &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_save("/", &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_save("", &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    free(inner);
    write_text(r->parent, "file", "");
    char *file = path_join(r->parent, "file"), *nowhere = path_join(r->parent, "no/where");
    assert_int_equal(para_checkpoint_save(file, &small, r->g, r->s, NULL, &err), PARA_EIO);
    assert_says(&err, "isn't a folder");
    assert_int_equal(para_checkpoint_save(nowhere, &small, r->g, r->s, NULL, &err), PARA_EIO);
    assert_says(&err, "can't make the folder");
    free(file);
    free(nowhere);
}

/* A link to the folder goes on pointing at it. */
static void links_are_followed(void **state)
{
    struct run *r = *state;
    save(r, NULL);
    fill_session(r->s, r->g, 6);
    para_trainer trainer = {6, 1, -1}, loaded;
    char *link_path = path_join(r->parent, "latest");
    assert_int_equal(symlink("model", link_path), 0);
    para_error err = {0};
    must(para_checkpoint_save(link_path, &small, r->g, r->s, &trainer, &err), err);
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 6);
    assert_alone(r);
    free(link_path);
}

/* What crashes leave: half a new folder beside the old one; or, without an exchange of names, the old one aside. */
static void leftovers_do_no_harm(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 8);
    para_trainer trainer = {8, 1, -1}, loaded = {0};
    save(r, &trainer);
    write_text(r->dir, "merges.txt", "a b\n");
    char *temporary = path_join(r->parent, "model.paragraph-new"), *old = path_join(r->parent, "model.paragraph-old");
    para_error err = {0};
    assert_int_equal(mkdir(temporary, 0777), 0);
    write_text(temporary, "model.safetensors.tmp", "half");
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 8);
    save(r, &trainer);
    assert_alone(r);

    assert_int_equal(rename(r->dir, old), 0);
    loaded = (para_trainer){0};
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 8);
    save(r, &trainer);
    assert_alone(r);
    assert_true(there(r->dir, "merges.txt"));
    free(temporary);
    free(old);
}

/* Folders that a user keeps beside the checkpoint are neither read nor removed, whatever their names. */
static void neighbours_are_left_alone(void **state)
{
    struct run *r = *state;
    static const char *const names[] = {"model.old", "model.tmp", "model.bak"};
    para_error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = path_join(r->parent, names[i]);
        assert_int_equal(mkdir(path, 0777), 0);
        write_text(path, "model.safetensors", "mine");
        free(path);
    }
    assert_int_equal(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), PARA_EIO);
    assert_says(&err, "is no folder");
    save(r, NULL);
    save(r, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = path_join(r->parent, names[i]);
        assert_true(there(path, "model.safetensors"));
        free(path);
    }
}

/* What a save would refuse is told before, and the check leaves nothing behind. */
static void checks_where_to_save(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    must(para_checkpoint_check(r->dir, &err), err);
    assert_false(there(r->parent, "model"));
    assert_false(there(r->parent, "model.paragraph-new"));
    save(r, NULL);
    must(para_checkpoint_check(r->dir, &err), err);
    assert_alone(r);
    assert_int_equal(para_checkpoint_check("", &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_check("/", &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_check("..//", &err), PARA_EINVAL);
    assert_says(&err, "\"..//\" can't be replaced");
    char *sub = path_join(r->dir, "sub"), *far = path_join(sub, "no/model");
    assert_int_equal(mkdir(sub, 0777), 0);
    assert_int_equal(para_checkpoint_check(r->dir, &err), PARA_EINVAL);
    assert_says(&err, "holds a folder, \"sub\"");
    assert_int_equal(para_checkpoint_check(far, &err), PARA_EIO);
    assert_int_equal(rmdir(sub), 0);
    free(sub);
    free(far);
}

/* At every limit on file sizes below what it needs, a save fails, says so, and leaves the old checkpoint alone. */
static void failed_saves_leave_the_old_one(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 1);
    para_trainer first = {1, 1, -1}, second = {2, 1, -1}, loaded;
    save(r, &first);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static const rlim_t limits[] = {0, 10, 1000, 8000, 16000};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        fill_session(r->s, r->g, 2);
        struct rlimit limit = {limits[i], before.rlim_max};
        para_error err = {0};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        int status = para_checkpoint_save(r->dir, &small, r->g, r->s, &second, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status, PARA_EIO);
        assert_says(&err, "can't write");
        assert_alone(r);
        must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
        assert_int_equal(loaded.step, 1);
    }
    signal(SIGXFSZ, handler);
}

/* A process is killed while it saves checkpoints 1, 2, 3, ...: each time, one of them is there, whole. On a busy
 * machine it takes more, later kills until a save was finished. */
static void kills_leave_a_whole_checkpoint(void **state)
{
    struct run *r = *state;
    enum { KILLS = 25, MOST_KILLS = 500 };
    para_session *expected = serial_session(r->g, false);
    para_error err = {0};
    int64_t last = 0;
    for (int kill_number = 0; kill_number < KILLS || (last == 0 && kill_number < MOST_KILLS); kill_number++) {
        fill_session(r->s, r->g, (int32_t)last);
        para_trainer trainer = {last, 1, -1};
        save(r, &trainer);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            for (int32_t step = (int32_t)last + 1;; step++) {
                fill_session(r->s, r->g, step);
                trainer.step = step;
                if (para_checkpoint_save(r->dir, &small, r->g, r->s, &trainer, NULL) < 0)
                    _exit(1);
            }
        usleep((useconds_t)(2000 + 1337 * kill_number));
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        must(para_checkpoint_load(r->dir, r->g, r->s, &trainer, &err), err);
        assert_true(trainer.step >= last);
        last = trainer.step;
        fill_session(expected, r->g, (int32_t)last);
        assert_same_values(r->g, expected, r->s);
    }
    assert_true(last > 0);
    para_session_free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loads_what_was_saved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trainers_are_kept_exactly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_those_of_transformers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_do_not_show, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_may_lack_their_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_tensors_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(extra_tensors_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(heads_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_trainer_needs_its_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(save_checks_the_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(config_fields_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_that_hold_folders_are_not_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leftovers_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neighbours_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checks_where_to_save, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_saves_leave_the_old_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kills_leave_a_whole_checkpoint, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
