/* JSON as it is written. */
#include "tools/json.h"

#include "base/number.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

void write_json_bytes(FILE *out, const void *bytes, size_t count)
{
    const unsigned char *s = bytes, *end = s + count;
    fputc('"', out);
    while (s < end) {
        uint32_t c;
        int length = para_utf8(s, (size_t)(end - s), &c);
        if (length <= 0)
            fputs("\\ufffd", out);
        else if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7f)
            fprintf(out, "\\u%04x", *s);
        else
            fwrite(s, (size_t)length, 1, out);
        s += length > 0 ? length : 1;
    }
    fputc('"', out);
}

void write_json_string(FILE *out, const char *string)
{
    write_json_bytes(out, string, strlen(string));
}

void write_json_number(FILE *out, const char *lead, double value)
{
    char text[PARA_NUMBER_TEXT];
    fprintf(out, "%s%s", lead, isfinite(value) ? para_number_text(text, value) : "null");
}

void json_float(FILE *out, const char *lead, float value)
{
    char text[PARA_NUMBER_TEXT];
    fprintf(out, "%s%s", lead, isfinite(value) ? para_float_text(text, value) : "null");
}
