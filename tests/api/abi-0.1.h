/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The structs a program fills in, as the headers of version 0.1 have them. Frozen: programs built
 * with those headers must work with every library of the same SONAME, so this file never changes.
 */
#ifndef ABI_0_1_H
#define ABI_0_1_H

#include <tpmdev/tpmdev.h>

typedef struct Host_0_1 {
    size_t size;
    void (*set_irq)(void *opaque, bool level);
    void (*guest_error)(void *opaque, const char *message);
    void (*backend_error)(void *opaque, const char *message);
    int64_t (*now_ns)(void *opaque);
    GMainContext *context;
} Host_0_1;

typedef struct DeviceConfig_0_1 {
    size_t size;
    int interface;
    unsigned irq;
    int64_t completion_window_ns;
} DeviceConfig_0_1;

typedef struct DeviceStatistics_0_1 {
    size_t size;
    uint64_t reads;
    uint64_t writes;
    uint64_t commands;
    uint64_t inline_completions;
    uint64_t rejected_commands;
    uint64_t failures;
    uint64_t cancels;
    uint64_t resets;
    uint64_t guest_errors;
    uint64_t interrupts;
} DeviceStatistics_0_1;

typedef struct Command_0_1 {
    uint8_t locality;
    size_t size;
    const uint8_t *data;
} Command_0_1;

typedef struct BackendClass_0_1 {
    size_t size;
    const char *type;
    const char *description;
    const char *const *options;
    TPMBackend *(*create)(const TPMOptions *options, GError **error);
    void (*start)(void *self, size_t buffer_size);
    void (*submit)(void *self, const Command_0_1 *command, bool linger);
    void (*poll)(void *self);
    void (*linger_end)(void *self);
    void (*cancel)(void *self);
    void (*reset_established)(void *self, uint8_t locality);
    void (*destroy)(void *self);
} BackendClass_0_1;

typedef struct BackendInfo_0_1 {
    size_t size;
    int version;
    size_t buffer_size;
} BackendInfo_0_1;

typedef struct LibtpmsConfig_0_1 {
    size_t size;
    const char *id;
    const char *directory;
    int version;
} LibtpmsConfig_0_1;

typedef struct EmulatorConfig_0_1 {
    size_t size;
    const char *id;
    const char *path;
} EmulatorConfig_0_1;

typedef struct AcpiConfig_0_1 {
    size_t size;
    uint64_t base;
    uint64_t log_address;
    uint32_t log_size;
    const char *scope;
    const char *name;
} AcpiConfig_0_1;

#endif /* ABI_0_1_H */
