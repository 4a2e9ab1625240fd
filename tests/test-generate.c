/* Making many texts side by side: each is what it is alone, ends where it should, and takes the row that another left.
 */
#include "tests/support.h"

#include <paragraph.h>
#include <paragraph/generate.h>

#include <stdlib.h>
#include <string.h>

enum { VOCAB = 256, CONTEXT = 40, TEXTS = 9, MOST = 30, LONGEST = 50 };

static const para_gpt2 MODEL = {
    .layers = 2, .heads = 4, .embd = 32, .ff = 64, .vocab = VOCAB, .context = CONTEXT, .norm_eps = 1e-5};

/* A model's folder, and its tokenizer, of bytes. */
static char *parent, *folder;
static para_model *model;
static para_tokenizer *bytes;
static para_machine *machine;

/* Weights large enough that a text doesn't repeat one token. */
static void set_weights(const para_graph *g, para_session *s)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (para_tensor_kind(t) != PARA_PARAMETER || para_tensor_producer(t))
            continue;
        bool positions = strcmp(para_tensor_name(t), "wpe") == 0;
        float *w = must_alloc(para_tensor_bytes(t)), spread = positions ? 2.0f : 0.5f;
        fill_uniform(w, para_tensor_elements(t), 3, (uint64_t)i, -spread, spread);
        set_value(s, para_tensor_name(t), w, para_tensor_bytes(t));
        free(w);
    }
}

static int set_up(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = para_graph_new();
    must(para_model_from_gpt2(&model, &MODEL, &err), err);
    para_model_build(g, model, 1, 1, false);
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, false);
    set_weights(g, s);
    parent = temp_dir();
    folder = path_join(parent, "model");
    must(para_checkpoint_save(folder, model, g, s, NULL, &err), err);
    para_session_free(s);
    para_graph_free(g);
    must(para_tokenizer_open(&bytes, NULL, &err), err);
    must(para_machine_open(&machine, NULL, &err), err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    para_machine_close(machine);
    para_tokenizer_free(bytes);
    para_model_free(model);
    free(folder);
    temp_dir_remove(parent);
    return 0;
}

static para_generator_options options_of(int rows)
{
    para_generator_options o = para_generator_default();
    o.rows = rows;
    o.prompt = LONGEST;
    o.count = MOST;
    o.split = "heads=2,ff=3,vocab=2";
    o.tokenizer = bytes;
    return o;
}

static para_generator *open_generator(const para_generator_options *o, para_machine *m)
{
    para_generator *g = NULL;
    para_error err = {0};
    must(para_generator_new(&g, folder, model, m, o, &err), err);
    return g;
}

/* What came of a text. */
struct result {
    int32_t tokens[MOST];
    char text[MOST + 1];
    int64_t count, calls;
    size_t bytes;
    para_finish finish;
    int order; /* which of all ended so */
};

/* Who is told: results by number, and how many have ended. */
struct results {
    struct result of[TEXTS + 1];
    int ended;
};

static int note(void *user, const para_text *t, para_error *err)
{
    (void)err;
    struct results *all = user;
    struct result *r = t->user;
    assert_int_equal(r->finish, PARA_GOES_ON);
    assert_true(t->bytes >= r->bytes && memcmp(t->text, r->text, r->bytes) == 0);
    r->calls++;
    r->count = t->count;
    r->bytes = t->bytes;
    r->finish = t->finish;
    memcpy(r->tokens, t->tokens, (size_t)t->count * sizeof *t->tokens);
    memcpy(r->text, t->text, t->bytes);
    if (t->finish)
        r->order = all->ended++;
    return 0;
}

/* Text number i: prompts of 1 to LONGEST tokens, beyond the context too, and lengths that differ. */
static para_sequence sequence_of(int i, int32_t prompt[LONGEST], struct result *r)
{
    static const int lengths[TEXTS] = {5, 1, 17, 40, 33, 50, 16, 24, 9};
    static const int counts[TEXTS] = {30, 3, 22, 12, 1, 9, 30, 17, 2};
    for (int t = 0; t < LONGEST; t++)
        prompt[t] = (t * 37 + i * 11 + 5) % VOCAB;
    return (para_sequence){.tokens = prompt,
                           .length = lengths[i],
                           .count = counts[i],
                           .sampling = para_sampling_default(),
                           .stream = (uint64_t)i,
                           .user = r};
}

static void submit(para_generator *g, int i, struct results *all)
{
    int32_t prompt[LONGEST];
    para_error err = {0};
    para_sequence s = sequence_of(i, prompt, &all->of[i]);
    must(para_generator_submit(g, &s, &err), err);
}

static void run_all(para_generator *g, struct results *all)
{
    para_error err = {0};
    must(para_generator_run(g, note, all, &err), err);
}

static struct results *make_together(const para_generator_options *o, para_machine *m)
{
    struct results *all = must_alloc(sizeof *all);
    memset(all, 0, sizeof *all);
    para_generator *g = open_generator(o, m);
    for (int i = 0; i < TEXTS; i++)
        submit(g, i, all);
    run_all(g, all);
    assert_int_equal(all->ended, TEXTS);
    para_generator_free(g);
    return all;
}

/* One after another, each by a generator of its own. */
static struct results *make_alone(void)
{
    struct results *all = must_alloc(sizeof *all);
    memset(all, 0, sizeof *all);
    for (int i = 0; i < TEXTS; i++) {
        para_generator_options o = options_of(1);
        para_generator *g = open_generator(&o, NULL);
        submit(g, i, all);
        run_all(g, all);
        para_generator_free(g);
    }
    return all;
}

static void assert_same(const struct results *a, const struct results *b)
{
    for (int i = 0; i < TEXTS; i++) {
        assert_int_equal(a->of[i].count, b->of[i].count);
        assert_memory_equal(a->of[i].tokens, b->of[i].tokens, sizeof a->of[i].tokens);
        assert_memory_equal(a->of[i].text, b->of[i].text, sizeof a->of[i].text);
    }
}

static void texts_are_what_they_are_alone(void **state)
{
    (void)state;
    struct results *alone = make_alone();
    for (int i = 0; i < TEXTS; i++) {
        assert_int_equal(alone->of[i].finish, PARA_FINISH_LENGTH);
        assert_int_equal(alone->of[i].calls, alone->of[i].count);
    }
    assert_memory_not_equal(alone->of[0].tokens, alone->of[6].tokens, sizeof alone->of[0].tokens);
    static const char *const splits[] = {"heads=2,ff=3,vocab=2", "batch=2,heads=2,ff=3,vocab=2",
                                         "rows=3,heads=2,ff=3,vocab=2"};
    for (int k = 0; k < 6; k++) {
        para_generator_options o = options_of((const int[]){16, 4, 5, 3, 2, 1}[k]);
        o.split = splits[o.rows < 3 ? 0 : k % 3];
        struct results *all = make_together(&o, k % 2 ? machine : NULL);
        assert_same(alone, all);
        free(all);
    }
    free(alone);
}

/* By rule graphs of any number of rows are cut alike. */
static void splits_by_rule_do_not_depend_on_rows(void **state)
{
    (void)state;
    para_generator_options o = options_of(1);
    o.split = "auto";
    struct results *one = make_together(&o, NULL);
    o.rows = 7;
    struct results *seven = make_together(&o, NULL);
    assert_same(one, seven);
    free(one);
    free(seven);
}

/* The longest texts begin first, and one that ends leaves its row to the next: with 3 rows those of 30, 30 and 22
 * tokens begin, and that of 17 in the row of the last. */
static void rows_that_are_free_are_taken(void **state)
{
    (void)state;
    para_generator_options o = options_of(3);
    struct results *all = make_together(&o, NULL);
    assert_int_equal(all->of[2].order, 0);
    assert_true(all->of[7].order > all->of[0].order && all->of[7].order > all->of[6].order);
    assert_true(all->of[7].order < all->of[3].order);
    free(all);
}

/* K texts that continue one prompt are those that have it as their own; the prompt of 33 tokens and 30 more outgrow
 * the context, that of 9 doesn't. */
static void shared_prompts_give_the_same_texts(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        int i = (const int[]){8, 4, 5}[k];
        struct results own = {0}, all = {0};
        int32_t prompt[LONGEST];
        para_sequence s = sequence_of(i, prompt, NULL);
        para_generator_options o = options_of(4);
        o.prompt = s.length;
        para_generator *g = open_generator(&o, machine);
        o.shared = true;
        para_generator *sharing = open_generator(&o, machine);
        para_error err = {0};
        must(para_generator_share(sharing, prompt, s.length, &err), err);
        for (int text = 0; text < TEXTS; text++) {
            s.stream = (uint64_t)text;
            s.count = MOST;
            s.tokens = prompt;
            s.user = &own.of[text];
            must(para_generator_submit(g, &s, &err), err);
            s.tokens = NULL;
            s.user = &all.of[text];
            must(para_generator_submit(sharing, &s, &err), err);
        }
        run_all(g, &own);
        run_all(sharing, &all);
        assert_same(&own, &all);
        para_generator_free(g);
        para_generator_free(sharing);
    }
}

/* Stops of several tokens, and one that begins as the text goes on but doesn't come; ends. */
static void texts_end_at_stops_and_ends(void **state)
{
    (void)state;
    struct results all = {0}, stopped = {0};
    para_generator_options o = options_of(4);
    para_generator *g = open_generator(&o, NULL);
    submit(g, 0, &all);
    run_all(g, &all);
    char stop[4] = {0}, other[4] = {0};
    memcpy(stop, all.of[0].text + 11, 3);
    memcpy(other, all.of[0].text + 4, 2);
    other[2] = (char)(all.of[0].text[6] + 1);
    int32_t prompt[LONGEST];
    para_sequence s = sequence_of(0, prompt, &stopped.of[0]);
    para_error err = {0};
    s.stops = (const char *const[]){other, stop};
    s.stop_count = 2;
    must(para_generator_submit(g, &s, &err), err);
    s.user = &stopped.of[1];
    s.stop_count = 0;
    s.ends = (const int32_t[]){all.of[0].tokens[20], 7};
    s.end_count = 1;
    must(para_generator_submit(g, &s, &err), err);
    run_all(g, &stopped);
    assert_int_equal(stopped.of[0].finish, PARA_FINISH_STOP);
    assert_int_equal(stopped.of[0].bytes, strstr(all.of[0].text, stop) - all.of[0].text);
    assert_int_equal(stopped.of[0].count, stopped.of[0].bytes + 3);
    assert_memory_equal(stopped.of[0].text, all.of[0].text, stopped.of[0].bytes);
    assert_int_equal(stopped.of[1].finish, PARA_FINISH_END);
    int64_t end = 0;
    while (all.of[0].tokens[end] != all.of[0].tokens[20])
        end++;
    assert_int_equal(stopped.of[1].count, end);
    assert_int_equal(stopped.of[1].calls, end + 1);
    assert_string_equal(para_finish_name(PARA_FINISH_STOP), "stop");
    para_generator_free(g);
}

/* Once each graph has run, later texts make no task and register no handle. */
static void nothing_is_made_after_the_start(void **state)
{
    (void)state;
    para_generator_options o = options_of(4);
    para_generator *g = open_generator(&o, machine);
    para_session_counters made = para_generator_counters(g);
    assert_true(made.tasks_created > 0 && made.handles_registered > 0);
    for (int round = 0; round < 2; round++) {
        struct results all = {0};
        for (int i = 0; i < TEXTS; i++)
            submit(g, i, &all);
        run_all(g, &all);
        para_session_counters now = para_generator_counters(g);
        assert_int_equal(now.tasks_created, made.tasks_created);
        assert_int_equal(now.handles_registered, made.handles_registered);
        assert_true(now.runs > made.runs);
    }
    assert_non_null(para_generator_last_step(g));
    assert_string_equal(para_generator_splits(g), "heads=2,ff=3,vocab=2");
    para_generator_free(g);
}

/* The callback submits the next text, or fails. */
struct chain {
    para_generator *g;
    struct results all;
    int next, fails_at;
};

static int follow(void *user, const para_text *t, para_error *err)
{
    struct chain *c = user;
    note(&c->all, t, err);
    if (t->finish && c->next == c->fails_at) {
        err->code = PARA_EIO;
        strcpy(err->message, "enough");
        return PARA_EIO;
    }
    if (t->finish && c->next < TEXTS)
        submit(c->g, c->next++, &c->all);
    return 0;
}

static void callbacks_submit_and_fail(void **state)
{
    (void)state;
    para_generator_options o = options_of(2);
    struct chain c = {.g = open_generator(&o, NULL), .fails_at = -1};
    para_error err = {0};
    submit(c.g, c.next++, &c.all);
    must(para_generator_run(c.g, follow, &c, &err), err);
    assert_int_equal(c.all.ended, TEXTS);
    struct chain failing = {.g = c.g, .fails_at = 3};
    submit(c.g, failing.next++, &failing.all);
    assert_int_equal(para_generator_run(c.g, follow, &failing, &err), PARA_EIO);
    assert_string_equal(err.message, "enough");
    assert_int_equal(failing.all.ended, 3);
    struct results after = {0};
    run_all(c.g, &after);
    assert_int_equal(after.ended, 0);
    para_generator_free(c.g);
}

static void refuses_options(para_generator_options o, int code, const char *says)
{
    para_generator *g = NULL;
    para_error err = {0};
    assert_int_equal(para_generator_new(&g, folder, model, NULL, &o, &err), code);
    assert_null(g);
    if (!strstr(err.message, says))
        fail_msg("the message lacks \"%s\": %s", says, err.message);
}

static void refuses(para_generator *g, para_sequence s, int code, const char *says)
{
    para_error err = {0};
    assert_int_equal(para_generator_submit(g, &s, &err), code);
    if (!strstr(err.message, says))
        fail_msg("the message lacks \"%s\": %s", says, err.message);
}

static void what_cannot_be_made_is_refused(void **state)
{
    (void)state;
    para_generator_options o = options_of(17);
    refuses_options(o, PARA_ERANGE, "rows is 17, expected 1 to 16");
    o = options_of(2);
    o.split = "head=2";
    refuses_options(o, PARA_EAXIS, "no axis is called \"head\"");
    o = options_of(2);
    o.split = "batch=3";
    refuses_options(o, PARA_ERANGE, "batch");
    o = options_of(2);
    o.prompt = 0;
    refuses_options(o, PARA_ERANGE, "a prompt of 0 tokens");
    para_generator *g =
        open_generator(&(para_generator_options){.rows = 1, .prompt = 4, .count = 5, .stages = 1}, NULL);
    para_sequence good = {.tokens = (const int32_t[]){1, 2, 3, 4, 5},
                          .length = 4,
                          .count = 5,
                          .sampling = para_sampling_default()},
                  bad = good;
    bad.length = 5;
    refuses(g, bad, PARA_ERANGE, "a prompt of 5 tokens, expected 1 to 4");
    bad = good;
    bad.count = 6;
    refuses(g, bad, PARA_ERANGE, "6 tokens to make, expected 1 to 5");
    bad = good;
    bad.tokens = (const int32_t[]){1, VOCAB, 3, 4};
    refuses(g, bad, PARA_ERANGE, "token 1 of a prompt is 256, expected 0 to 255");
    bad = good;
    bad.sampling.temperature = 0;
    refuses(g, bad, PARA_ERANGE, "temperature is 0");
    bad = good;
    bad.stops = (const char *const[]){"a"};
    bad.stop_count = 1;
    refuses(g, bad, PARA_EINVAL, "a tokenizer");
    bad = good;
    bad.sampling.top_p = 2;
    refuses(g, bad, PARA_ERANGE, "top_p is 2, expected 0 to 1");
    bad = good;
    bad.stop_count = -1;
    refuses(g, bad, PARA_ERANGE, "-1 stops and 0 ends, expected 0 or more");
    bad.stop_count = 1;
    refuses(g, bad, PARA_EINVAL, "1 stops and 0 ends, expected a list");
    bad = good;
    bad.end_count = -2;
    refuses(g, bad, PARA_ERANGE, "0 stops and -2 ends, expected 0 or more");
    bad.end_count = 2;
    refuses(g, bad, PARA_EINVAL, "0 stops and 2 ends, expected a list");
    para_error err = {0};
    assert_int_equal(para_generator_share(g, good.tokens, 3, &err), PARA_EINVAL);
    para_generator_free(g);
    o = options_of(1);
    o.shared = true;
    g = open_generator(&o, NULL);
    refuses(g, good, PARA_EINVAL, "a shared one");
    good.tokens = NULL;
    refuses(g, good, PARA_EINVAL, "a shared one");
    para_generator_free(g);
}

static void stops_have_bytes(void **state)
{
    (void)state;
    para_generator_options o = options_of(1);
    para_generator *g = open_generator(&o, NULL);
    int32_t prompt[LONGEST];
    para_sequence s = sequence_of(0, prompt, NULL);
    s.stop_count = 2;
    for (int i = 0; i < 2; i++) {
        s.stops = (const char *const[]){"a", i ? "" : NULL};
        refuses(g, s, PARA_EINVAL, "stop 1 is empty, expected at least one byte");
    }
    para_generator_free(g);
}

/* Another prompt is offered while texts wait or are being made. */
struct offering {
    para_generator *g;
    struct results all;
};

static void offer(para_generator *g)
{
    static const int32_t other[] = {9};
    para_error err = {0};
    assert_int_equal(para_generator_share(g, other, 1, &err), PARA_EINVAL);
    assert_non_null(strstr(err.message, "expected an empty queue"));
}

static int offer_amid(void *user, const para_text *t, para_error *err)
{
    struct offering *o = user;
    offer(o->g);
    return note(&o->all, t, err);
}

static void submit_sharing(para_generator *g, struct result *r)
{
    para_error err = {0};
    para_sequence s = {.count = 9, .sampling = para_sampling_default(), .user = r};
    must(para_generator_submit(g, &s, &err), err);
}

/* Neither such a prompt nor one that is wrong changes what is shared; one that comes once all are made does. */
static void a_shared_prompt_stays_while_texts_have_it(void **state)
{
    (void)state;
    static const int32_t prompt[] = {1, 2, 3}, other[] = {200, 9};
    para_error err = {0};
    para_generator_options o = options_of(1);
    o.shared = true;
    struct offering amid = {.g = open_generator(&o, NULL)};
    struct results after = {0}, changed = {0};
    must(para_generator_share(amid.g, prompt, 3, &err), err);
    submit_sharing(amid.g, &amid.all.of[0]);
    offer(amid.g);
    must(para_generator_run(amid.g, offer_amid, &amid, &err), err);
    assert_int_equal(para_generator_share(amid.g, other, 0, &err), PARA_ERANGE);
    submit_sharing(amid.g, &after.of[0]);
    run_all(amid.g, &after);
    assert_same(&amid.all, &after);
    must(para_generator_share(amid.g, other, 2, &err), err);
    submit_sharing(amid.g, &changed.of[0]);
    run_all(amid.g, &changed);
    assert_memory_not_equal(changed.of[0].tokens, after.of[0].tokens, sizeof after.of[0].tokens);
    para_generator_free(amid.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_what_they_are_alone),
        cmocka_unit_test(splits_by_rule_do_not_depend_on_rows),
        cmocka_unit_test(rows_that_are_free_are_taken),
        cmocka_unit_test(shared_prompts_give_the_same_texts),
        cmocka_unit_test(texts_end_at_stops_and_ends),
        cmocka_unit_test(nothing_is_made_after_the_start),
        cmocka_unit_test(callbacks_submit_and_fail),
        cmocka_unit_test(what_cannot_be_made_is_refused),
        cmocka_unit_test(stops_have_bytes),
        cmocka_unit_test(a_shared_prompt_stays_while_texts_have_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
