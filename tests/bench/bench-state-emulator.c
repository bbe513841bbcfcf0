/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What saving a device with swtpm and loading it again takes, beside the bare exchange on swtpm's
 * control channel: GET_STATEBLOB of both parts, STOP, SET_STATEBLOB of both, INIT. A device asks
 * for a third part, which a TPM 2.0 does not have, and which TPM it is, before either way; it sets
 * the buffer's size, asks for tpmEstablished, and learns by commands who a TPM that was started is.
 *
 * One device has the library's thread; the other has a context of the host's, and does that
 * thread's work while it waits.
 */
#include "command.h"
#include "moved-device.h"
#include "swtpm-process.h"
#include "swtpm-protocol.h"
#include "tis-guest.h"

#include <sys/socket.h>

#define BLOB_MAX 65536u

static const uint32_t types[] = { SWTPM_BLOB_PERMANENT, SWTPM_BLOB_VOLATILE };

/* ---- the bare exchange ---- */

typedef struct Bare {
    SwtpmProcess swtpm;
    BareClient client;
    uint8_t parts[G_N_ELEMENTS(types)][BLOB_MAX];
    uint32_t sizes[G_N_ELEMENTS(types)];
    uint32_t flags[G_N_ELEMENTS(types)];
} Bare;

static bool send_all(Bare *bare, const void *bytes, size_t size)
{
    return send(bare->client.control_fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive_all(Bare *bare, void *bytes, size_t size)
{
    return recv(bare->client.control_fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

static bool result_is_good(Bare *bare)
{
    uint8_t result[SWTPM_RESULT_SIZE];

    return receive_all(bare, result, sizeof(result)) && tpm_get_be32(result) == 0;
}

static bool ask(Bare *bare, SwtpmCommand command, uint32_t argument)
{
    uint8_t message[SWTPM_MESSAGE_MAX];
    size_t size = tpm_swtpm_message(command, argument, message);

    return send_all(bare, message, size) && result_is_good(bare);
}

/* All of a part comes with one reply. */
static bool get_part(Bare *bare, size_t i)
{
    uint8_t message[SWTPM_BLOB_MESSAGE_SIZE], reply[SWTPM_REPLY_MAX];

    tpm_swtpm_blob_message(SWTPM_GET_STATEBLOB, 0, types[i], 0, message);
    if (!send_all(bare, message, sizeof(message)) || !receive_all(bare, reply, sizeof(reply)) ||
        tpm_get_be32(reply) != 0) {
        return false;
    }
    bare->flags[i] = tpm_get_be32(reply + SWTPM_BLOB_FLAGS_OFFSET);
    bare->sizes[i] = tpm_get_be32(reply + SWTPM_BLOB_LENGTH_OFFSET);
    return bare->sizes[i] <= BLOB_MAX && receive_all(bare, bare->parts[i], bare->sizes[i]);
}

static bool set_part(Bare *bare, size_t i)
{
    uint8_t message[SWTPM_BLOB_MESSAGE_SIZE];

    tpm_swtpm_blob_message(SWTPM_SET_STATEBLOB, bare->flags[i], types[i], bare->sizes[i], message);
    return send_all(bare, message, sizeof(message)) &&
           send_all(bare, bare->parts[i], bare->sizes[i]) && result_is_good(bare);
}

static bool bare_save(Bare *bare)
{
    return get_part(bare, 0) && get_part(bare, 1);
}

static bool bare_load(Bare *bare)
{
    return ask(bare, SWTPM_STOP, 0) && set_part(bare, 0) && set_part(bare, 1) &&
           ask(bare, SWTPM_INIT, SWTPM_INIT_DELETE_VOLATILE);
}

static bool bare_run(void *self, const BenchCommand *command)
{
    return (command == &move_load || bare_save(self)) &&
           (command == &move_save || command == &move_go_on || bare_load(self));
}

/* ---- devices ---- */

typedef struct Device {
    MovedDevice moved; /* first: it is what runs */
    SwtpmProcess swtpm;
    TisGuest guest;
} Device;

static TPMBackend *backend_new(const SwtpmProcess *swtpm)
{
    g_autofree char *options = g_strdup_printf("emulator,id=tpm0,path=%s", swtpm->path);
    g_autoptr(GError) error = NULL;
    TPMBackend *backend = tpmdev_backend_new_from_string(options, NULL, NULL, &error);

    if (!backend) {
        bench_fail("%s", error->message);
    }
    return backend;
}

static bool device_open(Device *device)
{
    TPMBackend *backend = backend_new(&device->swtpm);
    bool good = backend && tis_guest_open(&device->guest, backend, 0);

    device->moved.device = device->guest.device;
    return good && moved_device_run(&device->moved, &move_save);
}

/* It is what the other one was, and so has a TPM that was started. */
static bool device_open_with_context(Device *device, const TPMHost *host, const MovedDevice *other)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMBackend *backend = backend_new(&device->swtpm);

    if (!backend) {
        return false;
    }
    config.incoming = true;
    config.completion_window_ns = 0;
    device->moved.device = tpmdev_device_new(&config, backend, host, NULL, NULL);
    tpmdev_backend_unref(backend);
    device->moved.stream = g_bytes_ref(other->stream);
    return device->moved.device && moved_device_run(&device->moved, &move_load) &&
           moved_device_run(&device->moved, &move_save);
}

static void device_close(Device *device)
{
    moved_device_clear(&device->moved);
    swtpm_end(&device->swtpm);
}

/* ---- the comparison ---- */

enum { BARE, OWN, CONTEXT, SIDES };

typedef struct Sides {
    Bare bare;
    Device own;
    Device with_context;
    TPMHost host;
} Sides;

static bool sides_open(Sides *sides, const char *directory)
{
    return swtpm_start(&sides->bare.swtpm, directory, "bare") &&
           swtpm_start(&sides->own.swtpm, directory, "own") &&
           swtpm_start(&sides->with_context.swtpm, directory, "context") &&
           bare_client_open(&sides->bare.client, &sides->bare.swtpm) && bare_save(&sides->bare) &&
           device_open(&sides->own) &&
           device_open_with_context(&sides->with_context, &sides->host, &sides->own.moved);
}

static void sides_close(Sides *sides)
{
    device_close(&sides->with_context);
    device_close(&sides->own);
    bare_client_close(&sides->bare.client);
    swtpm_end(&sides->bare.swtpm);
}

static bool compare(Sides *sides, const BenchPlan *plan)
{
    const BenchCommand *const commands[] = { &move_both, &move_save, &move_load, &move_go_on };
    BenchVariant variants[SIDES] = {
        [BARE] = { .name = "bare swtpm: get, stop, set, init", bare_run, .self = &sides->bare },
        [OWN] = { .name = "TIS + emulator", moved_device_run, .self = &sides->own },
        [CONTEXT] = { .name = "TIS + emulator, on a context of the host's",
                      moved_device_run,
                      .self = &sides->with_context },
    };
    uint64_t stream, blobs;
    bool good = true;

    moved_device_sizes(&sides->own.moved, &stream, &blobs);
    bench_say("TIS + emulator: %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT
              " of them the TPM's; ratio %.3f",
              stream, blobs, (double)stream / (double)blobs);
    for (size_t i = 0; i < G_N_ELEMENTS(commands) && good; i++) {
        good = bench_compare(variants, SIDES, commands[i], plan);
    }
    for (size_t i = 0; i < SIDES; i++) {
        bench_variant_clear(&variants[i]);
    }
    return good;
}

BenchResult bench_state_emulator(const BenchOptions *options)
{
    const BenchPlan plan = { options->quick ? 3 : 100, options->quick ? 5 : 20, 0 };
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autofree Sides *sides = NULL;

    if (!swtpm_is_installed()) {
        return BENCH_SKIPPED;
    }
    sides = g_new0(Sides, 1);
    sides->bare.client = (BareClient){ .control_fd = -1, .data_fd = -1 };
    sides->host = (TPMHost)TPM_HOST_INIT;
    sides->host.context = context;
    bool good = sides_open(sides, options->memory) && compare(sides, &plan);

    sides_close(sides);
    return good ? BENCH_OK : BENCH_FAILED;
}
