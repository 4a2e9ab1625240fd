/* Help on a terminal and as man pages. */
#include "tools/help.h"

#include <paragraph/types.h>

#include <ctype.h>
#include <string.h>

enum { COLUMNS = 80, HELP_COLUMN = 28 };

static const char ABOUT[] = "Train and run language models as one graph of operations on StarPU.";
static const char EXIT_CODES[] = "Exit codes: 0 done, 1 failed, 2 wrong usage.";

/* Print text in lines of at most COLUMNS, all but the first indented; newlines in the text stay. `column` is where the
 * first line begins. */
static void wrap(FILE *out, const char *text, int column, int indent)
{
    for (const char *p = text; *p;) {
        size_t length = strcspn(p, " \n");
        if (column > indent && column + 1 + (int)length > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        }
        column += fprintf(out, "%s%.*s", column > indent ? " " : "", (int)length, p);
        p += length;
        for (; *p == '\n'; p++, column = indent)
            fprintf(out, "\n%*s", p[1] == '\n' ? 0 : indent, "");
        p += strspn(p, " ");
    }
    fputc('\n', out);
}

/* "--name VALUE" */
static int option_text(const struct option *o, char *out, size_t bytes)
{
    return snprintf(out, bytes, "%s%s%s%s%s", o->name[1] ? "--" : "-", o->name, o->kind == OPTION_FLAG ? "" : " ",
                    o->kind == OPTION_FLAG ? "" : o->value, o->kind == OPTION_FILES ? "..." : "");
}

/* The help of an option, with its default if that is a number above zero or a word. */
static void help_text(const struct option *o, const char *fields, char *out, size_t bytes)
{
    char value[64] = "";
    const char *field = fields + o->offset;
    if (o->kind == OPTION_COUNT && *(const int64_t *)(const void *)field > 0)
        snprintf(value, sizeof value, "%lld", (long long)*(const int64_t *)(const void *)field);
    else if (o->kind == OPTION_REAL && *(const double *)(const void *)field > 0)
        snprintf(value, sizeof value, "%g", *(const double *)(const void *)field);
    else if ((o->kind == OPTION_TEXT || o->kind == OPTION_CHOICE) && *(const char *const *)(const void *)field)
        snprintf(value, sizeof value, "%s", *(const char *const *)(const void *)field);
    snprintf(out, bytes, "%s%s%s%s", o->help, value[0] ? " (default: " : "", value, value[0] ? ")" : "");
}

/* "paragraph train --data FILE... [options]" */
static void synopsis(const struct command *c, char *out, size_t bytes)
{
    size_t used = (size_t)snprintf(out, bytes, "paragraph %s%s%s", c->name, c->operands ? " " : "",
                                   c->operands ? c->operands : "");
    for (const struct option_group *g = c->groups; g->options; g++)
        for (const struct option *o = g->options; o->name; o++) {
            char text[64];
            option_text(o, text, sizeof text);
            if (o->required && used < bytes)
                used += (size_t)snprintf(out + used, bytes - used, " %s", text);
        }
    if (used < bytes)
        snprintf(out + used, bytes - used, " [options]");
}

void help_program(FILE *out, const struct command *const commands[])
{
    fprintf(out, "usage: paragraph COMMAND [options]\n\n");
    wrap(out, ABOUT, 0, 0);
    fputc('\n', out);
    for (int i = 0; commands[i]; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\nparagraph COMMAND --help lists a command's options; paragraph --version prints the version.\n%s\n",
            EXIT_CODES);
}

void help_command(FILE *out, const struct command *c)
{
    char text[512];
    synopsis(c, text, sizeof text);
    fprintf(out, "usage: %s\n\n", text);
    wrap(out, c->text, 0, 0);
    for (const struct option_group *g = c->groups; g->options; g++) {
        fprintf(out, "\n%s:\n", g->title);
        for (const struct option *o = g->options; o->name; o++) {
            char name[64];
            int column = 2 + option_text(o, name, sizeof name);
            fprintf(out, "  %s", name);
            if (column + 2 > HELP_COLUMN)
                fprintf(out, "\n%*s", HELP_COLUMN, "");
            else
                fprintf(out, "%*s", HELP_COLUMN - column, "");
            help_text(o, (const char *)c->defaults + g->offset, text, sizeof text);
            wrap(out, text, HELP_COLUMN, HELP_COLUMN);
        }
    }
}

/* Text for roff: dashes and backslashes escaped, empty lines as paragraphs, no line that begins like a request. */
static void roff(FILE *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool line_begins = p == text || p[-1] == '\n';
        if (*p == '\n' && p[1] == '\n') {
            fputs("\n.PP\n", out);
            p++;
        } else if (*p == '\\') {
            fputs("\\e", out);
        } else if (*p == '-') {
            fputs("\\-", out);
        } else {
            fprintf(out, "%s%c", line_begins && (*p == '.' || *p == '\'') ? "\\&" : "", *p);
        }
    }
    fputc('\n', out);
}

static void man_title(FILE *out, const char *title)
{
    fprintf(out, ".TH %s 1 \"\" \"Paragraph %s\" \"User Commands\"\n.SH NAME\n", title, para_version());
}

static void man_exit_status(FILE *out)
{
    fputs(".SH EXIT STATUS\n", out);
    roff(out, EXIT_CODES);
}

void help_man(FILE *out, const struct command *const commands[])
{
    man_title(out, "PARAGRAPH");
    fputs("paragraph \\- language models as graphs on StarPU\n"
          ".SH SYNOPSIS\n.B paragraph\n.I command\n[options]\n.br\n.B paragraph help\n[\\fIcommand\\fR]\n.br\n"
          ".B paragraph \\-\\-version\n.SH DESCRIPTION\n",
          out);
    roff(out, ABOUT);
    fputs(".SH COMMANDS\n", out);
    for (int i = 0; commands[i]; i++) {
        fprintf(out, ".TP\n.BR paragraph\\-%s (1)\n", commands[i]->name);
        roff(out, commands[i]->summary);
    }
    man_exit_status(out);
}

void help_man_command(FILE *out, const struct command *c)
{
    char text[512];
    snprintf(text, sizeof text, "PARAGRAPH\\-%s", c->name);
    for (char *p = text; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    man_title(out, text);
    fprintf(out, "paragraph\\-%s \\- ", c->name);
    roff(out, c->summary);
    fputs(".SH SYNOPSIS\n.B ", out);
    synopsis(c, text, sizeof text);
    roff(out, text);
    fputs(".SH DESCRIPTION\n", out);
    roff(out, c->text);
    fputs(".SH OPTIONS\n", out);
    for (const struct option_group *g = c->groups; g->options; g++) {
        fprintf(out, ".SS %s\n", g->title);
        for (const struct option *o = g->options; o->name; o++) {
            fputs(".TP\n.B ", out);
            option_text(o, text, sizeof text);
            roff(out, text);
            help_text(o, (const char *)c->defaults + g->offset, text, sizeof text);
            roff(out, text);
        }
    }
    man_exit_status(out);
    fputs(".SH SEE ALSO\n.BR paragraph (1)\n", out);
}
