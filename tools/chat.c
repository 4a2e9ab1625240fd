/* Conversations. tests/interop compares with what Jinja makes of the families' own templates. */
#include "tools/chat.h"

#include "base/grow.h"

#include <paragraph/tokenizer.h>

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Where a system's text goes. */
enum place { OWN_TURN, FIRST_USER, LAST_USER };

struct around {
    const char *before, *after;
};

struct chat_family {
    const char *name;
    const char *begin;
    struct around system, user, assistant;
    const char *ask;      /* what an answer follows */
    const char *standard; /* the system's text where there is none; NULL: there is no system then */
    enum place place;
    bool trims; /* spaces around texts are left out */
    const char *end;
    uint64_t known[3]; /* digests of templates that say the same */
};

static const struct chat_family FAMILIES[] = {
    {.name = "chatml",
     .begin = "",
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n"},
     .assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"},
     .ask = "<|im_start|>assistant\n",
     .end = "<|im_end|>",
     .known = {0xa41d6bae9b9141bc}},
    {.name = "qwen",
     .begin = "",
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n"},
     .assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"},
     .ask = "<|im_start|>assistant\n",
     .standard = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     .end = "<|im_end|>",
     .known = {0xe642ce246d7f2e3d}},
    {.name = "llama2",
     .begin = "",
     .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     .user = {"<s>[INST] ", " [/INST]"},
     .assistant = {" ", " </s>"},
     .ask = "",
     .place = FIRST_USER,
     .trims = true,
     .end = "</s>"},
    {.name = "llama3",
     .begin = "<|begin_of_text|>",
     .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     .user = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     .assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
     .ask = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .trims = true,
     .end = "<|eot_id|>",
     .known = {0x74891e390e614ae2}},
    {.name = "llama3.1",
     .begin = "<|begin_of_text|>",
     .system =
         {"<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul "
          "2024\n\n",
          "<|eot_id|>"},
     .user = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     .assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
     .ask = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .standard = "",
     .trims = true,
     .end = "<|eot_id|>",
     .known = {0xcc0368e1ffb6b958, 0x368f4c34b8554414}},
    {.name = "mistral",
     .begin = "<s>",
     .system = {"", "\n\n"},
     .user = {"[INST] ", " [/INST]"},
     .assistant = {"", "</s>"},
     .ask = "",
     .place = FIRST_USER,
     .end = "</s>",
     .known = {0x8c734b90b4f8d84d}},
    {.name = "mistral-nemo",
     .begin = "<s>",
     .system = {"", "\n\n"},
     .user = {"[INST]", "[/INST]"},
     .assistant = {"", "</s>"},
     .ask = "",
     .place = LAST_USER,
     .end = "</s>",
     .known = {0x20783e9d94168233}},
    {.name = "phi3",
     .begin = "",
     .system = {"<|system|>\n", "<|end|>\n"},
     .user = {"<|user|>\n", "<|end|>\n"},
     .assistant = {"<|assistant|>\n", "<|end|>\n"},
     .ask = "<|assistant|>\n",
     .end = "<|end|>",
     .known = {0xcf278cde387a54c8}},
    {.name = "zephyr",
     .begin = "",
     .system = {"<|system|>\n", "</s>\n"},
     .user = {"<|user|>\n", "</s>\n"},
     .assistant = {"<|assistant|>\n", "</s>\n"},
     .ask = "<|assistant|>\n",
     .end = "</s>"},
};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof FAMILIES[0] };

/* What a template has tells the family: the first row all of whose words are in it. */
static const struct {
    const char *words[2], *family;
} SIGNS[] = {
    {{"<|im_start|>", "You are Qwen"}, "qwen"},
    {{"<|im_start|>", ""}, "chatml"},
    {{"<|start_header_id|>", "Cutting Knowledge Date"}, "llama3.1"},
    {{"<|start_header_id|>", ""}, "llama3"},
    {{"[INST]", "<<SYS>>"}, "llama2"},
    {{"[INST] ", ""}, "mistral"},
    {{"[INST]", ""}, "mistral-nemo"},
    {{"<|user|>", "<|end|>"}, "phi3"},
    {{"<|user|>", "eos_token"}, "zephyr"},
};
enum { SIGN_COUNT = sizeof SIGNS / sizeof SIGNS[0] };

static const struct chat_family *find(const char *name)
{
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (name && strcmp(FAMILIES[i].name, name) == 0)
            return &FAMILIES[i];
    return NULL;
}

static const struct chat_family *guess(const char *template)
{
    for (int i = 0; i < SIGN_COUNT; i++)
        if (strstr(template, SIGNS[i].words[0]) && strstr(template, SIGNS[i].words[1]))
            return find(SIGNS[i].family);
    return NULL;
}

/* FNV-1a, of a template without spaces at its ends. */
static uint64_t digest(const char *text)
{
    size_t begin = 0, end = strlen(text);
    uint64_t h = 14695981039346656037u;
    while (end > 0 && isspace((unsigned char)text[end - 1]))
        end--;
    while (begin < end && isspace((unsigned char)text[begin]))
        begin++;
    for (; begin < end; begin++)
        h = (h ^ (unsigned char)text[begin]) * 1099511628211u;
    return h;
}

static bool is_known(const struct chat_family *f, const char *template)
{
    uint64_t d = digest(template);
    return d == f->known[0] || d == f->known[1] || d == f->known[2];
}

/* Say where the model's own template isn't, or may not be, what the family's is. */
static void compare(const struct chat_family *f, const char *template, const char *model)
{
    const struct chat_family *own = guess(template);
    if (own && own != f)
        message("%s: its own chat template looks like %s's; %s's is used", model, own->name, f->name);
    else if (!own)
        message("%s: its own chat template is of no family that is known; %s's is used", model, f->name);
    else if (!is_known(f, template))
        message("%s: its own chat template is of %s's kind, but isn't known to say the same", model, f->name);
}

int chat_choose(const struct chat_family **out, const char *name, const char *model)
{
    para_error err;
    char *template;
    bool automatic = strcmp(name, "auto") == 0;
    if (para_chat_template(&template, model, &err) < 0)
        return broken(&err);
    *out = automatic && template ? guess(template) : find(name);
    if (*out && template)
        compare(*out, template, model);
    bool none = !template;
    free(template);
    if (*out)
        return EXIT_DONE;
    return failed("%s: --chat auto: %s; expected one of " CHAT_WORDS, model,
                  none ? "it has no chat template of its own" : "its own chat template is of no family that is known");
}

const char *chat_end(const struct chat_family *f)
{
    return f->end;
}

/* --- turns --- */

int chat_add(struct chat *c, const char *role, const char *text, size_t bytes)
{
    if (para_reserve(&c->turns, c->count + 1, &c->room, sizeof *c->turns) < 0)
        return out_of_memory("a conversation", (double)bytes);
    struct chat_turn *turn = &c->turns[c->count++];
    *turn = (struct chat_turn){strdup(role), malloc(bytes + 1)};
    if (!turn->role || !turn->text)
        return out_of_memory("a conversation", (double)bytes);
    memcpy(turn->text, text, bytes);
    turn->text[bytes] = '\0';
    return EXIT_DONE;
}

void chat_free(struct chat *c)
{
    for (int64_t i = 0; i < c->count; i++) {
        free(c->turns[i].role);
        free(c->turns[i].text);
    }
    free(c->turns);
    *c = (struct chat){0};
}

/* A system may speak first; then users and assistants take turns, a user first and last. */
static const char *check_order(const struct chat *c)
{
    int64_t first = c->count > 0 && strcmp(c->turns[0].role, "system") == 0;
    for (int64_t i = first; i < c->count; i++)
        if (strcmp(c->turns[i].role, (i - first) % 2 ? "assistant" : "user") != 0)
            return "expected \"messages\" of a system, if at all, and then of user and assistant by turns";
    return (c->count - first) % 2 ? NULL : "expected \"messages\" that end with the user's";
}

int chat_add_json(struct chat *c, const json_t *messages, const char **why)
{
    size_t i;
    const json_t *one;
    *why = json_is_array(messages) ? NULL : "expected \"messages\", a list";
    json_array_foreach(messages, i, one)
    {
        const json_t *role = json_object_get(one, "role"), *text = json_object_get(one, "content");
        if (!json_is_string(role) || !json_is_string(text)) {
            *why = "expected \"messages\" with texts \"role\" and \"content\"";
            return EXIT_DONE;
        }
        TRY(chat_add(c, json_string_value(role), json_string_value(text), json_string_length(text)));
    }
    *why = *why ? *why : check_order(c);
    return EXIT_DONE;
}

/* --- writing --- */

/* A text that grows; `failed` once memory ran out. */
struct writing {
    const struct chat_family *f;
    char *text;
    int64_t bytes, room;
    bool failed;
};

static void put_bytes(struct writing *w, const char *text, size_t bytes)
{
    w->failed = w->failed || para_reserve(&w->text, w->bytes + (int64_t)bytes + 1, &w->room, 1) < 0;
    if (w->failed)
        return;
    memcpy(w->text + w->bytes, text, bytes);
    w->bytes += (int64_t)bytes;
}

static void put(struct writing *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

static void put_trimmed(struct writing *w, const char *text)
{
    size_t bytes = strlen(text);
    while (w->f->trims && bytes > 0 && isspace((unsigned char)text[bytes - 1]))
        bytes--;
    while (w->f->trims && bytes > 0 && isspace((unsigned char)*text)) {
        text++;
        bytes--;
    }
    put_bytes(w, text, bytes);
}

/* What stands in a user's turn before its text, if that is where the system's goes. */
static void put_system(struct writing *w, const char *system)
{
    put(w, w->f->system.before);
    put_trimmed(w, system);
    put(w, w->f->system.after);
}

int chat_write(const struct chat_family *f, const struct chat *c, char **text, size_t *bytes)
{
    struct writing w = {.f = f};
    int64_t first = c->count > 0 && strcmp(c->turns[0].role, "system") == 0;
    const char *system = first ? c->turns[0].text : f->standard;
    put(&w, f->begin);
    if (system && f->place == OWN_TURN)
        put_system(&w, system);
    for (int64_t i = first; i < c->count; i++) {
        bool user = (i - first) % 2 == 0;
        const struct around *around = user ? &f->user : &f->assistant;
        bool here = f->place == FIRST_USER ? i == first : f->place == LAST_USER && i == c->count - 1;
        put(&w, around->before);
        if (system && here)
            put_system(&w, system);
        put_trimmed(&w, c->turns[i].text);
        put(&w, around->after);
    }
    put(&w, f->ask);
    if (w.failed) {
        free(w.text);
        return out_of_memory("a conversation", (double)w.bytes);
    }
    *text = w.text;
    *bytes = (size_t)w.bytes;
    return EXIT_DONE;
}
