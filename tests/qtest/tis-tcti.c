/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tpmdev-tis-tcti SOCKET: real TPM software on the machine's TPM. It reads TPM commands on
 * standard input, plays the guest's TIS driver over the machine's qtest socket, and writes the
 * responses to standard output, as tss2's `cmd` TCTI wants it:
 *
 *   tpm2_getrandom -T "cmd:exec tpmdev-tis-tcti SOCKET" --hex 8
 *
 * The driver takes the steps of Linux's tpm_tis_core, in its order and with its checks (TCG PC
 * Client Platform TPM Profile, "State Transition Diagram"): request the locality, commandReady,
 * all bytes but the last by burst count, Expect, the last one, no Expect, tpmGo, dataAvail, the
 * header, the rest, no dataAvail, commandReady, relinquish.
 *
 * Neighbours: qtest.c of the machine at the other end of the socket.
 */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tpmdev/tpmdev.h>

/* Of locality 0. */
#define TPM_ACCESS    (TPM_BASE_ADDRESS + 0x00u)
#define TPM_STS       (TPM_BASE_ADDRESS + 0x18u)
#define TPM_DATA_FIFO (TPM_BASE_ADDRESS + 0x24u)

#define ACCESS_VALID           0x80u
#define ACCESS_ACTIVE_LOCALITY 0x20u
#define ACCESS_REQUEST_USE     0x02u

#define STS_VALID         0x80u
#define STS_COMMAND_READY 0x40u
#define STS_GO            0x20u
#define STS_DATA_AVAIL    0x10u
#define STS_EXPECT        0x08u

/* Linux's durations: B for the interface, and the longest of a command. */
#define TIMEOUT_S  4
#define DURATION_S 300

/* How long Linux sleeps between two looks at a command under way. */
#define POLL_US 100

typedef struct Driver {
    GSocketConnection *connection;
    GDataInputStream *replies;
    GOutputStream *requests;
    GError *error; /* the first one; nothing is done after it */
} Driver;

G_GNUC_PRINTF(2, 3)
static void fail(Driver *driver, const char *format, ...)
{
    va_list arguments;

    if (!driver->error) {
        va_start(arguments, format);
        driver->error = g_error_new_valist(G_IO_ERROR, G_IO_ERROR_FAILED, format, arguments);
        va_end(arguments);
    }
}

/* ---- registers ---- */

/* One request and its reply; returns the number after OK, if there is one. */
G_GNUC_PRINTF(2, 3)
static uint32_t ask(Driver *driver, const char *format, ...)
{
    va_list arguments;

    if (driver->error) {
        return 0;
    }
    va_start(arguments, format);
    g_autofree char *request = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (!g_output_stream_write_all(driver->requests, request, strlen(request), NULL, NULL,
                                   &driver->error)) {
        return 0;
    }
    g_autofree char *reply =
        g_data_input_stream_read_line(driver->replies, NULL, NULL, &driver->error);

    if (!reply || !g_str_has_prefix(reply, "OK")) {
        fail(driver, "the machine answers '%s' to %s", reply ? reply : "", g_strchomp(request));
        return 0;
    }
    return (uint32_t)g_ascii_strtoull(reply + strlen("OK"), NULL, 0);
}

static uint8_t read8(Driver *driver, uint32_t address)
{
    return (uint8_t)ask(driver, "readb 0x%" PRIx32 "\n", address);
}

static uint32_t read32(Driver *driver, uint32_t address)
{
    return ask(driver, "readl 0x%" PRIx32 "\n", address);
}

static void write8(Driver *driver, uint32_t address, uint8_t value)
{
    ask(driver, "writeb 0x%" PRIx32 " 0x%x\n", address, value);
}

static void wait_for(Driver *driver, uint32_t address, uint8_t mask, uint8_t value, int seconds,
                     const char *what)
{
    gint64 deadline = g_get_monotonic_time() + seconds * G_TIME_SPAN_SECOND;

    while (!driver->error && (read8(driver, address) & mask) != value) {
        if (g_get_monotonic_time() > deadline) {
            fail(driver, "no %s within %d s", what, seconds);
            return;
        }
        g_usleep(POLL_US);
    }
}

static void expect_now(Driver *driver, uint8_t mask, uint8_t value, const char *what)
{
    uint8_t sts = read8(driver, TPM_STS);

    if (!driver->error && (sts & mask) != value) {
        fail(driver, "STS is 0x%02x: %s", sts, what);
    }
}

static size_t burst_count(Driver *driver)
{
    gint64 deadline = g_get_monotonic_time() + TIMEOUT_S * G_TIME_SPAN_SECOND;
    size_t burst;

    do {
        burst = read32(driver, TPM_STS) >> 8 & 0xFFFF;
        if (burst == 0 && g_get_monotonic_time() > deadline) {
            fail(driver, "the burst count stays 0");
        }
    } while (burst == 0 && !driver->error);
    return burst;
}

/* ---- a command ---- */

static void request_locality(Driver *driver)
{
    write8(driver, TPM_ACCESS, ACCESS_REQUEST_USE);
    wait_for(driver, TPM_ACCESS, ACCESS_VALID | ACCESS_ACTIVE_LOCALITY | ACCESS_REQUEST_USE,
             ACCESS_VALID | ACCESS_ACTIVE_LOCALITY, TIMEOUT_S, "grant of the locality");
    if (!(read8(driver, TPM_STS) & STS_COMMAND_READY)) {
        write8(driver, TPM_STS, STS_COMMAND_READY);
        wait_for(driver, TPM_STS, STS_COMMAND_READY, STS_COMMAND_READY, TIMEOUT_S, "commandReady");
    }
}

static void send_bytes(Driver *driver, const uint8_t *data, size_t size)
{
    while (size && !driver->error) {
        size_t burst = MIN(burst_count(driver), size);

        for (size_t i = 0; i < burst; i++) {
            write8(driver, TPM_DATA_FIFO, data[i]);
        }
        data += burst;
        size -= burst;
    }
}

static void send_command(Driver *driver, const uint8_t *command, size_t size)
{
    send_bytes(driver, command, size - 1);
    wait_for(driver, TPM_STS, STS_VALID, STS_VALID, TIMEOUT_S, "stsValid");
    expect_now(driver, STS_EXPECT, STS_EXPECT, "the TPM expects no last byte");
    write8(driver, TPM_DATA_FIFO, command[size - 1]);
    wait_for(driver, TPM_STS, STS_VALID, STS_VALID, TIMEOUT_S, "stsValid");
    expect_now(driver, STS_EXPECT, 0, "the TPM expects more than the command");
    write8(driver, TPM_STS, STS_GO);
    wait_for(driver, TPM_STS, STS_VALID | STS_DATA_AVAIL, STS_VALID | STS_DATA_AVAIL, DURATION_S,
             "response");
}

static void receive_bytes(Driver *driver, uint8_t *data, size_t size)
{
    while (size && !driver->error) {
        expect_now(driver, STS_DATA_AVAIL, STS_DATA_AVAIL, "the response is too short");
        size_t burst = MIN(burst_count(driver), size);

        for (size_t i = 0; i < burst; i++) {
            data[i] = read8(driver, TPM_DATA_FIFO);
        }
        data += burst;
        size -= burst;
    }
}

static size_t size_in_header(const uint8_t *header)
{
    uint32_t size;

    memcpy(&size, header + 2, sizeof(size));
    return GUINT32_FROM_BE(size);
}

static size_t receive_response(Driver *driver, uint8_t *response)
{
    receive_bytes(driver, response, TPM_HEADER_SIZE);
    size_t size = size_in_header(response);

    if (size < TPM_HEADER_SIZE || size > TPM_BUFFER_SIZE_MAX) {
        fail(driver, "the response says it has %zu bytes", size);
        return 0;
    }
    receive_bytes(driver, response + TPM_HEADER_SIZE, size - TPM_HEADER_SIZE);
    wait_for(driver, TPM_STS, STS_VALID, STS_VALID, TIMEOUT_S, "stsValid");
    expect_now(driver, STS_DATA_AVAIL, 0, "data is left over after the response");
    return size;
}

static size_t carry_out(Driver *driver, uint8_t *buffer, size_t size)
{
    request_locality(driver);
    send_command(driver, buffer, size);
    size = receive_response(driver, buffer);
    write8(driver, TPM_STS, STS_COMMAND_READY);
    write8(driver, TPM_ACCESS, ACCESS_ACTIVE_LOCALITY);
    return size;
}

/* ---- the program ---- */

static bool connect_machine(Driver *driver, const char *path)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);

    driver->connection =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, &driver->error);
    if (!driver->connection) {
        return false;
    }
    driver->requests = g_io_stream_get_output_stream(G_IO_STREAM(driver->connection));
    driver->replies =
        g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(driver->connection)));
    ask(driver, "endianness\n");
    return !driver->error;
}

/* A whole command from standard input; 0 at its end. */
static size_t read_command(Driver *driver, uint8_t *command)
{
    size_t got = fread(command, 1, TPM_HEADER_SIZE, stdin);

    if (got == 0) {
        return 0;
    }
    size_t size = got == TPM_HEADER_SIZE ? size_in_header(command) : 0;

    if (size < TPM_HEADER_SIZE || size > TPM_BUFFER_SIZE_MAX ||
        fread(command + TPM_HEADER_SIZE, 1, size - TPM_HEADER_SIZE, stdin) !=
            size - TPM_HEADER_SIZE) {
        fail(driver, "standard input holds no whole TPM command");
        return 0;
    }
    return size;
}

int main(int argc, char **argv)
{
    Driver driver = { 0 };
    uint8_t buffer[TPM_BUFFER_SIZE_MAX];
    size_t size;

    if (argc != 2) {
        g_printerr("usage: %s SOCKET\nSOCKET is that of a machine started with "
                   "-qtest unix:SOCKET,server=on\n",
                   argv[0]);
        return EXIT_FAILURE;
    }
    bool connected = connect_machine(&driver, argv[1]);

    while (connected && (size = read_command(&driver, buffer)) > 0) {
        size = carry_out(&driver, buffer, size);
        if (driver.error || fwrite(buffer, 1, size, stdout) != size || fflush(stdout)) {
            break;
        }
    }
    if (driver.error) {
        g_printerr("%s: %s: %s\n", argv[0], argv[1], driver.error->message);
    }
    bool good = !driver.error;

    g_clear_object(&driver.replies);
    g_clear_object(&driver.connection);
    g_clear_error(&driver.error);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
