/* The likeliest of several endings of a text: each with the sum of its tokens' log-probabilities, the likeliest marked.
 *
 *     likeliest FOLDER TEXT ENDING...
 *
 * FOLDER is what `paragraph train --out` or `save_pretrained` wrote. */
#include <paragraph.h>
#include <paragraph/score.h>

#include <stdio.h>
#include <string.h>

enum { MOST = 64 };

static int score(const char *folder, const para_model *model, para_machine *machine, para_scored_text *endings,
                 int count, para_error *err)
{
    para_scorer_options options = para_scorer_default();
    para_scorer *scorer;
    options.rows = count;
    options.longest = 1;
    for (int i = 0; i < count; i++) {
        int64_t reads = endings[i].given_count + endings[i].count - 1;
        options.longest = reads > options.longest ? reads : options.longest;
    }
    int status = para_scorer_new(&scorer, folder, model, machine, &options, err);
    if (status < 0)
        return status;
    status = para_scorer_run(scorer, endings, count, NULL, NULL, err);
    para_scorer_free(scorer);
    return status;
}

/* Read the text, words[0], and its endings, the words after it. */
static int compare(const char *folder, char *words[], int count, const para_model *model,
                   const para_tokenizer *tokenizer, para_machine *machine, para_error *err)
{
    para_scored_text endings[MOST] = {{0}};
    int32_t *tokens[MOST + 1] = {NULL};
    int64_t length[MOST + 1];
    int status = 0;
    for (int i = 0; i <= count && status == 0; i++) {
        status = para_tokenizer_encode(tokenizer, words[i], strlen(words[i]), false, &tokens[i], &length[i], err);
        if (i > 0 && status == 0)
            endings[i - 1] = (para_scored_text){
                .given = tokens[0], .given_count = length[0], .tokens = tokens[i], .count = length[i]};
    }
    status = status < 0 ? status : score(folder, model, machine, endings, count, err);
    for (int i = 0; i < count && status == 0; i++)
        printf("%c %10.4f  %s\n", i == para_likeliest(endings, count, false) ? '*' : ' ', endings[i].sum, words[1 + i]);
    for (int i = 0; i <= count; i++)
        para_tokens_free(tokens[i]);
    return status;
}

int main(int argc, char *argv[])
{
    para_error err = {0};
    para_model *model = NULL;
    para_tokenizer *tokenizer = NULL;
    para_machine *machine = NULL;
    if (argc < 4 || argc - 3 > MOST) {
        fprintf(stderr, "usage: likeliest FOLDER TEXT ENDING..., at most %d endings\n", MOST);
        return 1;
    }
    bool failed = para_model_open(&model, argv[1], &err) < 0;
    bool bytes = !failed && para_model_measure(model).vocab == 256;
    failed = failed || para_tokenizer_open(&tokenizer, bytes ? NULL : argv[1], &err) < 0 ||
             para_machine_open(&machine, NULL, &err) < 0 ||
             compare(argv[1], argv + 2, argc - 3, model, tokenizer, machine, &err) < 0;
    if (failed)
        fprintf(stderr, "likeliest: %s\n", err.message);
    para_machine_close(machine);
    para_tokenizer_free(tokenizer);
    para_model_free(model);
    return failed;
}
