/* Multiple choice by likelihood: the sum over an ending's tokens, and their mean. */
#include "tools/choices.h"
#include "tools/question.h"

#include <stdlib.h>

static int add(struct questions *q, const para_choice *c)
{
    struct span *endings = malloc((size_t)c->count * sizeof *endings);
    if (!endings)
        return out_of_memory("endings", (double)c->count * sizeof *endings);
    for (int i = 0; i < c->count; i++)
        endings[i] = span_of(c->endings[i]);
    int code = questions_add(q, c->line, span_of(c->context), endings, c->count, true);
    free(endings);
    return code;
}

static void print_item(const para_scored_text *endings, const para_choice *c, int64_t by_sum, int64_t by_mean)
{
    printf("{\"line\":%lld,\"label\":%d,\"choice\":%lld,\"choice_norm\":%lld,\"scores\":[", (long long)c->line,
           c->label, (long long)by_sum, (long long)by_mean);
    for (int i = 0; i < c->count; i++)
        write_json_number(stdout, i ? "," : "", endings[i].sum);
    fputs("],\"tokens\":[", stdout);
    for (int i = 0; i < c->count; i++)
        printf("%s%lld", i ? "," : "", (long long)endings[i].count);
    puts("]}");
}

static void report(const struct questions *q, const para_choices *choices, bool json)
{
    int64_t right = 0, right_norm = 0;
    for (int64_t i = 0; i < q->count; i++) {
        const para_choice *c = para_choices_item(choices, i);
        const para_scored_text *endings = questions_options(q, i);
        int64_t by_sum = para_likeliest(endings, c->count, false), by_mean = para_likeliest(endings, c->count, true);
        right += by_sum == c->label;
        right_norm += by_mean == c->label;
        if (json)
            print_item(endings, c, by_sum, by_mean);
    }
    double all = (double)q->count;
    if (json) {
        printf("{\"items\":%lld", (long long)q->count);
        write_json_number(stdout, ",\"accuracy\":", (double)right / all);
        write_json_number(stdout, ",\"accuracy_norm\":", (double)right_norm / all);
        printf(",\"shortened\":%lld}\n", (long long)q->shortened);
    } else {
        printf("accuracy %.4f  by mean %.4f  questions %lld\n", (double)right / all, (double)right_norm / all,
               (long long)q->count);
    }
}

int choices_run(const char *path, const struct vocabulary *vocabulary, const struct scorer_wish *wish, bool json)
{
    para_error err;
    para_choices *choices;
    struct questions q;
    if (para_choices_open(&choices, path, &err) < 0)
        return broken(&err);
    questions_begin(&q, vocabulary, path, para_model_measure(wish->model).context);
    int code = EXIT_DONE;
    for (int64_t i = 0; i < para_choices_count(choices) && code == EXIT_DONE; i++)
        code = add(&q, para_choices_item(choices, i));
    if (code == EXIT_DONE && q.shortened > 0)
        message("%s: %lld of %lld texts are longer than the context of %lld tokens with their endings; they are read "
                "from where they fit",
                path, (long long)q.shortened, (long long)q.count, (long long)q.context);
    struct progress progress = progress_begin("scored", 0, code ? 0 : questions_count(&q), 0);
    code = code ? code : questions_ask(&q, wish, &progress);
    if (code == EXIT_DONE)
        report(&q, choices, json);
    questions_free(&q);
    para_choices_free(choices);
    return code;
}
