/* Reading UTF-8 characters out of any bytes. */
#ifndef PARA_BASE_UTF8_H
#define PARA_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The bytes of the well-formed character that `text` begins with, its code point in *c; 0 if there is none, and -1 if
 * `n` bytes (at least 1) end within what may become one. Well-formed: the Unicode Standard, table 3-7, which leaves
 * out surrogates, what is above U+10FFFF, and longer forms than needed. */
static inline int para_utf8(const unsigned char *text, size_t n, uint32_t *c)
{
    unsigned lead = text[0];
    *c = lead;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    int bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    *c = lead & (0x7fu >> bytes);
    for (int i = 1; i < bytes; i++) {
        if ((size_t)i == n)
            return -1;
        if (text[i] < low || text[i] > high)
            return 0;
        *c = *c << 6 | (text[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    return bytes;
}

/* Write a code point, not a surrogate; returns its bytes. */
static inline int para_utf8_put(unsigned char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    int bytes = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = bytes - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(0xf00u >> bytes | c);
    return bytes;
}

#endif
