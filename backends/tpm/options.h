/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU's option strings: `emulator,id=tpm0,chardev=c`. A first element without a name, then
 * name=value elements; a comma inside a value is written twice; of two elements with one name
 * the last one counts.
 *
 * Used by registry.c for backends and by hw/tpm/device-options.c for devices.
 */
#ifndef TPM_OPTIONS_H
#define TPM_OPTIONS_H

#include <tpmdev/backend.h>

/*
 * Parse text whose first element may leave out the name `implied`. Returns NULL with error set
 * for an element without name or value. Free with tpm_options_free().
 */
TPMOptions *tpm_options_parse(const char *text, const char *implied, GError **error);
void tpm_options_free(TPMOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TPMOptions, tpm_options_free)

/* Who resolves `chardev=` for tpmdev_options_get_socket(). */
void tpm_options_set_lookup(TPMOptions *options, TPMChardevLookup lookup, void *opaque);

void tpm_options_get_lookup(const TPMOptions *options, TPMChardevLookup *lookup, void **opaque);

/*
 * Fail with TPM_ERROR_INVALID_OPTION, naming the first option that is neither in `always` nor in
 * `known` and listing those that are. Both are NULL-terminated; known may be NULL.
 */
bool tpm_options_check_names(const TPMOptions *options, const char *subject,
                             const char *const *always, const char *const *known, GError **error);

/* As tpmdev_options_get(), but fail with TPM_ERROR_MISSING_OPTION when it is not there. */
const char *tpm_options_require(const TPMOptions *options, const char *subject, const char *name,
                                GError **error);

/* An unsigned number in [min, max]; *value is left alone when the option is not there. */
bool tpm_options_get_unsigned(const TPMOptions *options, const char *name, unsigned min,
                              unsigned max, unsigned *value, GError **error);

/* An address, decimal or with 0x; *value is left alone when the option is not there. */
bool tpm_options_get_address(const TPMOptions *options, const char *name, uint64_t *value,
                             GError **error);

/* on or off; *value is left alone when the option is not there. */
bool tpm_options_get_switch(const TPMOptions *options, const char *name, bool *value,
                            GError **error);

#endif /* TPM_OPTIONS_H */
