/* SPDX-License-Identifier: BSD-3-Clause */
/* What libtpms says of itself, and of a state it was given, in words; see tpm-info.h. */
#include "tpm-info.h"

#include "backend-internal.h"
#include "command.h"

#include <stdlib.h>
#include <string.h>

/* ---- JSON, as far as it is needed: members whose value is a short text or a number ---- */

#define VALUE_SIZE  33u
#define VALUE_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._:-"

/* A member's value begins there; NULL: there is none of this name from here on. */
static const char *find_member(const char *json, const char *name)
{
    g_autofree char *key = g_strdup_printf("\"%s\":", name);
    const char *at = strstr(json, key);

    return at ? at + strlen(key) : NULL;
}

/*
 * Read the value of the next member of this name, and return what is behind it. NULL: there is
 * none, or none that may stand in a message.
 */
static const char *read_member(const char *json, const char *name, char value[VALUE_SIZE])
{
    const char *at = find_member(json, name);

    if (!at) {
        return NULL;
    }
    at += strspn(at, " ");
    bool is_text = *at == '"';

    at += is_text;
    size_t size = strspn(at, VALUE_CHARS);

    if (size == 0 || size >= VALUE_SIZE || (is_text && at[size] != '"')) {
        return NULL;
    }
    memcpy(value, at, size);
    value[size] = '\0';
    return at + size;
}

/* ---- profiles: what libtpms 0.10 and later can be held to ---- */

/* Bytes of the names there is room for. */
#define NAMES_MAX 48u

static void add_active(GString *words, const char *profile)
{
    char name[VALUE_SIZE], level[VALUE_SIZE];

    if (read_member(profile, "Name", name)) {
        g_string_append_printf(words, ", profile '%s'", name);
    } else {
        g_string_append(words, ", a profile");
    }
    if (read_member(profile, "StateFormatLevel", level) && strlen(level) <= 5) {
        g_string_append_printf(words, " of level %s", level);
    }
}

static void add_available(GString *words, const char *profiles)
{
    g_autoptr(GString) names = g_string_new(NULL);
    char value[VALUE_SIZE];
    unsigned long highest = 0;
    const char *at = profiles;

    while ((at = read_member(at, "Name", value)) && names->len + strlen(value) < NAMES_MAX) {
        g_string_append_printf(names, " %s", value);
    }
    for (at = profiles; (at = read_member(at, "StateFormatLevel", value));) {
        highest = MAX(highest, MIN(strtoul(value, NULL, 10), 99999));
    }
    g_string_append_printf(words, ", profiles%s up to level %lu", names->str, highest);
}

/* Nobody was held to anything before there were profiles. */
static void add_profiles(GString *words, const char *info)
{
    const char *active = find_member(info, "ActiveProfile");
    const char *available = find_member(info, "AvailableProfiles");

    if (active) {
        add_active(words, active);
    } else if (available) {
        add_available(words, available);
    } else {
        g_string_append(words, ", no profiles");
    }
}

char *tpm_info_words(const char *who, const char *info)
{
    GString *words = g_string_new(who);
    char family[VALUE_SIZE], revision[VALUE_SIZE];

    if (info && read_member(info, "family", family) && strlen(family) <= 5) {
        g_string_append_printf(words, " (TPM %s", family);
        if (read_member(info, "revision", revision) && strlen(revision) <= 5) {
            g_string_append_printf(words, " revision %s", revision);
        }
        if (strcmp(family, "1.2") != 0) {
            add_profiles(words, info);
        }
        g_string_append_c(words, ')');
    }
    if (words->len > TPM_STATE_WRITER_MAX) {
        g_string_assign(words, who);
    }
    return g_string_free(words, FALSE);
}

/* ---- permanent state ---- */

/* Of a TPM 2.0: u16 version of its form, u32 magic, u16 least version that can be read with it. */
#define FORM_OFFSET  0u
#define MAGIC_OFFSET 2u
#define MAGIC        0xAB364723u
#define LEAST_OFFSET 6u
#define BEGIN_SIZE   8u

bool tpm_info_is_of_2_0(const void *permanent, size_t size)
{
    return size >= BEGIN_SIZE && tpm_get_be32((const guint8 *)permanent + MAGIC_OFFSET) == MAGIC;
}

char *tpm_info_form(const void *permanent, size_t size)
{
    const guint8 *bytes = permanent;

    if (!tpm_info_is_of_2_0(permanent, size)) {
        return g_strdup("");
    }
    return g_strdup_printf(" in form %u, readable from form %u on",
                           tpm_get_be16(bytes + FORM_OFFSET), tpm_get_be16(bytes + LEAST_OFFSET));
}

/* ---- results ---- */

/* Of a TPM 2.0; and the same of a TPM 1.2, which has other numbers for it. */
const char *tpm_info_result_words(guint32 result)
{
    switch (result) {
    case 0x2E:
        return "it was written by a later version, or has a profile that this one does not know; "
               "take one no older than the one that wrote it";
    case 0x84:
        return "it is that of another TPM than the permanent part, or is damaged";
    case 0x01:
    case 0x83:
        return "it is damaged: its checksum is wrong";
    case 0x1E:
    case 0x43:
        return "it is no state of this kind of TPM";
    case 0x34:
        return "this TPM has no such part";
    case 0x800: /* "retry" */
        return "there is no permanent part that it goes with";
    case 0x03:
    case 0x17:
    case 0x19:
    case 0x2B:
    case 0x9A:
        return "it is cut short or damaged";
    default:
        return NULL;
    }
}

TPMError tpm_info_result_error(guint32 result)
{
    if (result == 0x2E) {
        return TPM_ERROR_UNSUPPORTED;
    }
    return tpm_info_result_words(result) ? TPM_ERROR_STATE_DAMAGED : TPM_ERROR_TPM;
}
