/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small encoder of AML, the bytes ASL compiles to (ACPI 6.5, chapter 20).
 *
 * Calls stand in the order of the ASL they make, each beside its line:
 *
 *     tpm_aml_scope(&aml, "\\_SB");            // Scope (\_SB)
 *                                              // {
 *     tpm_aml_device(&aml, "TPM");             //     Device (TPM)
 *                                              //     {
 *     tpm_aml_name(&aml, "_UID");              //         Name (_UID,
 *     tpm_aml_integer(&aml, 1);                //             One)
 *     tpm_aml_end(&aml);                       //     }
 *     tpm_aml_end(&aml);                       // }
 *
 * A block's length stands in front of it in a field whose own size depends on it; tpm_aml_end()
 * puts it there. The first thing that cannot be encoded (a bad name, too deep a nesting, an end
 * without a begin) is remembered, later calls do nothing, and tpm_aml_finish() reports it.
 */
#ifndef TPM_ACPI_AML_H
#define TPM_ACPI_AML_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* How deep blocks may nest; a device with a method of a few If and Else takes six. */
#define TPM_AML_DEPTH_MAX 16u

/* The longest PkgLength, and what it can express (20.2.4). */
#define TPM_AML_PKG_LENGTH_SIZE_MAX 4u
#define TPM_AML_PKG_LENGTH_MAX      0x0FFFFFFFu

/* The parts of a path that a NameString can count (20.2.2, SegCount). */
#define TPM_AML_SEGMENTS_MAX 255u

typedef enum TPMAmlBlock {
    TPM_AML_BLOCK_TERMS,     /* a TermList: Scope, Device */
    TPM_AML_BLOCK_RESOURCES, /* a Buffer of resource descriptors */
    TPM_AML_BLOCK_BYTES,     /* a Buffer of anything else */
} TPMAmlBlock;

/* The AML that is being made, appended to a byte array of the caller's. */
typedef struct TPMAml {
    GByteArray *bytes; /* not owned */
    unsigned depth;
    struct {
        TPMAmlBlock kind;
        guint start; /* where the PkgLength goes */
    } blocks[TPM_AML_DEPTH_MAX];
    const char *fault; /* the first thing that could not be encoded; static */
} TPMAml;

void tpm_aml_begin(TPMAml *aml, GByteArray *bytes);

/* True when all was encoded and every block ended; else false and *fault says what was wrong. */
bool tpm_aml_finish(const TPMAml *aml, const char **fault);

/* ---- blocks; end each with tpm_aml_end() ---- */

void tpm_aml_scope(TPMAml *aml, const char *path);  /* Scope (path) { */
void tpm_aml_device(TPMAml *aml, const char *path); /* Device (path) { */
void tpm_aml_resource_template(TPMAml *aml);        /* ResourceTemplate () { */
void tpm_aml_end(TPMAml *aml);                      /* } */

/* ---- terms and data; aml-code.h has those that methods are made of ---- */

void tpm_aml_name(TPMAml *aml, const char *path);        /* Name (path, <the next data>) */
void tpm_aml_integer(TPMAml *aml, uint64_t value);       /* value, in its shortest form */
void tpm_aml_string(TPMAml *aml, const char *text);      /* "text"; ASCII 1 to 7Fh */
void tpm_aml_unicode(TPMAml *aml, const char *text);     /* Unicode ("text"); ASCII 1 to 7Fh */
void tpm_aml_eisa_id(TPMAml *aml, const char *id);       /* EisaId ("PNP0C31") */
void tpm_aml_name_string(TPMAml *aml, const char *path); /* a path where ASL has one */

/* Memory32Fixed (ReadWrite, base, size): only inside ResourceTemplate () */
void tpm_aml_memory32_fixed(TPMAml *aml, uint32_t base, uint32_t size);

/*
 * QWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, 0, base,
 * base + size - 1, 0, size): only in there, too
 */
void tpm_aml_qword_memory(TPMAml *aml, uint64_t base, uint64_t size);

/* Interrupt (ResourceConsumer, Level, ActiveHigh, Shared or Exclusive) { number }: so, too */
void tpm_aml_interrupt(TPMAml *aml, uint32_t number, bool shared);

/* ---- for checks ---- */

/* Is this one to four of A-Z, 0-9 and _, the first no digit? (20.2.2, NameSeg) */
bool tpm_aml_is_name_segment(const char *text);

/* Is this an absolute path: a backslash, then name segments with dots between them? */
bool tpm_aml_is_absolute_path(const char *text);

/*
 * Encode the length of a block of `size` bytes. The length covers its own bytes too. Returns how
 * many of them there are, or 0 when the block is too large.
 */
unsigned tpm_aml_pkg_length(uint32_t size, uint8_t out[TPM_AML_PKG_LENGTH_SIZE_MAX]);

#endif /* TPM_ACPI_AML_H */
