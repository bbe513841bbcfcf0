/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Of a TPM's state nothing is left in this process when it has been on its way: the TPM is in
 * another one, swtpm's, and all memory of this one is looked through for a part of its state.
 */
#include "fault-fixture.h"
#include "real-tpm.h"
#include "secret.h"
#include "stream-editor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_NS G_GINT64_CONSTANT(30000000000)

/* ---- what is looked for: masked, so that it is not found here ---- */

#define MASK        0x5Au
#define NEEDLE_SIZE 32u

static uint8_t needle[NEEDLE_SIZE];

/* A seed or the like: nothing else has so many different bytes in a row. */
static bool is_random(const uint8_t *bytes)
{
    bool seen[256] = { false };
    unsigned different = 0;

    for (size_t i = 0; i < NEEDLE_SIZE; i++) {
        different += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return different >= 28;
}

static void choose_needle(GBytes *stream)
{
    gsize size;
    const uint8_t *bytes = g_bytes_get_data(stream, &size);

    /* Not the digest, which is no secret. */
    for (gsize at = 1000; at + NEEDLE_SIZE <= size; at++) {
        if (is_random(bytes + at)) {
            for (size_t i = 0; i < NEEDLE_SIZE; i++) {
                needle[i] = bytes[at + i] ^ MASK;
            }
            return;
        }
    }
    fail_msg("there are no random bytes in what was saved");
}

/* ---- all memory of this process ---- */

#define WINDOW_SIZE 0x100000u

static unsigned count_in(const uint8_t *bytes, size_t size)
{
    unsigned found = 0;

    for (size_t at = 0; at + NEEDLE_SIZE <= size; at++) {
        size_t i = 0;

        while (i < NEEDLE_SIZE && (bytes[at + i] ^ MASK) == needle[i]) {
            i++;
        }
        found += i == NEEDLE_SIZE;
    }
    return found;
}

static unsigned count_between(int memory, uint8_t *window, uintptr_t first, uintptr_t end)
{
    unsigned found = 0;

    for (uintptr_t at = first; at < end; at += WINDOW_SIZE - NEEDLE_SIZE) {
        ssize_t got = pread(memory, window, MIN(WINDOW_SIZE, end - at), (off_t)at);

        found += got > 0 ? count_in(window, (size_t)got) : 0;
    }
    return found;
}

static unsigned count_copies(void)
{
    uint8_t *window =
        mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    unsigned found = 0;
    char line[512];

    assert_true(window != MAP_FAILED && maps && memory >= 0);
    while (fgets(line, sizeof(line), maps)) {
        uint64_t first, end;
        char mode[5];

        if (sscanf(line, "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %4s", &first, &end,
                   mode) == 3 &&
            mode[1] == 'w') {
            uintptr_t own = (uintptr_t)window;

            /* Mappings that are alike are one: all of it but the window. */
            found += count_between(memory, window, first, CLAMP(own, first, end));
            found += count_between(memory, window, CLAMP(own + WINDOW_SIZE, first, end), end);
        }
    }
    fclose(maps);
    close(memory);
    munmap(window, WINDOW_SIZE);
    return found;
}

/* The library's thread may have something left to free. */
static void assert_nothing_is_left(void)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_NS / 1000;

    while (count_copies() > 0) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("%u copies are left", count_copies());
        }
        g_usleep(1000);
    }
}

/* ---- the way of a state ---- */

static GBytes *save(RealTPM *tpm)
{
    g_autoptr(GError) error = NULL;
    GBytes *stream = tpmdev_device_save(tpm->device, DEADLINE_NS, &error);

    if (!stream) {
        fail_msg("%s", error->message);
    }
    return stream;
}

static void test_nothing_is_left_of_a_state_that_was_saved(void **state)
{
    RealTPM *tpm = *state;
    GBytes *stream = save(tpm);

    choose_needle(stream);
    assert_true(count_copies() > 0); /* it would be found */
    g_bytes_unref(stream);
    assert_nothing_is_left();
}

static void test_nothing_is_left_of_a_state_that_was_loaded(void **state)
{
    RealTPM *tpm = *state;
    GBytes *stream = save(tpm);
    g_autoptr(GError) error = NULL;

    choose_needle(stream);
    assert_true(tpmdev_device_load(tpm->device, stream, DEADLINE_NS, &error));
    g_bytes_unref(stream);
    assert_nothing_is_left();
}

/* At an address at which no number can be read. */
static void test_nothing_is_left_of_a_state_that_had_to_be_aligned(void **state)
{
    RealTPM *tpm = *state;
    GBytes *stream = save(tpm);
    gsize size = g_bytes_get_size(stream);
    TPMSecret *copy = tpm_secret_new(size + 1);
    g_autoptr(GError) error = NULL;

    choose_needle(stream);
    memcpy(copy->data + 1, g_bytes_get_data(stream, NULL), size);
    g_autoptr(GBytes) odd = g_bytes_new_static(copy->data + 1, size);

    assert_true(tpmdev_device_load(tpm->device, odd, DEADLINE_NS, &error));
    g_bytes_unref(stream);
    tpm_secret_free(copy);
    assert_nothing_is_left();
}

/* The TPM is asked, and finds its part changed. */
static void test_nothing_is_left_of_a_state_that_was_refused(void **state)
{
    RealTPM *tpm = *state;
    GBytes *stream = save(tpm);
    gsize size = g_bytes_get_size(stream);
    TPMSecret *copy = tpm_secret_new(size);
    g_autoptr(GError) error = NULL;

    choose_needle(stream);
    memcpy(copy->data, g_bytes_get_data(stream, NULL), size);
    copy->data[size - 1000] ^= 1;
    GBytes *changed = stream_seal(copy->data, size);

    assert_false(tpmdev_device_load(tpm->device, changed, DEADLINE_NS, &error));
    if (!strstr(error->message, "did not take the TPM's state")) {
        fail_msg("%s", error->message);
    }
    memset((void *)g_bytes_get_data(changed, NULL), 0, size);
    g_bytes_unref(changed);
    g_bytes_unref(stream);
    tpm_secret_free(copy);
    assert_nothing_is_left();
}

/* A backend between has copies of its own, on both ways. */
static void test_nothing_is_left_of_a_state_that_went_through_a_fault(void **state)
{
    RealTPM *tpm = *state;
    TPMBackend *inner = tpm->backend;
    g_autoptr(GError) error = NULL;

    real_tpm_unplug(tpm);
    tpm->backend = fault_wrap(inner);
    tpmdev_backend_unref(inner);
    real_tpm_plug(tpm);
    GBytes *stream = save(tpm);

    choose_needle(stream);
    assert_true(tpmdev_device_load(tpm->device, stream, DEADLINE_NS, &error));
    g_bytes_unref(stream);
    assert_nothing_is_left();
}

/* ---- memory for secrets ---- */

static void test_a_secret_that_grows_leaves_nothing_behind(void **state)
{
    static const uint8_t more[1000];
    TPMSecret *secret = tpm_secret_new(0);

    (void)state;
    for (size_t i = 0; i < NEEDLE_SIZE; i++) {
        uint8_t byte = (uint8_t)(i * 37 + 11);

        needle[i] = byte ^ MASK;
        tpm_secret_append(secret, &byte, 1);
    }
    for (unsigned i = 0; i < 20; i++) {
        tpm_secret_append(secret, more, sizeof(more));
    }
    assert_int_equal(secret->len, NEEDLE_SIZE + 20 * sizeof(more));
    assert_int_equal(count_copies(), 1);
    tpm_secret_free(secret);
    assert_int_equal(count_copies(), 0);
}

#define WITH_SWTPM(function)                                                                       \
    {                                                                                              \
#function, function, real_setup_started, real_teardown, (void *)&swtpm_2_0                 \
    }

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_secret_that_grows_leaves_nothing_behind),
        WITH_SWTPM(test_nothing_is_left_of_a_state_that_was_saved),
        WITH_SWTPM(test_nothing_is_left_of_a_state_that_was_loaded),
        WITH_SWTPM(test_nothing_is_left_of_a_state_that_had_to_be_aligned),
        WITH_SWTPM(test_nothing_is_left_of_a_state_that_was_refused),
        WITH_SWTPM(test_nothing_is_left_of_a_state_that_went_through_a_fault),
    };
    size_t count = real_swtpm_is_installed() ? G_N_ELEMENTS(tests) : 1;

    return _cmocka_run_group_tests("state-wiped", tests, count, NULL, NULL);
}
