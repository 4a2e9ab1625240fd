/* Pieces of text. */
#include "io/pieces.h"

#include "base/fail.h"
#include "base/utf8.h"

#include <string.h>

int para_steps_add(struct para_steps *s, struct para_step step, para_error *err)
{
    if (s->count == PARA_STEPS) {
        para_regex_free(step.regex);
        return para_fail(err, PARA_ESUPPORT, "more than %d steps that cut text are not supported", PARA_STEPS);
    }
    if (!step.regex && !s->classes.pages)
        PARA_TRY(para_classes_init(&s->classes, err));
    s->of[s->count++] = step;
    return 0;
}

void para_steps_free(struct para_steps *s)
{
    for (int i = 0; i < s->count; i++)
        para_regex_free(s->of[i].regex);
    para_classes_free(&s->classes);
    *s = (struct para_steps){0};
}

bool para_steps_need_all(const struct para_steps *s)
{
    const struct para_step *first = s->of;
    return s->count == 0 || (first->behaviour != PARA_ISOLATED && first->behaviour != PARA_REMOVED) ||
           (first->regex && para_regex_looks_back(first->regex));
}

void para_pieces_begin(struct para_pieces *p, const struct para_steps *steps, int step, struct para_regex_room *room,
                       const unsigned char *text, size_t n, bool open)
{
    *p = (struct para_pieces){
        .steps = steps, .step = &steps->of[step], .room = room, .text = text, .n = n, .open = open};
}

/* --- what matches, and what lies between --- */

/* Find the well-formed text from `from` on. */
static void find_run(struct para_pieces *p)
{
    size_t at = p->from;
    uint32_t c;
    int bytes = 1;
    while (at < p->n && (p->text[at] < 0x80 || (bytes = para_utf8(p->text + at, p->n - at, &c)) > 0))
        at += p->text[at] < 0x80 ? 1 : (size_t)bytes;
    p->run = p->from;
    p->valid = at;
    p->cut_short = at < p->n && bytes < 0;
}

static size_t next_character(const struct para_pieces *p, size_t at)
{
    uint32_t c;
    return at + (size_t)para_utf8(p->text + at, p->valid - at, &c);
}

/* A span from the last one's end on. */
static int give(struct para_pieces *p, size_t end, bool match, struct para_span *span)
{
    *span = (struct para_span){p->at, end, match};
    p->at = end;
    return 1;
}

/* A match, or what lies before it, in a run of well-formed text that goes on from `from`. */
static int match_in_run(struct para_pieces *p, struct para_span *span, para_error *err)
{
    bool open = p->open && (p->valid == p->n || p->cut_short);
    size_t begin = 0, end = 0;
    int found = para_regex_find(p->step->regex, p->room, p->text + p->run, p->from - p->run, p->valid - p->run, open,
                                &begin, &end, err);
    if (found < 0 || found == PARA_REGEX_OPEN || (found == PARA_REGEX_NONE && open))
        return found < 0 ? found : 0;
    if (found == PARA_REGEX_NONE) {
        p->from = p->valid;
        return p->at < p->valid ? give(p, p->valid, false, span) : 2;
    }
    begin += p->run;
    end += p->run;
    p->from = end > begin || end == p->valid ? end : next_character(p, end);
    if (begin == end && p->matched && p->match.end == end)
        return 2; /* nothing, where a match ended */
    p->has_match = p->matched = true;
    p->match = (struct para_span){begin, end, true};
    return p->at < begin ? give(p, begin, false, span) : 2;
}

/* A byte outside of a character is what no pattern matches, by itself. */
static int ill_formed(struct para_pieces *p, struct para_span *span)
{
    if (p->open && p->cut_short)
        return 0;
    p->from = p->valid + 1;
    return give(p, p->from, false, span);
}

/* 1: a span; 2: look again; 0: no more is known. */
static int step_on(struct para_pieces *p, struct para_span *span, para_error *err)
{
    if (p->has_match) {
        p->has_match = false;
        return give(p, p->match.end, true, span);
    }
    if (p->at == p->n)
        return 0;
    if (p->at >= p->valid && p->from >= p->valid)
        find_run(p);
    if (p->from < p->valid || p->at < p->valid)
        return match_in_run(p, span, err);
    return ill_formed(p, span);
}

static int next_span(struct para_pieces *p, struct para_span *span, para_error *err)
{
    int found;
    do
        found = step_on(p, span, err);
    while (found == 2);
    return found;
}

/* --- what becomes of it --- */

/* Take a span in; 1: *piece is whole. */
static int take(struct para_pieces *p, struct para_span span, struct para_span *piece)
{
    enum para_behaviour behaviour = p->step->behaviour;
    span.match = span.match != p->step->invert;
    if (behaviour == PARA_ISOLATED || behaviour == PARA_REMOVED) {
        *piece = span;
        return behaviour == PARA_ISOLATED || !span.match;
    }
    bool joins = p->has_waiting && ((behaviour == PARA_CONTIGUOUS && p->waiting.match == span.match) ||
                                    (behaviour == PARA_PREVIOUS && span.match && !p->waiting.match) ||
                                    (behaviour == PARA_NEXT && p->waiting.match && !span.match));
    if (joins) {
        p->waiting.end = span.end;
        p->waiting.match = span.match;
        return 0;
    }
    bool whole = p->has_waiting;
    *piece = p->waiting;
    p->waiting = span;
    p->has_waiting = true;
    return whole;
}

static int scan(struct para_pieces *p, struct para_span *piece)
{
    if (p->at == p->n)
        return 0;
    size_t bytes = para_pretoken(&p->steps->classes, p->text + p->at, p->n - p->at);
    if (p->open && p->at + bytes + PARA_PRETOKEN_AHEAD > p->n)
        return 0;
    *piece = (struct para_span){p->at, p->at + bytes, true};
    p->at += bytes;
    return 1;
}

int para_pieces_next(struct para_pieces *p, struct para_span *piece, para_error *err)
{
    struct para_span span;
    int found;
    if (!p->step->regex)
        return scan(p, piece);
    while ((found = next_span(p, &span, err)) > 0)
        if (take(p, span, piece) && piece->begin < piece->end)
            return 1;
    if (found < 0 || !p->has_waiting)
        return found;
    *piece = p->waiting;
    p->has_waiting = false;
    return piece->begin < piece->end;
}
