/* How a tokenizer cuts text into words: steps, each of which cuts the pieces that those before it left. */
#ifndef PARA_IO_PIECES_H
#define PARA_IO_PIECES_H

#include "io/pretoken.h"
#include "io/regex.h"

/* What becomes of a match. */
enum para_behaviour {
    PARA_ISOLATED,   /* a piece by itself */
    PARA_REMOVED,    /* it is left out */
    PARA_CONTIGUOUS, /* one piece with the matches that it touches */
    PARA_PREVIOUS,   /* the end of what stands before it */
    PARA_NEXT        /* the beginning of what stands behind it */
};

struct para_step {
    struct para_regex *regex; /* NULL: GPT-2's pattern */
    enum para_behaviour behaviour;
    bool invert; /* matches are what the pattern doesn't match */
};

enum { PARA_STEPS = 16 };

struct para_steps {
    struct para_step of[PARA_STEPS];
    int count;
    struct para_classes classes; /* for GPT-2's pattern, if a step has it */
};

/* Add a step, which owns the pattern from then on, failed or not. */
int para_steps_add(struct para_steps *s, struct para_step step, para_error *err);
void para_steps_free(struct para_steps *s);
/* Whether all of a text must be there before its first piece is known. */
bool para_steps_need_all(const struct para_steps *s);

struct para_span {
    size_t begin, end;
    bool match;
};

/* The pieces of a text by one step, one by one. */
struct para_pieces {
    const struct para_steps *steps;
    const struct para_step *step;
    struct para_regex_room *room;
    const unsigned char *text;
    size_t n, at;      /* pieces up to `at` are given */
    bool open;         /* the text may go on: pieces that then might be others are left */
    size_t from;       /* where matches are looked for */
    size_t run, valid; /* text[run] to text[valid - 1] is well-formed UTF-8 */
    bool cut_short;    /* what follows there is the beginning of a character */
    struct para_span match, waiting;
    bool has_match, has_waiting, matched; /* `match` is still to be given; was given before */
};

void para_pieces_begin(struct para_pieces *p, const struct para_steps *steps, int step, struct para_regex_room *room,
                       const unsigned char *text, size_t n, bool open);
/* Give the next piece. Returns 1, 0 when there is none, or a status. */
int para_pieces_next(struct para_pieces *p, struct para_span *piece, para_error *err);

#endif
