/* Prompts from a file. */
#include "tools/generate.h"
#include "tools/lines.h"

#include "base/grow.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void prompts_free(struct prompts *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        free(p->of[i].text);
        para_tokens_free(p->of[i].tokens);
        free(p->of[i].refused);
    }
    free(p->of);
    *p = (struct prompts){0};
}

/* Append an empty prompt; NULL without memory. */
static struct prompt *append(struct prompts *p, int64_t number)
{
    if (para_reserve(&p->of, p->count + 1, &p->room, sizeof *p->of) < 0)
        return NULL;
    p->of[p->count] = (struct prompt){.number = number};
    return &p->of[p->count++];
}

static int refuse(struct prompts *p, int64_t number, const char *why)
{
    struct prompt *one = append(p, number);
    if (!one || !(one->refused = strdup(why)))
        return out_of_memory("prompts", (double)p->count * sizeof *one);
    return EXIT_DONE;
}

/* Add a text as it is. */
static int add_text(struct prompts *p, int64_t number, const char *text, size_t bytes, const para_tokenizer *t)
{
    para_error err;
    struct prompt *one = append(p, number);
    if (!one || !(one->text = malloc(bytes)))
        return out_of_memory("prompts", (double)bytes);
    memcpy(one->text, text, bytes);
    one->bytes = bytes;
    int status = para_tokenizer_prompt(t, text, bytes, &one->tokens, &one->count, &err);
    if (status < 0 && !(one->refused = strdup(err.message)))
        return out_of_memory("prompts", (double)bytes);
    p->longest = one->count > p->longest ? one->count : p->longest;
    return EXIT_DONE;
}

int prompts_add_chat(struct prompts *p, int64_t number, const struct chat *c, const para_tokenizer *t)
{
    char *text;
    size_t bytes;
    TRY(chat_write(p->chat, c, &text, &bytes));
    int code = add_text(p, number, text, bytes, t);
    free(text);
    return code;
}

int prompts_add(struct prompts *p, int64_t number, const char *text, size_t bytes, const para_tokenizer *t)
{
    if (bytes == 0)
        return refuse(p, number, "an empty prompt, expected at least one byte to continue");
    if (!p->chat)
        return add_text(p, number, text, bytes, t);
    struct chat c = {0};
    int code = p->system ? chat_add(&c, "system", p->system, strlen(p->system)) : EXIT_DONE;
    code = code ? code : chat_add(&c, "user", text, bytes);
    code = code ? code : prompts_add_chat(p, number, &c, t);
    chat_free(&c);
    return code;
}

/* The turns of an object's "messages", behind what the system says if they don't begin with that. */
static int add_messages(struct prompts *p, int64_t number, const json_t *messages, const para_tokenizer *t)
{
    struct chat c = {0};
    const char *why, *first = json_string_value(json_object_get(json_array_get(messages, 0), "role"));
    bool system = p->system && !(first && strcmp(first, "system") == 0);
    int code = system ? chat_add(&c, "system", p->system, strlen(p->system)) : EXIT_DONE;
    code = code ? code : chat_add_json(&c, messages, &why);
    if (code == EXIT_DONE)
        code = why ? refuse(p, number, why) : prompts_add_chat(p, number, &c, t);
    chat_free(&c);
    return code;
}

/* The "n" of an object, how many tokens its text takes at most, in *most: a number from 1 on, or absent. */
static bool read_most(const json_t *object, int64_t *most)
{
    const json_t *n = json_object_get(object, "n");
    *most = json_integer_value(n);
    return !n || (json_is_integer(n) && *most >= 1);
}

/* The "prompt", or the "messages", of a JSON object on a line. */
static int add_json(struct prompts *p, int64_t number, const char *line, size_t bytes, const para_tokenizer *t)
{
    json_error_t why;
    json_t *object = json_loadb(line, bytes, JSON_ALLOW_NUL, &why), *prompt = json_object_get(object, "prompt");
    int64_t most = 0;
    int code;
    if (!object)
        code = refuse(p, number, why.text);
    else if (!read_most(object, &most))
        code = refuse(p, number, "\"n\" is no whole number from 1 on");
    else if (p->chat && json_object_get(object, "messages"))
        code = add_messages(p, number, json_object_get(object, "messages"), t);
    else if (!json_is_string(prompt))
        code = refuse(p, number, "expected an object with a string \"prompt\"");
    else
        code = prompts_add(p, number, json_string_value(prompt), json_string_length(prompt), t);
    if (code == EXIT_DONE)
        p->of[p->count - 1].most = most;
    json_decref(object);
    return code;
}

static bool ends_in(const char *path, const char *end)
{
    size_t length = strlen(path), more = strlen(end);
    return length >= more && strcmp(path + length - more, end) == 0;
}

/* Add the line that is number `number`. */
static int add_line(struct prompts *p, int64_t number, struct span line, bool json, const para_tokenizer *t)
{
    if (!json)
        return prompts_add(p, number, line.bytes, line.count, t);
    return span_blank(line) ? EXIT_DONE : add_json(p, number, line.bytes, line.count, t);
}

int prompts_read(struct prompts *p, const char *path, const para_tokenizer *t)
{
    struct lines lines;
    int code = lines_read(&lines, path);
    for (int64_t i = 0; i < lines.count && code == EXIT_DONE; i++)
        code = add_line(p, i + 1, lines.of[i], ends_in(path, ".jsonl"), t);
    lines_free(&lines);
    return code == EXIT_DONE && p->count == 0 ? failed("%s: has no lines, expected a prompt on each", lines_name(path))
                                              : code;
}
