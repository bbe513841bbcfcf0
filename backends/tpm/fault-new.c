/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A `fault` backend as it comes into being: its configuration is checked, or read from an option
 * string, and it takes hold of the TPM it is put into.
 *
 * Neighbours: fault.c has the class; registry.c makes the TPM of an option string.
 */
#include "builtin.h"
#include "fault-internal.h"
#include "options.h"

#include <string.h>

/* ---- construction ---- */

static const char *const fault_names[] = {
    [TPM_FAULT_DELAY] = "delay",   [TPM_FAULT_HANG] = "hang",
    [TPM_FAULT_SIZE] = "size",     [TPM_FAULT_TRUNCATED] = "truncated",
    [TPM_FAULT_LONGER] = "longer", [TPM_FAULT_GARBAGE] = "garbage",
    [TPM_FAULT_CODE] = "code",     [TPM_FAULT_DEATH] = "death",
    [TPM_FAULT_START] = "start",   [TPM_FAULT_REFUSE] = "refuse",
};

static const char *const on_names[] = {
    [TPM_FAULT_ON_COMMAND] = "command",
    [TPM_FAULT_ON_SAVE] = "save",
    [TPM_FAULT_ON_LOAD] = "load",
    [TPM_FAULT_ON_RESUME] = "resume",
    [TPM_FAULT_ON_CAN_MIGRATE] = "can-migrate",
};

/* Can this fault show with that? */
static bool is_fault_of(TPMFault fault, TPMFaultOn on)
{
    switch (on) {
    case TPM_FAULT_ON_COMMAND:
        return fault != TPM_FAULT_REFUSE;
    case TPM_FAULT_ON_SAVE:
    case TPM_FAULT_ON_LOAD:
        return fault == TPM_FAULT_DELAY || fault == TPM_FAULT_HANG || fault == TPM_FAULT_DEATH ||
               fault == TPM_FAULT_REFUSE;
    case TPM_FAULT_ON_RESUME:
        return fault == TPM_FAULT_DEATH;
    case TPM_FAULT_ON_CAN_MIGRATE:
        return fault == TPM_FAULT_REFUSE;
    }
    return false;
}

static const char *config_fault(const TPMFaultConfig *config)
{
    if ((unsigned)config->fault >= G_N_ELEMENTS(fault_names)) {
        return "the fault is none of TPMFault's";
    }
    if ((unsigned)config->on >= G_N_ELEMENTS(on_names)) {
        return "what it shows on is none of TPMFaultOn's";
    }
    if (!is_fault_of(config->fault, config->on)) {
        return "the fault cannot show on that; refuse is for save, load and can-migrate, delay and "
               "hang are for command, save and load, death for these and resume, all else for "
               "command";
    }
    if (config->on != TPM_FAULT_ON_COMMAND && (config->ordinal || config->byte)) {
        return "ordinal and byte are for faults on command; leave them out";
    }
    if (config->percent > 100) {
        return "percent is above 100";
    }
    if (config->bytes > TPM_BUFFER_SIZE_MAX) {
        return "bytes is above TPM_BUFFER_SIZE_MAX";
    }
    if (config->delay_min_us > TPM_FAULT_DELAY_MAX || config->delay_max_us > TPM_FAULT_DELAY_MAX) {
        return "the delay is above TPM_FAULT_DELAY_MAX, an hour";
    }
    if (config->delay_max_us && config->delay_max_us < config->delay_min_us) {
        return "delay_max_us is below delay_min_us";
    }
    return NULL;
}

/* As far as the program has it: members it does not know are zero. */
static bool config_check(const TPMFaultConfig *given, TPMFaultConfig *config, GError **error)
{
    const char *wrong = "size must be sizeof(TPMFaultConfig)";

    memset(config, 0, sizeof(*config));
    if (given->size >= sizeof(given->size)) {
        memcpy(config, given, MIN(given->size, sizeof(*config)));
        wrong = config_fault(config);
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM fault: %s", wrong);
        return false;
    }
    if (!config->backend) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "TPM fault: the backend is missing; give the TPM that gets the fault");
        return false;
    }
    return true;
}

TPMBackend *tpmdev_backend_fault_new(const TPMFaultConfig *user_config, GError **error)
{
    TPMFaultConfig config;

    if (!config_check(user_config, &config, error)) {
        return NULL;
    }
    TPMBackendInfo info = {
        .size = sizeof(info),
        .version = tpmdev_backend_get_version(config.backend),
        .buffer_size = tpmdev_backend_get_buffer_size(config.backend),
        .hashing = tpm_backend_can_hash(config.backend),
    };
    FaultTPM *fault = g_new0(FaultTPM, 1);

    g_atomic_ref_count_init(&fault->refs);
    g_mutex_init(&fault->lock);
    g_cond_init(&fault->told);
    tpm_fault_rule_init(&fault->rule, &config);
    fault->backend = tpmdev_backend_new(&tpm_backend_fault_class, config.id, &info, fault, error);
    if (!fault->backend) {
        tpm_fault_unref(fault);
        return NULL;
    }
    fault->inner = tpmdev_backend_ref(config.backend);
    tpm_backend_set_state_owner(fault->backend, fault->inner);
    return tpm_fault_bind(fault, error) ? fault->backend : tpmdev_backend_unref(fault->backend);
}

/* ---- option strings ---- */

const char *const tpm_fault_options[] = { "backend", "what",  "on",    "ordinal", "nth",  "percent",
                                          "seed",    "delay", "bytes", "code",    "byte", NULL };

/* Which of n names is it? */
static bool find_name(const char *const *names, unsigned n, const char *name, unsigned *found)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            *found = i;
            return true;
        }
    }
    return false;
}

static bool fault_from_options(const TPMOptions *options, TPMFaultConfig *config, GError **error)
{
    const char *what = tpm_options_require(options, "fault", "what", error);
    unsigned found;

    if (!what) {
        return false;
    }
    if (!find_name(fault_names, G_N_ELEMENTS(fault_names), what, &found)) {
        g_set_error(
            error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
            "parameter 'what' is '%s'; it must be delay, hang, size, truncated, longer, garbage, "
            "code, death, start or refuse",
            what);
        return false;
    }
    config->fault = (TPMFault)found;
    return true;
}

static bool on_from_options(const TPMOptions *options, TPMFaultConfig *config, GError **error)
{
    const char *on = tpmdev_options_get(options, "on");
    unsigned found = TPM_FAULT_ON_COMMAND;

    if (on && !find_name(on_names, G_N_ELEMENTS(on_names), on, &found)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter 'on' is '%s'; it must be command, save, load, resume or can-migrate",
                    on);
        return false;
    }
    config->on = (TPMFaultOn)found;
    return true;
}

/* A number of 32 bits that may be hexadecimal. */
static bool number_from_options(const TPMOptions *options, const char *name, uint32_t *number,
                                GError **error)
{
    uint64_t value = *number;

    if (!tpm_options_get_address(options, name, &value, error)) {
        return false;
    }
    if (value > UINT32_MAX) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter '%s' is '%s'; it must be a number of 32 bits", name,
                    tpmdev_options_get(options, name));
        return false;
    }
    *number = (uint32_t)value;
    return true;
}

/* MICROSECONDS or MIN-MAX. */
static bool delay_from_options(const TPMOptions *options, TPMFaultConfig *config, GError **error)
{
    const char *text = tpmdev_options_get(options, "delay");
    guint64 min = 0, max = 0;

    if (!text) {
        return true;
    }
    g_auto(GStrv) parts = g_strsplit(text, "-", 2);

    if (!parts[0] ||
        !g_ascii_string_to_unsigned(parts[0], 10, 0, TPM_FAULT_DELAY_MAX, &min, NULL) ||
        (parts[1] &&
         !g_ascii_string_to_unsigned(parts[1], 10, MAX(min, 1), TPM_FAULT_DELAY_MAX, &max, NULL))) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter 'delay' is '%s'; it must be microseconds, as in 1000, or a range of "
                    "them, as in 100-1000, up to %u",
                    text, TPM_FAULT_DELAY_MAX);
        return false;
    }
    config->delay_min_us = (uint32_t)min;
    config->delay_max_us = (uint32_t)max;
    return true;
}

static bool config_from_options(const TPMOptions *options, TPMFaultConfig *config, GError **error)
{
    return fault_from_options(options, config, error) && on_from_options(options, config, error) &&
           number_from_options(options, "ordinal", &config->ordinal, error) &&
           number_from_options(options, "nth", &config->nth, error) &&
           tpm_options_get_unsigned(options, "percent", 1, 100, &config->percent, error) &&
           number_from_options(options, "seed", &config->seed, error) &&
           delay_from_options(options, config, error) &&
           tpm_options_get_unsigned(options, "bytes", 1, TPM_BUFFER_SIZE_MAX, &config->bytes,
                                    error) &&
           number_from_options(options, "code", &config->code, error) &&
           tpm_options_get_address(options, "byte", &config->byte, error);
}

TPMBackend *tpm_fault_create(const TPMOptions *options, GError **error)
{
    TPMFaultConfig config = { .size = sizeof(config), .id = tpmdev_options_get(options, "id") };
    const char *inner = tpm_options_require(options, "fault", "backend", error);
    TPMChardevLookup lookup;
    void *opaque;

    if (!inner || !config_from_options(options, &config, error)) {
        return NULL;
    }
    tpm_options_get_lookup(options, &lookup, &opaque);
    config.backend = tpmdev_backend_new_from_string(inner, lookup, opaque, error);
    if (!config.backend) {
        g_prefix_error(error, "backend of 'fault': ");
        return NULL;
    }
    TPMBackend *backend = tpmdev_backend_fault_new(&config, error);

    tpmdev_backend_unref(config.backend);
    return backend;
}
