/* Folders of transformers, of GPT-2, Llama, Mistral, Qwen2 and Qwen3: logits and 20 steps of training of those in
 * tests/golden, which tests/interop/make-golden.py made in float64; weights in half precision and in several files.
 * GGUF files beside them are what llama.cpp's converter made of the folders (tests/interop/convert-hf.py). */
#include "tests/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEQ = 12, WINDOWS = 7, BATCH = 3, STEPS = 20, VOCAB = 67 };
static const double LOGITS = 1e-5, LOSSES = 1e-5;
static const struct {
    const char *name, *expected, *path;
} golden_folders[] = {
    {"f32", "hf-expected.safetensors", "golden/hf-f32"},
    {"f16", "hf-expected.safetensors", "golden/hf-f16"},
    {"bf16", "hf-expected.safetensors", "golden/hf-bf16"},
    {"sharded", "hf-expected.safetensors", "golden/hf-sharded"},
    {"llama", "hf-kin-expected.safetensors", "golden/hf-llama"},
    {"mistral", "hf-kin-expected.safetensors", "golden/hf-mistral"},
    {"qwen2", "hf-kin-expected.safetensors", "golden/hf-qwen2"},
    {"qwen3", "hf-kin-expected.safetensors", "golden/hf-qwen3"},
    {"f32", "hf-expected.safetensors", "golden/hf-f32.gguf"},
    {"llama", "hf-kin-expected.safetensors", "golden/hf-llama.gguf"},
    {"qwen3", "hf-kin-expected.safetensors", "golden/hf-qwen3.gguf"},
};
enum { FOLDERS = sizeof golden_folders / sizeof golden_folders[0] };

static para_safetensors *open_file(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    para_safetensors *f = NULL;
    para_error err = {0};
    must(para_safetensors_open(&f, path, &err), err);
    free(path);
    return f;
}

static para_entry expected(const para_safetensors *f, const char *folder, const char *what, size_t bytes)
{
    char name[40];
    snprintf(name, sizeof name, "%s%s", folder, what);
    int i = para_safetensors_find(f, name);
    assert_in_range(i, 0, para_safetensors_count(f) - 1);
    para_entry e = para_safetensors_entry(f, i);
    assert_int_equal(e.bytes, bytes);
    return e;
}

/* Build a graph by a golden folder's configuration and load its weights. */
static para_session *load_golden(para_graph **g, int which, int64_t batch, bool training)
{
    const char *name = golden_folders[which].name;
    char *folder = test_file(golden_folders[which].path);
    para_error err = {0};
    para_model *model;
    must(para_model_open(&model, folder, &err), err);
    if (para_model_as_gpt2(model))
        assert_int_equal(para_model_as_gpt2(model)->gelu_erf, strcmp(name, "f16") == 0);
    else
        assert_string_equal(para_model_family(model), name);
    *g = para_graph_new();
    para_model_graph built = para_model_build(*g, model, batch, SEQ, training);
    para_model_free(model);
    if (training) {
        para_adamw_options o = para_adamw_default();
        o.schedule = (para_schedule){.kind = PARA_SCHEDULE_CONSTANT, .lr = 1e-2, .warmup = 4, .steps = STEPS};
        o.beta1 = 0.9, o.beta2 = 0.99, o.weight_decay = 0.1, o.clip = 1.0;
        must(para_graph_backward(*g, built.loss, &err), err);
        must(para_graph_adamw(*g, &o, &err), err);
    }
    must(para_graph_seal(*g, &err), err);
    para_session *s = serial_session(*g, false);
    must(para_checkpoint_load(folder, *g, s, NULL, &err), err);
    free(folder);
    return s;
}

/* Windows first, first + 1, ... of the golden text, from the start again after the last. */
static void set_windows(para_session *s, const char *name, const para_entry *ids, int first, int count, int shift)
{
    int32_t tokens[WINDOWS * SEQ];
    const int32_t *text = ids->data;
    for (int row = 0; row < count; row++)
        memcpy(tokens + (ptrdiff_t)row * SEQ, text + (ptrdiff_t)((first + row) % WINDOWS) * SEQ + shift,
               SEQ * sizeof *tokens);
    set_value(s, name, tokens, (size_t)(count * SEQ) * sizeof *tokens);
}

static void logits_are_those_of_transformers(void **state)
{
    (void)state;
    char *golden = test_file("golden");
    for (int i = 0; i < FOLDERS; i++) {
        const char *name = golden_folders[i].name;
        para_safetensors *f = open_file(golden, golden_folders[i].expected);
        para_entry ids = expected(f, "", "ids", (WINDOWS * SEQ + 1) * sizeof(int32_t));
        para_graph *g;
        para_session *s = load_golden(&g, i, WINDOWS, false);
        set_windows(s, "tokens", &ids, 0, WINDOWS, 0);
        run_once(s);
        para_entry truth = expected(f, name, ".logits", WINDOWS * SEQ * VOCAB * sizeof(float));
        float *logits = get_floats(s, "logits", WINDOWS * SEQ * VOCAB);
        for (int64_t row = 0; row < WINDOWS * SEQ; row++)
            assert_close(NULL, name, logits + row * VOCAB, (const float *)truth.data + row * VOCAB, VOCAB, LOGITS);
        free(logits);
        para_session_free(s);
        para_graph_free(g);
        para_safetensors_close(f);
    }
    free(golden);
}

static void losses_are_those_of_pytorch(void **state)
{
    (void)state;
    char *golden = test_file("golden");
    for (int i = 0; i < FOLDERS; i++) {
        const char *name = golden_folders[i].name;
        para_safetensors *f = open_file(golden, golden_folders[i].expected);
        para_entry ids = expected(f, "", "ids", (WINDOWS * SEQ + 1) * sizeof(int32_t));
        para_graph *g;
        para_session *s = load_golden(&g, i, BATCH, true);
        const float *losses = expected(f, name, ".losses", STEPS * sizeof(float)).data;
        for (int step = 0; step < STEPS; step++) {
            set_windows(s, "tokens", &ids, step * BATCH, BATCH, 0);
            set_windows(s, "targets", &ids, step * BATCH, BATCH, 1);
            run_once(s);
            float *loss = get_floats(s, "loss", 1);
            if (!(fabs((double)*loss - losses[step]) <= LOSSES))
                fail_msg("%s, step %d: the loss is %.9g, expected %.9g", name, step, (double)*loss,
                         (double)losses[step]);
            free(loss);
        }
        para_session_free(s);
        para_graph_free(g);
        para_safetensors_close(f);
    }
    free(golden);
}

/* --- half precision --- */

/* Every kind of number there is, as both types have it. */
static const uint16_t f16[8] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfc00, 0x7e01};
static const uint16_t bf16[8] = {0x0000, 0x8000, 0x0001, 0x807f, 0x0080, 0x7f7f, 0xff80, 0x7fc1};
static const float f16_values[8] = {0.0f, -0.0f, 0x1p-24f, -0x1.ff8p-15f, 0x1p-14f, 65504.0f, -INFINITY, NAN};
static const float bf16_values[8] = {0.0f, -0.0f, 0x1p-133f, -0x1.fcp-127f, 0x1p-126f, 0x1.fep127f, -INFINITY, NAN};

/* Write the run's weights anew in a half type: zeros, but for ln_f.weight. */
static void halve(const struct run *r, para_dtype dtype, const uint16_t bits[8])
{
    enum { MOST = 28 };
    static const uint16_t zeros[512];
    para_entry entries[MOST];
    para_error err = {0};
    char *path = path_join(r->dir, "model.safetensors");
    para_safetensors *f = open_file(r->dir, "model.safetensors");
    assert_int_equal(para_safetensors_count(f), MOST);
    for (int i = 0; i < MOST; i++) {
        entries[i] = para_safetensors_entry(f, i);
        entries[i].dtype = dtype;
        entries[i].bytes /= 2;
        assert_true(entries[i].bytes <= sizeof zeros);
        entries[i].data = strcmp(entries[i].name, "transformer.ln_f.weight") == 0 ? bits : zeros;
    }
    must(para_safetensors_write(path, entries, MOST, &err), err);
    para_safetensors_close(f);
    free(path);
}

static void halves_are_read_exactly(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    for (int k = 0; k < 2; k++) {
        const float *values = k ? bf16_values : f16_values;
        save(r, NULL);
        halve(r, k ? PARA_BF16 : PARA_F16, k ? bf16 : f16);
        fill_session(r->s, r->g, 5);
        must(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), err);
        float *x = get_floats(r->s, "ln_f.weight", 8), *zero = get_floats(r->s, "wpe", 7 * 8);
        assert_memory_equal(x, values, 7 * sizeof *x);
        assert_true(isnan(x[7]));
        assert_true(norm_of(zero, 7 * 8) == 0.0);
        free(x);
        free(zero);
    }
}

/* --- several files --- */

/* Write every second tensor to one file, the others to another, and an index without the tensor `without`. */
static void shard(const struct run *r, const char *without)
{
    para_error err = {0};
    char index[8192];
    size_t used = (size_t)snprintf(index, sizeof index, "{\"weight_map\": {\"transformer.h.0.attn.bias\": \"b\"");
    para_safetensors *f = open_file(r->dir, "model.safetensors");
    for (int half = 0; half < 2; half++) {
        para_entry entries[28];
        int count = 0;
        for (int i = half; i < para_safetensors_count(f); i += 2) {
            entries[count] = para_safetensors_entry(f, i);
            const char *name = entries[count++].name;
            if (strcmp(name, without) != 0)
                used += (size_t)snprintf(index + used, sizeof index - used, ", \"%s\": \"%s\"", name, half ? "b" : "a");
        }
        char *path = path_join(r->dir, half ? "b" : "a");
        must(para_safetensors_write(path, entries, count, &err), err);
        free(path);
    }
    snprintf(index + used, sizeof index - used, "}}");
    write_text(r->dir, "model.safetensors.index.json", index);
    para_safetensors_close(f);
    char *path = path_join(r->dir, "model.safetensors");
    assert_int_equal(remove(path), 0);
    free(path);
}

/* The index names a mask that the file doesn't have, which is no more needed than one that it has. */
static void several_files_are_read(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    fill_session(r->s, r->g, 3);
    save(r, &(para_trainer){.step = 3, .seed = 1, .best_loss = -1});
    shard(r, "");
    para_trainer trainer;
    para_session *other = serial_session(r->g, false);
    must(para_checkpoint_load(r->dir, r->g, other, &trainer, &err), err);
    assert_same_values(r->g, r->s, other);
    para_session_free(other);
}

static void assert_not_loaded(struct run *r, int code, const char *text)
{
    para_error err = {0};
    para_session *before = serial_session(r->g, false);
    fill_session(r->s, r->g, 77);
    fill_session(before, r->g, 77);
    assert_int_equal(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), code);
    assert_says(&err, text);
    assert_same_values(r->g, before, r->s);
    para_session_free(before);
}

static void indexes_that_lie_are_refused(void **state)
{
    struct run *r = *state;
    static const char name[] = "model.safetensors.index.json";
    static const struct {
        const char *index, *text;
        int code;
    } lies[] = {
        {"{\"weight_map\": {", "index.json:1:", PARA_EFORMAT},
        {"{\"metadata\": {}}", "index.json: expected \"weight_map\", an object", PARA_EFORMAT},
        {"{\"weight_map\": [\"a\"]}", "index.json: expected \"weight_map\", an object", PARA_EFORMAT},
        {"{\"weight_map\": {\"x\": 1}}", "weight_map: \"x\": expected the name of a file", PARA_EFORMAT},
        {"{\"weight_map\": {\"x\": \"../a\"}}", "weight_map names the file \"../a\", expected one of this folder",
         PARA_EFORMAT},
        {"{\"weight_map\": {\"x\": \"\"}}", "weight_map names the file \"\"", PARA_EFORMAT},
        {"{\"weight_map\": {\"x\": \"none\"}}", "none: can't open", PARA_EIO},
        {"{\"weight_map\": {\"x\": \"config.json\"}}", "config.json: the header says", PARA_EFORMAT},
        {"{\"weight_map\": {}}", "index.json: has no tensor \"transformer.wte.weight\"", PARA_EFORMAT},
    };
    save(r, NULL);
    shard(r, "transformer.ln_f.bias");
    assert_not_loaded(r, PARA_EFORMAT, "index.json: has no tensor \"transformer.ln_f.bias\"");
    write_text(r->dir, name,
               "{\"weight_map\": {\"transformer.wte.weight\": \"b\", \"transformer.wpe.weight\": \"a\"}}");
    assert_not_loaded(r, PARA_EFORMAT, "index.json: weight_map says that tensor \"transformer.");
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        write_text(r->dir, name, lies[i].index);
        assert_not_loaded(r, lies[i].code, lies[i].text);
    }
}

/* Saving over a folder of several files leaves one. */
static void shards_do_not_outlive_a_save(void **state)
{
    struct run *r = *state;
    save(r, NULL);
    shard(r, "");
    write_text(r->dir, "model-00001-of-00002.safetensors", "");
    write_text(r->dir, "model-card.md", "");
    save(r, NULL);
    assert_true(there(r->dir, "model.safetensors"));
    assert_true(there(r->dir, "model-card.md"));
    assert_false(there(r->dir, "model.safetensors.index.json"));
    assert_false(there(r->dir, "model-00001-of-00002.safetensors"));
    assert_alone(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_transformers),
        cmocka_unit_test(losses_are_those_of_pytorch),
        cmocka_unit_test_setup_teardown(halves_are_read_exactly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(several_files_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(indexes_that_lie_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shards_do_not_outlive_a_save, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
