/* Options as tables: one row gives an option's parsing, its line of --help and its entry in the man page. */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most groups of a command, and most options of a group. */
enum { OPTION_GROUPS = 8, OPTION_ROWS = 64 };

/* What an option takes, and the type of its field. */
enum option_kind {
    OPTION_FLAG,   /* nothing; bool */
    OPTION_COUNT,  /* a whole number; int64_t */
    OPTION_REAL,   /* a number; double */
    OPTION_TEXT,   /* a word; const char * */
    OPTION_OUTPUT, /* a file to write; const char * */
    OPTION_CHOICE, /* one of the words of `value`, which has bars between them; const char * */
    OPTION_FILES   /* one or more words, up to the next option; struct option_files */
};

struct option_files {
    const char *const *paths; /* a part of argv */
    int count;
};

struct option {
    const char *name; /* without dashes; of one letter: a short option; NULL ends a table */
    enum option_kind kind;
    size_t offset;     /* of the field in the group's struct */
    const char *value; /* what help calls the value */
    const char *help;
    double min, max; /* of a number, both allowed */
    bool required;
};

/* Options that belong together; several commands may share a group. */
struct option_group {
    const char *title;
    const struct option *options; /* NULL ends a list of groups */
    size_t offset;                /* of the group's struct in the command's */
};

/* Which options there were, by group, a bit for each row. */
struct options_given {
    uint64_t rows[OPTION_GROUPS];
};

struct command {
    const char *name, *summary;
    const char *text;     /* what it does and prints; paragraphs have an empty line between them */
    const char *operands; /* what help calls the words that belong to no option, "A B"; NULL: there are none */
    size_t operand;       /* where in the struct of options they go, const char *[n_operands] */
    int n_operands;       /* how many there must be */
    const struct option_group *groups;
    const void *defaults; /* of the struct that options are parsed into */
    size_t bytes;         /* of that struct */
    size_t given;         /* where in it struct options_given stands; 0: nobody asks */
    int (*run)(const void *options);
};

/* Fill *options, which has the defaults, from the words after the command's name. Returns 0, or EXIT_USAGE after a
 * message that names the option and what was expected. *help is set if --help stands among the words. */
int options_parse(const struct command *command, void *options, int argc, char *const argv[], bool *help);

/* An option of a command by its name, which it has, in what was parsed. */
struct option_place {
    const struct option *option;
    size_t offset; /* of its field in the command's struct */
    bool given;
};
struct option_place option_find(const struct option_group *groups, const struct options_given *given, const char *name);

#endif
