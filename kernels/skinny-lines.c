/* Few rows by blocks, read as they lie: a row of w is lines of 64 bytes, scales among the numbers, and x lies alike in
 * lines of its own, with zeros where w has scales. So no instruction takes blocks out of a line. A block is an even
 * number of bytes with its scale first, so a word of four bytes holds numbers of one block alone; of 32 blocks, which
 * are whole lines, a table says which word is whose.
 *
 * x is whole numbers of 16 bits, 256 high + low with a signed high and an unsigned low byte. Bytes are multiplied
 * signed by unsigned: those of Q8_0 as they are with low, and with 128 added with high, which START takes off again. */
#include "kernels/skinny-lines.h"

#include "base/quantize.h"
#include "kernels/lanes.h"
#include "kernels/skinny-blocks.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

/* Blocks whose scales are taken out at once; rows of w, each a stream of memory; rows of x at a time at most, by half
 * of the streams then, so that sums and scales are in registers; how far ahead each stream is asked for. */
enum { CHUNK = 32, STREAMS = 4, TOGETHER = 4, AHEAD = 2048 };

/* A row of x in pieces, lines of w long each; Q4_0 has two numbers in a byte, and so two pieces of each digit. */
enum { HIGH, LOW, START, HIGH2 = START, LOW2, PIECES };

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vnni")))

/* Rows of x: their blocks, which zeros pad to whole chunks, and bytes of a piece. */
struct rows {
    int64_t blocks, padded, length;
    uint8_t *piece;
    float *scale, *zero;
};

/* Whose a word of a chunk is. */
#define WORD(bytes, l, w) (4 * (16 * (l) + (w)) / (bytes))
#define QUAD(bytes, l, w) WORD(bytes, l, w), WORD(bytes, l, w + 1), WORD(bytes, l, w + 2), WORD(bytes, l, w + 3)
#define LINE(bytes, l)                                                                                                 \
    {                                                                                                                  \
        QUAD(bytes, l, 0), QUAD(bytes, l, 4), QUAD(bytes, l, 8), QUAD(bytes, l, 12)                                    \
    }
static const _Alignas(PARA_LINE) int32_t words_of_q8_0[PARA_Q8_0_BYTES / 2][PARA_LANES] = {
    LINE(34, 0),  LINE(34, 1),  LINE(34, 2),  LINE(34, 3),  LINE(34, 4),  LINE(34, 5),
    LINE(34, 6),  LINE(34, 7),  LINE(34, 8),  LINE(34, 9),  LINE(34, 10), LINE(34, 11),
    LINE(34, 12), LINE(34, 13), LINE(34, 14), LINE(34, 15), LINE(34, 16),
};
static const _Alignas(PARA_LINE) int32_t words_of_q4_0[PARA_Q4_0_BYTES / 2][PARA_LANES] = {
    LINE(18, 0), LINE(18, 1), LINE(18, 2), LINE(18, 3), LINE(18, 4), LINE(18, 5), LINE(18, 6), LINE(18, 7), LINE(18, 8),
};

/* Where scales lie, in words of 16 bits, and those of which blocks lie in a line, as bits. */
#define SCALE(bytes, b) ((b) * (bytes) / 2)
#define SCALES(bytes, b)                                                                                               \
    SCALE(bytes, b), SCALE(bytes, b + 1), SCALE(bytes, b + 2), SCALE(bytes, b + 3), SCALE(bytes, b + 4),               \
        SCALE(bytes, b + 5), SCALE(bytes, b + 6), SCALE(bytes, b + 7)
#define ALL(bytes)                                                                                                     \
    {                                                                                                                  \
        SCALES(bytes, 0), SCALES(bytes, 8), SCALES(bytes, 16), SCALES(bytes, 24)                                       \
    }
static const _Alignas(PARA_LINE) int16_t scales_of_q8_0[CHUNK] = ALL(34), scales_of_q4_0[CHUNK] = ALL(18);
#define BEFORE(bytes, l) ((UINT64_C(1) << (((l)*PARA_LINE + (bytes)-1) / (bytes))) - 1)
#define IN(bytes, l) (uint32_t)(BEFORE(bytes, (l) + 1) - BEFORE(bytes, l))
static const uint32_t blocks_of_q8_0[PARA_Q8_0_BYTES / 2] = {
    IN(34, 0), IN(34, 1),  IN(34, 2),  IN(34, 3),  IN(34, 4),  IN(34, 5),  IN(34, 6),  IN(34, 7),  IN(34, 8),
    IN(34, 9), IN(34, 10), IN(34, 11), IN(34, 12), IN(34, 13), IN(34, 14), IN(34, 15), IN(34, 16),
};
static const uint32_t blocks_of_q4_0[PARA_Q4_0_BYTES / 2] = {
    IN(18, 0), IN(18, 1), IN(18, 2), IN(18, 3), IN(18, 4), IN(18, 5), IN(18, 6), IN(18, 7), IN(18, 8),
};

bool para_skinny_lines_known(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}

static int64_t padded_blocks(int64_t blocks)
{
    return (blocks + CHUNK - 1) / CHUNK * CHUNK;
}

static int64_t piece_length(para_dtype dtype, int64_t blocks)
{
    return ((int64_t)para_dtype_bytes(dtype) * blocks + PARA_LINE - 1) / PARA_LINE * PARA_LINE;
}

size_t para_skinny_lines_scratch(int64_t m, int64_t k)
{
    int64_t blocks = k / PARA_BLOCK, padded = padded_blocks(blocks);
    size_t row = PIECES * (size_t)piece_length(PARA_Q8_0, blocks) + 2 * (size_t)padded * sizeof(float);
    return (size_t)m * row + (size_t)k * sizeof(int16_t);
}

/* --- x --- */

/* Whole numbers of some blocks to where w has its own. */
TARGET static void spread(para_dtype dtype, int64_t blocks, const int16_t *whole, int64_t length, uint8_t *piece)
{
    piece += sizeof(uint16_t);
    for (int64_t b = 0; b < blocks; b++, whole += PARA_BLOCK, piece += para_dtype_bytes(dtype)) {
        __m512i numbers = _mm512_loadu_si512(whole);
        __m256i high = _mm512_cvtepi16_epi8(_mm512_srai_epi16(numbers, 8)), low = _mm512_cvtepi16_epi8(numbers);
        if (dtype == PARA_Q8_0) {
            _mm256_storeu_si256((void *)(piece + HIGH * length), high);
            _mm256_storeu_si256((void *)(piece + LOW * length), low);
        } else {
            _mm_storeu_si128((void *)(piece + HIGH * length), _mm256_castsi256_si128(high));
            _mm_storeu_si128((void *)(piece + LOW * length), _mm256_castsi256_si128(low));
            _mm_storeu_si128((void *)(piece + HIGH2 * length), _mm256_extracti128_si256(high, 1));
            _mm_storeu_si128((void *)(piece + LOW2 * length), _mm256_extracti128_si256(low, 1));
        }
    }
}

TARGET static void put_starts(int64_t length, uint8_t *piece)
{
    for (int64_t at = 0; at < length; at += PARA_LINE) {
        __m512i none = _mm512_setzero_si512(), high = _mm512_load_si512(piece + HIGH * length + at);
        __m512i added = _mm512_dpbusd_epi32(none, _mm512_set1_epi8(-128), high);
        _mm512_store_si512(piece + START * length + at, _mm512_sub_epi32(none, added));
    }
}

static struct rows rows_of(para_dtype dtype, int64_t m, int64_t k, const float *x, int64_t ldx, void *scratch)
{
    struct rows r = {.blocks = k / PARA_BLOCK, .piece = scratch};
    r.padded = padded_blocks(r.blocks);
    r.length = piece_length(dtype, r.blocks);
    r.scale = (float *)(void *)(r.piece + m * PIECES * r.length);
    r.zero = r.scale + m * r.padded;
    int16_t *whole = (int16_t *)(void *)(r.zero + m * r.padded);
    memset(scratch, 0, (size_t)((uint8_t *)whole - r.piece));
    for (int64_t i = 0; i < m; i++) {
        uint8_t *piece = r.piece + i * PIECES * r.length;
        para_round_blocks(r.blocks, x + i * ldx, whole, r.scale + i * r.padded, r.zero + i * r.padded);
        spread(dtype, r.blocks, whole, r.length, piece);
        if (dtype == PARA_Q8_0)
            put_starts(r.length, piece);
    }
    return r;
}

/* --- products --- */

/* Of a chunk's blocks. */
struct scales {
    __m512 first, second;
};

/* The first so many bytes of a line, if there are not more. */
PARA_INLINE __mmask64 mask_of(int64_t bytes)
{
    return bytes < PARA_LINE ? ((__mmask64)1 << bytes) - 1 : ~(__mmask64)0;
}

/* The scales of a chunk of w, 0 for blocks behind its bytes: a line's are put where they belong by one instruction,
 * which takes a word of 16 bits modulo a line. */
TARGET PARA_INLINE struct scales scales_of(para_dtype dtype, const char *w, int64_t bytes)
{
    const uint32_t *blocks = dtype == PARA_Q8_0 ? blocks_of_q8_0 : blocks_of_q4_0;
    __m512i where = _mm512_load_si512(dtype == PARA_Q8_0 ? scales_of_q8_0 : scales_of_q4_0);
    __m512i half = _mm512_setzero_si512();
    for (int64_t at = 0; at < bytes; at += PARA_LINE, blocks++) {
        __m512i numbers = _mm512_maskz_loadu_epi8(mask_of(bytes - at), w + at);
        half = _mm512_mask_permutexvar_epi16(half, *blocks, where, numbers);
    }
    return (struct scales){_mm512_cvtph_ps(_mm512_castsi512_si256(half)),
                           _mm512_cvtph_ps(_mm512_extracti64x4_epi64(half, 1))};
}

/* Sums of a line's products, words by words. */
TARGET PARA_INLINE __m512 products(para_dtype dtype, __m512i w, const uint8_t *x, int64_t length)
{
    __m512i high = _mm512_load_si512(x + HIGH * length), low = _mm512_load_si512(x + LOW * length);
    if (dtype == PARA_Q8_0) {
        __m512i sum = _mm512_dpbusd_epi32(_mm512_load_si512(x + START * length),
                                          _mm512_xor_si512(w, _mm512_set1_epi8(-128)), high);
        return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_slli_epi32(sum, 8), low, w));
    }
    __m512i high2 = _mm512_load_si512(x + HIGH2 * length), low2 = _mm512_load_si512(x + LOW2 * length);
    __m512i first = _mm512_and_si512(w, _mm512_set1_epi8(15));
    __m512i second = _mm512_and_si512(_mm512_srli_epi16(w, 4), _mm512_set1_epi8(15));
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, high);
    sum = _mm512_slli_epi32(_mm512_dpbusd_epi32(sum, second, high2), 8);
    return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, low, first), low2, second));
}

/* A chunk of `count` blocks, from number b on, of some rows of w by some of x, added to sum. */
TARGET PARA_INLINE void add_chunk(para_dtype dtype, int streams, int together, const char *const w[],
                                  const struct rows *x, int64_t row, int64_t b, int64_t count,
                                  __m512 sum[STREAMS][TOGETHER])
{
    const int32_t(*words)[PARA_LANES] = dtype == PARA_Q8_0 ? words_of_q8_0 : words_of_q4_0;
    int64_t bytes = count * (int64_t)para_dtype_bytes(dtype), before = b * (int64_t)para_dtype_bytes(dtype);
    const uint8_t *of_row = x->piece + row * PIECES * x->length + before;
    struct scales scale[STREAMS][TOGETHER];
#pragma GCC unroll 4
    for (int s = 0; s < streams; s++) {
        struct scales of_w = scales_of(dtype, w[s] + before, bytes);
#pragma GCC unroll 4
        for (int i = 0; i < together; i++) {
            const float *of_x = x->scale + (row + i) * x->padded + b, *zero = x->zero + (row + i) * x->padded + b;
            scale[s][i].first = _mm512_mul_ps(of_w.first, _mm512_loadu_ps(of_x));
            scale[s][i].second = _mm512_mul_ps(of_w.second, _mm512_loadu_ps(of_x + PARA_LANES));
            if (dtype == PARA_Q4_0) {
                sum[s][i] = _mm512_fmadd_ps(scale[s][i].first, _mm512_loadu_ps(zero), sum[s][i]);
                sum[s][i] = _mm512_fmadd_ps(scale[s][i].second, _mm512_loadu_ps(zero + PARA_LANES), sum[s][i]);
            }
        }
    }
    for (int64_t at = 0; at < bytes; at += PARA_LINE, words++) {
        __mmask64 there = mask_of(bytes - at);
        __m512i whose = _mm512_load_si512(*words);
#pragma GCC unroll 4
        for (int s = 0; s < streams; s++) {
            const char *of_w = w[s] + before + at;
            if (row == 0)
                __builtin_prefetch(of_w + AHEAD);
            __m512i numbers = _mm512_maskz_loadu_epi8(there, of_w);
#pragma GCC unroll 4
            for (int i = 0; i < together; i++) {
                __m512 by = _mm512_permutex2var_ps(scale[s][i].first, whose, scale[s][i].second);
                const uint8_t *of_x = of_row + i * PIECES * x->length + at;
                sum[s][i] = _mm512_fmadd_ps(products(dtype, numbers, of_x, x->length), by, sum[s][i]);
            }
        }
    }
}

/* y[s] (rows of x) of `together` rows from number `row` on, ldy elements apart. */
TARGET PARA_INLINE void multiply(para_dtype dtype, int streams, int together, const char *const w[],
                                 const struct rows *x, int64_t row, float *const y[], int64_t ldy)
{
    __m512 sum[STREAMS][TOGETHER];
#pragma GCC unroll 4
    for (int s = 0; s < streams; s++)
#pragma GCC unroll 4
        for (int i = 0; i < together; i++)
            sum[s][i] = _mm512_setzero_ps();
    for (int64_t b = 0; b < x->blocks; b += CHUNK) {
        int64_t count = x->blocks - b < CHUNK ? x->blocks - b : CHUNK;
        add_chunk(dtype, streams, together, w, x, row, b, count, sum);
    }
#pragma GCC unroll 4
    for (int s = 0; s < streams; s++)
#pragma GCC unroll 4
        for (int i = 0; i < together; i++)
            y[s][(row + i) * ldy] = _mm512_reduce_add_ps(sum[s][i]);
}

/* 1, 2 or TOGETHER rows. */
TARGET PARA_INLINE void multiply_some(para_dtype dtype, int64_t together, const char *const w[], const struct rows *x,
                                      int64_t row, float *const y[], int64_t ldy)
{
    const int half = STREAMS / 2;
    if (together == 1)
        multiply(dtype, STREAMS, 1, w, x, row, y, ldy);
    else if (together == 2)
        multiply(dtype, STREAMS, 2, w, x, row, y, ldy);
    else
        for (int s = 0; s < STREAMS; s += half)
            multiply(dtype, half, TOGETHER, w + s, x, row, y + s, ldy);
}

TARGET static void multiply_q8_0(int64_t together, const char *const w[], const struct rows *x, int64_t row,
                                 float *const y[], int64_t ldy)
{
    multiply_some(PARA_Q8_0, together, w, x, row, y, ldy);
}

TARGET static void multiply_q4_0(int64_t together, const char *const w[], const struct rows *x, int64_t row,
                                 float *const y[], int64_t ldy)
{
    multiply_some(PARA_Q4_0, together, w, x, row, y, ldy);
}

void para_skinny_lines(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                       int64_t ldy, void *scratch)
{
    struct rows rows = rows_of(w->dtype, m, w->k, x, ldx, scratch);
    int64_t band = (w->n + STREAMS - 1) / STREAMS;
    for (int64_t j = 0; j < band; j++) {
        const char *of_w[STREAMS];
        float *of_y[STREAMS];
        for (int s = 0; s < STREAMS; s++) { /* the last one's again where a band is shorter */
            int64_t n = s * band + j < w->n ? s * band + j : w->n - 1;
            of_w[s] = (const char *)w->data + para_dtype_span(w->dtype, n * w->ld);
            of_y[s] = y + n;
        }
        for (int64_t i = 0, some; i < m; i += some) {
            some = m - i >= TOGETHER ? TOGETHER : m - i >= 2 ? 2 : 1;
            (w->dtype == PARA_Q8_0 ? multiply_q8_0 : multiply_q4_0)(some, of_w, &rows, i, of_y, ldy);
        }
    }
}
#else
bool para_skinny_lines_known(void)
{
    return false;
}

size_t para_skinny_lines_scratch(int64_t m, int64_t k)
{
    (void)m, (void)k;
    return 0;
}

void para_skinny_lines(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                       int64_t ldy, void *scratch)
{
    (void)w, (void)m, (void)x, (void)ldx, (void)y, (void)ldy, (void)scratch;
}
#endif
