/* Folders of other writers: names that wrappers change, a tied table under its other name, dropout that only training
 * needs, tokens that were added. */
#include "io/weights.h"
#include "tests/checkpoint.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>

/* Write the weights again under names that `rename` makes; those for which it gives nothing are left out. */
static void rewrite(const struct run *r, void (*rename)(const char *name, char *out, size_t bytes))
{
    char *path = path_join(r->dir, "model.safetensors"), names[64][128];
    para_safetensors *file;
    para_error err = {0};
    must(para_safetensors_open(&file, path, &err), err);
    para_entry entries[64];
    int count = para_safetensors_count(file), kept = 0;
    assert_true(count <= 64);
    for (int i = 0; i < count; i++) {
        entries[kept] = para_safetensors_entry(file, i);
        rename(entries[kept].name, names[kept], sizeof names[kept]);
        entries[kept].name = names[kept];
        kept += names[kept][0] != '\0';
    }
    must(para_safetensors_write(path, entries, kept, &err), err);
    para_safetensors_close(file);
    free(path);
}

static void wrap_once(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "_orig_mod.%s", name);
}

static void wrap_twice(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "module._orig_mod.%s", name);
}

static void wrap_short(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "module.%s", name + strlen("transformer."));
}

static void wrap_in_model(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "model.%s", name);
}

static void wrap_in_itself(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "transformer.%s", name);
}

static void wrap_by_engine(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "_forward_module.base_model.model.%s", name);
}

static void tie_head(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s", strcmp(name, "transformer.wte.weight") == 0 ? "lm_head.weight" : name);
}

static void tie_wrapped_head(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "_orig_mod.%s", strcmp(name, "transformer.wte.weight") == 0 ? "lm_head.weight" : name);
}

static void names_of_other_writers_are_understood(void **state)
{
    struct run *r = *state;
    static void (*const ways[])(const char *, char *, size_t) = {
        wrap_once, wrap_twice, wrap_short, wrap_in_model, wrap_in_itself, wrap_by_engine, tie_head, tie_wrapped_head};
    fill_session(r->s, r->g, 3);
    para_session *expected = serial_session(r->g, false);
    fill_session(expected, r->g, 3);
    para_error err = {0};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        para_model *model;
        save(r, &(para_trainer){.step = 3, .seed = 1, .best_loss = -1});
        rewrite(r, ways[i]);
        must(para_model_open(&model, r->dir, &err), err);
        para_model_free(model);
        fill_session(r->s, r->g, 4);
        must(para_checkpoint_load(r->dir, r->g, r->s, &(para_trainer){0}, &err), err);
        assert_same_values(r->g, expected, r->s);
    }
    para_session_free(expected);
}

/* Where all is within the family's prefix but what isn't, as a head of its own, a wrapper may end like the prefix. */
static void a_wrapper_may_end_like_the_prefix(void **state)
{
    struct run *r = *state;
    static const char *const wrappers[] = {"", "module.", "model.", "base_model.model.",
                                           "_forward_module.base_model.model."};
    static const char *const names[] = {"model.layers.0.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"};
    static const float data[2] = {1, 2};
    para_error err = {0};
    save(r, NULL);
    char *path = path_join(r->dir, PARA_WEIGHTS_FILE);
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++)
        for (int count = 2; count <= 3; count++) { /* the head is tied, or one of its own */
            char written[3][128];
            para_entry entries[3];
            for (int k = 0; k < count; k++) {
                snprintf(written[k], sizeof written[k], "%s%s", wrappers[i], names[k]);
                entries[k] = (para_entry){
                    .name = written[k], .dtype = PARA_F32, .rank = 1, .shape = {2}, .data = data, .bytes = sizeof data};
            }
            must(para_safetensors_write(path, entries, count, &err), err);
            struct para_weights w = {.count = 0};
            must(para_weights_open(&w, r->dir, "model.", &err), err);
            for (int k = 0; k < count; k++)
                if (!para_weights_find(&w, names[k]))
                    fail_msg("no \"%s\" in \"%s\"", names[k], written[k]);
            para_weights_close(&w);
        }
    free(path);
}

static void wrap_oddly(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "student/%s", name);
}

static void leave_out_all(const char *name, char *out, size_t bytes)
{
    (void)name;
    (void)bytes;
    out[0] = '\0';
}

static void other_names_are_told(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    save(r, NULL);
    rewrite(r, wrap_oddly);
    assert_int_equal(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), PARA_EFORMAT);
    assert_says(&err, "has no tensor \"transformer.");
    assert_says(&err, "; it has \"student/transformer.");
    assert_says(&err, " and others");
    rewrite(r, leave_out_all);
    assert_int_equal(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), PARA_EFORMAT);
    assert_says(&err, "; it has no tensor at all");
}

/* Write the weights again as float64, which the library's own writer can't. */
static void write_doubles(const struct run *r)
{
    char *path = path_join(r->dir, "model.safetensors"), header[8192] = "{";
    para_safetensors *file;
    para_error err = {0};
    size_t used = 1, at = 0;
    must(para_safetensors_open(&file, path, &err), err);
    for (int i = 0; i < para_safetensors_count(file); i++) {
        para_entry e = para_safetensors_entry(file, i);
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s\":{\"dtype\":\"F64\",\"shape\":[%lld%s%.0lld],\"data_offsets\":[%zu,%zu]}",
                                 i ? "," : "", e.name, (long long)e.shape[0], e.rank > 1 ? "," : "",
                                 (long long)(e.rank > 1 ? e.shape[1] : 0), at, at + 2 * e.bytes);
        at += 2 * e.bytes;
    }
    para_safetensors_close(file);
    used += (size_t)snprintf(header + used, sizeof header - used, "}");
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    for (int i = 0; i < 8; i++)
        putc(i < 2 ? (int)(used >> 8 * i & 255) : 0, out);
    fwrite(header, 1, used, out);
    for (size_t i = 0; i < at; i++)
        putc(0, out);
    assert_int_equal(fclose(out), 0);
    free(path);
}

static void other_types_are_told(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    save(r, NULL);
    write_doubles(r);
    assert_int_equal(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), PARA_EFORMAT);
    assert_says(&err, "tensor \"transformer.wte.weight\" is F64, expected f32, f16 or bf16");
}

static void dropouts_may_differ(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    para_model *model;
    save(r, NULL);
    write_text(r->dir, "config.json",
               "{\"model_type\": \"gpt2\", \"n_layer\": 2, \"n_head\": 2, \"n_embd\": 8, \"vocab_size\": 11, "
               "\"n_positions\": 7, \"n_inner\": 20, \"embd_pdrop\": 0.1, \"resid_pdrop\": 0.0}");
    must(para_model_open(&model, r->dir, &err), err);
    assert_true(para_model_as_gpt2(model)->embd_dropout == 0.1 && para_model_as_gpt2(model)->dropout == 0);
    must(para_model_set_dropout(model, 0.25, &err), err);
    assert_true(para_model_as_gpt2(model)->embd_dropout == 0.25 && para_model_as_gpt2(model)->dropout == 0.25);
    para_model_free(model);
}

/* The golden tokenizer's 600 tokens and one more. */
static void added_tokens_are_read(void **state)
{
    struct run *r = *state;
    static const char *const files[] = {"vocab.json", "merges.txt"};
    para_error err = {0};
    para_tokenizer *t;
    int32_t *ids;
    int64_t count;
    save(r, NULL);
    for (int i = 0; i < 2; i++) {
        char from[64];
        size_t bytes;
        snprintf(from, sizeof from, "golden/tokenizer-small/%s", files[i]);
        char *path = test_file(from), *text = read_whole(path, &bytes);
        write_text(r->dir, files[i], text);
        free(path);
        free(text);
    }
    write_text(r->dir, "added_tokens.json", "{\"<|user|>\": 600}");
    must(para_tokenizer_open(&t, r->dir, &err), err);
    assert_int_equal(para_tokenizer_vocab(t), 601);
    assert_int_equal(para_tokenizer_special(t, "<|user|>"), 600);
    must(para_tokenizer_encode(t, "<|user|>", 8, true, &ids, &count, &err), err);
    assert_int_equal(count, 1);
    assert_int_equal(ids[0], 600);
    para_tokens_free(ids);
    para_tokenizer_free(t);
    write_text(r->dir, "added_tokens.json", "{\"<|user|>\": 601}");
    assert_int_equal(para_tokenizer_open(&t, r->dir, &err), PARA_EFORMAT);
    assert_says(&err, "\"<|user|>\" has id 601");
    write_text(r->dir, "added_tokens.json", "{\"a\": 601}");
    assert_int_equal(para_tokenizer_open(&t, r->dir, &err), PARA_EFORMAT);
    assert_says(&err, "added_tokens.json: entry \"a\" has another id in vocab.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_of_other_writers_are_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrapper_may_end_like_the_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_names_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_types_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dropouts_may_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(added_tokens_are_read, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("writers", tests, NULL, NULL);
}
