/* Byte pair encoding of one word. Short words are searched through for each merge; long ones have a heap. */
#include "io/bpe.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 64 };

static struct para_bpe_pair *find(struct para_bpe_pair *slots, size_t capacity, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 24) & (capacity - 1);
    while (slots[i].rank != 0 && (slots[i].left != left || slots[i].right != right))
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

/* Subtracting 1 makes a free slot's 0 PARA_NO_RANK. */
static uint32_t rank_of(const struct para_bpe *b, int32_t left, int32_t right)
{
    return find(b->slots, b->capacity, left, right)->rank - 1;
}

static int grow(struct para_bpe *b)
{
    size_t capacity = b->capacity ? 2 * b->capacity : 1024;
    int32_t *made = realloc(b->made, capacity / 2 * sizeof *made);
    if (!made)
        return -1;
    b->made = made;
    struct para_bpe_pair *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return -1;
    for (size_t i = 0; i < b->capacity; i++)
        if (b->slots[i].rank != 0)
            *find(slots, capacity, b->slots[i].left, b->slots[i].right) = b->slots[i];
    free(b->slots);
    b->slots = slots;
    b->capacity = capacity;
    return 0;
}

int para_bpe_reserve(struct para_bpe *b, para_error *err)
{
    return 2 * (b->pairs + 1) > b->capacity && grow(b) < 0 ? para_fail_memory(err, "merges of a tokenizer") : 0;
}

uint32_t para_bpe_add(struct para_bpe *b, int32_t left, int32_t right, int32_t made, bool ties)
{
    struct para_bpe_pair *slot = find(b->slots, b->capacity, left, right);
    if (slot->rank != 0)
        return slot->rank - 1;
    if (!ties)
        b->made[b->merges++] = made;
    b->pairs++;
    *slot = (struct para_bpe_pair){left, right, (uint32_t)b->merges};
    return PARA_NO_RANK;
}

void para_bpe_free(struct para_bpe *b)
{
    free(b->slots);
    free(b->made);
    *b = (struct para_bpe){0};
}

static int by_rank(const void *left, const void *right)
{
    const struct para_bpe_pair *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->left != b->left ? (a->left < b->left ? -1 : 1) : (a->right > b->right) - (a->right < b->right);
}

struct para_bpe_pair *para_bpe_list(const struct para_bpe *b)
{
    struct para_bpe_pair *list = malloc((b->pairs + 1) * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < b->capacity && list; i++)
        if (b->slots[i].rank != 0)
            list[n++] = b->slots[i];
    if (list)
        qsort(list, n, sizeof *list, by_rank);
    return list;
}

/* ids[n], n <= SHORT, shrinks in place; rank[i] is that of the pair i, i + 1. */
static size_t merge_short(const struct para_bpe *b, int32_t *ids, size_t n)
{
    uint32_t rank[SHORT];
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(b, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == PARA_NO_RANK)
            break;
        ids[best] = b->made[rank[best]];
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        memmove(rank + best, rank + best + 1, (n - best - 1) * sizeof *rank);
        if (best > 0)
            rank[best - 1] = rank_of(b, ids[best - 1], ids[best]);
        if (best + 1 < n)
            rank[best] = rank_of(b, ids[best], ids[best + 1]);
    }
    return n;
}

/* A link of a long word: it holds a token until that is merged into the one on its left. */
struct link {
    uint32_t previous, next; /* the neighbouring tokens; the first's previous isn't used, the last's next
                                is the word's length */
    uint32_t rank;           /* of the pair that begins here, or PARA_NO_RANK */
};

/* A pair that was there when it was put into the heap; it still is if its link has its rank. */
struct candidate {
    uint32_t rank, at;
};

struct heap {
    struct candidate *items; /* item i comes before items 2 i + 1 and 2 i + 2 */
    size_t count;
};

static bool before(struct candidate a, struct candidate b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void heap_push(struct heap *h, struct candidate new)
{
    size_t i = h->count++;
    for (; i > 0 && before(new, h->items[(i - 1) / 2]); i = (i - 1) / 2)
        h->items[i] = h->items[(i - 1) / 2];
    h->items[i] = new;
}

static struct candidate heap_pop(struct heap *h)
{
    struct candidate first = h->items[0], last = h->items[--h->count];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < h->count) {
        if (child + 1 < h->count && before(h->items[child + 1], h->items[child]))
            child++;
        if (!before(h->items[child], last))
            break;
        h->items[i] = h->items[child];
        i = child;
    }
    h->items[i] = last;
    return first;
}

/* Set the rank of the pair that begins at `at`, and put it up for merging. */
static void offer(const struct para_bpe *b, struct heap *h, struct link *links, const int32_t *ids, uint32_t at,
                  uint32_t n)
{
    uint32_t next = links[at].next;
    links[at].rank = next < n ? rank_of(b, ids[at], ids[next]) : PARA_NO_RANK;
    if (links[at].rank != PARA_NO_RANK)
        heap_push(h, (struct candidate){links[at].rank, at});
}

/* n - 1 pairs are offered at first, and two for each of at most n - 1 merges, which takes one away: 2 n are room. */
static size_t merge_long(const struct para_bpe *b, int32_t *ids, uint32_t n, struct link *links, struct heap *h)
{
    for (uint32_t i = 0; i < n; i++) {
        links[i].previous = i - 1;
        links[i].next = i + 1;
        offer(b, h, links, ids, i, n);
    }
    while (h->count > 0) {
        struct candidate c = heap_pop(h);
        struct link *p = &links[c.at];
        if (p->rank != c.rank)
            continue;
        ids[c.at] = b->made[c.rank];
        links[p->next].rank = PARA_NO_RANK;
        p->next = links[p->next].next;
        if (p->next < n)
            links[p->next].previous = c.at;
        offer(b, h, links, ids, c.at, n);
        if (c.at > 0)
            offer(b, h, links, ids, p->previous, n);
    }
    size_t count = 0;
    for (uint32_t i = 0; i < n; i = links[i].next)
        ids[count++] = ids[i];
    return count;
}

int64_t para_bpe_merge(const struct para_bpe *b, int32_t *ids, size_t n, para_error *err)
{
    if (b->merges == 0)
        return (int64_t)n;
    if (n <= SHORT)
        return (int64_t)merge_short(b, ids, n);
    if (n > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "a word of the text has %zu bytes or characters, expected fewer than 2^31",
                         n);
    struct link *links = malloc(n * sizeof *links);
    struct heap heap = {malloc(2 * n * sizeof *heap.items), 0};
    int64_t count = links && heap.items ? (int64_t)merge_long(b, ids, (uint32_t)n, links, &heap)
                                        : para_fail_memory(err, "merging a long word");
    free(links);
    free(heap.items);
    return count;
}
