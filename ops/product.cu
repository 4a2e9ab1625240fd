/* Products for kernels of a GPU: cuBLASLt on the plan of ops/product.h. Operands that no two strides walk, weights of
 * fewer bits beside float32, and rows that begin between words of 16 bytes go through a packed copy in scratch. float32
 * is float32: no algorithm rounds to TF32; products of bfloat16 are summed up in float32. */
#include "ops/product-cuda.h"

enum {
    LINE = 256,
    WORD = 16
}; /* bytes: to which packed copies are aligned; that fast kernels read and write at once */

/* How an operand is given to cuBLASLt: of which type, and in place, or as a copy in scratch that is packed as the plan
 * says or has the same lines, further apart. */
struct form {
    para_dtype dtype;
    bool packed, spaced;
    int64_t own_ld; /* of lines that are spaced */
};

static cudaDataType_t cuda_type(para_dtype dtype)
{
    return dtype == PARA_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static const struct para_shape *shape_of(const para_node *n, int k)
{
    return k < PARA_Y ? &n->in[k]->shape : &n->out[0]->shape;
}

/* The type in which an operand is multiplied: a's, or, of the result, its own. */
static para_dtype type_of(const para_node *n, int k)
{
    return k < PARA_Y ? n->in[PARA_A]->shape.dtype : n->out[0]->shape.dtype;
}

/* Elements from one row, or column, of a packed copy to the next: whole words. */
static int64_t padded(int64_t length, para_dtype dtype)
{
    int64_t word = WORD / (int64_t)para_dtype_bytes(dtype);
    return (length + word - 1) / word * word;
}

/* Whether a row of bfloat16 that begins between words is worth a copy: not that of a vector, or of small matrices. */
static bool is_uneven(const struct para_product *p, int k, para_dtype dtype)
{
    const struct para_matrix *m = &p->matrix[k];
    int64_t rows = p->group[m->rows].total, cols = p->group[m->cols].total;
    return dtype == PARA_BF16 && padded(m->ld, dtype) != m->ld && rows >= LINE && cols >= LINE &&
           p->group[PARA_INNER].total >= LINE;
}

static struct form form_of(const struct para_product *p, const para_node *n, int k)
{
    struct form f = {type_of(n, k), p->matrix[k].packed, false, p->matrix[k].ld};
    f.packed = f.packed || shape_of(n, k)->dtype != f.dtype;
    f.spaced = !f.packed && is_uneven(p, k, f.dtype);
    return f;
}

/* The plan of a node, with the forms of its operands; copies have padded rows. */
static void plan(struct para_product *p, struct form form[3], const para_node *n)
{
    para_product_plan(p, n);
    for (int k = 0; k < 3; k++) {
        form[k] = form_of(p, n, k);
        if (form[k].packed)
            para_product_pack(p, k);
        if (form[k].packed || form[k].spaced)
            p->matrix[k].ld = padded(p->matrix[k].ld, form[k].dtype);
    }
}

static int64_t count_lines(const struct para_product *p, int k)
{
    const struct para_matrix *m = &p->matrix[k];
    return p->group[m->transposed ? m->cols : m->rows].total;
}

/* Elements of a copy of a matrix. */
static int64_t copy_elements(const struct para_product *p, int k)
{
    return count_lines(p, k) * p->matrix[k].ld;
}

static size_t copy_bytes(const struct para_product *p, const struct form *f, int k)
{
    size_t bytes = (size_t)(p->group[PARA_BATCH].total * copy_elements(p, k)) * para_dtype_bytes(f->dtype);
    return f->packed || f->spaced ? (bytes + LINE - 1) / LINE * LINE : 0;
}

size_t para_product_cuda_scratch(const para_node *n)
{
    struct para_product p;
    struct form form[3];
    size_t bytes = 0;
    if (para_has_few_rows(n) || para_has_odd_columns(n))
        return 0;
    plan(&p, form, n);
    for (int k = 0; k < 3; k++)
        bytes += copy_bytes(&p, &form[k], k);
    return bytes;
}

/* --- packed copies --- */

/* Where operand k has element (row, col) of a matrix of the batch. */
struct spot {
    struct para_group batch, rows, cols;
    int64_t ld;
    int k;

    __device__ int64_t at(int64_t matrix, int64_t row, int64_t col) const
    {
        return para_group_offset(&cols, k, col) + para_group_offset(&rows, k, row) +
               para_group_offset(&batch, k, matrix);
    }
};

static struct spot spot_of(const struct para_product *p, int k)
{
    return {p->group[PARA_BATCH], p->group[p->matrix[k].rows], p->group[p->matrix[k].cols], p->matrix[k].ld, k};
}

/* f(index in the packed copy, index in the operand) for each element */
template <class F> static int each_packed(const struct para_call *c, struct spot s, F f)
{
    return para_each(c, s.batch.total * s.rows.total * s.cols.total, [=] __device__(int64_t i) {
        int64_t line = i / s.cols.total, col = i - line * s.cols.total, matrix = line / s.rows.total;
        f(line * s.ld + col, s.at(matrix, line - matrix * s.rows.total, col));
    });
}

template <class T, class W> struct packer {
    T *packed;
    const W *own;

    __device__ void operator()(int64_t i, int64_t at) const
    {
        packed[i] = para_round<T>((float)own[at]);
    }
};

template <class T, class W> static int pack(const struct para_call *c, struct spot s, const void *own, void *packed)
{
    return each_packed(c, s, packer<T, W>{(T *)packed, (const W *)own});
}

static int pack_operand(const struct para_call *c, const struct para_product *p, int k, para_dtype to, void *packed)
{
    para_dtype from = c->node->in[k]->shape.dtype;
    struct spot s = spot_of(p, k);
    if (to == PARA_BF16)
        return pack<para_half, para_half>(c, s, c->in[k], packed);
    if (from == PARA_BF16)
        return pack<float, para_half>(c, s, c->in[k], packed);
    if (from == PARA_I8)
        return pack<float, int8_t>(c, s, c->in[k], packed);
    return pack<float, float>(c, s, c->in[k], packed);
}

template <class T> struct unpacker {
    const T *packed;
    T *own;
    bool add;

    __device__ void operator()(int64_t i, int64_t at) const
    {
        own[at] = add ? para_round<T>((float)packed[i] + (float)own[at]) : packed[i];
    }
};

template <class T> static int unpack(const struct para_call *c, struct spot s, const void *packed, bool add)
{
    return each_packed(c, s, unpacker<T>{(const T *)packed, (T *)c->out[0], add});
}

/* Lines of bfloat16, `length` elements each, of a matrix, spaced in the copy: a block copies one, to or from it, packs
 * there and single elements in the operand. */
struct lines {
    struct para_group batch;
    int k;
    int64_t count, length, own_ld, ld;
    para_half *own, *copy;

    __device__ para_half *at(int64_t line) const
    {
        return own + para_group_offset(&batch, k, line / count) + line % count * own_ld;
    }
};

static int space_lines(const struct para_call *c, struct lines l, bool back)
{
    return para_rows(c, l.batch.total * l.count, [=] __device__(int64_t line) {
        const int COUNT = para_pack<para_half>::COUNT;
        para_half *own = l.at(line), *copy = l.copy + line * l.ld;
        for (int64_t e = threadIdx.x * COUNT; e < l.length; e += PARA_THREADS * COUNT) {
            para_pack<para_half> p;
            if (back)
                p = para_load(copy + e);
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                if (e + i < l.length) {
                    if (back)
                        own[e + i] = p.of[i];
                    else
                        p.of[i] = own[e + i];
                }
            if (!back)
                para_store(copy + e, p);
        }
    });
}

static struct lines lines_of(const struct para_product *p, const struct form *f, int k, void *own, void *copy)
{
    const struct para_matrix *m = &p->matrix[k];
    struct lines l = {p->group[PARA_BATCH],
                      k,
                      count_lines(p, k),
                      p->group[m->transposed ? m->rows : m->cols].total,
                      f->own_ld,
                      m->ld,
                      (para_half *)own,
                      (para_half *)copy};
    return l;
}

/* --- one product, or a batch of them that lie at equal distances --- */

/* Matrix k, or its transpose, as cuBLASLt is to read it. What lies with its rows one after another is, to a reader of
 * columns, the transpose. */
static struct para_operand operand_of(const struct para_product *p, const struct form *f, int k, bool transpose)
{
    const struct para_matrix *m = &p->matrix[k];
    int64_t rows = p->group[m->rows].total, cols = p->group[m->cols].total;
    struct para_operand o = {f->dtype, NULL, m->transposed ? rows : cols, m->transposed ? cols : rows,
                             m->ld,    0,    m->transposed == transpose};
    return o;
}

static cublasStatus_t describe(cublasLtMatrixLayout_t *layout, const struct para_operand *o, int batch)
{
    cublasStatus_t status =
        cublasLtMatrixLayoutCreate(layout, cuda_type(o->dtype), (uint64_t)o->rows, (uint64_t)o->cols, o->ld);
    if (status == CUBLAS_STATUS_SUCCESS && batch > 1) {
        cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch);
        cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &o->apart,
                                         sizeof o->apart);
    }
    return status;
}

/* The largest power of two, to LINE, that an address and the distances from it are multiples of. */
static uint32_t alignment_of(const struct para_operand *o)
{
    uintptr_t bits = (uintptr_t)o->at | (uintptr_t)o->apart * para_dtype_bytes(o->dtype) | LINE;
    return (uint32_t)(bits & (~bits + 1));
}

/* Everything that a product is described by. */
struct problem {
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, y;
    cublasLtMatmulPreference_t preference;
};

static void set_epilogue(cublasLtMatmulDesc_t product, const struct para_epilogue *e)
{
    cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &e->kind, sizeof e->kind);
    if (e->bias)
        cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &e->bias, sizeof e->bias);
    if (e->aux) {
        cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &e->aux, sizeof e->aux);
        cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &e->aux_ld, sizeof e->aux_ld);
    }
}

static cublasStatus_t set_up(struct problem *q, const struct para_cuda *cuda, const struct para_operand *a,
                             const struct para_operand *b, const struct para_operand *y, int batch,
                             const struct para_epilogue *e)
{
    cublasOperation_t op_a = a->transpose ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = b->transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* sums of parts in an order of their own, or no parts */
    uint32_t aligned[] = {alignment_of(a), alignment_of(b), alignment_of(y)};
    cublasStatus_t status = cublasLtMatmulDescCreate(&q->product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    status = status ? status : describe(&q->a, a, batch);
    status = status ? status : describe(&q->b, b, batch);
    status = status ? status : describe(&q->y, y, batch);
    status = status ? status : cublasLtMatmulPreferenceCreate(&q->preference);
    if (status)
        return status;
    cublasLtMatmulDescSetAttribute(q->product, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a);
    cublasLtMatmulDescSetAttribute(q->product, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b);
    if (e)
        set_epilogue(q->product, e);
    cublasLtMatmulPreferenceSetAttribute(q->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &cuda->workspace_bytes, sizeof cuda->workspace_bytes);
    cublasLtMatmulPreferenceSetAttribute(q->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                         sizeof schemes);
    static const cublasLtMatmulPreferenceAttributes_t min[] = {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES};
    for (int k = 0; k < 3; k++)
        cublasLtMatmulPreferenceSetAttribute(q->preference, min[k], &aligned[k], sizeof aligned[k]);
    return cublasLtMatmulPreferenceSetAttribute(q->preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &aligned[2],
                                                sizeof aligned[2]);
}

/* How much of the GPU an algorithm's blocks fill, where there are fewer than it can run at once. */
static float fill_of(const cublasLtMatmulHeuristicResult_t *a)
{
    return a->wavesCount < 1 ? a->wavesCount : 1;
}

static int parts_of(const cublasLtMatmulHeuristicResult_t *a)
{
    int parts = 1;
    size_t written;
    cublasLtMatmulAlgoConfigGetAttribute(&a->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts, &written);
    return parts;
}

/* The algorithm that cuBLASLt's rule puts first, but where that leaves more of the GPU idle than another that doesn't
 * cut the sum into more parts: weights' gradients and products with gelu's slope then take up to a tenth less on an
 * H200. */
static cublasStatus_t choose(cublasLtMatmulHeuristicResult_t *out, const struct para_cuda *cuda, const problem *q)
{
    enum { MOST = 8 };
    const float WORTH = 1.05f;
    cublasLtMatmulHeuristicResult_t found[MOST];
    int count = 0, best = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(cuda->blas, q->product, q->a, q->b, q->y, q->y,
                                                           q->preference, MOST, found, &count);
    if (status == CUBLAS_STATUS_SUCCESS && count == 0)
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    for (int i = 1; i < count; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS && fill_of(&found[i]) > WORTH * fill_of(&found[best]) &&
            parts_of(&found[i]) > 0 && parts_of(&found[i]) <= parts_of(&found[best]))
            best = i;
    *out = found[best];
    return status;
}

int para_multiply(const struct para_call *c, const struct para_operand *a, const struct para_operand *b,
                  const struct para_operand *y, int batch, bool add, const struct para_epilogue *e)
{
    const struct para_cuda *cuda = c->cuda;
    problem q = {};
    cublasLtMatmulHeuristicResult_t found;
    float one = 1, beta = add ? 1 : 0;
    cublasStatus_t status = set_up(&q, cuda, a, b, y, batch, e);
    status = status ? status : choose(&found, cuda, &q);
    bool left = e && (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE);
    status = status
                 ? status
                 : cublasLtMatmul(cuda->blas, q.product, &one, a->at, q.a, b->at, q.b, &beta, y->at, q.y, (void *)y->at,
                                  q.y, &found.algo, cuda->workspace, cuda->workspace_bytes, cuda->stream);
    cublasLtMatmulPreferenceDestroy(q.preference);
    cublasLtMatrixLayoutDestroy(q.y);
    cublasLtMatrixLayoutDestroy(q.b);
    cublasLtMatrixLayoutDestroy(q.a);
    cublasLtMatmulDescDestroy(q.product);
    if (left)
        return PARA_LEFT;
    return status ? para_fail(c->err, PARA_EDEVICE, "cuBLASLt: %s", cublasLtGetStatusName(status)) : 0;
}

/* Where operand k has element `matrix` of the batch, in elements. */
static int64_t matrix_start(const struct para_product *p, const struct form *f, int k, int64_t matrix)
{
    return f->packed || f->spaced ? matrix * copy_elements(p, k) : para_group_offset(&p->group[PARA_BATCH], k, matrix);
}

/* y^T = b^T a^T for a reader of columns; where y lies transposed, y = a b. */
static int multiply_all(const struct para_call *c, const struct para_product *p, const struct form form[3],
                        char *const at[3], bool add, const struct para_epilogue *e)
{
    bool direct = p->matrix[PARA_Y].transposed;
    struct para_operand of[3];
    int64_t batch = p->group[PARA_BATCH].total;
    bool even = batch <= INT32_MAX;
    for (int k = 0; k < 3; k++) {
        of[k] = operand_of(p, &form[k], k, !direct && k < PARA_Y);
        of[k].at = at[k];
        bool copied = form[k].packed || form[k].spaced;
        of[k].apart = copied ? copy_elements(p, k) : para_group_stride(&p->group[PARA_BATCH], k);
        even = even && of[k].apart >= 0;
    }
    const struct para_operand *left = &of[direct ? PARA_A : PARA_B], *right = &of[direct ? PARA_B : PARA_A];
    if (e && (direct || batch > 1))
        return PARA_LEFT;
    if (even)
        return para_multiply(c, left, right, &of[PARA_Y], (int)batch, add, e);
    for (int64_t i = 0; i < batch; i++) {
        for (int k = 0; k < 3; k++) {
            of[k].at = at[k] + (size_t)matrix_start(p, &form[k], k, i) * para_dtype_bytes(form[k].dtype);
            of[k].apart = 0;
        }
        PARA_TRY(para_multiply(c, left, right, &of[PARA_Y], 1, add, NULL));
    }
    return 0;
}

/* Copy operand k, or the result back from where the product has left it. */
static int copy(const struct para_call *c, const struct para_product *p, const struct form *f, int k, void *at,
                bool add)
{
    void *own = k < PARA_Y ? c->in[k] : c->out[0];
    if (f->spaced)
        return space_lines(c, lines_of(p, f, k, own, at), k == PARA_Y);
    if (k < PARA_Y)
        return pack_operand(c, p, k, f->dtype, at);
    return PARA_OF_TYPE(f->dtype, unpack, c, spot_of(p, k), at, add);
}

int para_product_cuda(const struct para_call *c, void *y, bool add, const struct para_epilogue *e)
{
    struct para_product p;
    struct form form[3];
    if (para_has_few_rows(c->node))
        return e ? PARA_LEFT : para_few_rows_cuda(c, y, add);
    if (para_has_odd_columns(c->node))
        return e ? PARA_LEFT : para_odd_columns_cuda(c, y, add);
    plan(&p, form, c->node);
    char *at[3] = {(char *)c->in[PARA_A], (char *)c->in[PARA_B], (char *)y};
    char *free_scratch = (char *)c->scratch;
    bool copied = form[PARA_Y].packed || form[PARA_Y].spaced;
    if (e && copied)
        return PARA_LEFT;
    for (int k = 0; k < 3; k++) {
        if (!form[k].packed && !form[k].spaced)
            continue;
        at[k] = free_scratch;
        free_scratch += copy_bytes(&p, &form[k], k);
        if (k < PARA_Y)
            PARA_TRY(copy(c, &p, &form[k], k, at[k], false));
    }
    int status = multiply_all(c, &p, form, at, add && !copied, e);
    return status == 0 && copied ? copy(c, &p, &form[PARA_Y], PARA_Y, at[PARA_Y], add) : status;
}
