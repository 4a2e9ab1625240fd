/* Models of GGUF files: each number of the metadata is checked, rotary embeddings of each scaling are found, and what
 * isn't a model of these families is refused by the key that says so. Logits and training: tests/test-hf.c. */
#include "tests/support.h"
#include "tests/words.h"

#include <paragraph/data.h>

#include "io/gguf-model.h"
#include "io/gguf-rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int set_up(void **state)
{
    return make_scratch(state, "x.gguf");
}

static void assert_says(const para_error *err, const char *text)
{
    if (!strstr(err->message, text))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err->message, text);
}

/* --- a whole file --- */

static struct bytes *golden(const char *name)
{
    static struct bytes b;
    char *path = test_file(name);
    size_t bytes;
    void *data = read_whole(path, &bytes);
    assert_in_range(bytes, 1, sizeof b.data);
    memcpy(b.data, data, bytes);
    b.count = bytes;
    free(data);
    free(path);
    return &b;
}

/* Where a key or a tensor's name stands. */
static unsigned char *find(struct bytes *b, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 8; i + length <= b->count; i++)
        if (memcmp(b->data + i, name, length) == 0 && b->data[i - 8] == length)
            return b->data + i;
    fail_msg("the file has no \"%s\"", name);
    return NULL;
}

static void files_say_what_a_model_is(void **state)
{
    (void)state;
    char *path = test_file("golden/hf-llama.gguf");
    para_error err = {0};
    para_model *model;
    must(para_model_open(&model, path, &err), err);
    const para_llama *m = para_model_as_llama(model);
    assert_string_equal(para_model_family(model), "llama");
    assert_int_equal(m->layers, 2);
    assert_int_equal(m->heads, 4);
    assert_int_equal(m->kv_heads, 2);
    assert_int_equal(m->head_dim, 6);
    assert_int_equal(m->embd, 16);
    assert_int_equal(m->ff, 24);
    assert_int_equal(m->vocab, 67);
    assert_int_equal(m->context, 12);
    assert_true(m->norm_eps == 1e-6); /* not the float32 that is nearest to it */
    assert_true(m->rope.theta == 5000);
    assert_int_equal(m->rope.scaling, PARA_ROPE_LLAMA3);
    assert_true(m->rope.factor == 8);
    assert_false(m->tied || m->qkv_bias || m->mlp_bias || m->qk_norm);
    para_model_free(model);
    free(path);
}

/* A key's value, or its name, is changed in the file of a model of Llama. */
static const struct {
    const char *key, *rename; /* NULL: its value is set */
    uint32_t type, value;     /* type 0: as it is */
    const char *says;
} changes[] = {
    {"general.architecture", "general.architectur_", 0, 0, "\"general.architecture\" is missing, expected a string"},
    {"llama.block_count", "llama.block_coun_", 0, 0, "\"llama.block_count\" is missing, expected a whole number"},
    {"llama.block_count", NULL, 0, 0, "\"llama.block_count\" is 0, expected a whole number from 1"},
    {"llama.block_count", NULL, 0, 0xffffffff, "\"llama.block_count\" is 4294967295"},
    {"llama.block_count", NULL, 6, 0x40000000, "\"llama.block_count\" is float32, expected a whole number"},
    {"llama.block_count", NULL, 0, 3, "has no tensor \"blk.2.ffn_up.weight\""},
    {"llama.embedding_length", NULL, 0, 17, "\"token_embd.weight\" has shape (67, 16), expected (67, 17)"},
    {"llama.feed_forward_length", NULL, 0, 25, "\"blk.1.ffn_up.weight\" has shape (24, 16), expected (25, 16)"},
    {"llama.attention.head_count_kv", NULL, 0, 3, "heads is 4, expected a multiple of kv_heads, 3"},
    {"llama.attention.key_length", NULL, 0, 8, "\"llama.attention.value_length\" is 6, expected that of keys, 8"},
    {"llama.attention.layer_norm_rms_epsilon", NULL, 0, 0x7fc00000, "expected a finite number"},
    {"llama.attention.layer_norm_rms_epsilon", NULL, 0, 0x3f800000, "norm_eps is 1, expected"},
    {"llama.attention.layer_norm_rms_epsilon", "llama.attention.layer_norm_rms_epsilo_", 0, 0, "is missing"},
    {"llama.rope.freq_base", NULL, 0, 0, "Llama 3's scaling doesn't give"},
    {"llama.rope.dimension_count", NULL, 0, 4, "\"rope_freqs.weight\" has 3 elements of F32, expected 2"},
    {"llama.context_length", "llama.context_lengt_", 0, 0, "\"llama.context_length\" is missing"},
    {"llama.vocab_size", "llama.logit_scal", 0, 0, NULL},
};

static void numbers_are_checked(void **state)
{
    const struct scratch *p = *state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct bytes *b = golden("golden/hf-llama.gguf");
        unsigned char *key = find(b, changes[i].key), *after = key + strlen(changes[i].key);
        para_error err = {0};
        para_model *model = NULL;
        for (int k = 0; k < 4; k++) {
            if (changes[i].type)
                after[k] = (unsigned char)(changes[i].type >> 8 * k);
            if (!changes[i].rename)
                after[4 + k] = (unsigned char)(changes[i].value >> 8 * k);
        }
        if (changes[i].rename)
            memcpy(key, changes[i].rename, strlen(changes[i].rename));
        write_bytes(p->path, b, b->count);
        int status = para_model_open(&model, p->path, &err);
        if (!changes[i].says) {
            must(status, err);
            para_model_free(model);
            continue;
        }
        if (status == 0)
            fail_msg("a model was opened that should fail with \"%s\"", changes[i].says);
        assert_says(&err, changes[i].says);
        assert_says(&err, p->path);
    }
}

/* --- words for files --- */

#define MODEL "'general.architecture' 8/4 'qwen2' "

static const struct {
    const char *words, *says;
} others[] = {
    {"GGUF 3/4 0/8 1/8 'general.architecture' 8/4 'bert'",
     "\"general.architecture\" is \"bert\", expected \"gpt2\", \"llama\", \"qwen2\" or \"qwen3\""},
    {"GGUF 3/4 0/8 1/8 'general.architecture' 8/4 'mistral'", "is \"mistral\", expected"},
    {"GGUF 3/4 0/8 0/8", "\"general.architecture\" is missing"},
    {"GGUF 3/4 0/8 1/8 " MODEL, "\"qwen2.block_count\" is missing"},
    {"GGUF 3/4 0/8 3/8 " MODEL "'qwen2.block_count' 4/4 1/4 'qwen2.attention.head_count' 9/4 4/4 1/8 2/4",
     "\"qwen2.attention.head_count\" is an array of uint32, expected a whole number"},
};

static void other_models_are_refused(void **state)
{
    const struct scratch *p = *state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        static struct bytes b;
        para_error err = {0};
        para_model *model = NULL;
        b.count = 0;
        put_words(&b, others[i].words);
        write_bytes(p->path, &b, b.count);
        assert_true(para_model_open(&model, p->path, &err) < 0);
        assert_says(&err, others[i].says);
    }
}

static void tensors_of_unknown_types_are_named(void **state)
{
    const struct scratch *p = *state;
    struct bytes *b = golden("golden/hf-llama.gguf");
    unsigned char *after = find(b, "output_norm.weight") + strlen("output_norm.weight");
    para_error err = {0};
    para_model *model;
    after[12] = 26; /* I32, behind rank and extent */
    write_bytes(p->path, b, b->count);
    must(para_model_open(&model, p->path, &err), err);
    para_graph *g = para_graph_new();
    para_model_build(g, model, 1, 4, false);
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, false);
    assert_int_equal(para_checkpoint_load(p->path, g, s, NULL, &err), PARA_EFORMAT);
    assert_says(&err, "tensor \"output_norm.weight\" is I32, expected F32, F16, BF16, Q8_0");
    para_session_free(s);
    para_graph_free(g);
    para_model_free(model);
}

static void ends_of_text_are_found(void **state)
{
    const struct scratch *p = *state;
    static struct bytes b;
    para_error err = {0};
    int32_t *ids;
    int64_t count;
    b.count = 0;
    put_words(&b, "GGUF 3/4 0/8 2/8 'tokenizer.ggml.eos_token_id' 4/4 7/4 'tokenizer.ggml.eot_token_id' 4/4 9/4");
    write_bytes(p->path, &b, b.count);
    must(para_checkpoint_ends(p->path, &ids, &count, &err), err);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], 7);
    assert_int_equal(ids[1], 9);
    para_tokens_free(ids);
    char *none = test_file("golden/hf-llama.gguf");
    must(para_checkpoint_ends(none, &ids, &count, &err), err);
    assert_int_equal(count, 0);
    assert_null(ids);
    free(none);
}

/* --- rotary embeddings --- */

static para_rope_options rope_of(const struct scratch *p, const struct bytes *b, int64_t width, int status,
                                 const char *says)
{
    struct para_gguf *f;
    para_error err = {0};
    para_rope_options o = para_rope_default();
    write_bytes(p->path, b, b->count);
    must(para_gguf_open(&f, p->path, &err), err);
    assert_int_equal(para_gguf_rope(&o, f, "llama", width, 4096, &err), status);
    if (says)
        assert_says(&err, says);
    para_gguf_close(f);
    return o;
}

static para_rope_options rope_of_words(const struct scratch *p, const char *words, int status, const char *says)
{
    static struct bytes b;
    b.count = 0;
    put_words(&b, words);
    return rope_of(p, &b, 64, status, says);
}

#define TYPE(word) "'llama.rope.scaling.type' 8/4 '" word "' "
#define FACTOR_4 "'llama.rope.scaling.factor' 6/4 0x40800000/4 "

static void scalings_are_found(void **state)
{
    const struct scratch *p = *state;
    para_rope_options o = rope_of_words(p, "GGUF 3/4 0/8 0/8", 0, NULL);
    assert_true(o.theta == 10000 && o.scaling == PARA_ROPE_NONE && o.rotated == 0);
    o = rope_of_words(
        p, "GGUF 3/4 0/8 2/8 'llama.rope.freq_base' 6/4 0x48f42400/4 'llama.rope.dimension_count' 4/4 32/4", 0, NULL);
    assert_true(o.theta == 500000 && o.rotated == 32);
    o = rope_of_words(p, "GGUF 3/4 0/8 2/8 " TYPE("linear") FACTOR_4, 0, NULL);
    assert_true(o.scaling == PARA_ROPE_LINEAR && o.factor == 4);
    o = rope_of_words(p, "GGUF 3/4 0/8 1/8 'llama.rope.scale_linear' 6/4 0x40800000/4", 0, NULL);
    assert_true(o.scaling == PARA_ROPE_LINEAR && o.factor == 4);
    o = rope_of_words(p, "GGUF 3/4 0/8 2/8 " TYPE("none") FACTOR_4, 0, NULL);
    assert_true(o.scaling == PARA_ROPE_NONE);
    o = rope_of_words(p, "GGUF 3/4 0/8 2/8 " TYPE("yarn") FACTOR_4, 0, NULL);
    assert_true(o.scaling == PARA_ROPE_YARN && o.factor == 4 && o.original == 4096 && o.fast == 32 && o.slow == 1);
    assert_true(fabs(o.amplitude - (1 + 0.1 * log(4))) < 1e-12);
    o = rope_of_words(p,
                      "GGUF 3/4 0/8 4/8 " TYPE("yarn") FACTOR_4
                      "'llama.rope.scaling.yarn_attn_factor' 6/4 0x3fc00000/4 "
                      "'llama.rope.scaling.original_context_length' 4/4 1024/4",
                      0, NULL);
    assert_true(o.original == 1024 && o.amplitude == 1.5);
    rope_of_words(p, "GGUF 3/4 0/8 1/8 " TYPE("longrope"), PARA_ESUPPORT, "is \"longrope\", expected \"none\"");
    rope_of_words(p, "GGUF 3/4 0/8 3/8 " TYPE("yarn") FACTOR_4 "'llama.rope.scaling.yarn_ext_factor' 6/4 0/4",
                  PARA_ESUPPORT, "\"llama.rope.scaling.yarn_ext_factor\" is 0, expected 1");
}

/* A file of the factors that some scaling gives for heads of a width, as converters write them. */
static void put_factors(struct bytes *b, const para_rope_options *o, int64_t width)
{
    b->count = 0;
    put_words(b, "GGUF 3/4 1/8 1/8 'llama.rope.freq_base' 6/4 ");
    float theta = (float)o->theta, factor;
    uint32_t bits;
    memcpy(&bits, &theta, sizeof bits);
    put_number(b, bits, 4);
    put_words(b, "'rope_freqs.weight' 1/4 ");
    put_number(b, (uint64_t)width / 2, 8);
    put_words(b, "0/4 0/8 | ");
    for (int64_t i = 0; i < width / 2; i++) {
        factor = (float)para_llama3_factor(o, width, i);
        memcpy(&bits, &factor, sizeof bits);
        put_number(b, bits, 4);
    }
}

/* Llama 3.1's, 3.2's, and others: with no pair between the borders, one, and many. What is found gives the same
 * factors, and is the published one where factors tell it. */
static void factors_are_those_of_llama_3(void **state)
{
    static const struct {
        double theta, factor, slow, fast;
        int64_t original, width;
        bool told;
    } cases[] = {
        {500000, 8, 1, 4, 8192, 128, true},  {500000, 32, 1, 4, 8192, 64, true}, {5000, 8, 1, 4, 16, 6, false},
        {10000, 4, 1, 4, 64, 8, false},      {10000, 4, 1, 4, 64, 16, false},    {10000, 2.5, 1, 8, 1024, 32, true},
        {500000, 8, 2, 3, 8192, 128, false}, {10000, 4, 1, 1.5, 50, 8, false},
    };
    const struct scratch *p = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct bytes b;
        para_rope_options o = para_rope_default();
        o.theta = cases[i].theta, o.scaling = PARA_ROPE_LLAMA3, o.factor = cases[i].factor;
        o.original = cases[i].original, o.slow = cases[i].slow, o.fast = cases[i].fast;
        put_factors(&b, &o, cases[i].width);
        para_rope_options found = rope_of(p, &b, cases[i].width, 0, NULL);
        assert_int_equal(found.scaling, PARA_ROPE_LLAMA3);
        for (int64_t k = 0; k < cases[i].width / 2; k++) {
            double ours = para_llama3_factor(&found, cases[i].width, k);
            double theirs = para_llama3_factor(&o, cases[i].width, k);
            if (!(fabs(ours - theirs) <= 1e-5 * theirs))
                fail_msg("case %zu, pair %d: %.9g, expected %.9g", i, (int)k, ours, theirs);
        }
        if (cases[i].told) {
            assert_int_equal(found.original, o.original);
            assert_true(found.slow == o.slow && found.fast == o.fast && found.factor == o.factor);
        }
    }
}

static void other_factors_are_refused(void **state)
{
    const struct scratch *p = *state;
#define FACTORS(numbers) "GGUF 3/4 1/8 0/8 'rope_freqs.weight' 1/4 32/8 0/4 0/8 | " numbers
    para_rope_options o = rope_of_words(p, FACTORS("0x00/1 0*127"), PARA_ESUPPORT, "Llama 3's scaling doesn't give");
    rope_of_words(p, FACTORS("0x40000000/4 0x3f800000/4 0x40000000/4 0*112 0x41000000/4"), PARA_ESUPPORT,
                  "tensor \"rope_freqs.weight\" has factors that Llama 3's scaling doesn't give");
    rope_of_words(p, "GGUF 3/4 1/8 2/8 " TYPE("linear") FACTOR_4 "'rope_freqs.weight' 1/4 32/8 0/4 0/8 | 0*128",
                  PARA_ESUPPORT, "has \"rope_freqs.weight\" and another scaling");
    rope_of_words(p, "GGUF 3/4 1/8 0/8 'rope_freqs.weight' 1/4 32/8 1/4 0/8 | 0*64", PARA_EFORMAT,
                  "\"rope_freqs.weight\" has 32 elements of F16, expected 32 of F32");
    assert_int_equal(o.scaling, PARA_ROPE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_say_what_a_model_is),    cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(other_models_are_refused),     cmocka_unit_test(tensors_of_unknown_types_are_named),
        cmocka_unit_test(ends_of_text_are_found),       cmocka_unit_test(scalings_are_found),
        cmocka_unit_test(factors_are_those_of_llama_3), cmocka_unit_test(other_factors_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, leave_scratch);
}
