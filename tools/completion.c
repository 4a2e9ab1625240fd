/* Completion for bash, from the tables of commands and options. */
#include "tools/help.h"

#include <string.h>

static const char BEGIN[] =
    "# bash completion for paragraph(1); `paragraph --completion` prints it.\n"
    "_paragraph()\n"
    "{\n"
    "    local i word=$2 before=${COMP_WORDS[COMP_CWORD - 1]} last command=${COMP_WORDS[1]} options=\n"
    "    COMPREPLY=()\n"
    "    # \"--name=value\" comes as three words.\n"
    "    [[ $word != = ]] || word=\n"
    "    [[ $before != = ]] || before=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    # The last option before the word, however many values stand between.\n"
    "    for ((i = COMP_CWORD - 1; i > 1; i--)); do\n"
    "        [[ ${COMP_WORDS[i]} != -* ]] || break\n"
    "    done\n"
    "    last=${COMP_WORDS[i]}\n";

static const char END[] = "    esac\n"
                          "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
                          "}\n"
                          "complete -F _paragraph paragraph\n";

/* What the shell is told to complete a value with. */
static const char FILE_VALUE[] = "compopt -o default 2>/dev/null; return 0";
static const char FOLDER_VALUE[] = "compopt -o dirnames 2>/dev/null; return 0";

static const char *dashes(const struct option *o)
{
    return o->name[1] ? "--" : "-";
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* A case for an option that takes a value. A choice's words have bars between them. */
static void complete_value(FILE *out, const struct command *c, const struct option *o)
{
    if (o->kind == OPTION_FLAG || o->kind == OPTION_FILES)
        return;
    fprintf(out, "    %s:%s%s) ", c->name, dashes(o), o->name);
    if (o->kind == OPTION_CHOICE) {
        fputs("options=\"", out);
        for (const char *p = o->value; *p; p++)
            fputc(*p == '|' ? ' ' : *p, out);
        fputs("\" ;;\n", out);
        return;
    }
    bool text = o->kind == OPTION_TEXT || o->kind == OPTION_OUTPUT;
    bool file = text && (ends_with(o->value, "FILE") || ends_with(o->value, ".npy") || ends_with(o->value, ".tok16"));
    bool folder = text && strcmp(o->value, "DIR") == 0;
    fprintf(out, "%s ;;\n", file ? FILE_VALUE : folder ? FOLDER_VALUE : "return 0");
}

/* The cases of a command: values first, then words after an option that takes many, then options. */
static void complete_command(FILE *out, const struct command *c)
{
    for (const struct option_group *g = c->groups; g->options; g++)
        for (const struct option *o = g->options; o->name; o++)
            complete_value(out, c, o);
    fprintf(out, "    %s:*)\n", c->name);
    for (const struct option_group *g = c->groups; g->options; g++)
        for (const struct option *o = g->options; o->name; o++)
            if (o->kind == OPTION_FILES)
                fprintf(out, "        if [[ $last == %s%s && $word != -* ]]; then %s; fi\n", dashes(o), o->name,
                        FILE_VALUE);
    if (c->operands)
        fprintf(out, "        if [[ $word != -* ]]; then %s; fi\n", FILE_VALUE);
    fputs("        options=\"--help", out);
    for (const struct option_group *g = c->groups; g->options; g++)
        for (const struct option *o = g->options; o->name; o++)
            fprintf(out, " %s%s", dashes(o), o->name);
    fputs("\" ;;\n", out);
}

void help_completion(FILE *out, const struct command *const commands[])
{
    fprintf(out, "%s    local commands=\"", BEGIN);
    for (int i = 0; commands[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", commands[i]->name);
    fputs("\"\n"
          "    [[ $COMP_CWORD -ne 1 ]] || command=\n"
          "    case $command:$before in\n"
          "    :*) options=\"$commands help --help --version\" ;;\n"
          "    help:help) options=$commands ;;\n"
          "    help:*) return 0 ;;\n",
          out);
    for (int i = 0; commands[i]; i++)
        complete_command(out, commands[i]);
    fputs(END, out);
}
