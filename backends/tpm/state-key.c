/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's key: from memory, a file or a descriptor into a page that is wiped.
 *
 * No message tells any byte of it, or of what is no key.
 *
 * Neighbours: libtpms-new.c, which knows the options.
 */
#include "state-key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <tpmdev/error.h>
#include <unistd.h>

#define HEX_SIZE (2 * TPM_STATE_KEY_SIZE)

/* One byte more than a key can have, and the newline before it. */
#define INPUT_SIZE (HEX_SIZE + 2)

/* A pipe may have a writer that is slow. One that is stuck keeps nobody longer than this. */
#define INPUT_DEADLINE_MS 10000

/* ---- the page ---- */

/* What a page cannot be spared is no reason to fail: the host's limits may be tight. */
static uint8_t *page_new(void)
{
    void *page =
        mmap(NULL, TPM_STATE_KEY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        return NULL;
    }
    mlock(page, TPM_STATE_KEY_SIZE);
    madvise(page, TPM_STATE_KEY_SIZE, MADV_DONTDUMP);
    return page;
}

static void page_free(uint8_t *page)
{
    OPENSSL_cleanse(page, TPM_STATE_KEY_SIZE);
    munmap(page, TPM_STATE_KEY_SIZE);
}

TPMStateKey *tpm_state_key_new(const uint8_t bytes[TPM_STATE_KEY_SIZE], const char *option,
                               GError **error)
{
    uint8_t *page = page_new();

    if (!page) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "no memory for the key from %s: %s", option,
                    g_strerror(errno));
        return NULL;
    }
    TPMStateKey *key = g_new0(TPMStateKey, 1);

    g_atomic_ref_count_init(&key->refs);
    memcpy(page, bytes, TPM_STATE_KEY_SIZE);
    key->bytes = page;
    key->source = g_strdup(option);
    return key;
}

TPMStateKey *tpm_state_key_ref(TPMStateKey *key)
{
    if (key) {
        g_atomic_ref_count_inc(&key->refs);
    }
    return key;
}

void tpm_state_key_unref(TPMStateKey *key)
{
    if (key && g_atomic_ref_count_dec(&key->refs)) {
        page_free(key->bytes);
        g_free(key->source);
        g_free(key);
    }
}

/* ---- reading one ---- */

/* Returns 0 or an errno; ETIMEDOUT when there is nothing to read at the deadline. */
static int wait_readable(int fd, gint64 deadline)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };

    for (;;) {
        gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
        int n = poll(&ready, 1, (int)MAX(left, 0));

        if (n > 0) {
            return ready.revents & POLLNVAL ? EBADF : 0;
        }
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n == 0 && left <= 0) {
            return ETIMEDOUT;
        }
    }
}

/* As much as there is, but no more than the buffer takes. Returns 0 or an errno. */
static int read_input(int fd, uint8_t input[INPUT_SIZE], size_t *size)
{
    gint64 deadline = g_get_monotonic_time() + INPUT_DEADLINE_MS * G_TIME_SPAN_MILLISECOND;

    *size = 0;
    while (*size < INPUT_SIZE) {
        int err = wait_readable(fd, deadline);
        ssize_t n = err ? -1 : read(fd, input + *size, INPUT_SIZE - *size);

        if (err || (n < 0 && errno != EINTR && errno != EAGAIN)) {
            return err ? err : errno;
        }
        if (n == 0) {
            break;
        }
        *size += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static bool parse_hex(const uint8_t *digits, uint8_t bytes[TPM_STATE_KEY_SIZE])
{
    for (size_t i = 0; i < TPM_STATE_KEY_SIZE; i++) {
        int high = g_ascii_xdigit_value((char)digits[2 * i]);
        int low = g_ascii_xdigit_value((char)digits[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool parse_input(const uint8_t *input, size_t size, uint8_t bytes[TPM_STATE_KEY_SIZE])
{
    if (size == TPM_STATE_KEY_SIZE) {
        memcpy(bytes, input, size);
        return true;
    }
    return (size == HEX_SIZE || (size == HEX_SIZE + 1 && input[HEX_SIZE] == '\n')) &&
           parse_hex(input, bytes);
}

static TPMStateKey *key_from_input(const uint8_t *input, size_t size, const char *source,
                                   GError **error)
{
    uint8_t bytes[TPM_STATE_KEY_SIZE];
    TPMStateKey *key = NULL;

    if (parse_input(input, size, bytes)) {
        key = tpm_state_key_new(bytes, source, error);
    } else if (size == INPUT_SIZE) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s holds more than a key; it must be 32 bytes, or 64 hexadecimal digits "
                    "with or without a newline",
                    source);
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s holds %zu bytes that are no key; it must be 32 bytes, or 64 hexadecimal "
                    "digits with or without a newline",
                    source, size);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return key;
}

static void set_read_error(const char *source, int err, GError **error)
{
    TPMError code = err == ENOENT      ? TPM_ERROR_NOT_FOUND
                    : err == ETIMEDOUT ? TPM_ERROR_TIMED_OUT
                                       : TPM_ERROR_IO;

    g_set_error(error, TPMDEV_ERROR, code, "cannot read the key from %s: %s", source,
                g_strerror(err));
}

static TPMStateKey *read_key(int fd, const char *source, GError **error)
{
    uint8_t input[INPUT_SIZE];
    size_t size;
    int err = read_input(fd, input, &size);
    TPMStateKey *key = NULL;

    if (err) {
        set_read_error(source, err, error);
    } else {
        key = key_from_input(input, size, source, error);
    }
    OPENSSL_cleanse(input, sizeof(input));
    return key;
}

TPMStateKey *tpm_state_key_read_fd(int fd, const char *option, GError **error)
{
    g_autofree char *source = g_strdup_printf("%s %d", option, fd);

    return read_key(fd, source, error);
}

TPMStateKey *tpm_state_key_read_file(const char *path, const char *option, GError **error)
{
    g_autofree char *source = g_strdup_printf("%s '%s'", option, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        set_read_error(source, errno, error);
        return NULL;
    }
    TPMStateKey *key = read_key(fd, source, error);

    close(fd);
    return key;
}
