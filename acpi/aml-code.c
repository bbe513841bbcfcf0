/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The encoder's terms of methods: ACPI 6.5, 20.2.5 "Term Objects Encoding" and 20.2.6.
 *
 * Neighbours: aml.c has the rest of the encoder; ppi-aml.c writes _DSM with it.
 */
#include "aml-code.h"
#include "aml-internal.h"

#include <string.h>

/* Opcodes (20.3). */
#define AML_BUFFER               0x11u
#define AML_PACKAGE              0x12u
#define AML_METHOD               0x14u
#define AML_EXT_PREFIX           0x5Bu
#define AML_LOCAL0               0x60u
#define AML_ARG0                 0x68u
#define AML_STORE                0x70u
#define AML_ADD                  0x72u
#define AML_AND                  0x7Bu
#define AML_EXT_OPERATION_REGION 0x80u
#define AML_EXT_FIELD            0x81u
#define AML_DEREF_OF             0x83u
#define AML_INDEX                0x88u
#define AML_LNOT                 0x92u
#define AML_LEQUAL               0x93u
#define AML_LLESS                0x95u
#define AML_IF                   0xA0u
#define AML_ELSE                 0xA1u
#define AML_RETURN               0xA4u
#define AML_RESERVED_FIELD       0x00u
#define AML_NULL_NAME            0x00u

#define AML_METHOD_SERIALIZED (1u << 3)

#define ARGS_MAX   6u
#define LOCALS_MAX 7u

#define UUID_SIZE 16u

/* ---- blocks ---- */

void tpm_aml_method(TPMAml *aml, const char *path, unsigned args)
{
    if (args > ARGS_MAX + 1) {
        tpm_aml_fault(aml, "a method takes more than seven arguments");
    }
    tpm_aml_byte(aml, AML_METHOD);
    tpm_aml_block(aml, TPM_AML_BLOCK_TERMS);
    tpm_aml_name_string(aml, path);
    tpm_aml_byte(aml, args | AML_METHOD_SERIALIZED);
}

void tpm_aml_if(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_IF);
    tpm_aml_block(aml, TPM_AML_BLOCK_TERMS);
}

void tpm_aml_else(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_ELSE);
    tpm_aml_block(aml, TPM_AML_BLOCK_TERMS);
}

void tpm_aml_package(TPMAml *aml, unsigned count)
{
    if (count > UINT8_MAX) {
        tpm_aml_fault(aml, "a package has more than 255 elements");
    }
    tpm_aml_byte(aml, AML_PACKAGE);
    tpm_aml_block(aml, TPM_AML_BLOCK_TERMS);
    tpm_aml_byte(aml, count);
}

/* ---- regions and fields (20.2.5.2) ---- */

void tpm_aml_operation_region(TPMAml *aml, const char *path, unsigned space)
{
    tpm_aml_byte(aml, AML_EXT_PREFIX);
    tpm_aml_byte(aml, AML_EXT_OPERATION_REGION);
    tpm_aml_name_string(aml, path);
    tpm_aml_byte(aml, space);
}

/* Lock rule and update rule are the zeros of the flags: NoLock, Preserve. */
void tpm_aml_field(TPMAml *aml, const char *region, unsigned access)
{
    tpm_aml_byte(aml, AML_EXT_PREFIX);
    tpm_aml_byte(aml, AML_EXT_FIELD);
    tpm_aml_block(aml, TPM_AML_BLOCK_TERMS);
    tpm_aml_name_string(aml, region);
    tpm_aml_byte(aml, access);
}

/* Encoded as a PkgLength, but the bits alone: it does not count itself. */
static void field_bits(TPMAml *aml, uint32_t bits)
{
    uint8_t length[TPM_AML_PKG_LENGTH_SIZE_MAX];
    unsigned count = tpm_aml_pkg_number(bits, length);

    if (count == 0) {
        tpm_aml_fault(aml, "a field is larger than AML can say");
    }
    for (unsigned i = 0; i < count; i++) {
        tpm_aml_byte(aml, length[i]);
    }
}

void tpm_aml_field_unit(TPMAml *aml, const char *name, uint32_t bits)
{
    if (!tpm_aml_is_name_segment(name)) {
        tpm_aml_fault(aml, "a field's name is not one to four of A-Z, 0-9 and _");
        return;
    }
    tpm_aml_name_string(aml, name);
    field_bits(aml, bits);
}

void tpm_aml_field_gap(TPMAml *aml, uint32_t bits)
{
    tpm_aml_byte(aml, AML_RESERVED_FIELD);
    field_bits(aml, bits);
}

/* ---- terms and operators ---- */

void tpm_aml_return(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_RETURN);
}

void tpm_aml_store(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_STORE);
}

void tpm_aml_arg(TPMAml *aml, unsigned number)
{
    if (number > ARGS_MAX) {
        tpm_aml_fault(aml, "an argument's number is above 6");
    }
    tpm_aml_byte(aml, AML_ARG0 + number);
}

void tpm_aml_local(TPMAml *aml, unsigned number)
{
    if (number > LOCALS_MAX) {
        tpm_aml_fault(aml, "a local variable's number is above 7");
    }
    tpm_aml_byte(aml, AML_LOCAL0 + number);
}

void tpm_aml_equal(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_LEQUAL);
}

/* There is no opcode of its own: not less. */
void tpm_aml_greater_equal(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_LNOT);
    tpm_aml_byte(aml, AML_LLESS);
}

void tpm_aml_deref_of(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_DEREF_OF);
}

void tpm_aml_add(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_ADD);
}

void tpm_aml_and(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_AND);
}

void tpm_aml_index(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_INDEX);
}

void tpm_aml_no_target(TPMAml *aml)
{
    tpm_aml_byte(aml, AML_NULL_NAME);
}

/* ---- data ---- */

void tpm_aml_buffer(TPMAml *aml, const uint8_t *bytes, unsigned size)
{
    tpm_aml_byte(aml, AML_BUFFER);
    tpm_aml_block(aml, TPM_AML_BLOCK_BYTES);
    for (unsigned i = 0; i < size; i++) {
        tpm_aml_byte(aml, bytes[i]);
    }
    tpm_aml_end(aml);
}

/*
 * 19.6.142: a Buffer of 16 bytes; the first three of the five groups are little-endian. Where in
 * the text each byte's two digits stand:
 */
void tpm_aml_uuid(TPMAml *aml, const char *uuid)
{
    static const uint8_t digits[UUID_SIZE] = { 6,  4,  2,  0,  11, 9,  16, 14,
                                               19, 21, 24, 26, 28, 30, 32, 34 };
    uint8_t bytes[UUID_SIZE];

    if (!g_uuid_string_is_valid(uuid)) {
        tpm_aml_fault(aml, "a UUID is not of the form 12345678-1234-1234-1234-123456789abc");
        return;
    }
    for (unsigned i = 0; i < UUID_SIZE; i++) {
        bytes[i] = (uint8_t)(g_ascii_xdigit_value(uuid[digits[i]]) << 4 |
                             g_ascii_xdigit_value(uuid[digits[i] + 1]));
    }
    tpm_aml_buffer(aml, bytes, UUID_SIZE);
}
