/* What is written may not be what is read: the work of hours would take the place of its own data. */
#include "tools/outputs.h"
#include "tools/vocabulary.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Files of a folder that make a model or its tokenizer. */
static const char *const PARTS[] = {"*.safetensors",      "*.safetensors.index.json",
                                    "*config.json",       "trainer.json",
                                    "tokenizer*",         "*tokens*.json",
                                    "vocab.json",         "merges.txt",
                                    "chat_template.jinja"};

static bool is_part(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool found = false;
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++)
        found = found || fnmatch(PARTS[i], name, 0) == 0;
    return found;
}

/* Whether a path is that of a plain file that is there and belongs to a folder's model. */
static bool lies_in(const char *path, const char *folder)
{
    char *real = realpath(path, NULL), *slash = real ? strrchr(real, '/') : NULL;
    bool part = slash && is_part(real);
    if (slash)
        slash[slash == real] = '\0';
    bool found = part && same_folder(slash == real ? "/" : real, folder);
    free(real);
    return found;
}

static int check_pair(const struct option *o, const char *output, const char *name, const char *input)
{
    struct stat about;
    const char *dashes = o->name[1] ? "--" : "-";
    if (stat(output, &about) < 0 || !S_ISREG(about.st_mode))
        return EXIT_DONE;
    if (same_folder(output, input))
        return misused("%s%s and %s are one file, %s; expected another to write", dashes, o->name, name, output);
    return lies_in(output, input) ? misused("%s%s is %s, a part of %s %s; expected another file to write", dashes,
                                            o->name, output, name, input)
                                  : EXIT_DONE;
}

static bool names_files(const struct option *o)
{
    bool text = o->kind == OPTION_TEXT || o->kind == OPTION_FILES || o->kind == OPTION_OUTPUT;
    return text && (strstr(o->value, "FILE") || strstr(o->value, "DIR"));
}

/* Hold a file to write against what another option has. */
static int check_option(const struct option *o, const char *output, const struct option *other, const void *field)
{
    char name[40];
    snprintf(name, sizeof name, "%s%s", other->name[1] ? "--" : "-", other->name);
    if (other == o || !names_files(other))
        return EXIT_DONE;
    if (other->kind != OPTION_FILES) {
        const char *input = *(const char *const *)field;
        return input ? check_pair(o, output, name, input) : EXIT_DONE;
    }
    const struct option_files *files = field;
    for (int i = 0; i < files->count; i++)
        TRY(check_pair(o, output, name, files->paths[i]));
    return EXIT_DONE;
}

static int check_output(const struct command *c, const char *options, const struct option *o, const char *output)
{
    const char *const *operands = (const char *const *)(const void *)(options + c->operand);
    for (int i = 0; i < c->n_operands; i++)
        TRY(check_pair(o, output, "an operand", operands[i]));
    for (const struct option_group *g = c->groups; g->options; g++)
        for (const struct option *other = g->options; other->name; other++)
            TRY(check_option(o, output, other, options + g->offset + other->offset));
    return EXIT_DONE;
}

int outputs_check(const struct command *command, const void *options)
{
    for (const struct option_group *g = command->groups; g->options; g++)
        for (const struct option *o = g->options; o->name; o++) {
            const void *field = (const char *)options + g->offset + o->offset;
            const char *output = o->kind == OPTION_OUTPUT ? *(const char *const *)field : NULL;
            if (output)
                TRY(check_output(command, options, o, output));
        }
    return EXIT_DONE;
}
