/* Many texts side by side: each prompt of the command line is continued, and printed when it is done.
 *
 *     many-texts FOLDER PROMPT...
 *
 * FOLDER is what `paragraph train --out` or `save_pretrained` wrote. */
#include <paragraph.h>
#include <paragraph/generate.h>

#include <stdio.h>
#include <string.h>

static int print(void *user, const para_text *text, para_error *err)
{
    (void)user, (void)err;
    if (text->finish)
        printf("%s%.*s\n---\n", (const char *)text->user, (int)text->bytes, text->text);
    return 0;
}

static int make(const char *folder, char *prompts[], int count, const para_model *model,
                const para_tokenizer *tokenizer, para_machine *machine, para_error *err)
{
    para_generator_options options = para_generator_default();
    para_generator *g;
    options.rows = count < PARA_GENERATOR_ROWS ? count : PARA_GENERATOR_ROWS;
    options.tokenizer = tokenizer;
    int status = para_generator_new(&g, folder, model, machine, &options, err);
    if (status < 0)
        return status;
    for (int i = 0; i < count && status == 0; i++) {
        para_sequence s = {.count = options.count, .sampling = para_sampling_default(), .user = prompts[i]};
        int32_t *tokens = NULL;
        status = para_tokenizer_encode(tokenizer, prompts[i], strlen(prompts[i]), true, &tokens, &s.length, err);
        s.tokens = tokens;
        status = status < 0 ? status : para_generator_submit(g, &s, err);
        para_tokens_free(tokens);
    }
    status = status < 0 ? status : para_generator_run(g, print, NULL, err);
    para_generator_free(g);
    return status;
}

int main(int argc, char *argv[])
{
    para_error err = {0};
    para_model *model = NULL;
    para_tokenizer *tokenizer = NULL;
    para_machine *machine = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: many-texts FOLDER PROMPT...\n");
        return 1;
    }
    bool failed = para_model_open(&model, argv[1], &err) < 0;
    bool bytes = !failed && para_model_measure(model).vocab == 256;
    failed = failed || para_tokenizer_open(&tokenizer, bytes ? NULL : argv[1], &err) < 0 ||
             para_machine_open(&machine, NULL, &err) < 0 ||
             make(argv[1], argv + 2, argc - 2, model, tokenizer, machine, &err) < 0;
    if (failed)
        fprintf(stderr, "many-texts: %s\n", err.message);
    para_machine_close(machine);
    para_tokenizer_free(tokenizer);
    para_model_free(model);
    return failed;
}
