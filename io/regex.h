/* Regular expressions of tokenizers' files, written for Oniguruma, as PCRE2 takes them. */
#ifndef PARA_IO_REGEX_H
#define PARA_IO_REGEX_H

#include <paragraph/types.h>

struct para_regex;

/* What is where: nothing any more; a match; or the text may go on, and what follows decides. */
enum para_regex_answer { PARA_REGEX_NONE, PARA_REGEX_MATCH, PARA_REGEX_OPEN };

/* Make one from a pattern in UTF-8, of which `literal` says that it stands for itself. */
int para_regex_new(struct para_regex **out, const char *pattern, size_t bytes, bool literal, para_error *err);
void para_regex_free(struct para_regex *r);
/* Whether a match depends on what stands before it. */
bool para_regex_looks_back(const struct para_regex *r);

/* What a thread needs to match: room for the place of a match. */
struct para_regex_room;
int para_regex_room_new(struct para_regex_room **out, para_error *err);
void para_regex_room_free(struct para_regex_room *room);

/* Find the first match from `from` on of a text of n bytes in UTF-8, which is well-formed; `open`: it may go on.
 * Returns an answer or a status. */
int para_regex_find(const struct para_regex *r, struct para_regex_room *room, const unsigned char *text, size_t from,
                    size_t n, bool open, size_t *begin, size_t *end, para_error *err);
/* Whether a text matches as a whole; a failure counts as no. */
bool para_regex_is(const struct para_regex *r, const unsigned char *text, size_t n);

#endif
