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

/* The likeliest ending, of equal ones the first. */
static int best_of(const struct questions *q, int64_t question, int count, bool mean)
{
    int best = 0;
    double best_score = 0;
    for (int i = 0; i < count; i++) {
        double score = questions_sum(q, question, i) / (mean ? (double)questions_tokens(q, question, i) : 1.0);
        if (i == 0 || score > best_score) {
            best = i;
            best_score = score;
        }
    }
    return best;
}

static void print_item(const struct questions *q, int64_t question, const para_choice *c, int by_sum, int by_mean)
{
    printf("{\"line\":%lld,\"label\":%d,\"choice\":%d,\"choice_norm\":%d,\"scores\":[", (long long)c->line, c->label,
           by_sum, by_mean);
    for (int i = 0; i < c->count; i++)
        write_json_number(stdout, i ? "," : "", questions_sum(q, question, i));
    fputs("],\"tokens\":[", stdout);
    for (int i = 0; i < c->count; i++)
        printf("%s%lld", i ? "," : "", (long long)questions_tokens(q, question, i));
    puts("]}");
}

static void report(const struct questions *q, const para_choices *choices, bool json)
{
    int64_t right = 0, right_norm = 0;
    for (int64_t i = 0; i < q->count; i++) {
        const para_choice *c = para_choices_item(choices, i);
        int by_sum = best_of(q, i, c->count, false), by_mean = best_of(q, i, c->count, true);
        right += by_sum == c->label;
        right_norm += by_mean == c->label;
        if (json)
            print_item(q, i, c, by_sum, by_mean);
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
    code = code ? code : questions_ask(&q, wish);
    if (code == EXIT_DONE)
        report(&q, choices, json);
    questions_free(&q);
    para_choices_free(choices);
    return code;
}
