/* Bytes that need not end in a zero, of somebody else. */
#ifndef TOOLS_SPAN_H
#define TOOLS_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *bytes;
    size_t count;
};

static inline struct span span_of(const char *string)
{
    return (struct span){string, strlen(string)};
}

static inline bool span_same(struct span a, struct span b)
{
    return a.count == b.count && memcmp(a.bytes, b.bytes, a.count) == 0;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Whether there is nothing but white space. */
static inline bool span_blank(struct span s)
{
    while (s.count > 0 && is_blank(s.bytes[s.count - 1]))
        s.count--;
    return s.count == 0;
}

#endif
