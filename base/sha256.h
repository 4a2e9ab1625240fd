/* SHA-256 (FIPS 180-4), of bytes that are all there. */
#ifndef PARA_BASE_SHA256_H
#define PARA_BASE_SHA256_H

#include <stddef.h>

enum { PARA_SHA256_TEXT = 65 };

/* Write the digest as 64 hexadecimal digits, as sha256sum prints it, and '\0'. */
void para_sha256(const void *data, size_t bytes, char out[PARA_SHA256_TEXT]);

#endif
