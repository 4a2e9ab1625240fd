/* Text as it is drawn. */
#include "view/text.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SIGN_BYTES = 16, ISOLATE = 0x2068, ISOLATE_END = 0x2069, ELLIPSIS = 0x2026 };

/* Advances of ASCII from the space on, in thousandths of an em: those of DejaVu Sans, than which few fonts are wider.
 */
static const short advances[] = {
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361,  318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635,  611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352,  635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592,  525, 636, 337, 636, 838,
};

/* Characters that are not seen but change how others are, and those that XML or the eye has no place for. */
static bool is_unseen(uint32_t c)
{
    return (c >= 0x80 && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || (c >= 0xfdd0 && c <= 0xfdef) ||
           c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe || (c >= 0xe0000 && c <= 0xe0fff);
}

/* The blocks of letters written from right to left. */
static bool is_right_to_left(uint32_t c)
{
    return (c >= 0x590 && c < 0x900) || (c >= 0xfb1d && c < 0xfe00) || (c >= 0xfe70 && c < 0xff00) ||
           (c >= 0x10800 && c < 0x11000) || (c >= 0x1e800 && c < 0x1f000);
}

static size_t put(char *out, uint32_t c)
{
    return (size_t)para_utf8_put((unsigned char *)out, c);
}

/* Write what stands for a character; returns its bytes, up to SIGN_BYTES. */
static size_t put_visible(char *out, uint32_t c)
{
    if (c < 0x20)
        return put(out, 0x2400 + c);
    if (c == 0x7f)
        return put(out, 0x2421);
    if (is_unseen(c))
        return (size_t)snprintf(out, SIGN_BYTES, "<U+%04X>", (unsigned)c);
    return put(out, c);
}

char *para_text_visible(struct para_arena *arena, const char *name)
{
    const unsigned char *at = (const unsigned char *)name, *end = at + strlen(name);
    bool isolate = false;
    size_t bytes = 8;
    char sign[SIGN_BYTES];
    uint32_t c;
    for (const unsigned char *p = at; p < end;) {
        int n = para_utf8(p, (size_t)(end - p), &c);
        isolate = isolate || (n > 0 && is_right_to_left(c));
        bytes += put_visible(sign, n > 0 ? c : 0xfffd);
        p += n > 0 ? n : 1;
    }
    char *text = para_arena_alloc(arena, bytes), *to = text;
    if (!text)
        return NULL;
    to += isolate ? put(to, ISOLATE) : 0;
    while (at < end) {
        int n = para_utf8(at, (size_t)(end - at), &c);
        size_t length = put_visible(sign, n > 0 ? c : 0xfffd);
        memcpy(to, sign, length);
        to += length;
        at += n > 0 ? n : 1;
    }
    to += isolate ? put(to, ISOLATE_END) : 0;
    return text;
}

static int advance(uint32_t c)
{
    return c == ISOLATE || c == ISOLATE_END ? 0 : c >= 0x20 && c < 0x7f ? advances[c - 0x20] : 1000;
}

/* The character that a well-formed text begins with, and its bytes. */
static int next(const char *text, uint32_t *c)
{
    return para_utf8((const unsigned char *)text, 4, c);
}

/* Thousandths of an em. */
static int64_t measure(const char *text)
{
    int64_t width = 0;
    uint32_t c;
    while (*text) {
        text += next(text, &c);
        width += advance(c);
    }
    return width;
}

int para_text_width(const char *text, int size)
{
    int64_t width = (measure(text) * size + 999) / 1000;
    return width < INT32_MAX / 2 ? (int)width : INT32_MAX / 2;
}

const char *para_text_fit(struct para_arena *arena, const char *text, int size, int width)
{
    int64_t all = measure(text), half = ((int64_t)width * 1000 / size - 1000) / 2, used = 0;
    if (all * size <= (int64_t)width * 1000)
        return text;
    const char *left = text, *right = text + strlen(text);
    uint32_t c;
    for (int n; n = next(left, &c), used + advance(c) <= half; left += n)
        used += advance(c);
    for (used = 0; right > left;) {
        const char *before = right - 1;
        while ((*before & 0xc0) == 0x80)
            before--;
        next(before, &c);
        used += advance(c);
        if (used > half)
            break;
        right = before;
    }
    char *fitted = para_arena_alloc(arena, (size_t)(left - text) + strlen(right) + 4), *to = fitted;
    if (!fitted)
        return NULL;
    memcpy(to, text, (size_t)(left - text));
    to += left - text;
    to += put(to, ELLIPSIS);
    memcpy(to, right, strlen(right));
    return fitted;
}
