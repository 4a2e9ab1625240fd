/* Parsing of options by their tables. */
#include "tools/options.h"
#include "tools/common.h"
#include "tools/near.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The words that remain, and what is parsed into. */
struct words {
    const struct command *command;
    char *options;
    int argc;
    char *const *argv;
    int next, operands;
    struct options_given given;
};

struct match {
    const struct option *option;
    void *field;
    int group, row;
};

static const char *dashes(const struct option *o)
{
    return o->name[1] ? "--" : "-";
}

/* Find the option that a word of `length` bytes, dashes included, names. */
static bool find(const struct words *w, const char *word, size_t length, struct match *out)
{
    const struct option_group *groups = w->command->groups;
    for (int g = 0; g < OPTION_GROUPS && groups[g].options; g++)
        for (int i = 0; i < OPTION_ROWS && groups[g].options[i].name; i++) {
            const struct option *o = &groups[g].options[i];
            size_t lead = strlen(dashes(o));
            if (length != lead + strlen(o->name) || strncmp(word, dashes(o), lead) != 0 ||
                strncmp(word + lead, o->name, length - lead) != 0)
                continue;
            *out = (struct match){o, w->options + groups[g].offset + o->offset, g, i};
            return true;
        }
    return false;
}

static int parse_count(const struct option *o, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || (double)value < o->min || (double)value > o->max)
        return misused("%s%s is \"%s\", expected a whole number from %.0f to %.0f", dashes(o), o->name, text, o->min,
                       o->max);
    *out = value;
    return 0;
}

static int parse_real(const struct option *o, const char *text, double *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= o->min && value <= o->max))
        return misused("%s%s is \"%s\", expected a number from %g to %g", dashes(o), o->name, text, o->min, o->max);
    *out = value;
    return 0;
}

static int parse_choice(const struct option *o, const char *text, const char **out)
{
    size_t length = strlen(text);
    for (const char *word = o->value; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        if (strcspn(word, "|") == length && strncmp(word, text, length) == 0) {
            *out = text;
            return 0;
        }
    return misused("%s%s is \"%s\", expected one of %s", dashes(o), o->name, text, o->value);
}

static void take_files(struct words *w, struct option_files *out)
{
    int first = w->next - 1;
    while (w->next < w->argc && w->argv[w->next][0] != '-')
        w->next++;
    *out = (struct option_files){(const char *const *)w->argv + first, w->next - first};
}

static int store(struct words *w, const struct match *m, const char *value)
{
    switch (m->option->kind) {
    case OPTION_FLAG:
        *(bool *)m->field = true;
        return 0;
    case OPTION_COUNT:
        return parse_count(m->option, value, m->field);
    case OPTION_REAL:
        return parse_real(m->option, value, m->field);
    case OPTION_TEXT:
    case OPTION_OUTPUT:
        *(const char **)m->field = value;
        return 0;
    case OPTION_CHOICE:
        return parse_choice(m->option, value, m->field);
    case OPTION_FILES:
        take_files(w, m->field);
        return 0;
    }
    return 0;
}

static int unknown_option(const struct words *w, const char *word, size_t length)
{
    size_t lead = strspn(word, "-");
    struct near near = near_begin(word + lead, length > lead ? length - lead : 0);
    const struct option_group *groups = w->command->groups;
    near_try(&near, "help");
    for (int g = 0; g < OPTION_GROUPS && groups[g].options; g++)
        for (int i = 0; i < OPTION_ROWS && groups[g].options[i].name; i++)
            near_try(&near, groups[g].options[i].name);
    if (!near.best)
        return misused("there is no option %.*s", (int)length, word);
    return misused("there is no option %.*s; did you mean --%s?", (int)length, word, near.best);
}

/* The option's value: after "=", or the next word. Files begin at the next word and end where options go on. */
static int parse_option(struct words *w, const char *word)
{
    const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    struct match m;
    if (!find(w, word, length, &m))
        return unknown_option(w, word, length);
    const struct option *o = m.option;
    if (w->given.rows[m.group] >> m.row & 1)
        return misused("%s%s is given twice", dashes(o), o->name);
    w->given.rows[m.group] |= UINT64_C(1) << m.row;
    if (o->kind == OPTION_FLAG && equals)
        return misused("%s%s takes no value", dashes(o), o->name);
    if (o->kind == OPTION_FLAG)
        return store(w, &m, NULL);
    if (o->kind == OPTION_FILES && equals)
        return misused("%s%s takes its files as the words after it", dashes(o), o->name);
    if (equals)
        return store(w, &m, equals + 1);
    if (w->next == w->argc || (o->kind == OPTION_FILES && w->argv[w->next][0] == '-'))
        return misused("%s%s lacks its value, expected %s", dashes(o), o->name, o->value);
    return store(w, &m, w->argv[w->next++]);
}

static int check_required(const struct words *w)
{
    const struct option_group *groups = w->command->groups;
    for (int g = 0; g < OPTION_GROUPS && groups[g].options; g++)
        for (int i = 0; i < OPTION_ROWS && groups[g].options[i].name; i++) {
            const struct option *o = &groups[g].options[i];
            if (o->required && !(w->given.rows[g] >> i & 1))
                return misused("%s needs %s%s %s", w->command->name, dashes(o), o->name, o->value);
        }
    return 0;
}

static int take_operand(struct words *w, const char *word)
{
    if (w->operands == w->command->n_operands)
        return misused("\"%s\" belongs to no option", word);
    ((const char **)(void *)(w->options + w->command->operand))[w->operands++] = word;
    return 0;
}

static int parse_words(struct words *w, bool *help)
{
    *help = false;
    while (w->next < w->argc) {
        const char *word = w->argv[w->next++];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *help = true;
            return 0;
        }
        if (word[0] != '-' || !word[1])
            TRY(take_operand(w, word));
        else
            TRY(parse_option(w, word));
    }
    if (w->operands < w->command->n_operands)
        return misused("%s needs %s", w->command->name, w->command->operands);
    return check_required(w);
}

int options_parse(const struct command *command, void *options, int argc, char *const argv[], bool *help)
{
    struct words w = {.command = command, .options = options, .argc = argc, .argv = argv};
    int code = parse_words(&w, help);
    if (command->given)
        memcpy((char *)options + command->given, &w.given, sizeof w.given);
    if (code)
        message("see: paragraph %s --help", command->name);
    return code;
}

struct option_place option_find(const struct option_group *groups, const struct options_given *given, const char *name)
{
    for (int g = 0;; g++)
        for (int i = 0; groups[g].options[i].name; i++)
            if (strcmp(groups[g].options[i].name, name) == 0)
                return (struct option_place){&groups[g].options[i], groups[g].offset + groups[g].options[i].offset,
                                             given->rows[g] >> i & 1};
}
