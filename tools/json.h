/* JSON as it is written, always valid. */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

#include <stdio.h>

/* Print bytes as a string, quoted; what isn't UTF-8 becomes U+FFFD. */
void write_json_bytes(FILE *out, const void *bytes, size_t count);
void write_json_string(FILE *out, const char *string);
/* Print `lead`, as ",\"loss\":", and a number, which reads back as it is; null for what isn't finite. */
void write_json_number(FILE *out, const char *lead, double value);
void json_float(FILE *out, const char *lead, float value);

#endif
