/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device of the library inside the guest, and a driver of its registers; see nested-tpm.h. The
 * numbers are those of the TCG PC Client Platform TPM Profile, written out once more: a driver that
 * shared the model's would share its mistakes.
 *
 * Neighbours: guest-nested.c; below it the library's passthrough.c, the guest's kernel, and the
 * device of the library under the guest.
 */
#include "nested-tpm.h"

#include <errno.h>
#include <string.h>

/* TIS: TPM_ACCESS, TPM_STS and the FIFO. */
#define TIS_ACCESS 0x00u
#define TIS_STS    0x18u
#define TIS_FIFO   0x24u

#define ACCESS_REQUEST 0x02u
#define ACCESS_ACTIVE  0x20u
#define STS_CANCEL     0x01000000u
#define STS_VALID      0x80u
#define STS_READY      0x40u
#define STS_GO         0x20u
#define STS_DATA_AVAIL 0x10u
#define STS_RESPONSE   (STS_VALID | STS_DATA_AVAIL)
#define STS_EXPECT     0x08u

/* CRB: locality, control area and buffer. */
#define CRB_LOC_CTRL 0x08u
#define CRB_LOC_STS  0x0Cu
#define CRB_REQ      0x40u
#define CRB_CANCEL   0x48u
#define CRB_START    0x4Cu
#define CRB_BUFFER   0x80u

#define LOC_CTRL_REQUEST 1u
#define LOC_STS_GRANTED  1u
#define REQ_READY        1u

#define HEADER_SIZE 10u

/* For what hangs: a command may take as long as a key generation under emulation. */
#define DEADLINE_S 60

static struct {
    TPMDevice *device;
    bool is_crb;
    unsigned locality;
} nested;

/* ---- registers ---- */

static uint32_t get(uint32_t offset, unsigned width)
{
    uint64_t value;

    tpmdev_device_read(nested.device, nested.locality * 0x1000 + offset, width, &value);
    return (uint32_t)value;
}

static void put(uint32_t offset, unsigned width, uint32_t value)
{
    tpmdev_device_write(nested.device, nested.locality * 0x1000 + offset, width, value);
}

/* Wait until the bits have this value, as a driver does; false after the deadline. */
static bool wait_for(uint32_t offset, uint32_t bits, uint32_t value)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;

    while ((get(offset, 4) & bits) != value) {
        if (g_get_monotonic_time() > deadline) {
            errno = ETIMEDOUT;
            return false;
        }
        g_usleep(100);
    }
    return true;
}

/* ---- commands ---- */

static bool request_locality(void)
{
    if (nested.is_crb) {
        put(CRB_LOC_CTRL, 4, LOC_CTRL_REQUEST);
        return wait_for(CRB_LOC_STS, LOC_STS_GRANTED, LOC_STS_GRANTED);
    }
    put(TIS_ACCESS, 1, ACCESS_REQUEST);
    return (get(TIS_ACCESS, 1) & ACCESS_ACTIVE) != 0;
}

static bool start_crb(const TPMMessage *command)
{
    put(CRB_REQ, 4, REQ_READY);
    if (!wait_for(CRB_REQ, REQ_READY, 0)) {
        return false;
    }
    for (unsigned i = 0; i < command->size; i++) {
        put(CRB_BUFFER + i, 1, command->data[i]);
    }
    put(CRB_START, 4, 1);
    return true;
}

static bool start_tis(const TPMMessage *command)
{
    put(TIS_STS, 4, STS_READY);
    if (!wait_for(TIS_STS, STS_READY, STS_READY)) {
        return false;
    }
    for (unsigned i = 0; i < command->size; i++) {
        put(TIS_FIFO, 1, command->data[i]);
    }
    if (!wait_for(TIS_STS, STS_VALID | STS_EXPECT, STS_VALID)) {
        return false;
    }
    put(TIS_STS, 4, STS_GO);
    return true;
}

bool nested_start(TPMMessage *command)
{
    tpm_command_end(command);
    return request_locality() && (nested.is_crb ? start_crb(command) : start_tis(command));
}

static bool wait_response(void)
{
    return nested.is_crb ? wait_for(CRB_START, 1, 0)
                         : wait_for(TIS_STS, STS_RESPONSE, STS_RESPONSE);
}

bool nested_has_response(void)
{
    return nested.is_crb ? get(CRB_START, 4) == 0
                         : (get(TIS_STS, 4) & STS_RESPONSE) == STS_RESPONSE;
}

static uint8_t response_byte(unsigned i)
{
    return (uint8_t)(nested.is_crb ? get(CRB_BUFFER + i, 1) : get(TIS_FIFO, 1));
}

static unsigned length_of(const TPMMessage *response)
{
    const uint8_t *length = response->data + 2;

    return (unsigned)length[0] << 24 | (unsigned)length[1] << 16 | (unsigned)length[2] << 8 |
           length[3];
}

uint32_t nested_finish(TPMMessage *response)
{
    unsigned size = HEADER_SIZE;

    response->size = response->at = 0;
    if (!wait_response()) {
        return TPM_CHAR_NO_RESPONSE;
    }
    for (unsigned i = 0; i < size; i++) {
        response->data[i] = response_byte(i);
        if (i + 1 == HEADER_SIZE) {
            size = CLAMP(length_of(response), HEADER_SIZE, sizeof(response->data));
        }
    }
    response->size = size;
    if (!nested.is_crb) {
        put(TIS_STS, 4, STS_READY);
    }
    tpm_get_u16(response); /* tag */
    tpm_get_u32(response); /* size */
    return tpm_get_u32(response);
}

uint32_t tpm_char_run(int fd, TPMMessage *command, TPMMessage *response)
{
    (void)fd; /* there is one device */
    return nested_start(command) ? nested_finish(response) : TPM_CHAR_NO_RESPONSE;
}

int tpm_char_open(const char *path)
{
    (void)path;
    errno = ENOTSUP; /* the kernel's devices are not what is checked here */
    return -1;
}

/* ---- what goes on meanwhile ---- */

void nested_cancel(void)
{
    if (nested.is_crb) {
        put(CRB_CANCEL, 4, 1);
    } else {
        put(TIS_STS, 4, STS_CANCEL);
    }
}

void nested_abort(void)
{
    put(TIS_STS, 4, STS_READY);
}

bool nested_wait_ready(void)
{
    return wait_for(TIS_STS, STS_READY, STS_READY);
}

/* ---- life ---- */

TPMBackend *nested_backend_new(const char *path, char **wrong)
{
    TPMPassthroughConfig config = { .size = sizeof(config), .id = "nested", .path = path };
    GError *error = NULL;
    TPMBackend *backend = tpmdev_backend_passthrough_new(&config, &error);

    if (!backend) {
        *wrong = g_strdup(error->message);
        g_error_free(error);
    }
    return backend;
}

char *nested_plug(TPMBackend *backend, TPMInterface interface)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    GError *error = NULL;
    char *wrong = NULL;

    nested_unplug();
    config.interface = interface;
    nested.is_crb = interface == TPM_INTERFACE_CRB;
    nested.device = tpmdev_device_new(&config, backend, NULL, NULL, &error);
    if (!nested.device || !tpmdev_device_wait_ready(
                              nested.device, DEADLINE_S * G_GINT64_CONSTANT(1000000000), &error)) {
        wrong = g_strdup(error->message);
        g_error_free(error);
    }
    return wrong;
}

void nested_unplug(void)
{
    nested.device = tpmdev_device_free(nested.device);
    nested.locality = 0;
}

TPMDevice *nested_device(void)
{
    return nested.device;
}

void nested_set_locality(unsigned locality)
{
    if (!nested.is_crb) {
        put(TIS_ACCESS, 1, ACCESS_ACTIVE); /* gives the device up */
    }
    nested.locality = locality;
}

void nested_reset(void)
{
    tpmdev_device_reset(nested.device);
}
