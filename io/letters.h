/* Files of byte-level tokenizers write each byte of a token as a letter, so that no token has spaces or control
 * characters: printable bytes of Latin-1 stand for themselves, the others for U+0100 and up, in order. */
#ifndef PARA_IO_LETTERS_H
#define PARA_IO_LETTERS_H

#include <stddef.h>
#include <stdint.h>

/* The code point that a byte is written as. */
uint32_t para_letter(unsigned char byte);
/* Write bytes as letters, in UTF-8, into out[2 n], and return their number of bytes. */
size_t para_letters_write(const unsigned char *bytes, size_t n, unsigned char *out);
/* The bytes that letters stand for, into out[n], and their number; 0 if there are characters that are no letters. */
size_t para_letters_read(const unsigned char *text, size_t n, unsigned char *out);

#endif
