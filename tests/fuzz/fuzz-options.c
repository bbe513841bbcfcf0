/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any text as an option string: for the parser, for a backend and for a device.
 *
 * What was parsed, written again with its commas doubled, must parse to the same; what fails
 * must say why.
 */
#include "input.h"
#include "options.h"
#include <tpmdev/tpmdev.h>

/* The result and the error of a call are two views of one thing. */
static void check_outcome(bool succeeded, GError *error)
{
    FUZZ_CHECK(succeeded == !error);
    if (error) {
        FUZZ_CHECK(error->domain == TPMDEV_ERROR && *error->message);
        g_error_free(error);
    }
}

static const char *find_socket(void *opaque, const char *id)
{
    (void)opaque;
    return strcmp(id, "chr") == 0 ? "/nowhere" : NULL;
}

static void check_getters(const TPMOptions *options)
{
    static const char *const always[] = { "type", "id", NULL };
    static const char *const known[] = { "version", "path", "chardev", NULL };
    GError *error = NULL;
    TPMVersion version = TPM_VERSION_2_0;
    unsigned number = 7;

    bool ok = tpmdev_options_get_version(options, TPM_VERSION_1_2, &version, &error);
    FUZZ_CHECK(version == TPM_VERSION_1_2 || version == TPM_VERSION_2_0);
    check_outcome(ok, g_steal_pointer(&error));
    ok = tpm_options_get_unsigned(options, "irq", 5, 15, &number, &error);
    FUZZ_CHECK(number >= 5 && number <= 15);
    check_outcome(ok, g_steal_pointer(&error));
    ok = tpmdev_options_get_socket(options, &error) != NULL;
    check_outcome(ok, g_steal_pointer(&error));
    ok = tpm_options_require(options, "null", "id", &error) != NULL;
    check_outcome(ok, g_steal_pointer(&error));
    ok = tpm_options_check_names(options, "null", always, known, &error);
    check_outcome(ok, g_steal_pointer(&error));
}

/* The value of one option, written out and read back. */
static void check_round_trip(const TPMOptions *options, const char *name)
{
    const char *value = tpmdev_options_get(options, name);

    if (!value) {
        return;
    }
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);
    g_autofree char *text = g_strdup_printf("%s=%s", name, doubled);
    g_autoptr(TPMOptions) again = tpm_options_parse(text, NULL, NULL);

    FUZZ_CHECK(again);
    FUZZ_CHECK(strcmp(tpmdev_options_get(again, name), value) == 0);
}

/* Only what touches nothing outside this process is made for real. */
static void check_constructors(const char *text, bool is_harmless)
{
    GError *error = NULL;
    TPMBackend *tpm0 = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
    TPMBackend *const backends[] = { tpm0, NULL };
    g_autoptr(GMainContext) context = g_main_context_new();
    TPMHost host = TPM_HOST_INIT;

    host.context = context;
    TPMDevice *device = tpmdev_device_new_from_string(text, backends, &host, NULL, &error);
    check_outcome(device != NULL, g_steal_pointer(&error));
    tpmdev_device_free(device);
    tpmdev_backend_unref(tpm0);
    if (is_harmless) {
        TPMBackend *backend = tpmdev_backend_new_from_string(text, find_socket, NULL, &error);

        check_outcome(backend != NULL, error);
        tpmdev_backend_unref(backend);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "type", "id", "path", "chardev", "version", "irq", NULL };
    g_autofree char *text = g_strndup((const char *)data, size);
    GError *error = NULL;
    g_autoptr(TPMOptions) options = tpm_options_parse(text, "type", &error);
    const char *type = options ? tpmdev_options_get(options, "type") : NULL;

    check_outcome(options != NULL, error);
    if (options) {
        tpm_options_set_lookup(options, find_socket, NULL);
        check_getters(options);
        for (unsigned i = 0; names[i]; i++) {
            check_round_trip(options, names[i]);
        }
    }
    check_constructors(text, !type || strcmp(type, "null") == 0);
    return 0;
}
