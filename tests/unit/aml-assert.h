/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the encoder's tests have in common, test-aml.c and test-aml-code.c: an encoder, and the
 * bytes or the fault it must end with. Each ends it.
 */
#ifndef TESTS_UNIT_AML_ASSERT_H
#define TESTS_UNIT_AML_ASSERT_H

#include "aml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static inline void assert_aml(TPMAml *aml, const void *expected, size_t size)
{
    const char *fault;

    assert_true(tpm_aml_finish(aml, &fault));
    assert_null(fault);
    assert_int_equal(aml->bytes->len, size);
    assert_memory_equal(aml->bytes->data, expected, size);
    g_byte_array_unref(aml->bytes);
}

static inline void assert_fault(TPMAml *aml, const char *expected)
{
    const char *fault;

    assert_false(tpm_aml_finish(aml, &fault));
    assert_string_equal(fault, expected);
    g_byte_array_unref(aml->bytes);
}

static inline TPMAml new_aml(void)
{
    TPMAml aml;

    tpm_aml_begin(&aml, g_byte_array_new());
    return aml;
}

#endif /* TESTS_UNIT_AML_ASSERT_H */
