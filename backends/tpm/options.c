/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one parser of option strings, for backends and devices alike. Every error names the option
 * and says what would be right.
 *
 * Neighbours: registry.c and hw/tpm/device-options.c, which know what the options mean.
 */
#include "options.h"

#include <string.h>

typedef struct Option {
    char *name;
    char *value;
} Option;

struct TPMOptions {
    GArray *list; /* of Option, in the order given */
    TPMChardevLookup lookup;
    void *lookup_opaque;
};

static void option_clear(gpointer data)
{
    Option *option = data;

    g_free(option->name);
    g_free(option->value);
}

void tpm_options_free(TPMOptions *options)
{
    if (options) {
        g_array_unref(options->list);
        g_free(options);
    }
}

/* The element that begins at *text, with doubled commas made single; *text moves behind it. */
static char *next_element(const char **text)
{
    GString *element = g_string_new(NULL);
    const char *p = *text;

    for (; *p; p++) {
        if (*p == ',') {
            if (p[1] != ',') {
                break;
            }
            p++;
        }
        g_string_append_c(element, *p);
    }
    *text = *p == ',' ? p + 1 : p;
    return g_string_free(element, FALSE);
}

static bool append_element(TPMOptions *options, const char *element, const char *implied,
                           GError **error)
{
    const char *equals = strchr(element, '=');
    Option option;

    if (equals && equals > element) {
        option.name = g_strndup(element, (gsize)(equals - element));
        option.value = g_strdup(equals + 1);
    } else if (!equals && implied && *element) {
        option.name = g_strdup(implied);
        option.value = g_strdup(element);
    } else if (!*element) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "empty parameter; write NAME=VALUE, and a comma inside a value twice");
        return false;
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter '%s' is not of the form NAME=VALUE", element);
        return false;
    }
    g_array_append_val(options->list, option);
    return true;
}

TPMOptions *tpm_options_parse(const char *text, const char *implied, GError **error)
{
    g_autoptr(TPMOptions) options = g_new0(TPMOptions, 1);

    options->list = g_array_new(FALSE, FALSE, sizeof(Option));
    g_array_set_clear_func(options->list, option_clear);
    while (*text) {
        g_autofree char *element = next_element(&text);

        if (!append_element(options, element, implied, error)) {
            return NULL;
        }
        implied = NULL;
    }
    return g_steal_pointer(&options);
}

void tpm_options_set_lookup(TPMOptions *options, TPMChardevLookup lookup, void *opaque)
{
    options->lookup = lookup;
    options->lookup_opaque = opaque;
}

void tpm_options_get_lookup(const TPMOptions *options, TPMChardevLookup *lookup, void **opaque)
{
    *lookup = options->lookup;
    *opaque = options->lookup_opaque;
}

const char *tpmdev_options_get(const TPMOptions *options, const char *name)
{
    for (guint i = options->list->len; i > 0; i--) {
        const Option *option = &g_array_index(options->list, Option, i - 1);

        if (strcmp(option->name, name) == 0) {
            return option->value;
        }
    }
    return NULL;
}

bool tpm_options_check_names(const TPMOptions *options, const char *subject,
                             const char *const *always, const char *const *known, GError **error)
{
    static const char *const none[] = { NULL };

    known = known ? known : none;
    for (guint i = 0; i < options->list->len; i++) {
        const char *name = g_array_index(options->list, Option, i).name;

        if (!g_strv_contains(always, name) && !g_strv_contains(known, name)) {
            g_autofree char *first = g_strjoinv(", ", (char **)always);
            g_autofree char *rest = g_strjoinv(", ", (char **)known);

            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                        "%s: invalid parameter '%s'; it takes %s%s%s", subject, name, first,
                        *rest ? ", " : "", rest);
            return false;
        }
    }
    return true;
}

const char *tpm_options_require(const TPMOptions *options, const char *subject, const char *name,
                                GError **error)
{
    const char *value = tpmdev_options_get(options, name);

    if (!value || !*value) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "%s: parameter '%s' is missing; give %s=VALUE", subject, name, name);
        return NULL;
    }
    return value;
}

bool tpm_options_get_unsigned(const TPMOptions *options, const char *name, unsigned min,
                              unsigned max, unsigned *value, GError **error)
{
    const char *text = tpmdev_options_get(options, name);
    guint64 number;

    if (!text) {
        return true;
    }
    if (!g_ascii_string_to_unsigned(text, 10, min, max, &number, NULL)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter '%s' is '%s'; it must be a number from %u to %u", name, text, min,
                    max);
        return false;
    }
    *value = (unsigned)number;
    return true;
}

bool tpm_options_get_address(const TPMOptions *options, const char *name, uint64_t *value,
                             GError **error)
{
    const char *text = tpmdev_options_get(options, name);
    guint64 number;

    if (!text) {
        return true;
    }
    bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0;

    if (!g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, 0, G_MAXUINT64, &number,
                                    NULL)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter '%s' is '%s'; it must be an address such as 0xfed40000", name, text);
        return false;
    }
    *value = number;
    return true;
}

bool tpm_options_get_switch(const TPMOptions *options, const char *name, bool *value,
                            GError **error)
{
    const char *text = tpmdev_options_get(options, name);

    if (!text) {
        return true;
    }
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter '%s' is '%s'; it must be on or off", name, text);
        return false;
    }
    *value = strcmp(text, "on") == 0;
    return true;
}

const char *tpmdev_options_get_socket(const TPMOptions *options, GError **error)
{
    const char *path = tpmdev_options_get(options, "path");
    const char *chardev = tpmdev_options_get(options, "chardev");

    if (path && chardev) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameters 'path' and 'chardev' are both given; give one");
        return NULL;
    }
    if (!path && !chardev) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "parameter 'chardev' is missing; give chardev=ID of a socket, or path=SOCKET");
        return NULL;
    }
    if (chardev) {
        path = options->lookup ? options->lookup(options->lookup_opaque, chardev) : NULL;
        if (!path) {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                        "tpm chardev '%s' not found; declare a socket of that id", chardev);
        }
    }
    return path;
}

gboolean tpmdev_options_get_version(const TPMOptions *options, TPMVersion otherwise,
                                    TPMVersion *version, GError **error)
{
    const char *text = tpmdev_options_get(options, "version");

    if (!text) {
        *version = otherwise;
    } else if (strcmp(text, "2.0") == 0) {
        *version = TPM_VERSION_2_0;
    } else if (strcmp(text, "1.2") == 0) {
        *version = TPM_VERSION_1_2;
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter 'version' is '%s'; it must be 1.2 or 2.0", text);
        return FALSE;
    }
    return TRUE;
}
