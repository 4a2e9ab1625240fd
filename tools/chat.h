/* Conversations, as the families of models that are made for them want them written. */
#ifndef TOOLS_CHAT_H
#define TOOLS_CHAT_H

#include "tools/common.h"

#include <jansson.h>

/* How a family writes conversations; a row of chat.c's table. */
struct chat_family;

/* "a|b|c", the families' names and "auto": what a model's own template tells. */
#define CHAT_WORDS "auto|chatml|llama2|llama3|llama3.1|mistral|mistral-nemo|phi3|qwen|zephyr"

/* Find the family of that name. The model's own template, where it has one, is looked at: "auto" is what it tells, and
 * what it has that the family may not is told. */
int chat_choose(const struct chat_family **out, const char *name, const char *model);
/* The token that ends an answer. */
const char *chat_end(const struct chat_family *f);

struct chat_turn {
    char *role, *text;
};

/* A conversation: turns of "system" (the first one alone), "user" and "assistant". */
struct chat {
    struct chat_turn *turns;
    int64_t count, room;
};

int chat_add(struct chat *c, const char *role, const char *text, size_t bytes);
void chat_free(struct chat *c);
/* Add the turns of a list of objects with "role" and "content"; *why gets what is wrong with it, or NULL. */
int chat_add_json(struct chat *c, const json_t *messages, const char **why);
/* Write a conversation up to where an answer begins, without spaces around each turn where the family has none. *text
 * is to be freed. */
int chat_write(const struct chat_family *f, const struct chat *c, char **text, size_t *bytes);

#endif
