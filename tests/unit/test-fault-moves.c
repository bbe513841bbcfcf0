/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fault that does not show is not there: a guest whose TPM is moved from a device with a `fault`
 * backend into one without, and from there back, finds what it finds where there never was one.
 */
#include "fault-fixture.h"
#include "made-tests.h"
#include "moving-guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Maker {
    TPMMaker maker; /* its opaque is this */
    const Subject *subject;
    bool wraps; /* the first, the third and so on */
    ChainTPM *chain;
    TPMBackend *fault; /* around it, or NULL */
    unsigned made;
} Maker;

static TPMBackend *make(void *opaque, bool incoming)
{
    Maker *maker = opaque;

    (void)incoming;
    maker->chain = chain_tpm_new(maker->subject->version, TPM_BUFFER_SIZE_COMMON, true);
    maker->fault =
        maker->made++ % 2 == 0 && maker->wraps ? fault_wrap(maker->chain->backend) : NULL;
    return maker->fault ? maker->fault : maker->chain->backend;
}

static void unmake(void *opaque, TPMBackend *backend)
{
    Maker *maker = opaque;

    (void)backend;
    maker->fault = tpmdev_backend_unref(maker->fault);
    chain_tpm_free(maker->chain);
}

static char *transcript_of(const Subject *subject, const Script *script, bool wraps, size_t stride)
{
    Maker maker = { { make, unmake, &maker }, subject, wraps, NULL, NULL, 0 };
    Guest *guest = guest_new(subject, &maker.maker);

    for (size_t k = 0; k < script->len; k++) {
        if (stride && k % stride == stride - 1) {
            guest_move(guest);
        }
        guest_run(guest, script, k, k + 1);
    }
    if (stride) {
        assert_true(maker.made > 2);
    }
    char *transcript = g_strdup(guest->transcript->str);

    guest_free(guest);
    return transcript;
}

static void test_a_fault_that_does_not_show_moves_with_its_tpm_and_without(void **state)
{
    const Subject *subject = *state;
    Script *script = script_new(subject, true);
    g_autofree char *plain = transcript_of(subject, script, false, 0);

    for (size_t stride = 3; stride <= 7; stride += 2) {
        g_autofree char *moved = transcript_of(subject, script, true, stride);

        assert_string_equal(moved, plain);
    }
    g_array_unref(script);
}

int main(void)
{
    MadeTests *tests = made_tests_new();

    for (size_t i = 0; i < subject_count; i++) {
        made_tests_add(tests, test_a_fault_that_does_not_show_moves_with_its_tpm_and_without,
                       &subjects[i], sizeof(subjects[i]),
                       "%s_a_fault_that_does_not_show_moves_with_its_tpm_and_without",
                       subjects[i].name);
    }
    return made_tests_run(tests, "fault-moves");
}
