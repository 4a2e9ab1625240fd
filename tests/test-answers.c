/* Prompts and answers: what is read, what a step's rows count, and what is refused by file and line. */
#include "tests/checkpoint.h"

#include <stdlib.h>
#include <string.h>

enum { SEQ = 8, END = 7 };

static para_tokenizer *bytes_tokenizer(void)
{
    para_error err = {0};
    para_tokenizer *t;
    must(para_tokenizer_open(&t, NULL, &err), err);
    return t;
}

static int read_text(const char *text, int32_t end, int64_t longest, para_answers **out, para_error *err)
{
    char *dir = temp_dir(), *path = path_join(dir, "a.jsonl");
    const char *const paths[] = {path};
    para_tokenizer *t = bytes_tokenizer();
    write_text(dir, "a.jsonl", text);
    int status = para_answers_open(out, paths, 1, t, end, 256, longest, err);
    para_tokenizer_free(t);
    free(path);
    temp_dir_remove(dir);
    return status;
}

#define TWO                                                                                                            \
    "{\"prompt\": \"ab\", \"answer\": \"cd\", \"id\": 3}\n \n"                                                         \
    "{\"completion\": \"z\", \"prompt\": \"xyx\"}"

static void answers_are_read_in_order(void **state)
{
    (void)state;
    para_answers *a;
    para_error err = {0};
    must(read_text(TWO, END, SEQ, &a, &err), err);
    assert_int_equal(para_answers_count(a), 2);
    assert_int_equal(para_answers_longest(a), 4);
    const para_answer *first = para_answers_item(a, 0), *second = para_answers_item(a, 1);
    assert_true(first->line == 1 && first->prompt == 2 && first->count == 5);
    assert_true(second->line == 3 && second->prompt == 3 && second->count == 5);
    const int32_t ids[] = {'a', 'b', 'c', 'd', END, 'x', 'y', 'x', 'z', END};
    assert_memory_equal(first->tokens, ids, sizeof ids / 2);
    assert_memory_equal(second->tokens, ids + 5, sizeof ids / 2);
    assert_null(para_answers_item(a, 2));
    assert_null(para_answers_item(a, -1));
    para_answers_free(a);
    must(read_text(TWO, -1, SEQ, &a, &err), err);
    assert_int_equal(para_answers_item(a, 0)->count, 4);
    para_answers_free(a);
}

/* The loss is of answers and their ends; what stands behind a row counts nothing. */
static void rows_count_answers_alone(void **state)
{
    (void)state;
    para_answers *a;
    para_error err = {0};
    int32_t tokens[3 * SEQ], targets[3 * SEQ];
    must(read_text(TWO, END, SEQ, &a, &err), err);
    must(para_answers_batch(a, 2, 3, SEQ, 0, 1, true, tokens, targets, &err), err);
    const int32_t expected_tokens[SEQ] = {'a', 'b', 'c', 'd'}, second[SEQ] = {'x', 'y', 'x', 'z'};
    const int32_t expected_targets[SEQ] = {-100, 'c', 'd', END, -100, -100, -100, -100};
    const int32_t second_targets[SEQ] = {-100, -100, 'z', END, -100, -100, -100, -100};
    for (int row = 0; row < 3; row += 2) {
        assert_memory_equal(tokens + row * SEQ, expected_tokens, sizeof expected_tokens);
        assert_memory_equal(targets + row * SEQ, expected_targets, sizeof expected_targets);
    }
    assert_memory_equal(tokens + SEQ, second, sizeof second);
    assert_memory_equal(targets + SEQ, second_targets, sizeof second_targets);
    para_answers_free(a);
}

static void draws_are_of_seed_step_and_row(void **state)
{
    (void)state;
    para_answers *a;
    para_error err = {0};
    enum { ROWS = 64 };
    int32_t tokens[ROWS * SEQ], again[ROWS * SEQ], targets[ROWS * SEQ];
    must(read_text(TWO, END, SEQ, &a, &err), err);
    must(para_answers_batch(a, 2, ROWS, SEQ, 3, 1, false, tokens, targets, &err), err);
    must(para_answers_batch(a, 2, ROWS, SEQ, 3, 1, false, again, targets, &err), err);
    assert_memory_equal(tokens, again, sizeof tokens);
    must(para_answers_batch(a, 2, ROWS, SEQ, 4, 1, false, again, targets, &err), err);
    assert_memory_not_equal(tokens, again, sizeof tokens);
    int seconds = 0;
    for (int row = 0; row < ROWS; row++)
        seconds += tokens[row * SEQ] == 'x';
    assert_in_range(seconds, 16, 48);
    must(para_answers_batch(a, 1, ROWS, SEQ, 3, 1, false, tokens, targets, &err), err);
    for (int row = 0; row < ROWS; row++)
        assert_int_equal(tokens[row * SEQ], 'a');
    assert_int_equal(para_answers_batch(a, 3, ROWS, SEQ, 3, 1, false, tokens, targets, &err), PARA_EINVAL);
    assert_int_equal(para_answers_batch(a, 2, ROWS, 3, 3, 1, false, tokens, targets, &err), PARA_EINVAL);
    para_answers_free(a);
}

static const struct {
    const char *line, *says;
} wrongs[] = {
    {"{", "a.jsonl:2:"},
    {"[1]", "a.jsonl:2: expected a JSON object, {\"prompt\": ..., \"answer\": ...}"},
    {"{\"answer\": \"x\"}", "a.jsonl:2: \"prompt\" is missing, expected a string that isn't empty"},
    {"{\"prompt\": 3, \"answer\": \"x\"}", "a.jsonl:2: \"prompt\" is something else"},
    {"{\"prompt\": \"\", \"answer\": \"x\"}", "a.jsonl:2: \"prompt\" is something else"},
    {"{\"prompt\": \"x\"}", "a.jsonl:2: \"answer\" is missing"},
    {"{\"prompt\": \"x\", \"answer\": \"\"}", "a.jsonl:2: \"answer\" is something else"},
    {"{\"prompt\": \"x\", \"completion\": null}", "a.jsonl:2: \"completion\" is something else"},
    {"{\"prompt\": \"x\", \"answer\": \"12345678\"}",
     "a.jsonl:2: has 10 tokens, 1 of the prompt; expected at least one of "
     "that, and 9 in all at most"},
};

static void wrong_lines_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        char text[300];
        para_answers *none;
        para_error err = {0};
        snprintf(text, sizeof text, "{\"prompt\": \"ab\", \"answer\": \"cd\"}\n%s\n", wrongs[i].line);
        assert_int_equal(read_text(text, END, SEQ, &none, &err), PARA_EFORMAT);
        assert_says(&err, wrongs[i].says);
    }
    para_answers *none;
    para_error err = {0};
    assert_int_equal(read_text("\n", END, SEQ, &none, &err), PARA_EFORMAT);
    assert_says(&err, "has no answers");
}

/* Where a merge would reach across the border, an answer has its own tokens. */
static void a_border_is_never_within_a_token(void **state)
{
    (void)state;
    char *dir = temp_dir(), *path = path_join(dir, "a.jsonl");
    const char *const paths[] = {path};
    para_tokenizer *t;
    para_error err = {0};
    para_answers *a;
    char *folder = test_file("golden/tokenizer-small");
    must(para_tokenizer_open(&t, folder, &err), err);
    write_text(dir, "a.jsonl", "{\"prompt\": \"th\", \"answer\": \"e\"}\n{\"prompt\": \"the\", \"answer\": \" the\"}");
    must(para_answers_open(&a, paths, 1, t, -1, para_tokenizer_vocab(t), 64, &err), err);
    for (int i = 0; i < 2; i++) {
        const para_answer *of = para_answers_item(a, i);
        int32_t *ids;
        int64_t count;
        const char *prompt = i ? "the" : "th";
        must(para_tokenizer_encode(t, prompt, strlen(prompt), true, &ids, &count, &err), err);
        assert_int_equal(of->prompt, count);
        assert_memory_equal(of->tokens, ids, (size_t)count * sizeof *ids);
        para_tokens_free(ids);
    }
    para_answers_free(a);
    para_tokenizer_free(t);
    free(folder);
    free(path);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read_in_order),        cmocka_unit_test(rows_count_answers_alone),
        cmocka_unit_test(draws_are_of_seed_step_and_row),   cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(a_border_is_never_within_a_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
