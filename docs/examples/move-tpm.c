/* SPDX-License-Identifier: BSD-3-Clause */
/* A TPM moves to another process. Whatever fails on the way, no more than one of the two has it. */
#include <sys/socket.h>
#include <sys/wait.h>
#include <tpmdev/tpmdev.h>
#include <unistd.h>

#define TIMEOUT_NS (G_GINT64_CONSTANT(5) * 1000000000)

static const uint8_t startup[] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0 };
static const uint8_t pcr_event[] = { 0x80, 2, 0,    0, 0, 31, 0, 0, 1, 0x3C, 0, 0, 0, 10,  0,  0,
                                     0,    9, 0x40, 0, 0, 9,  0, 0, 0, 0,    0, 0, 2, 'O', 'S' };
static const uint8_t pcr_read[] = { 0x80, 1, 0, 0, 0, 20,   0, 0, 1, 0x7E,
                                    0,    0, 0, 1, 0, 0x0B, 3, 0, 4, 0 };

/* The guest sends a command, and we see how the response ends. */
static void guest_sends(TPMDevice *tpm, const char *what, const uint8_t *command, size_t size)
{
    uint32_t end = 0;
    uint64_t value = 0;
    tpmdev_device_write(tpm, 0x00, 1, 0x02); /* TPM_ACCESS: requestUse */
    tpmdev_device_write(tpm, 0x18, 1, 0x40); /* TPM_STS: commandReady */
    for (size_t i = 0; i < size; i++)
        tpmdev_device_write(tpm, 0x24, 1, command[i]); /* TPM_DATA_FIFO */
    tpmdev_device_write(tpm, 0x18, 1, 0x20);           /* TPM_STS: tpmGo */
    while ((value & 0x10) == 0)                        /* TPM_STS: dataAvail */
        tpmdev_device_read(tpm, 0x18, 1, &value);
    for (; value & 0x10; tpmdev_device_read(tpm, 0x18, 1, &value)) {
        tpmdev_device_read(tpm, 0x24, 1, &value);
        end = end << 8 | (uint8_t)value;
    }
    g_print("%s: ...%08x\n", what, end);
}

/* Both sides make the same device; one that is incoming starts no TPM of its own. */
static TPMDevice *make_tpm(const char *directory, bool incoming, GError **error)
{
    TPMLibtpmsConfig libtpms = { .size = sizeof(libtpms), .directory = directory };
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    libtpms.id = "tpm0";
    libtpms.version = TPM_VERSION_2_0;
    config.incoming = incoming;
    TPMBackend *backend = tpmdev_backend_libtpms_new(&libtpms, error);
    TPMDevice *tpm = backend ? tpmdev_device_new(&config, backend, NULL, NULL, error) : NULL;
    tpmdev_backend_unref(backend); /* the device has a reference of its own */
    return tpm;
}

static int source(int peer, const char *directory)
{
    GError *error = NULL;
    TPMDevice *tpm = make_tpm(directory, false, &error);
    if (!tpm || !tpmdev_device_can_migrate(tpm, &error)) /* asked before anything is stopped */
        return g_printerr("source: %s\n", error->message), 1;
    guest_sends(tpm, "source, TPM2_Startup", startup, sizeof(startup));
    guest_sends(tpm, "source, TPM2_PCR_Event", pcr_event, sizeof(pcr_event));
    guest_sends(tpm, "source, TPM2_PCR_Read", pcr_read, sizeof(pcr_read));

    GBytes *state = tpmdev_device_save(tpm, TIMEOUT_NS, &error); /* the vCPUs stand still */
    if (!state)
        return g_printerr("source: %s\n", error->message), 1;
    uint32_t size = (uint32_t)g_bytes_get_size(state);
    char loaded;
    bool moved = send(peer, &size, sizeof(size), MSG_NOSIGNAL) == sizeof(size) &&
                 send(peer, g_bytes_get_data(state, NULL), size, MSG_NOSIGNAL) == size &&
                 recv(peer, &loaded, 1, 0) == 1;
    g_bytes_unref(state);
    if (!moved) { /* nothing is lost: the guest goes on here */
        tpmdev_device_resume(tpm);
        guest_sends(tpm, "source again, TPM2_PCR_Read", pcr_read, sizeof(pcr_read));
    }
    tpmdev_device_free(tpm);
    if (moved)
        send(peer, "", 1, MSG_NOSIGNAL); /* the TPM is no longer here */
    return moved ? 0 : 1;
}

static int destination(int peer, const char *directory)
{
    GError *error = NULL;
    uint32_t size = 0;
    char gone;
    TPMDevice *tpm = make_tpm(directory, true, &error);
    recv(peer, &size, sizeof(size), MSG_WAITALL);
    size = MIN(size, TPM_SAVED_STATE_SIZE_MAX);
    void *data = g_malloc0(size);
    recv(peer, data, size, MSG_WAITALL);
    GBytes *state = g_bytes_new_take(data, size); /* if any of it is missing, the load says so */
    if (!tpm || !tpmdev_device_load(tpm, state, TIMEOUT_NS, &error))
        return g_printerr("destination: %s\n", error->message), 1;
    g_bytes_unref(state);
    send(peer, "", 1, MSG_NOSIGNAL); /* it is loaded, and held: the source may let go */
    if (recv(peer, &gone, 1, 0) == 1) {
        tpmdev_device_resume(tpm);
        guest_sends(tpm, "destination, TPM2_PCR_Read", pcr_read, sizeof(pcr_read));
    }
    tpmdev_device_free(tpm);
    return 0;
}

int main(int argc, char **argv)
{
    int peers[2], status = 1;
    if (argc != 3 || socketpair(AF_UNIX, SOCK_STREAM, 0, peers) != 0)
        return g_printerr("usage: %s SOURCE_DIRECTORY DESTINATION_DIRECTORY\n", argv[0]), 1;
    pid_t child = fork(); /* two processes, as on two hosts; before the library has a thread */
    close(peers[child != 0]);
    if (child == 0)
        return destination(peers[1], argv[2]);
    if (child > 0 && source(peers[0], argv[1]) == 0)
        waitpid(child, &status, 0);
    return status != 0;
}
