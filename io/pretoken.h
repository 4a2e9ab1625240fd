/* GPT-2's cut of text into words, which merges never cross. */
#ifndef PARA_IO_PRETOKEN_H
#define PARA_IO_PRETOKEN_H

#include <paragraph/types.h>

enum para_char_class { PARA_OTHER, PARA_LETTER, PARA_NUMBER, PARA_SPACE };

enum { PARA_CLASS_PAGE = 256, PARA_CLASS_PAGES = 0x110000 / PARA_CLASS_PAGE };

/* The classes of all code points, a byte each, in pages of which equal ones are kept once. */
struct para_classes {
    unsigned char (*pages)[PARA_CLASS_PAGE];
    uint16_t page[PARA_CLASS_PAGES]; /* number of the page that holds a code point's 256 */
};

/* Ask PCRE2 for the class of every code point. */
int para_classes_init(struct para_classes *c, para_error *err);
void para_classes_free(struct para_classes *c);

static inline enum para_char_class para_char_class_of(const struct para_classes *c, uint32_t point)
{
    return (enum para_char_class)c->pages[c->page[point / PARA_CLASS_PAGE]][point % PARA_CLASS_PAGE];
}

/* The bytes of the first word of a text of at least one byte: what this pattern matches, \s being Unicode's
 * White_Space:
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Whatever follows the text, the answer w is the same if w + PARA_PRETOKEN_AHEAD <= bytes: a word's end depends on the
 * character after it, or, among spaces (3 bytes at most), on the one after that (4 at most). */
enum { PARA_PRETOKEN_AHEAD = 7 };
size_t para_pretoken(const struct para_classes *c, const unsigned char *text, size_t bytes);

#endif
