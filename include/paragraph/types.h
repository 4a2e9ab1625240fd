/** @file
 * Types that every other header uses: status codes, errors, element types, and the export macro. */
#ifndef PARAGRAPH_TYPES_H
#define PARAGRAPH_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @def PARA_API
 * Before what the library exports. */
/** @def PARA_PRINTF
 * After a function that takes a printf format as argument `string` and its values from `first` on. */
#if defined(__GNUC__)
#define PARA_API __attribute__((visibility("default")))
#define PARA_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define PARA_API
#define PARA_PRINTF(string, first)
#endif

/** @defgroup basics Status, errors, element types, logging
 * @{ */

/** What a fallible function returns: 0, or one of the negative codes. */
enum para_status {
    PARA_OK = 0,
    PARA_EINVAL = -1,   /**< an argument is not of the kind the function takes */
    PARA_ENOMEM = -2,   /**< memory ran out */
    PARA_ESHAPE = -3,   /**< shapes or element types don't fit together */
    PARA_EAXIS = -4,    /**< no such axis, or an axis where it can't stand */
    PARA_ERANGE = -5,   /**< a number outside of its range */
    PARA_EIO = -6,      /**< the system refused to read or write */
    PARA_EFORMAT = -7,  /**< a file doesn't follow its format */
    PARA_EDEVICE = -8,  /**< StarPU or a device failed */
    PARA_ENAME = -9,    /**< no tensor, node or op has that name */
    PARA_ESUPPORT = -10 /**< this build or this machine lacks what was asked for */
};

/** An error's code and a message that a person can act on.
 *
 * Functions take a pointer as their last argument and fill it on failure alone; NULL is welcome everywhere. It needs
 * no initial value: read it only after a function has returned a code below 0. */
typedef struct para_error {
    int code; /**< a para_status */
    /** What was found and what was expected, without a newline; of one too long the middle is cut. */
    char message[480];
} para_error;

/** Return the name of a status code, for example "PARA_ESHAPE"; a constant string. */
PARA_API const char *para_status_name(int status);

/** Element types. Integers are signed, floats little-endian IEEE 754; BF16 is the upper half of an F32.
 *
 * Elements of Q8_0 and Q4_0 stand in blocks, whose bytes are those of GGUF files: an F16 scale d and 32 whole numbers q
 * for elements d q. Of Q8_0 these are 32 I8; of Q4_0 16 bytes, whose lower halves are q + 8 of the first 16 elements
 * and whose upper halves those of the others. Blocks lie along the last axes: a tensor holds whole blocks, and so does
 * each tile of it. */
typedef enum para_dtype { PARA_F32, PARA_F16, PARA_BF16, PARA_I32, PARA_I8, PARA_Q8_0, PARA_Q4_0 } para_dtype;

/** Return how many elements stand in a block: 32 of Q8_0 and Q4_0, 1 of the others. */
PARA_API int64_t para_dtype_block(para_dtype dtype);

/** Return the bytes of a block, which of most types is one element. */
PARA_API size_t para_dtype_bytes(para_dtype dtype);

/** Return "f32", "f16", "bf16", "i32", "i8", "q8_0" or "q4_0"; a constant string. */
PARA_API const char *para_dtype_name(para_dtype dtype);

/** Levels of a log line. */
enum para_log_level { PARA_LOG_DEBUG, PARA_LOG_INFO, PARA_LOG_WARNING };

/** Send the library's log lines to `callback` (NULL, the default: nowhere).
 *
 * The line carries no newline and lives as long as the call. The callback may be called from any thread;
 * set it before other threads use the library. */
PARA_API void para_log_set(void (*callback)(void *user, int level, const char *line), void *user);

/** What the library tells a program's handler of signals, so that one that ends the program leaves nothing half-made.
 *
 * Files and folders are written under another name beside their place. They are there from a call of `add` on until one
 * of `drop`; a handler that ends the program meanwhile removes them, a folder with the files in it. Between `hold` and
 * `release`, which nest, something is being made that isn't added yet, or put in its place: what would end the program
 * waits. All are called from the thread that writes. */
typedef struct para_guard {
    void (*hold)(void);             /**< put off what ends the program */
    void (*release)(void);          /**< no longer; it may end now */
    void (*add)(const char *path);  /**< `path` lives until it is dropped */
    void (*drop)(const char *path); /**< it is in place, or gone */
} para_guard;

/** Set the callbacks (NULL, the default: none), which are borrowed; before other calls. */
PARA_API void para_guard_set(const para_guard *guard);

/** Return the library's version, for example "0.1.0"; a constant string. */
PARA_API const char *para_version(void);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
