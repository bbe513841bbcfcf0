/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TIS driver over direct calls; see tis-guest.h. It goes through the FIFO byte by byte and looks
 * at TPM_STS where Linux's does, which is the most accesses a guest is known to make for a
 * command. It differs in one thing: it does not sleep between two looks at the status.
 */
#include "tis-guest.h"
#include "command.h"
#include "tis-regs.h"

#define STS_RESPONSE (TIS_STS_VALID | TIS_STS_DATA_AVAIL)

static uint32_t read_sts(TisGuest *guest)
{
    uint64_t value;

    tpmdev_device_read(guest->device, TIS_STS, 4, &value);
    return (uint32_t)value;
}

static void write_sts(TisGuest *guest, uint32_t value)
{
    tpmdev_device_write(guest->device, TIS_STS, 4, value);
}

static size_t burst_count(TisGuest *guest)
{
    return read_sts(guest) >> TIS_STS_BURST_COUNT_SHIFT & 0xFFFF;
}

bool tis_guest_open(TisGuest *guest, TPMBackend *backend, int64_t window_ns)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    GError *error = NULL;

    config.completion_window_ns = window_ns;
    guest->device = tpmdev_device_new(&config, backend, NULL, NULL, &error);
    tpmdev_backend_unref(backend);
    if (!guest->device) {
        bench_fail("%s", error->message);
        g_clear_error(&error);
        return false;
    }
    tis_guest_request_use(guest);
    return tis_guest_run(guest, &bench_startup);
}

void tis_guest_close(TisGuest *guest)
{
    guest->device = tpmdev_device_free(guest->device);
}

bool tis_guest_wait(TisGuest *guest, uint32_t bits, uint32_t value)
{
    int64_t deadline = 0;

    for (unsigned looks = 1; (read_sts(guest) & bits) != value; looks++) {
        /* The clock is for what went wrong, and must not slow what is measured. */
        if (looks % 1024 == 0) {
            deadline = deadline ? deadline : bench_deadline_ns();
            if (bench_now_ns() > deadline) {
                return bench_fail("TPM_STS is %08X; awaited was %08X in bits %08X", read_sts(guest),
                                  value, bits);
            }
        }
    }
    return true;
}

void tis_guest_request_use(TisGuest *guest)
{
    tpmdev_device_write(guest->device, TIS_ACCESS, 1, TIS_ACCESS_REQUEST_USE);
}

bool tis_guest_load(TisGuest *guest, const BenchCommand *command)
{
    size_t sent = 0;

    if (!(read_sts(guest) & TIS_STS_COMMAND_READY)) {
        write_sts(guest, TIS_STS_COMMAND_READY);
        if (!tis_guest_wait(guest, TIS_STS_COMMAND_READY, TIS_STS_COMMAND_READY)) {
            return false;
        }
    }
    while (sent < command->size - 1) {
        size_t end = MIN(sent + burst_count(guest), command->size - 1);

        while (sent < end) {
            tpmdev_device_write(guest->device, TIS_DATA_FIFO, 1, command->bytes[sent++]);
        }
        if (!tis_guest_wait(guest, TIS_STS_VALID | TIS_STS_EXPECT,
                            TIS_STS_VALID | TIS_STS_EXPECT)) {
            return false;
        }
    }
    tpmdev_device_write(guest->device, TIS_DATA_FIFO, 1, command->bytes[sent]);
    return tis_guest_wait(guest, TIS_STS_VALID | TIS_STS_EXPECT, TIS_STS_VALID);
}

void tis_guest_go(TisGuest *guest)
{
    write_sts(guest, TIS_STS_TPM_GO);
}

static bool read_fifo(TisGuest *guest, size_t end)
{
    while (guest->size < end) {
        if (!tis_guest_wait(guest, STS_RESPONSE, STS_RESPONSE)) {
            return false;
        }
        size_t burst_end = MIN(guest->size + burst_count(guest), end);

        while (guest->size < burst_end) {
            uint64_t byte;

            tpmdev_device_read(guest->device, TIS_DATA_FIFO, 1, &byte);
            guest->response[guest->size++] = (uint8_t)byte;
        }
    }
    return true;
}

bool tis_guest_receive(TisGuest *guest)
{
    guest->size = 0;
    if (!tis_guest_wait(guest, STS_RESPONSE, STS_RESPONSE) || !read_fifo(guest, TPM_HEADER_SIZE)) {
        return false;
    }
    size_t whole = tpm_header_len(guest->response);

    if (whole < TPM_HEADER_SIZE || whole > sizeof(guest->response)) {
        return bench_fail("a response says it has %zu bytes", whole);
    }
    if (!read_fifo(guest, whole) || !tis_guest_wait(guest, STS_RESPONSE, TIS_STS_VALID)) {
        return false;
    }
    write_sts(guest, TIS_STS_COMMAND_READY);
    return true;
}

bool tis_guest_run(void *self, const BenchCommand *command)
{
    TisGuest *guest = self;

    if (!tis_guest_load(guest, command)) {
        return false;
    }
    tis_guest_go(guest);
    return tis_guest_receive(guest) &&
           bench_response_is_good(command, guest->response, guest->size);
}

void tis_guest_counters(const TisGuest *guest, uint64_t *commands, uint64_t *inline_completions)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_device_get_statistics(guest->device, &statistics);
    *commands = statistics.commands;
    *inline_completions = statistics.inline_completions;
}
