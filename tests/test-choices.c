/* Questions of multiple choice: what is read, and what is refused by line and key. */
#include "tests/checkpoint.h"

#include <paragraph/data.h>

#include <stdlib.h>
#include <string.h>

#define GOOD "{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": 1, \"ind\": 24}\n"

static int read_text(const char *text, size_t bytes, para_choices **out, para_error *err)
{
    char *dir = temp_dir(), *path = path_join(dir, "choices.jsonl");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    int status = para_choices_open(out, path, err);
    free(path);
    temp_dir_remove(dir);
    return status;
}

static void questions_are_read_in_order(void **state)
{
    static const char text[] = "\xef\xbb\xbf" GOOD " \t\r\n"
                               "{\"prompt\": \"p\", \"label\": \"0\", \"endings\": [\" x\", \"y\\n\", \"z\"]}\r\n"
                               "{\"ctx\": \"q\", \"prompt\": 3, \"endings\": [\"\\u00e4\", \"e\"], \"label\": 0}";
    para_choices *c;
    para_error err = {0};
    (void)state;
    must(read_text(text, sizeof text - 1, &c, &err), err);
    assert_int_equal(para_choices_count(c), 3);
    const para_choice *first = para_choices_item(c, 0), *second = para_choices_item(c, 1);
    assert_string_equal(first->context, "a");
    assert_true(first->line == 1 && first->count == 2 && first->label == 1);
    assert_string_equal(first->endings[1], "c");
    assert_string_equal(second->context, "p");
    assert_true(second->line == 3 && second->count == 3 && second->label == 0);
    assert_string_equal(second->endings[0], " x");
    assert_string_equal(para_choices_item(c, 2)->endings[0], "\xc3\xa4");
    assert_null(para_choices_item(c, 3));
    assert_null(para_choices_item(c, -1));
    para_choices_free(c);
}

static const struct {
    const char *line, *says;
} wrongs[] = {
    {"{", "choices.jsonl:2:"},
    {"[1]", "choices.jsonl:2: expected a JSON object"},
    {"nonsense", "choices.jsonl:2:"},
    {"{\"ctx\": \"a\xff\", \"endings\": [\"b\", \"c\"], \"label\": 1}", "choices.jsonl:2:"},
    {"{\"ctx\": \"a\", \"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": 1}", "duplicate"},
    {"{\"endings\": [\"b\", \"c\"], \"label\": 1}", "\"ctx\" is missing, expected a string"},
    {"{\"ctx\": 1, \"endings\": [\"b\", \"c\"], \"label\": 1}", "\"ctx\" is something else, expected a string"},
    {"{\"prompt\": null, \"endings\": [\"b\", \"c\"], \"label\": 1}", "\"prompt\" is something else"},
    {"{\"ctx\": \"\", \"endings\": [\"b\", \"c\"], \"label\": 1}", "\"ctx\" is empty"},
    {"{\"ctx\": \"a\", \"label\": 1}", "\"endings\" is missing, expected an array of two strings or more"},
    {"{\"ctx\": \"a\", \"endings\": {\"b\": \"c\"}, \"label\": 1}", "\"endings\" is something else"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\"], \"label\": 0}", "\"endings\" is something else, expected an array of two"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", 3], \"label\": 0}", "\"endings\"[1] is something else, expected a string"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"\"], \"label\": 0}", "\"endings\"[1] is empty"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"]}", "\"label\" is missing, expected the number of the right ending"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": 2}", "expected the number of the right ending, 0 to 1"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": -1}", "\"label\" is something else"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": 1.0}", "\"label\" is something else"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": true}", "\"label\" is something else"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": \"\"}", "\"label\" is something else"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": \"1x\"}", "\"label\" is something else"},
    {"{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": \"99999999999999999999\"}",
     "\"label\" is something else"},
};

static void wrong_lines_are_refused_by_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        char text[512];
        para_choices *none = NULL;
        para_error err = {0};
        int bytes = snprintf(text, sizeof text, "%s%s\n%s", GOOD, wrongs[i].line, GOOD);
        assert_int_equal(read_text(text, (size_t)bytes, &none, &err), PARA_EFORMAT);
        assert_null(none);
        assert_says(&err, "choices.jsonl:2");
        assert_says(&err, wrongs[i].says);
    }
}

static void files_without_questions_are_refused(void **state)
{
    para_choices *none = NULL;
    para_error err = {0};
    (void)state;
    assert_int_equal(read_text("\n \n", 3, &none, &err), PARA_EFORMAT);
    assert_says(&err, "has no questions");
    assert_int_equal(read_text("\0\n", 2, &none, &err), PARA_EFORMAT);
    assert_says(&err, "choices.jsonl:1:");
    assert_int_equal(para_choices_open(&none, "/nonesuch", &err), PARA_EIO);
    assert_says(&err, "/nonesuch: can't open");
    assert_int_equal(para_choices_open(&none, "/", &err), PARA_EIO);
    assert_null(none);
    para_choices_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_read_in_order),
        cmocka_unit_test(wrong_lines_are_refused_by_number),
        cmocka_unit_test(files_without_questions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
