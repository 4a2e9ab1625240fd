/** @file
 * Text to token ids and back: bytes, byte-level BPE as GPT-2, Llama 3 and Qwen have it, and BPE over characters as
 * SentencePiece has it. Not in builds configured --without-io.
 *
 * A tokenizer is constant once open and may be shared by threads; an encoder or a decoder serves one thread at a time.
 * Text is any bytes. Decoding what was encoded gives the same bytes back, whatever they are, where the tokenizer
 * normalizes nothing and has a token for each byte, as GPT-2's does. */
#ifndef PARAGRAPH_TOKENIZER_H
#define PARAGRAPH_TOKENIZER_H

#include <paragraph/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup tokenizer Tokenizers
 * @{ */

/** A tokenizer: text to token ids and back. */
typedef struct para_tokenizer para_tokenizer;

/** Open the tokenizer of a Hugging Face folder, from tokenizer.json or, without that, vocab.json and merges.txt; that
 * of a GGUF file, where `path` is a file; or, where it is NULL, the tokenizer whose ids are the 256 bytes.
 *
 * tokenizer.json: a model BPE; normalizers NFC, NFD, NFKC, NFKD, Prepend, Replace; pre-tokenizers ByteLevel, Digits,
 * Metaspace, Split; post-processors ByteLevel, TemplateProcessing; decoders ByteFallback, ByteLevel, Fuse, Metaspace,
 * Replace, Strip; Sequence of each; added tokens with all that they say. Truncation and padding are left to whoever
 * makes batches. Patterns are PCRE2's to match, normal forms are utf8proc's.
 *
 * GGUF: models "gpt2", with the pre-tokenizers of GPT-2, Llama 3, Qwen2 and StarCoder, and "llama".
 *
 * Entries of vocab.json that are neither a byte nor made by a merge are special tokens, such as <|endoftext|>.
 *
 * Tokens that companions of these files add have the next ids, as transformers has them: those of
 * "added_tokens_decoder" in tokenizer_config.json, whose flags count before tokenizer.json's; where it has none, those
 * of added_tokens.json, unless tokenizer.json says otherwise of them. What tokenizer_config.json or
 * special_tokens_map.json names as special is, if it is a token; if not, a warning is logged. An id that contradicts
 * tokenizer.json is refused.
 *
 * Which characters are letters and numbers is what Unicode says in the version that the PCRE2 at hand knows.
 *
 * Returns 0, PARA_EIO, PARA_EFORMAT, PARA_ESUPPORT (a part that isn't listed above; a PCRE2 without Unicode) or
 * PARA_ENOMEM; errors name the file, the line or the entry, and what was expected.
 *
 * Source: Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.2; Kudo and
 * Richardson, "SentencePiece", 2018; the format of the `tokenizers` package. */
PARA_API int para_tokenizer_open(para_tokenizer **out, const char *path, para_error *err);
/** Whether a folder has one of the files that para_tokenizer_open() reads, or a GGUF file names a tokenizer. */
PARA_API bool para_tokenizer_exists(const char *path);
/** Free it, after its encoders and decoders. */
PARA_API void para_tokenizer_free(para_tokenizer *t);
/** Return the number of tokens: ids are 0 to that less one. */
PARA_API int64_t para_tokenizer_vocab(const para_tokenizer *t);
/** Return the ids that stand before a text which is all that a model is given, such as that of "<s>", by the
 * post-processor of tokenizer.json; their number in *count, and NULL or ids that live as long as `t`. */
PARA_API const int32_t *para_tokenizer_before(const para_tokenizer *t, int64_t *count);
/** The same of those that stand after such a text. */
PARA_API const int32_t *para_tokenizer_after(const para_tokenizer *t, int64_t *count);
/** Return the bytes that a token stands for, within a text, which live as long as `t`, their number in *bytes; NULL if
 * no token has that id. They need not be whole UTF-8 characters, and no zero byte follows them. */
PARA_API const void *para_tokenizer_token(const para_tokenizer *t, int64_t id, size_t *bytes);
/** Return the id of a special token by its text, for example "<|endoftext|>", or -1. */
PARA_API int32_t para_tokenizer_special(const para_tokenizer *t, const char *text);

/** Encode a whole text, without what para_tokenizer_before() and para_tokenizer_after() give.
 *
 * With `specials`, the texts of special tokens become their ids; without, they are text as any other. Added tokens that
 * aren't special become their ids either way, the leftmost first and of those the longest. Text between is normalized
 * and cut into words, and words are merged by rank. A byte that isn't part of a well-formed UTF-8 character counts as a
 * character of its own, neither letter, number nor space.
 * *ids, to be freed by para_tokens_free(), holds *count ids; NULL where there are none, as of an empty text.
 * Returns 0, PARA_ENOMEM, or PARA_ERANGE for a word of 2^31 characters or more, or a text that a pattern takes too
 * long to cut. Time is that of sorting at worst, n log n for a word of n bytes. */
PARA_API int para_tokenizer_encode(const para_tokenizer *t, const void *text, size_t bytes, bool specials,
                                   int32_t **ids, int64_t *count, para_error *err);
/** Encode a text that a model is to continue: the ids of para_tokenizer_before(), unless the text begins with them, and
 * those of the text with its special tokens. Otherwise as para_tokenizer_encode(). */
PARA_API int para_tokenizer_prompt(const para_tokenizer *t, const void *text, size_t bytes, int32_t **ids,
                                   int64_t *count, para_error *err);
/** Free ids that encoding gave; NULL is welcome. */
PARA_API void para_tokens_free(int32_t *ids);

/** An encoder takes a text block by block, for texts larger than memory. It remembers the words it met, so one that
 * is kept is faster than a new one for each text. It needs memory in proportion to its largest block and the text's
 * longest word, and 2 MiB; in proportion to the text if nothing is settled before its end: where added tokens take
 * spaces, are single words or stand in normalized text, patterns look back, or no pattern cuts words. */
typedef struct para_encoder para_encoder;

/** Make an encoder; `t` must outlive it, and `specials` is as in para_tokenizer_encode(). Returns 0 or PARA_ENOMEM. */
PARA_API int para_encoder_new(para_encoder **out, const para_tokenizer *t, bool specials, para_error *err);
/** Free an encoder; NULL is welcome. */
PARA_API void para_encoder_free(para_encoder *e);
/** Take the next block of the text, cut anywhere, and give the ids that are settled so far, which may be none; *ids
 * lives until the next call. The ids of all calls up to para_encoder_finish() are those of the whole text. After a
 * failure the encoder can only be freed. */
PARA_API int para_encoder_feed(para_encoder *e, const void *text, size_t bytes, const int32_t **ids, int64_t *count,
                               para_error *err);
/** End the text: give the ids of what was held back. The encoder is then ready for another text. */
PARA_API int para_encoder_finish(para_encoder *e, const int32_t **ids, int64_t *count, para_error *err);

/** A decoder turns ids into text one by one and gives whole characters only, so that each piece can be shown. Where the
 * tokenizer puts a space before a text, it leaves that out again. */
typedef struct para_decoder para_decoder;

/** Make a decoder; `t` must outlive it. Returns 0 or PARA_ENOMEM. */
PARA_API int para_decoder_new(para_decoder **out, const para_tokenizer *t, para_error *err);
/** Free a decoder; NULL is welcome. */
PARA_API void para_decoder_free(para_decoder *d);
/** Take the next id and give the bytes, possibly none, up to the last that completes a UTF-8 character; *text lives
 * until the next call. Bytes that can't be part of one pass unchanged; at most 3 are ever held back.
 * Returns 0, or PARA_ERANGE if no token has that id: the decoder is then as before the call. */
PARA_API int para_decoder_feed(para_decoder *d, int64_t id, const char **text, size_t *bytes, para_error *err);
/** End the text: give the bytes held back, an unfinished character. The decoder is then ready for another text. */
PARA_API void para_decoder_finish(para_decoder *d, const char **text, size_t *bytes);

/** Read the chat template that a model has of its own, a text in Jinja's language: chat_template.jinja of its folder,
 * the "chat_template" of tokenizer_config.json, of several that called "default", or tokenizer.chat_template of a GGUF
 * file. *out is to be freed by free(); NULL: it has none. Returns 0, PARA_EIO, PARA_EFORMAT or PARA_ENOMEM. */
PARA_API int para_chat_template(char **out, const char *path, para_error *err);

/** Write the tokenizer of a GGUF file as files of a folder, which must be there: tokenizer.json, tokenizer_config.json
 * with the chat template, generation_config.json with what begins and ends a text. One that Paragraph doesn't know is
 * left out, with a logged warning. Returns 0, PARA_EIO, PARA_EFORMAT or PARA_ENOMEM. */
PARA_API int para_tokenizer_unpack(const char *path, const char *folder, para_error *err);

/** How a tokenizer is trained. */
typedef struct {
    int64_t vocab; /**< its tokens: special ones, the 256 bytes, and as many merges as there is room for */
    int64_t least; /**< how often a pair must stand in the text to be merged */
    const char *const *specials; /**< texts of special tokens, which get the first ids; borrowed */
    int special_count;           /**< how many */
} para_tokenizer_training;

/** Return the default: 8192 tokens, of pairs that occur twice, with the special token <|endoftext|>. */
PARA_API para_tokenizer_training para_tokenizer_training_default(void);
/** Train a byte-level BPE on files of text, and write it to the folder `dir`, which is replaced whole, but for other
 * files than a tokenizer's, once all is written: tokenizer.json, and the same as vocab.json and merges.txt;
 * tokenizer_config.json and generation_config.json, in which the first special token ends texts. Each file is a text by
 * itself, cut by GPT-2's pattern. Fewer tokens are made where the text has no more pairs; their number is in *made. The
 * merges are those of the `tokenizers` package's trainer.
 *
 * Memory is in proportion to the different words of the text; time, after they are counted, to the merges and the words
 * that each changes. Returns 0, PARA_EIO, PARA_EINVAL, PARA_ERANGE or PARA_ENOMEM.
 *
 * Source: Sennrich et al., "Neural machine translation of rare words with subword units", 2016, algorithm 1. */
PARA_API int para_tokenizer_train(const char *dir, const char *const paths[], int count,
                                  const para_tokenizer_training *training, int64_t *made, para_error *err);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
