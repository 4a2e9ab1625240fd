/* Few rows by int8, as sums of bytes: x in three digits, each of them by all bytes of w, which the processor adds up in
 * words of 32 bits, four at a time. */
#include "kernels/skinny-int8.h"

bool para_skinny_int8_off;

#ifdef __x86_64__
#include "base/simd.h"
#include "kernels/lanes.h"

#include <immintrin.h>

/* The most significant digit first; it alone has a sign, which is taken off by adding ZERO. */
enum { DIGITS = 3, ZERO = 128, LARGEST = (1 << 23) - 1, PART = 1024 };

/* x (PART) in digits, zeros past its end. */
struct digits {
    _Alignas(PARA_LINE) uint8_t digit[DIGITS][PART];
    float scale; /* of the last digit */
};

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vnni")))

static bool known(void)
{
    return !para_skinny_int8_off && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}

/* The largest magnitude, or what isn't finite. */
static float largest(int64_t k, const float *x)
{
    float most = 0, sum = 0;
    for (int64_t e = 0; e < k; e++) {
        most = fabsf(x[e]) > most ? fabsf(x[e]) : most;
        sum += x[e] * 0.0f;
    }
    return most + sum;
}

static void to_digits(int64_t k, const float *x, struct digits *d)
{
    float most = largest(k, x);
    double steps = most > 0 ? LARGEST / (double)most : 0;
    d->scale = most / LARGEST;
    memset(d->digit, 0, sizeof d->digit);
    memset(d->digit[0], ZERO, PART);
    if (isnan(most))
        return;
    for (int64_t e = 0; e < k; e++) {
        uint32_t whole = (uint32_t)((int32_t)lrint(x[e] * steps) + (ZERO << 16));
        d->digit[0][e] = (uint8_t)(whole >> 16);
        d->digit[1][e] = (uint8_t)(whole >> 8);
        d->digit[2][e] = (uint8_t)whole;
    }
}

/* The first so many bytes of a line, if there are not more. */
PARA_INLINE __mmask64 mask_of(int64_t count)
{
    return count < PARA_LINE ? ((__mmask64)1 << count) - 1 : ~(__mmask64)0;
}

/* Sums of bytes of w by each digit of x, and of these bytes alone, which take the first digit's ZERO off again. */
struct sums {
    __m512i by_digit[DIGITS], alone;
};

TARGET PARA_INLINE void clear(struct sums *s)
{
    for (int d = 0; d < DIGITS; d++)
        s->by_digit[d] = _mm512_setzero_si512();
    s->alone = _mm512_setzero_si512();
}

TARGET PARA_INLINE void add(struct sums *s, const __m512i digit[DIGITS], __m512i w)
{
    for (int d = 0; d < DIGITS; d++)
        s->by_digit[d] = _mm512_dpbusd_epi32(s->by_digit[d], digit[d], w);
    s->alone = _mm512_dpbusd_epi32(s->alone, _mm512_set1_epi8(1), w);
}

TARGET PARA_INLINE __m512 value_of(const struct sums *s)
{
    __m512i first = _mm512_sub_epi32(s->by_digit[0], _mm512_mullo_epi32(s->alone, _mm512_set1_epi32(ZERO)));
    __m512 sum = _mm512_cvtepi32_ps(first), base = _mm512_set1_ps(256);
    for (int d = 1; d < DIGITS; d++)
        sum = _mm512_fmadd_ps(sum, base, _mm512_cvtepi32_ps(s->by_digit[d]));
    return sum;
}

/* --- rows of w lie along x: dot products --- */

/* Rows of w at a time. */
enum { GROUP = 4 };

/* dot[r] = x (k) by row r of w. Meanwhile what lies ahead is asked for, if anything (NULL: nothing). */
TARGET static void dot_group(int64_t k, const struct digits *x, const char *const w[GROUP], struct para_ahead *ahead,
                             float dot[GROUP])
{
    struct sums s[GROUP];
    for (int r = 0; r < GROUP; r++)
        clear(&s[r]);
    for (int64_t e = 0; e < k; e += PARA_LINE) {
        __m512i digit[DIGITS];
        __mmask64 there = mask_of(k - e);
        if (ahead)
            para_ahead_ask(ahead, GROUP / PARA_STREAMS);
        for (int d = 0; d < DIGITS; d++)
            digit[d] = _mm512_load_si512(&x->digit[d][e]);
#pragma GCC unroll 4
        for (int r = 0; r < GROUP; r++)
            add(&s[r], digit, _mm512_maskz_loadu_epi8(there, w[r] + e));
    }
    for (int r = 0; r < GROUP; r++)
        dot[r] = x->scale * _mm512_reduce_add_ps(value_of(&s[r]));
}

/* A part of K, from `first` on: y (M,N) = or += x by w^T. */
static void dot_part(const struct para_weights_matrix *w, int64_t first, int64_t k, int64_t m, const struct digits *x,
                     float *y, int64_t ldy)
{
    const char *data = (const char *)w->data + first, *row[GROUP];
    float dot[GROUP];
    for (int64_t j = 0; j < w->n; j += GROUP) {
        int64_t rows = w->n - j < GROUP ? w->n - j : GROUP;
        for (int64_t r = 0; r < GROUP; r++)
            row[r] = data + (j + (r < rows ? r : rows - 1)) * w->ld;
        struct para_ahead ahead = para_ahead_of(data + (j + GROUP) * w->ld, GROUP, k, w->ld);
        for (int64_t i = 0; i < m; i++) {
            dot_group(k, &x[i], row, i == 0 ? &ahead : NULL, dot);
            for (int64_t r = 0; r < rows; r++)
                y[i * ldy + j + r] = dot[r] + (first > 0 ? y[i * ldy + j + r] : 0);
        }
    }
}

bool para_skinny_int8_transposed(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                                 int64_t ldy)
{
    struct digits digits[PARA_SKINNY_ROWS];
    if (!known())
        return false;
    for (int64_t first = 0; first < w->k; first += PART) {
        int64_t k = w->k - first < PART ? w->k - first : PART;
        for (int64_t i = 0; i < m; i++)
            to_digits(k, x + i * ldx + first, &digits[i]);
        dot_part(w, first, k, m, digits, y, ldy);
    }
    return true;
}

/* --- rows of w lie along y --- */

/* Rows of w in a group; a multiple of four, of which bytes come together in a word. */
enum { DEPTH = 32, QUADS = DEPTH / 4, STRIP = PARA_LINE, PIECES = 4 };

/* The bytes of DEPTH rows and STRIP columns of w: a word has those of four rows. Words of columns 16 l + 4 p to
 * 16 l + 4 p + 3 are quarter l of piece p. */
struct tile {
    __m512i piece[QUADS][PIECES], alone[PIECES];
};

TARGET static void load_tile(struct tile *t, const char *w, int64_t ld, int64_t rows, __mmask64 there)
{
    for (int p = 0; p < PIECES; p++)
        t->alone[p] = _mm512_setzero_si512();
    for (int q = 0; q < QUADS; q++) {
        __m512i row[4];
        for (int r = 0; r < 4; r++)
            row[r] = 4 * q + r < rows ? _mm512_maskz_loadu_epi8(there, w + (4 * q + r) * ld) : _mm512_setzero_si512();
        __m512i low = _mm512_unpacklo_epi8(row[0], row[1]), low2 = _mm512_unpacklo_epi8(row[2], row[3]);
        __m512i high = _mm512_unpackhi_epi8(row[0], row[1]), high2 = _mm512_unpackhi_epi8(row[2], row[3]);
        t->piece[q][0] = _mm512_unpacklo_epi16(low, low2);
        t->piece[q][1] = _mm512_unpackhi_epi16(low, low2);
        t->piece[q][2] = _mm512_unpacklo_epi16(high, high2);
        t->piece[q][3] = _mm512_unpackhi_epi16(high, high2);
        for (int p = 0; p < PIECES; p++)
            t->alone[p] = _mm512_dpbusd_epi32(t->alone[p], _mm512_set1_epi8(1), t->piece[q][p]);
    }
}

/* From quarters of pieces to columns in order. */
TARGET PARA_INLINE void put_in_order(__m512 v[PIECES])
{
    __m512 even = _mm512_shuffle_f32x4(v[0], v[1], 0x88), even2 = _mm512_shuffle_f32x4(v[2], v[3], 0x88);
    __m512 odd = _mm512_shuffle_f32x4(v[0], v[1], 0xdd), odd2 = _mm512_shuffle_f32x4(v[2], v[3], 0xdd);
    v[0] = _mm512_shuffle_f32x4(even, even2, 0x88);
    v[1] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
    v[2] = _mm512_shuffle_f32x4(even, even2, 0xdd);
    v[3] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
}

/* y (columns) += x, from digit `k` on, by a tile. */
TARGET static void add_tile(const struct tile *t, const struct digits *x, int64_t k, float *y, int64_t columns)
{
    struct sums s[PIECES];
    __m512 value[PIECES];
    for (int p = 0; p < PIECES; p++) {
        clear(&s[p]);
        s[p].alone = t->alone[p];
    }
#pragma GCC unroll 8
    for (int q = 0; q < QUADS; q++)
#pragma GCC unroll 3
        for (int d = 0; d < DIGITS; d++) {
            int32_t four;
            memcpy(&four, &x->digit[d][k + 4 * q], sizeof four);
#pragma GCC unroll 4
            for (int p = 0; p < PIECES; p++)
                s[p].by_digit[d] = _mm512_dpbusd_epi32(s[p].by_digit[d], _mm512_set1_epi32(four), t->piece[q][p]);
        }
    for (int p = 0; p < PIECES; p++)
        value[p] = value_of(&s[p]);
    put_in_order(value);
    for (int p = 0; p < PIECES && p * PARA_LANES < columns; p++) {
        __mmask16 there = (__mmask16)mask_of(columns - p * PARA_LANES);
        float *to = y + p * PARA_LANES;
        __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(x->scale), value[p], _mm512_maskz_loadu_ps(there, to));
        _mm512_mask_storeu_ps(to, there, sum);
    }
}

/* `rows` rows of w from `first` on, which are x's from digit `k` on. */
static void add_group(const struct para_weights_matrix *w, int64_t first, int64_t rows, int64_t m,
                      const struct digits *x, int64_t k, float *y, int64_t ldy)
{
    const char *data = (const char *)w->data + first * w->ld;
    struct para_ahead ahead = para_ahead_of(data + DEPTH * w->ld, DEPTH, w->n, w->ld);
    struct tile tile;
    for (int64_t j = 0; j < w->n; j += STRIP) {
        para_ahead_ask(&ahead, DEPTH / PARA_STREAMS);
        load_tile(&tile, data + j, w->ld, rows, mask_of(w->n - j));
        for (int64_t i = 0; i < m; i++)
            add_tile(&tile, &x[i], k, y + i * ldy + j, w->n - j);
    }
}

bool para_skinny_int8_rows(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                           int64_t ldy)
{
    struct digits digits[PARA_SKINNY_ROWS];
    if (!known())
        return false;
    for (int64_t i = 0; i < m; i++)
        memset(y + i * ldy, 0, (size_t)w->n * sizeof *y);
    for (int64_t first = 0; first < w->k; first += DEPTH) {
        for (int64_t i = 0; i < m && first % PART == 0; i++)
            to_digits(w->k - first < PART ? w->k - first : PART, x + i * ldx + first, &digits[i]);
        add_group(w, first, w->k - first < DEPTH ? w->k - first : DEPTH, m, digits, first % PART, y, ldy);
    }
    return true;
}
#else
bool para_skinny_int8_rows(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                           int64_t ldy)
{
    (void)w, (void)m, (void)x, (void)ldx, (void)y, (void)ldy;
    return false;
}

bool para_skinny_int8_transposed(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                                 int64_t ldy)
{
    (void)w, (void)m, (void)x, (void)ldx, (void)y, (void)ldy;
    return false;
}
#endif
