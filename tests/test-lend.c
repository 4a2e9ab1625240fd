/* Parameters in the caller's memory: read there by every session, to the bit as copies are, never written, and nothing
 * is read behind their end. */
#include "tests/training.h"

#include <paragraph/generate.h>

#include "io/gguf-model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VOCAB = 256, CONTEXT = 32, MOST = 100 };

static para_machine *machine;

static int set_up(void **state)
{
    (void)state;
    machine = machine_of(2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    para_machine_close(machine);
    return 0;
}

/* --- memory that may be read alone, with nothing behind it --- */

struct lent {
    para_lent of[MOST];
    void *memory[MOST];
    int count;
};

static size_t page(size_t bytes)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + size - 1) / size * size;
}

/* The end is that of a page, but for what aligns the begin. */
static void lend(struct lent *l, const char *name, const void *data, size_t bytes)
{
    size_t pages = page(bytes + 3);
    char *memory = mmap(NULL, pages + page(1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    char *begin = memory + (pages - bytes) / 4 * 4;
    memcpy(begin, data, bytes);
    assert_int_equal(mprotect(memory, pages, PROT_READ), 0);
    assert_int_equal(mprotect(memory + pages, page(1), PROT_NONE), 0);
    assert_true(l->count < MOST);
    l->memory[l->count] = memory;
    l->of[l->count++] = (para_lent){name, begin, bytes};
}

static void take_back(struct lent *l)
{
    for (int i = 0; i < l->count; i++)
        munmap(l->memory[i], page(l->of[i].bytes + 3) + page(1));
    l->count = 0;
}

static size_t bytes_of(const para_tensor *t)
{
    size_t elements = 1;
    for (int d = 0; d < para_tensor_rank(t); d++)
        elements *= (size_t)para_tensor_whole(t, d);
    return elements / (size_t)para_dtype_block(para_tensor_dtype(t)) * para_dtype_bytes(para_tensor_dtype(t));
}

/* All parameters of a session. */
static void lend_all(struct lent *l, const para_graph *g, para_session *s)
{
    para_error err = {0};
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_weight(t))
            continue;
        void *value = must_alloc(bytes_of(t));
        must(para_session_get(s, para_tensor_base(t), value, bytes_of(t), &err), err);
        lend(l, para_tensor_base(t), value, bytes_of(t));
        free(value);
    }
}

static para_session *session_of(const para_graph *g, para_machine *m, const struct lent *l, para_session *share)
{
    para_error err = {0};
    para_session *s = NULL;
    para_session_options options = para_session_default();
    options.share = share;
    options.lent = l ? l->of : NULL;
    options.lent_count = l ? l->count : 0;
    must(para_session_new(&s, g, m, &options, &err), err);
    return s;
}

/* --- a model --- */

static para_model *small_model(para_dtype weights)
{
    const para_llama m = {.layers = 2,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 16,
                          .embd = 64,
                          .ff = 96,
                          .vocab = VOCAB,
                          .context = CONTEXT,
                          .norm_eps = 1e-5,
                          .rope = para_rope_default(),
                          .tied = true};
    para_error err = {0};
    para_model *model;
    must(para_model_from_llama(&model, &m, &err), err);
    para_model_set_weights(model, weights);
    return model;
}

static para_graph *graph_of_model(para_dtype weights, int seq, const char *split)
{
    para_error err = {0};
    para_model *model = small_model(weights);
    para_graph *g = para_graph_new(), *cut = NULL;
    para_model_build(g, model, 1, seq, false);
    must(para_graph_seal(g, &err), err);
    must(para_graph_split_list(&cut, g, split, NULL, 0, &err), err);
    para_graph_free(g);
    para_model_free(model);
    return cut;
}

/* Logits of some text, to be freed. */
static float *logits_of(para_session *s, int seq)
{
    int32_t tokens[CONTEXT];
    for (int i = 0; i < seq; i++)
        tokens[i] = (i * 37 + 5) % VOCAB;
    set_value(s, "tokens", tokens, (size_t)seq * sizeof *tokens);
    run_once(s);
    return get_floats(s, "logits", (int64_t)seq * VOCAB);
}

static void assert_same_logits(para_session *a, para_session *b, int seq)
{
    float *x = logits_of(a, seq), *y = logits_of(b, seq);
    assert_memory_equal(x, y, (size_t)seq * VOCAB * sizeof *x);
    free(x);
    free(y);
}

/* One row and many, serially and on workers, whole and cut so that tiles' elements lie together or apart; and a session
 * that shares what another was lent. */
static void lent_parameters_are_read_where_they_lie(void **state)
{
    (void)state;
    static const char *const splits[] = {"", "vocab=2", "heads=2,ff=3,vocab=2"};
    static const para_dtype types[] = {PARA_Q8_0, PARA_Q4_0, PARA_F32, PARA_BF16};
    static const int seqs[] = {1, CONTEXT};
    for (int i = 0; i < 2 * 2 * 3 * 4; i++) {
        para_machine *m = i % 2 ? machine : NULL;
        int seq = seqs[i / 2 % 2];
        const char *split = splits[i / 4 % 3];
        para_graph *g = graph_of_model(types[i / 12], seq, split);
        struct lent l = {.count = 0};
        para_session *copied = session_of(g, m, NULL, NULL);
        lend_all(&l, g, copied);
        para_session *s = session_of(g, m, &l, NULL), *shares = session_of(g, m, NULL, s);
        assert_same_logits(copied, s, seq);
        assert_same_logits(copied, shares, seq);
        para_session_free(shares);
        para_session_free(s);
        para_session_free(copied);
        take_back(&l);
        para_graph_free(g);
    }
}

static void assert_set(para_session *s, const para_lent *l, int code)
{
    para_error err = {0};
    assert_int_equal(para_session_set(s, l->name, l->data, l->bytes, &err), code);
    if (code < 0)
        assert_non_null(strstr(err.message, "is read in memory lent by the caller, and can't be set"));
}

/* What is read there can't be set, also through a session that shares it; what had to be copied can. */
static void what_is_lent_cannot_be_set(void **state)
{
    (void)state;
    para_graph *g = graph_of_model(PARA_Q8_0, 1, "ff=3");
    struct lent l = {.count = 0};
    para_session *copied = session_of(g, NULL, NULL, NULL);
    lend_all(&l, g, copied);
    para_session *s = session_of(g, NULL, &l, NULL), *shares = session_of(g, NULL, NULL, s);
    for (int i = 0; i < l.count; i++) {
        int code = strstr(l.of[i].name, "mlp.down.weight") ? 0 : PARA_EINVAL;
        assert_set(s, &l.of[i], code);
        assert_set(shares, &l.of[i], code);
        assert_set(copied, &l.of[i], 0);
    }
    para_session_free(shares);
    para_session_free(s);
    para_session_free(copied);
    take_back(&l);
    para_graph_free(g);
}

/* An optimizer writes its parameters, not what was lent. */
static void what_is_updated_is_copied(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    struct lent l = {.count = 0};
    para_session *copied = training_session(g, g, machine, false);
    lend_all(&l, g, copied);
    para_session *s = session_of(g, machine, &l, NULL);
    for (int step = 0; step < 3; step++)
        assert_true(training_step(s, g, step) == training_step(copied, g, step));
    assert_set(s, &l.of[0], 0);
    para_session_free(s);
    para_session_free(copied);
    take_back(&l);
    para_graph_free(g);
}

static void assert_refused(const para_graph *g, const para_lent *l, int code, const char *says)
{
    para_error err = {0};
    para_session *s = NULL;
    para_session_options options = para_session_default();
    options.lent = l;
    options.lent_count = 1;
    assert_int_equal(para_session_new(&s, g, NULL, &options, &err), code);
    assert_null(s);
    assert_non_null(strstr(err.message, says));
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    para_graph *g = graph_of_model(PARA_Q8_0, 1, "");
    assert_refused(g, &(para_lent){"tokens", "", 4}, PARA_ENAME, "no parameter is called \"tokens\"");
    assert_refused(g, &(para_lent){"wte", "", 4}, PARA_ESHAPE, "\"wte\" takes 17408 bytes, 4 are lent");
    para_graph_free(g);
}

/* --- files --- */

/* A GGUF file of the model. */
static void write_file(const char *folder, const char *path, para_dtype weights)
{
    para_error err = {0};
    para_model *model = small_model(PARA_F32);
    para_graph *g = graph_of_model(PARA_F32, 1, "");
    char *plain = path_join(folder, "plain");
    para_session *s = serial_session(g, false);
    must(para_checkpoint_save(plain, model, g, s, NULL, &err), err);
    must(para_model_convert(plain, NULL, path, weights, NULL, &err), err);
    free(plain);
    para_session_free(s);
    para_graph_free(g);
    para_model_free(model);
}

/* All matrices of a file but q and k, whose rows it has in another order; of another type none. */
static void files_lend_what_lies_in_order(void **state)
{
    (void)state;
    para_error err = {0};
    char *folder = temp_dir(), *path = path_join(folder, "x.gguf");
    static const para_dtype types[] = {PARA_Q8_0, PARA_Q4_0};
    for (int i = 0; i < 4; i++) {
        para_graph *g = graph_of_model(types[i / 2], 1, "");
        para_lender *l;
        int count;
        write_file(folder, path, types[i % 2]);
        must(para_lender_open(&l, path, NULL, g, &err), err);
        const para_lent *values = para_lender_values(l, &count);
        assert_int_equal(count, i / 2 == i % 2 ? 1 + 2 * 5 : 0);
        for (int k = 0; k < count; k++)
            assert_true(strcmp(values[k].name, "wte") == 0 || strstr(values[k].name, ".v.weight") ||
                        strstr(values[k].name, ".proj.weight") || strstr(values[k].name, ".mlp."));
        assert_int_equal(unlink(path), 0); /* what is mapped stays */
        para_session_options options = para_session_default();
        options.lent = values;
        options.lent_count = count;
        para_session *s = NULL, *copied = serial_session(g, false);
        must(para_session_new(&s, g, NULL, &options, &err), err);
        must(para_lender_load(l, s, &err), err);
        write_file(folder, path, types[i % 2]);
        must(para_checkpoint_load(path, g, copied, NULL, &err), err);
        assert_same_logits(copied, s, 1);
        para_session_free(s);
        para_session_free(copied);
        para_lender_close(l);
        para_graph_free(g);
    }
    free(path);
    temp_dir_remove(folder);
}

static int note(void *user, const para_text *t, para_error *err)
{
    (void)user;
    (void)err;
    memcpy(t->user, t->tokens, (size_t)t->count * sizeof *t->tokens);
    return 0;
}

static void make_text(const char *path, const para_model *model, bool mapped, int32_t *tokens)
{
    para_error err = {0};
    para_generator *g;
    para_generator_options o = para_generator_default();
    const int32_t prompt[] = {5, 3, 200, 7, 9};
    o.rows = 1;
    o.prompt = 5;
    o.count = 20;
    o.mapped = mapped;
    must(para_generator_new(&g, path, model, machine, &o, &err), err);
    para_sequence s = {
        .tokens = prompt, .length = 5, .count = 20, .sampling = para_sampling_default(), .stream = 1, .user = tokens};
    must(para_generator_submit(g, &s, &err), err);
    must(para_generator_run(g, note, NULL, &err), err);
    para_generator_free(g);
}

/* A file that nobody may write to, from a folder that nobody may write to. */
static void texts_are_made_of_mapped_files(void **state)
{
    (void)state;
    para_error err = {0};
    char *folder = temp_dir(), *path = path_join(folder, "x.gguf");
    int32_t tokens[2][20] = {{0}};
    para_model *model;
    write_file(folder, path, PARA_Q8_0);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(chmod(folder, 0500), 0);
    must(para_model_open(&model, path, &err), err);
    para_model_set_weights(model, PARA_Q8_0);
    make_text(path, model, false, tokens[0]);
    make_text(path, model, true, tokens[1]);
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    para_model_free(model);
    assert_int_equal(chmod(folder, 0700), 0);
    free(path);
    temp_dir_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lent_parameters_are_read_where_they_lie),
        cmocka_unit_test(what_is_lent_cannot_be_set),
        cmocka_unit_test(what_is_updated_is_copied),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(files_lend_what_lies_in_order),
        cmocka_unit_test(texts_are_made_of_mapped_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
