/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which types of backend there are, and making one from an option string.
 *
 * The built-in types are known from the start; a program adds its own with
 * tpmdev_backend_register().
 *
 * Neighbours: options.c parses; the create() of the class that was named does the rest.
 */
#include "backend-internal.h"
#include "builtin.h"
#include "options.h"

#include <string.h>

static const TPMBackendClass *const builtin_classes[] = {
    &tpm_backend_libtpms_class, &tpm_backend_emulator_class, &tpm_backend_passthrough_class,
    &tpm_backend_null_class,    &tpm_backend_fault_class,
};

static GMutex registry_lock;
static GPtrArray *registered; /* of const TPMBackendClass, NULL until the first one comes */

/* Called with registry_lock held. */
static const TPMBackendClass *find_locked(const char *type)
{
    for (gsize i = 0; i < G_N_ELEMENTS(builtin_classes); i++) {
        if (strcmp(builtin_classes[i]->type, type) == 0) {
            return builtin_classes[i];
        }
    }
    for (guint i = 0; registered && i < registered->len; i++) {
        const TPMBackendClass *klass = g_ptr_array_index(registered, i);

        if (strcmp(klass->type, type) == 0) {
            return klass;
        }
    }
    return NULL;
}

static const TPMBackendClass *find_class(const char *type)
{
    g_mutex_lock(&registry_lock);
    const TPMBackendClass *klass = find_locked(type);
    g_mutex_unlock(&registry_lock);
    return klass;
}

const char **tpmdev_backend_get_types(void)
{
    g_autoptr(GPtrArray) types = g_ptr_array_new();

    for (gsize i = 0; i < G_N_ELEMENTS(builtin_classes); i++) {
        g_ptr_array_add(types, (gpointer)builtin_classes[i]->type);
    }
    g_mutex_lock(&registry_lock);
    for (guint i = 0; registered && i < registered->len; i++) {
        const TPMBackendClass *klass = g_ptr_array_index(registered, i);

        g_ptr_array_add(types, (gpointer)klass->type);
    }
    g_mutex_unlock(&registry_lock);
    g_ptr_array_add(types, NULL);
    return (const char **)g_ptr_array_free(g_steal_pointer(&types), FALSE);
}

const char *tpmdev_backend_get_description(const char *type)
{
    const TPMBackendClass *klass = find_class(type);

    return klass ? klass->description : NULL;
}

/* Could an option string name it? */
static bool is_name(const char *type)
{
    return type[strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

gboolean tpmdev_backend_register(const TPMBackendClass *klass, GError **error)
{
    gboolean added = FALSE;

    if (!TPM_CLASS_HAS(klass, type) || !*klass->type || !TPM_CLASS_HAS(klass, create)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "a backend class needs a type and a create() to be registered");
        return FALSE;
    }
    if (!is_name(klass->type)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "'%s' is no type of a TPM backend: give it lower-case letters, digits and "
                    "hyphens",
                    klass->type);
        return FALSE;
    }
    g_mutex_lock(&registry_lock);
    if (find_locked(klass->type)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "there is already a TPM backend type '%s'", klass->type);
    } else {
        registered = registered ? registered : g_ptr_array_new();
        g_ptr_array_add(registered, (gpointer)klass);
        added = TRUE;
    }
    g_mutex_unlock(&registry_lock);
    return added;
}

static const TPMBackendClass *class_from_options(const TPMOptions *options, GError **error)
{
    const char *type = tpmdev_options_get(options, "type");
    const TPMBackendClass *klass = type ? find_class(type) : NULL;

    if (!klass) {
        g_autofree const char **types = tpmdev_backend_get_types();
        g_autofree char *list = g_strjoinv(", ", (char **)types);

        if (type) {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                        "parameter 'type' is '%s'; it expects a TPM backend type: %s", type, list);
        } else {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                        "parameter 'type' is missing; it expects a TPM backend type: %s", list);
        }
    }
    return klass;
}

TPMBackend *tpmdev_backend_new_from_string(const char *text, TPMChardevLookup lookup, void *opaque,
                                           GError **error)
{
    static const char *const always[] = { "type", "id", NULL };
    g_autoptr(TPMOptions) options = tpm_options_parse(text, "type", error);

    if (!options) {
        return NULL;
    }
    tpm_options_set_lookup(options, lookup, opaque);
    const TPMBackendClass *klass = class_from_options(options, error);

    if (!klass || !tpm_options_require(options, klass->type, "id", error) ||
        !tpm_options_check_names(options, klass->type, always,
                                 TPM_CLASS_HAS(klass, options) ? klass->options : NULL, error)) {
        return NULL;
    }
    return klass->create(options, error);
}
