/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What libtpms says of itself, and of a state it was given, in words: for messages, and for nothing
 * else. No I/O and no state here.
 *
 * Asked in its own process it answers with JSON, and swtpm passes that on. Of a peer it may be
 * anything: what is taken from it is short and printable, and what is not there is left out.
 *
 * Source: libtpms' manual page TPMLIB_GetInfo(3), swtpm's swtpm_ioctls(3), and what 0.9.2 was seen
 * to answer. Its results for a state were measured with 0.9.2 too.
 * Used by libtpms-state.c and libtpms-engine.c, and by emulator-info.c, emulator-state.c and
 * emulator-control.c.
 */
#ifndef TPM_INFO_H
#define TPM_INFO_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <tpmdev/error.h>

/*
 * What to ask for, of a TPM whose state goes out and of one that is given a state. Who does not
 * know one of these bits, as libtpms before 0.10 the last two, leaves out what it asks for.
 */
#define TPM_INFO_SPECIFICATION      (1u << 0)
#define TPM_INFO_ACTIVE_PROFILE     (1u << 5)
#define TPM_INFO_AVAILABLE_PROFILES (1u << 6)
#define TPM_INFO_OF_SOURCE          (TPM_INFO_SPECIFICATION | TPM_INFO_ACTIVE_PROFILE)
#define TPM_INFO_OF_TARGET          (TPM_INFO_SPECIFICATION | TPM_INFO_AVAILABLE_PROFILES)

/*
 * "libtpms 0.9.2 (TPM 2.0 revision 164, no profiles)": who it is, and what it said, which may be
 * NULL. Fits TPMState.writer; to be freed with g_free().
 */
char *tpm_info_words(const char *who, const char *info);

/* Is this permanent state, in the clear, that of a TPM 2.0? */
bool tpm_info_is_of_2_0(const void *permanent, size_t size);

/*
 * " in form 4, readable from form 4 on": what permanent state that is in the clear says of its
 * form, or nothing, to stand behind "wrote"; to be freed with g_free().
 */
char *tpm_info_form(const void *permanent, size_t size);

/* What its result for a state means, for people, or NULL; and which error it is. */
const char *tpm_info_result_words(guint32 result);
TPMError tpm_info_result_error(guint32 result);

#endif /* TPM_INFO_H */
