/* SPDX-License-Identifier: BSD-3-Clause */
/* One member for each of the structs' members, under its name with dashes. */
#include "qmp-statistics.h"

static void add_number(JsonBuilder *builder, const char *name, uint64_t value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, (gint64)value);
}

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void add_bool(JsonBuilder *builder, const char *name, bool value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_boolean_value(builder, value);
}

static void add_device(JsonBuilder *builder, TPMDevice *device)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_device_get_statistics(device, &statistics);
    json_builder_set_member_name(builder, "device");
    json_builder_begin_object(builder);
    add_number(builder, "reads", statistics.reads);
    add_number(builder, "writes", statistics.writes);
    add_number(builder, "commands", statistics.commands);
    add_number(builder, "inline-completions", statistics.inline_completions);
    add_number(builder, "rejected-commands", statistics.rejected_commands);
    add_number(builder, "failures", statistics.failures);
    add_number(builder, "cancels", statistics.cancels);
    add_number(builder, "resets", statistics.resets);
    add_number(builder, "guest-errors", statistics.guest_errors);
    add_number(builder, "interrupts", statistics.interrupts);
    add_number(builder, "measurements", statistics.measurements);
    add_number(builder, "failed-measurements", statistics.failed_measurements);
    add_number(builder, "self-tests", statistics.self_tests);
    json_builder_end_object(builder);
}

static void add_latency(JsonBuilder *builder, const char *name, const TPMLatency *latency)
{
    json_builder_set_member_name(builder, name);
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "buckets");
    json_builder_begin_array(builder);
    for (unsigned i = 0; i < TPM_LATENCY_BUCKETS; i++) {
        json_builder_add_int_value(builder, (gint64)latency->buckets[i]);
    }
    json_builder_end_array(builder);
    add_number(builder, "sum-ns", latency->sum_ns);
    add_number(builder, "max-ns", latency->max_ns);
    json_builder_end_object(builder);
}

/* The kinds there were. */
static void add_errors(JsonBuilder *builder, const TPMBackendStatistics *statistics)
{
    json_builder_set_member_name(builder, "errors");
    json_builder_begin_object(builder);
    for (unsigned i = 0; i < TPM_STATISTICS_ERRORS; i++) {
        if (statistics->errors[i] > 0) {
            add_number(builder, tpmdev_error_name(i), statistics->errors[i]);
        }
    }
    json_builder_end_object(builder);
}

/* The command under way and its age; the machine's devices have the system's clock. */
static void add_executing(JsonBuilder *builder, const TPMBackendStatistics *statistics,
                          TPMVersion version, int64_t now_ns)
{
    const char *name = tpmdev_command_name(version, statistics->ordinal);

    if (!statistics->executing) {
        return;
    }
    json_builder_set_member_name(builder, "executing");
    json_builder_begin_object(builder);
    add_number(builder, "ordinal", statistics->ordinal);
    if (name) {
        add_string(builder, "name", name);
    }
    add_number(builder, "for-ns", (uint64_t)(now_ns - statistics->sent_ns));
    json_builder_end_object(builder);
}

static void add_commands(JsonBuilder *builder, TPMBackend *backend)
{
    TPMCommandStatistics rows[TPM_COMMAND_STATISTICS_MAX];
    size_t n = tpmdev_backend_get_command_statistics(backend, rows, G_N_ELEMENTS(rows));

    json_builder_set_member_name(builder, "by-ordinal");
    json_builder_begin_array(builder);
    for (size_t i = 0; i < n; i++) {
        json_builder_begin_object(builder);
        if (rows[i].name) {
            add_number(builder, "ordinal", rows[i].ordinal);
            add_string(builder, "name", rows[i].name);
        }
        add_number(builder, "commands", rows[i].commands);
        add_number(builder, "error-codes", rows[i].error_codes);
        add_number(builder, "time-ns", rows[i].time_ns);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

static void add_backend(JsonBuilder *builder, TPMBackend *backend)
{
    int64_t now_ns = g_get_monotonic_time() * 1000;
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_backend_get_statistics(backend, &statistics);
    json_builder_set_member_name(builder, "backend");
    json_builder_begin_object(builder);
    add_string(builder, "link", tpmdev_link_name(statistics.link));
    add_bool(builder, "failed", statistics.failed);
    add_executing(builder, &statistics, tpmdev_backend_get_version(backend), now_ns);
    if (statistics.last_response_ns) {
        add_number(builder, "last-response-ns-ago",
                   (uint64_t)MAX(now_ns - statistics.last_response_ns, 0));
    }
    add_number(builder, "starts", statistics.starts);
    add_number(builder, "failures", statistics.failures);
    add_number(builder, "recoveries", statistics.recoveries);
    add_number(builder, "commands", statistics.commands);
    add_number(builder, "responses", statistics.responses);
    add_number(builder, "error-codes", statistics.error_codes);
    add_number(builder, "failed-commands", statistics.failed_commands);
    add_number(builder, "unsent-commands", statistics.unsent_commands);
    add_number(builder, "cancels", statistics.cancels);
    add_errors(builder, &statistics);
    add_latency(builder, "short-commands", &statistics.short_commands);
    add_latency(builder, "long-commands", &statistics.long_commands);
    add_commands(builder, backend);
    if (*statistics.last_error) {
        add_string(builder, "last-error", statistics.last_error);
    }
    json_builder_end_object(builder);
}

void qmp_add_tpm_statistics(JsonBuilder *builder, TPMDevice *device)
{
    TPMBackend *backend = tpmdev_device_get_backend(device);

    json_builder_begin_object(builder);
    add_string(builder, "id", tpmdev_backend_get_id(backend));
    add_string(builder, "type", tpmdev_backend_get_type(backend));
    add_string(builder, "model", tpmdev_device_get_model(device));
    add_string(builder, "version",
               tpmdev_backend_get_version(backend) == TPM_VERSION_1_2 ? "1.2" : "2.0");
    add_device(builder, device);
    add_backend(builder, backend);
    json_builder_end_object(builder);
}
