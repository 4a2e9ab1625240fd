/* The page as one HTML file. What may run in it is told by hashes: no name, however hostile, becomes script. */
#include "view/page.h"

#include "base/fail.h"
#include "base/sha256.h"
#include "view/page-data.h"
#include "view/svg.h"

#include <stdlib.h>
#include <string.h>

enum { STATIC_FOLD = 1 }; /* of the drawing for those without scripts */

static void write_lines(FILE *out, const char *const *lines)
{
    for (; *lines; lines++)
        fputs(*lines, out);
}

static unsigned nibble(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* A digest's hexadecimal digits, three of which are two of base64. */
static void write_base64(FILE *out, const char hex[PARA_SHA256_TEXT])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int i = 0;
    for (; i + 3 < PARA_SHA256_TEXT; i += 3) {
        unsigned bits = nibble(hex[i]) << 8 | nibble(hex[i + 1]) << 4 | nibble(hex[i + 2]);
        fprintf(out, "%c%c", digits[bits >> 6], digits[bits & 63]);
    }
    fprintf(out, "%c=", digits[nibble(hex[i]) << 2]);
}

/* 'sha256-...': what an element of these lines is allowed by. */
static int write_hash(FILE *out, const char *const *lines)
{
    char hex[PARA_SHA256_TEXT], *text, *end;
    size_t bytes = 0;
    for (int i = 0; lines[i]; i++)
        bytes += strlen(lines[i]);
    text = end = malloc(bytes + 1);
    if (!text)
        return -1;
    for (; *lines; lines++)
        end += strlen(strcpy(end, *lines));
    para_sha256(text, bytes, hex);
    free(text);
    fputs(" 'sha256-", out);
    write_base64(out, hex);
    fputc('\'', out);
    return 0;
}

/* Write each script that the page has. */
static int each_script(const struct para_page *page, FILE *out, int (*write)(FILE *, const char *const *))
{
    if ((page->compare && write(out, para_page_comparison) < 0) || (page->run && write(out, para_page_run_script) < 0))
        return -1;
    return write(out, para_page_script);
}

/* What may be in the page: this style and these scripts. */
static int write_policy(const struct para_page *page, FILE *out)
{
    const char *const drawing[] = {para_svg_style, NULL};
    fputs("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src", out);
    if (each_script(page, out, write_hash) < 0)
        return -1;
    fputs("; style-src", out);
    if (write_hash(out, para_page_style) < 0 || write_hash(out, drawing) < 0)
        return -1;
    fputs("; base-uri 'none'; form-action 'none'\">\n", out);
    return 0;
}

static int write_head(const struct para_page *page, FILE *out)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n", out);
    if (write_policy(page, out) < 0)
        return -1;
    fputs("<meta name=\"viewport\" content=\"width=device-width\">\n<title>Paragraph: ", out);
    para_svg_escape(out, page->outline->boxes[0].detail);
    fputs("</title>\n<style>", out);
    write_lines(out, para_page_style);
    fputs("</style>\n</head>\n", out);
    return 0;
}

static int write_script(FILE *out, const char *const *lines)
{
    fputs("<script>", out);
    write_lines(out, lines);
    fputs("</script>\n", out);
    return 0;
}

static int write_page(const struct para_page *page, FILE *out, para_error *err)
{
    if (write_head(page, out) < 0)
        return para_fail_memory(err, "writing a page");
    write_lines(out, para_page_body);
    fputs("<noscript>\n", out);
    PARA_TRY(para_svg_draw(page->outline, STATIC_FOLD, out, err));
    fputs("</noscript>\n<script type=\"application/json\" id=\"data\">\n", out);
    PARA_TRY(para_page_data(page, out, err));
    fputs("</script>\n", out);
    each_script(page, out, write_script);
    fputs("</body>\n</html>\n", out);
    return 0;
}

static int dump(const para_graph *g, const struct para_timeline *run, FILE *out, para_error *err)
{
    struct para_outline o;
    PARA_TRY(para_outline_new(&o, g, PARA_OUTLINE_ALIKE, err));
    int status = write_page(&(struct para_page){.outline = &o, .run = run}, out, err);
    para_outline_free(&o);
    return status < 0 ? status : para_dump_finish(out, "the page", err);
}

int para_page_write_joined(const struct para_union *u, const struct para_page_comparison *compare, FILE *out,
                           para_error *err)
{
    struct para_outline o;
    PARA_TRY(para_outline_joined(&o, u, PARA_OUTLINE_ALIKE, err));
    int status = write_page(&(struct para_page){.outline = &o, .compare = compare}, out, err);
    para_outline_free(&o);
    return status;
}

int para_graph_dump_html(const para_graph *g, FILE *out, para_error *err)
{
    return dump(g, NULL, out, err);
}

int para_profile_dump_html(const para_profile *p, FILE *out, para_error *err)
{
    struct para_timeline run;
    PARA_TRY(para_timeline_new(&run, p, err));
    int status = dump(p->g, &run, out, err);
    para_timeline_free(&run);
    return status;
}
