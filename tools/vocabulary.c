/* Tokenizers and data files. */
#include "tools/vocabulary.h"
#include "tools/newfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES_VOCAB = 256, IDS_OF_16_BITS = 65536, READ_BYTES = 1 << 20 };

static const char *const FILES[] = {"vocab.json", "merges.txt"};
enum { FILE_COUNT = sizeof FILES / sizeof FILES[0] };

/* FOLDER/NAME, to be freed; NULL when memory runs out. */
static char *join(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

/* Whether the folder has one of a tokenizer's files at least. */
static bool has_tokenizer(const char *folder)
{
    bool found = false;
    for (int i = 0; i < FILE_COUNT && !found; i++) {
        char *path = join(folder, FILES[i]);
        found = path && access(path, F_OK) == 0;
        free(path);
    }
    return found;
}

int vocabulary_open(struct vocabulary *v, const char *given, const char *folder)
{
    para_error err;
    *v = (struct vocabulary){.folder = given ? given : folder && has_tokenizer(folder) ? folder : NULL};
    return para_tokenizer_open(&v->tokenizer, v->folder, &err) < 0 ? broken(&err) : EXIT_DONE;
}

void vocabulary_close(struct vocabulary *v)
{
    para_tokenizer_free(v->tokenizer);
    *v = (struct vocabulary){0};
}

int vocabulary_check(const struct vocabulary *v, const para_gpt2 *model, const char *folder)
{
    long long has = para_tokenizer_vocab(v->tokenizer), vocab = model->vocab;
    if (v->folder && has > vocab)
        return failed("%s: the tokenizer has %lld tokens, the model a vocabulary of %lld; expected no more than that",
                      v->folder, has, vocab);
    if (!v->folder && vocab != BYTES_VOCAB)
        return failed("%s: the model's vocabulary is %lld and there is no tokenizer (vocab.json, merges.txt); expected "
                      "one, or a vocabulary of %d for bytes",
                      folder, vocab, BYTES_VOCAB);
    return EXIT_DONE;
}

static int copy_stream(FILE *in, FILE *out, const char *from)
{
    char block[1 << 16];
    size_t bytes;
    while ((bytes = fread(block, 1, sizeof block, in)) > 0)
        fwrite(block, 1, bytes, out);
    return ferror(in) ? failed("%s: can't be read: %s", from, strerror(errno)) : EXIT_DONE;
}

static int copy_file(const char *from, const char *to)
{
    struct new_file file;
    FILE *in = fopen(from, "rb");
    if (!in)
        return failed("%s: can't be opened: %s", from, strerror(errno));
    int code = new_file_open(&file, to);
    if (code == EXIT_DONE)
        code = new_file_close(&file, copy_stream(in, file.stream, from));
    fclose(in);
    return code;
}

/* A model that goes without a tokenizer must not find that of the model before it in its folder. */
static int drop_file(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return EXIT_DONE;
    return failed("%s: can't be removed: %s", path, strerror(errno));
}

int vocabulary_copy(const struct vocabulary *v, const char *folder)
{
    int code = EXIT_DONE;
    if (v->folder && same_folder(v->folder, folder))
        return EXIT_DONE;
    for (int i = 0; i < FILE_COUNT && code == EXIT_DONE; i++) {
        char *from = v->folder ? join(v->folder, FILES[i]) : NULL, *to = join(folder, FILES[i]);
        if (!to || (v->folder && !from))
            code = out_of_memory("a file's name", 0);
        else
            code = from ? copy_file(from, to) : drop_file(to);
        free(from);
        free(to);
    }
    return code;
}

static bool write_ids(FILE *out, const int32_t *ids, int64_t count)
{
    bool written = true;
    for (int64_t i = 0; i < count && written; i++)
        written = putc(ids[i] & 255, out) != EOF && putc(ids[i] >> 8, out) != EOF;
    return written;
}

/* Feed the file block by block; the last call of the loop, with no bytes left, ends the text. */
static int encode_stream(para_encoder *e, FILE *in, char *block, const char *path, FILE *out, struct encoding *sum)
{
    para_error err;
    size_t bytes;
    do {
        const int32_t *ids = NULL;
        int64_t count = 0;
        bytes = fread(block, 1, READ_BYTES, in);
        if (ferror(in))
            return failed("%s: can't be read: %s", path, strerror(errno));
        int status = bytes > 0 ? para_encoder_feed(e, block, bytes, &ids, &count, &err)
                               : para_encoder_finish(e, &ids, &count, &err);
        if (status < 0)
            return failed("%s: %s", path, err.message);
        if (!write_ids(out, ids, count))
            return failed("%s: the ids can't be written: %s", path, strerror(errno));
        sum->bytes += (int64_t)bytes;
        sum->tokens += count;
    } while (bytes > 0);
    return EXIT_DONE;
}

int vocabulary_encode(const struct vocabulary *v, const char *path, bool specials, FILE *out, struct encoding *sum)
{
    para_error err;
    para_encoder *e = NULL;
    if (para_tokenizer_vocab(v->tokenizer) > IDS_OF_16_BITS)
        return failed("%s: the tokenizer has %lld tokens, expected at most %d, ids of 16 bits", v->folder,
                      (long long)para_tokenizer_vocab(v->tokenizer), IDS_OF_16_BITS);
    FILE *in = fopen(path, "rb");
    if (!in)
        return failed("%s: can't open: %s", path, strerror(errno));
    char *block = malloc(READ_BYTES);
    int code = block ? EXIT_DONE : out_of_memory("a block of text", READ_BYTES);
    if (block && para_encoder_new(&e, v->tokenizer, specials, &err) < 0)
        code = broken(&err);
    code = code ? code : encode_stream(e, in, block, path, out, sum);
    para_encoder_free(e);
    free(block);
    fclose(in);
    return code;
}

/* --- data --- */

bool data_is_ids(const char *path)
{
    size_t length = strlen(path);
    return length >= 6 && strcmp(path + length - 6, ".tok16") == 0;
}

/* Encode a text into a temporary file, whose path *out, to be freed, may be set after a failure too. */
static int encode_aside(char **out, const char *path, const struct vocabulary *v)
{
    const char *folder = getenv("TMPDIR");
    struct encoding sum = {0};
    *out = join(folder && *folder ? folder : "/tmp", "paragraph-XXXXXX.tok16");
    int file = *out ? mkstemps(*out, (int)strlen(".tok16")) : -1;
    FILE *stream = file >= 0 ? fdopen(file, "wb") : NULL;
    if (!stream)
        return failed("%s: can't be made, for the ids of %s: %s", *out ? *out : "a temporary file", path,
                      strerror(errno));
    int code = vocabulary_encode(v, path, false, stream, &sum);
    if (fclose(stream) != 0 && code == EXIT_DONE)
        code = failed("%s: can't be written, for the ids of %s: %s", *out, path, strerror(errno));
    return code;
}

/* Encode each text into a temporary file, which goes once it is read. */
static int open_encoded(para_dataset **out, const struct option_files *files, const struct vocabulary *v,
                        const para_gpt2 *model)
{
    para_error err;
    int code = EXIT_DONE;
    char **aside = calloc((size_t)files->count, sizeof *aside);
    const char **paths = calloc((size_t)files->count, sizeof *paths);
    if (!aside || !paths)
        code = out_of_memory("the names of data files", 16.0 * files->count);
    for (int i = 0; i < files->count && code == EXIT_DONE; i++) {
        if (!data_is_ids(files->paths[i]))
            code = encode_aside(&aside[i], files->paths[i], v);
        paths[i] = aside[i] ? aside[i] : files->paths[i];
    }
    if (code == EXIT_DONE && para_dataset_open(out, paths, files->count, model->vocab, &err) < 0)
        code = broken(&err);
    for (int i = 0; aside && i < files->count; i++) {
        if (aside[i])
            unlink(aside[i]);
        free(aside[i]);
    }
    free(aside);
    free(paths);
    return code;
}

int data_open(para_dataset **out, const struct option_files *files, const struct vocabulary *v, const para_gpt2 *model)
{
    para_error err;
    if (v->folder)
        return open_encoded(out, files, v, model);
    for (int i = 0; i < files->count; i++)
        if (!data_is_ids(files->paths[i]) && model->vocab != BYTES_VOCAB)
            return failed("%s: is read as bytes, for which the model's vocabulary is %lld, expected %d (or --tokenizer "
                          "DIR, or token ids in a file named *.tok16)",
                          files->paths[i], (long long)model->vocab, BYTES_VOCAB);
    return para_dataset_open(out, files->paths, files->count, model->vocab, &err) < 0 ? broken(&err) : EXIT_DONE;
}

bool same_folder(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}
