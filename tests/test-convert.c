/* Models from one form of files into another: the same values to the bit where the form holds them, and what a form
 * can't say is refused. */
#include "tests/support.h"

#include <paragraph/data.h>

#include "io/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    char *folder, *gguf, *other, *back, *bin;
};

static int set_up(void **state)
{
    static struct place p;
    p.folder = temp_dir();
    p.gguf = path_join(p.folder, "x.gguf");
    p.other = path_join(p.folder, "y.gguf");
    p.back = path_join(p.folder, "back");
    p.bin = path_join(p.folder, "x.bin");
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    free(p->gguf);
    free(p->other);
    free(p->back);
    free(p->bin);
    temp_dir_remove(p->folder);
    return 0;
}

static void convert(const char *from, const char *to, para_dtype weights, const char *tokenizer)
{
    para_error err = {0};
    must(para_model_convert(from, NULL, to, weights, tokenizer, &err), err);
}

static void assert_refused(const char *from, const char *to, para_dtype weights, int code, const char *says)
{
    para_error err = {0};
    int status = para_model_convert(from, NULL, to, weights, NULL, &err);
    if (status != code || !strstr(err.message, says))
        fail_msg("%s to %s: %d, \"%s\", expected %d and \"%s\"", from, to, status, status < 0 ? err.message : "", code,
                 says);
    assert_int_not_equal(access(to, F_OK), 0);
}

/* --- sessions --- */

/* The graph and session of a model's place, its weights of a type. */
static para_session *load(para_graph **g, const char *path, para_dtype weights)
{
    para_error err = {0};
    para_model *model;
    must(para_model_open(&model, path, &err), err);
    para_model_set_weights(model, weights);
    *g = para_graph_new();
    para_model_build(*g, model, 1, 4, false);
    must(para_graph_seal(*g, &err), err);
    para_session *s = serial_session(*g, false);
    must(para_checkpoint_load(path, *g, s, NULL, &err), err);
    para_model_free(model);
    return s;
}

/* Every parameter has the same bytes, loaded with weights of a type from both. */
static void assert_same_model(const char *a, const char *b, para_dtype weights)
{
    para_graph *g, *h;
    para_session *s = load(&g, a, weights), *t = load(&h, b, weights);
    para_error err = {0};
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *x = para_graph_tensor(g, i);
        if (para_tensor_kind(x) != PARA_PARAMETER)
            continue;
        size_t bytes = (size_t)(whole_elements(x) / para_dtype_block(para_tensor_dtype(x))) *
                       para_dtype_bytes(para_tensor_dtype(x));
        void *ours = must_alloc(bytes), *theirs = must_alloc(bytes);
        must(para_session_get(s, para_tensor_name(x), ours, bytes, &err), err);
        must(para_session_get(t, para_tensor_name(x), theirs, bytes, &err), err);
        if (memcmp(ours, theirs, bytes) != 0)
            fail_msg("%s and %s: \"%s\" differs", a, b, para_tensor_name(x));
        free(ours);
        free(theirs);
    }
    para_session_free(s);
    para_session_free(t);
    para_graph_free(g);
    para_graph_free(h);
}

/* A folder of a model with rows of whole blocks, and initial values. */
static char *folder_of(const struct place *p, const para_model *model)
{
    para_error err = {0};
    char *path = path_join(p->folder, "made");
    para_graph *g = para_graph_new();
    para_model_build(g, model, 1, 4, false);
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, false);
    must(para_checkpoint_save(path, model, g, s, NULL, &err), err);
    para_session_free(s);
    para_graph_free(g);
    return path;
}

static para_llama small_llama(void)
{
    return (para_llama){.layers = 2,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 16,
                        .embd = 64,
                        .ff = 96,
                        .vocab = 256,
                        .context = 32,
                        .norm_eps = 1e-5,
                        .rope = para_rope_default(),
                        .tied = true};
}

static char *folder_of_llama(const struct place *p, const para_llama *m)
{
    para_error err = {0};
    para_model *model;
    must(para_model_from_llama(&model, m, &err), err);
    char *path = folder_of(p, model);
    para_model_free(model);
    return path;
}

/* --- there and back --- */

static void values_go_there_and_back(void **state)
{
    static const char *const names[] = {"golden/hf-f32", "golden/hf-bf16", "golden/hf-sharded", "golden/hf-llama"};
    const struct place *p = *state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *from = test_file(names[i]);
        convert(from, p->gguf, PARA_F32, NULL);
        assert_same_model(p->gguf, from, PARA_F32);
        convert(p->gguf, p->back, PARA_F32, NULL);
        assert_same_model(p->back, from, PARA_F32);
        free(from);
    }
}

/* What llama.cpp's converter made of a folder is what is made here. */
static void tensors_are_those_of_llama_cpp(void **state)
{
    static const char *const names[][2] = {{"golden/hf-f32", "golden/hf-f32.gguf"},
                                           {"golden/hf-llama", "golden/hf-llama.gguf"}};
    const struct place *p = *state;
    para_error err = {0};
    for (int i = 0; i < 2; i++) {
        struct para_gguf *ours, *theirs;
        char *from = test_file(names[i][0]), *like = test_file(names[i][1]);
        convert(from, p->gguf, PARA_F32, NULL);
        must(para_gguf_open(&ours, p->gguf, &err), err);
        must(para_gguf_open(&theirs, like, &err), err);
        assert_int_equal(para_gguf_tensor_count(ours), para_gguf_tensor_count(theirs));
        for (int64_t k = 0; k < para_gguf_tensor_count(ours); k++) {
            const struct para_gguf_tensor *a = para_gguf_tensor(ours, k), *b = para_gguf_find_tensor(theirs, a->name);
            if (!b || a->type != b->type || a->rank != b->rank || memcmp(a->shape, b->shape, sizeof a->shape) != 0)
                fail_msg("tensor \"%s\" is another one", a->name);
            bool factors = strcmp(a->name, "rope_freqs.weight") == 0; /* which PyTorch computes in float32 */
            if (factors)
                assert_close(NULL, a->name, a->data, b->data, a->elements, 1e-6);
            else
                assert_memory_equal(a->data, b->data, a->bytes);
        }
        para_gguf_close(ours);
        para_gguf_close(theirs);
        free(from);
        free(like);
    }
}

static void halves_are_rounded(void **state)
{
    const struct place *p = *state;
    char *f16 = test_file("golden/hf-f16"), *bf16 = test_file("golden/hf-bf16");
    convert(bf16, p->gguf, PARA_BF16, NULL);
    assert_same_model(p->gguf, bf16, PARA_F32);
    convert(bf16, p->back, PARA_BF16, NULL);
    assert_same_model(p->back, bf16, PARA_F32);
    convert(f16, p->back, PARA_F16, NULL);
    assert_same_model(p->back, f16, PARA_F32);
    free(f16);
    free(bf16);
}

/* Blocks are those that a session makes of float32, and go on as they are. */
static void blocks_stay_what_they_are(void **state)
{
    static const para_dtype types[] = {PARA_Q8_0, PARA_Q4_0};
    const struct place *p = *state;
    const para_llama m = small_llama();
    char *from = folder_of_llama(p, &m);
    for (int i = 0; i < 2; i++) {
        size_t bytes, more;
        convert(from, p->gguf, types[i], NULL);
        assert_same_model(p->gguf, from, types[i]);
        convert(p->gguf, p->other, types[i], NULL);
        void *a = read_whole(p->gguf, &bytes), *b = read_whole(p->other, &more);
        assert_int_equal(bytes, more);
        assert_memory_equal(a, b, bytes);
        free(a);
        free(b);
    }
    temp_dir_remove(from);
}

static void blocks_of_gpt2_stay_what_they_are(void **state)
{
    const struct place *p = *state;
    para_error err = {0};
    para_model *model;
    must(para_model_preset(&model, "tiny", &err), err);
    char *from = folder_of(p, model);
    convert(from, p->gguf, PARA_Q8_0, NULL);
    assert_same_model(p->gguf, from, PARA_Q8_0);
    para_model_free(model);
    temp_dir_remove(from);
}

/* --- llm.c --- */

static void files_of_llm_c_go_there_and_back(void **state)
{
    const struct place *p = *state;
    char *f32 = test_file("golden/hf-f32"), *bf16 = test_file("golden/hf-bf16");
    size_t bytes;
    convert(f32, p->bin, PARA_F32, NULL);
    assert_same_model(p->bin, f32, PARA_F32);
    int32_t *header = read_whole(p->bin, &bytes);
    const int32_t expected[8] = {20240326, 3, 12, 67, 2, 2, 16, 128};
    assert_memory_equal(header, expected, sizeof expected);
    /* token table and positions, then of both layers norms, qkv, the projection, norms, the feed-forward part */
    int64_t layer = 2 * 16 + 3 * 16 * 17 + 16 * 17 + 2 * 16 + 4 * 16 * 17 + 16 * (4 * 16 + 1);
    assert_int_equal(bytes, 1024 + 4 * (128 * 16 + 12 * 16 + 2 * layer + 2 * 16));
    const float *rows = (const float *)(header + 256);
    for (int e = 67 * 16; e < 128 * 16; e++)
        assert_true(rows[e] == 0);
    free(header);
    convert(p->bin, p->gguf, PARA_F32, NULL);
    assert_same_model(p->gguf, f32, PARA_F32);
    convert(bf16, p->bin, PARA_BF16, NULL);
    convert(p->bin, p->back, PARA_F32, NULL);
    assert_same_model(p->bin, p->back, PARA_F32);
    free(f32);
    free(bf16);
}

static void lies_of_llm_c_are_refused(void **state)
{
    static const struct {
        int at;
        int32_t value;
        const char *says;
    } lies[] = {
        {0, 7, "begins with 7, expected 20240326"},
        {1, 4, "is of version 4, expected 3 (float32) or 5 (bfloat16)"},
        {1, 5, "bytes, expected"},
        {2, 0, "max_seq_len is 0, expected at least 1"},
        {3, -1, "vocab_size is -1, expected at least 1"},
        {4, 3, "by its header"},
        {4, INT32_MAX, "layers is 2147483647"},
        {5, 3, "embd is 16, expected a multiple of heads, 3"},
        {6, 32, "by its header"},
        {6, INT32_MAX, "expected"},
        {7, 66, "padded_vocab_size is 66, expected at least vocab_size, 67"},
        {7, INT32_MAX, "by its header"},
    };
    const struct place *p = *state;
    char *from = test_file("golden/hf-f32");
    size_t bytes;
    convert(from, p->bin, PARA_F32, NULL);
    int32_t *whole = read_whole(p->bin, &bytes);
    for (size_t i = 0; i <= sizeof lies / sizeof lies[0]; i++) {
        bool cut = i == sizeof lies / sizeof lies[0];
        int32_t before = cut ? 0 : whole[lies[i].at];
        para_error err = {0};
        para_model *model = NULL;
        if (!cut)
            whole[lies[i].at] = lies[i].value;
        FILE *file = fopen(p->bin, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(whole, 1, cut ? 1000 : bytes, file), cut ? 1000 : bytes);
        fclose(file);
        assert_true(para_model_open(&model, p->bin, &err) < 0);
        if (!strstr(err.message, cut ? "has 1000 bytes, expected a model file" : lies[i].says))
            fail_msg("the message \"%s\" doesn't say \"%s\"", err.message, cut ? "has 1000 bytes" : lies[i].says);
        if (!cut)
            whole[lies[i].at] = before;
    }
    unlink(p->bin);
    free(whole);
    free(from);
}

/* --- what forms can't say --- */

static void what_a_form_lacks_is_refused(void **state)
{
    const struct place *p = *state;
    char *erf = test_file("golden/hf-f16"), *window = test_file("golden/hf-mistral"), *f32 = test_file("golden/hf-f32");
    char *yarn = test_file("golden/hf-qwen2"), *biases = test_file("golden/hf-qwen3");
    char *gguf = path_join(p->folder, "none.gguf"), *bin = path_join(p->folder, "none.bin");
    char *folder = path_join(p->folder, "none");
    assert_refused(erf, gguf, PARA_F32, PARA_ESUPPORT, "gelu is by erf, expected its tanh form");
    assert_refused(erf, bin, PARA_F32, PARA_ESUPPORT, "expected a GPT-2 with ff of 4 embd");
    assert_refused(window, gguf, PARA_F32, PARA_ESUPPORT, "the window is 5, expected none");
    assert_refused(window, bin, PARA_F32, PARA_ESUPPORT, "expected a GPT-2");
    assert_refused(yarn, gguf, PARA_F32, PARA_ESUPPORT, "the window is 3");
    assert_refused(biases, gguf, PARA_F32, PARA_ESUPPORT, "q, k and v have biases");
    assert_refused(f32, bin, PARA_F16, PARA_ESUPPORT, "weights of f16, expected f32 or bf16");
    assert_refused(f32, bin, PARA_Q8_0, PARA_ESUPPORT, "weights of q8_0, expected f32, f16, bf16");
    assert_refused(f32, folder, PARA_Q4_0, PARA_ESUPPORT, "weights of q4_0, expected f32, f16, bf16");
    assert_refused(f32, gguf, PARA_I8, PARA_ESUPPORT, "weights of i8, expected f32, f16, bf16, q8_0 or q4_0");
    assert_refused(f32, gguf, PARA_Q8_0, PARA_ERANGE, "embd is 16 and ff 64, expected multiples of 32");
    assert_refused("/nonexistent", gguf, PARA_F32, PARA_EIO, "is no folder");
    assert_refused(f32, "/nonexistent/x.gguf", PARA_F32, PARA_EIO, "/nonexistent/x.gguf");
    free(gguf);
    free(bin);
    free(folder);
    free(erf);
    free(window);
    free(f32);
    free(yarn);
    free(biases);
}

/* Write a folder whose embeddings have a value, and return its path, to be freed. */
static char *made_with(const struct place *p, float value)
{
    para_error err = {0};
    para_llama m = small_llama();
    para_model *model;
    char *from = path_join(p->folder, "made");
    must(para_model_from_llama(&model, &m, &err), err);
    para_graph *g = para_graph_new();
    para_model_build(g, model, 1, 4, false);
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, false);
    float *wte = get_floats(s, "wte", m.vocab * m.embd);
    wte[5] = value;
    set_value(s, "wte", wte, (size_t)(m.vocab * m.embd) * sizeof *wte);
    must(para_checkpoint_save(from, model, g, s, NULL, &err), err);
    free(wte);
    para_session_free(s);
    para_graph_free(g);
    para_model_free(model);
    return from;
}

/* A finite value that a type can't hold is named, and what stood there before still does. */
static void what_a_type_cannot_hold_is_refused(void **state)
{
    const struct place *p = *state;
    static const struct {
        float value;
        para_dtype dtype;
    } cases[] = {{1e6f, PARA_F16}, {3.4e38f, PARA_BF16}, {-3.4e38f, PARA_BF16}, {1e8f, PARA_Q8_0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        para_error err = {0};
        char *from = made_with(p, cases[i].value), says[100];
        snprintf(says, sizeof says, "tensor \"model.embed_tokens.weight\" has elements that %s can't hold",
                 para_dtype_name(cases[i].dtype));
        convert(from, p->gguf, PARA_F32, NULL);
        assert_int_equal(para_model_convert(from, NULL, p->gguf, cases[i].dtype, NULL, &err), PARA_ERANGE);
        assert_non_null(strstr(err.message, says));
        assert_same_model(p->gguf, from, PARA_F32);
        temp_dir_remove(from);
    }
}

static void keep_line(void *user, int level, const char *line)
{
    if (level == PARA_LOG_WARNING)
        snprintf(user, 200, "%s", line);
}

/* What isn't finite goes along, and is told; blocks can't have it, where they are made and where they are loaded. */
static void what_is_not_finite_is_told(void **state)
{
    const struct place *p = *state;
    static const para_dtype kept[] = {PARA_F32, PARA_F16, PARA_BF16}, refused[] = {PARA_Q8_0, PARA_Q4_0, PARA_I8};
    char *from = made_with(p, NAN), line[200];
    para_log_set(keep_line, line);
    for (int i = 0; i < 3; i++) {
        line[0] = '\0';
        convert(from, p->gguf, kept[i], NULL);
        assert_non_null(strstr(line, "tensor \"model.embed_tokens.weight\" has the value nan"));
    }
    para_log_set(NULL, NULL);
    for (int i = 0; i < 3; i++) {
        para_error err = {0};
        para_model *model;
        must(para_model_open(&model, from, &err), err);
        para_model_set_weights(model, refused[i]);
        para_graph *g = para_graph_new();
        para_model_build(g, model, 1, 4, false);
        must(para_graph_seal(g, &err), err);
        para_session *s = serial_session(g, false);
        assert_int_equal(para_checkpoint_load(from, g, s, NULL, &err), PARA_EFORMAT);
        assert_non_null(
            strstr(err.message, "made/model.safetensors: tensor \"model.embed_tokens.weight\" has elements"));
        para_session_free(s);
        para_graph_free(g);
        para_model_free(model);
    }
    assert_int_equal(para_model_convert(from, NULL, p->gguf, PARA_Q8_0, NULL, NULL), PARA_ERANGE);
    temp_dir_remove(from);
}

/* --- tokenizers --- */

static void assert_same_file(const char *a, const char *b)
{
    size_t bytes, more;
    void *x = read_whole(a, &bytes), *y = read_whole(b, &more);
    assert_int_equal(bytes, more);
    assert_memory_equal(x, y, bytes);
    free(x);
    free(y);
}

/* From vocab.json and merges.txt to keys, from these to tokenizer.json, and to keys again. */
static void tokenizers_go_along(void **state)
{
    const struct place *p = *state;
    para_llama m = small_llama();
    m.vocab = 608; /* more than the tokenizer has */
    para_error err = {0};
    struct para_gguf *f;
    const struct para_gguf_value *v;
    char *from = folder_of_llama(p, &m), *tokenizer = test_file("golden/tokenizer-small");
    convert(from, p->gguf, PARA_F32, tokenizer);
    must(para_gguf_open(&f, p->gguf, &err), err);
    must(para_gguf_need_list(&v, f, "tokenizer.ggml.tokens", PARA_GGUF_STRING, &err), err);
    assert_int_equal(v->count, 608);
    assert_true(para_gguf_text_is(para_gguf_text(v, 2), "!"));
    assert_true(para_gguf_text_is(para_gguf_text(v, 607), "[PAD607]"));
    must(para_gguf_need(&v, f, "tokenizer.ggml.pre", PARA_GGUF_STRING, &err), err);
    assert_true(para_gguf_text_is(para_gguf_text(v, 0), "gpt-2"));
    para_gguf_close(f);
    convert(p->gguf, p->back, PARA_F32, NULL);
    convert(p->back, p->other, PARA_F32, NULL);
    assert_same_file(p->gguf, p->other);
    convert(p->gguf, p->other, PARA_F32, NULL);
    assert_same_file(p->gguf, p->other);
    temp_dir_remove(from);
    free(tokenizer);
}

/* Bytes are a tokenizer of 256 tokens without merges. */
static void bytes_are_a_tokenizer(void **state)
{
    const struct place *p = *state;
    const para_llama m = small_llama();
    para_error err = {0};
    struct para_gguf *f;
    const struct para_gguf_value *v;
    char *from = folder_of_llama(p, &m);
    convert(from, p->gguf, PARA_F32, NULL);
    must(para_gguf_open(&f, p->gguf, &err), err);
    must(para_gguf_need_list(&v, f, "tokenizer.ggml.tokens", PARA_GGUF_STRING, &err), err);
    assert_int_equal(v->count, 256);
    assert_true(para_gguf_text_is(para_gguf_text(v, 'A'), "A"));
    assert_true(para_gguf_text_is(para_gguf_text(v, ' '), "\xc4\xa0"));
    assert_true(para_gguf_text_is(para_gguf_text(v, 0xff), "\xc3\xbf"));
    must(para_gguf_need_list(&v, f, "tokenizer.ggml.merges", PARA_GGUF_STRING, &err), err);
    assert_int_equal(v->count, 0);
    para_gguf_close(f);
    temp_dir_remove(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_there_and_back),
        cmocka_unit_test(tensors_are_those_of_llama_cpp),
        cmocka_unit_test(halves_are_rounded),
        cmocka_unit_test(blocks_stay_what_they_are),
        cmocka_unit_test(blocks_of_gpt2_stay_what_they_are),
        cmocka_unit_test(files_of_llm_c_go_there_and_back),
        cmocka_unit_test(lies_of_llm_c_are_refused),
        cmocka_unit_test(what_a_form_lacks_is_refused),
        cmocka_unit_test(what_a_type_cannot_hold_is_refused),
        cmocka_unit_test(what_is_not_finite_is_told),
        cmocka_unit_test(tokenizers_go_along),
        cmocka_unit_test(bytes_are_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
