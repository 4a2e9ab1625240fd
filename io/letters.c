/* Bytes as letters. */
#include "io/letters.h"

#include "base/utf8.h"

#include <stdbool.h>

enum { FIRST = 256, BEFORE_TILDE = 33, BEFORE_LATIN = 34, SOFT_HYPHEN = 0xad };

static bool printable(uint32_t b)
{
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xff && b != SOFT_HYPHEN);
}

uint32_t para_letter(unsigned char byte)
{
    if (printable(byte))
        return byte;
    if (byte < '!')
        return FIRST + byte;
    return byte == SOFT_HYPHEN ? FIRST + BEFORE_TILDE + BEFORE_LATIN : FIRST + BEFORE_TILDE + (byte - 0x7fu);
}

/* The byte of a code point, or -1. */
static int byte_of(uint32_t c)
{
    if (c < FIRST)
        return printable(c) ? (int)c : -1;
    c -= FIRST;
    if (c < BEFORE_TILDE)
        return (int)c;
    c -= BEFORE_TILDE;
    return c < BEFORE_LATIN ? (int)c + 0x7f : c == BEFORE_LATIN ? SOFT_HYPHEN : -1;
}

size_t para_letters_write(const unsigned char *bytes, size_t n, unsigned char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char letter[4];
        int length = para_utf8_put(letter, para_letter(bytes[i]));
        for (int k = 0; k < length; k++)
            out[written++] = letter[k];
    }
    return written;
}

size_t para_letters_read(const unsigned char *text, size_t n, unsigned char *out)
{
    size_t written = 0;
    for (size_t at = 0; at < n;) {
        uint32_t c;
        int bytes = para_utf8(text + at, n - at, &c), byte = bytes > 0 ? byte_of(c) : -1;
        if (byte < 0)
            return 0;
        out[written++] = (unsigned char)byte;
        at += (size_t)bytes;
    }
    return written;
}
