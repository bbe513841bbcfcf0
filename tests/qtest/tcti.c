/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tpmdev-tcti [--crb] SOCKET: real TPM software on the machine's TPM. It reads TPM commands on
 * standard input, plays the guest's TIS or CRB driver over the machine's qtest socket, and writes
 * the responses to standard output, as tss2's `cmd` TCTI wants it:
 *
 *   tpm2_getrandom -T "cmd:exec tpmdev-tcti SOCKET" --hex 8
 *
 * Neighbours: tcti-tis.c and tcti-crb.c, the drivers; qtest.c of the machine at the other end of
 * the socket.
 */
#include "tcti.h"

#include <gio/gunixsocketaddress.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long Linux sleeps between two looks at a command under way. */
#define POLL_US 100

void driver_fail(Driver *driver, const char *format, ...)
{
    va_list arguments;

    if (!driver->error) {
        va_start(arguments, format);
        driver->error = g_error_new_valist(G_IO_ERROR, G_IO_ERROR_FAILED, format, arguments);
        va_end(arguments);
    }
}

/* ---- accesses ---- */

/* One request and what follows OK in its reply; NULL after an error. */
static char *ask(Driver *driver, const char *request)
{
    if (driver->error || !g_output_stream_write_all(driver->requests, request, strlen(request),
                                                    NULL, NULL, &driver->error)) {
        return NULL;
    }
    g_autofree char *reply =
        g_data_input_stream_read_line(driver->replies, NULL, NULL, &driver->error);

    if (!reply || !g_str_has_prefix(reply, "OK")) {
        driver_fail(driver, "the machine answers '%s' to %.40s", reply ? reply : "", request);
        return NULL;
    }
    return g_strdup(g_strchug(reply + strlen("OK")));
}

static uint32_t read_number(Driver *driver, char width, uint64_t address)
{
    g_autofree char *request = g_strdup_printf("read%c 0x%" PRIx64 "\n", width, address);
    g_autofree char *number = ask(driver, request);

    return number ? (uint32_t)g_ascii_strtoull(number, NULL, 0) : 0;
}

static void write_number(Driver *driver, char width, uint64_t address, uint32_t value)
{
    g_autofree char *request =
        g_strdup_printf("write%c 0x%" PRIx64 " 0x%" PRIx32 "\n", width, address, value);

    g_free(ask(driver, request));
}

uint8_t driver_read8(Driver *driver, uint64_t address)
{
    return (uint8_t)read_number(driver, 'b', address);
}

uint32_t driver_read32(Driver *driver, uint64_t address)
{
    return read_number(driver, 'l', address);
}

void driver_write8(Driver *driver, uint64_t address, uint8_t value)
{
    write_number(driver, 'b', address, value);
}

void driver_write32(Driver *driver, uint64_t address, uint32_t value)
{
    write_number(driver, 'l', address, value);
}

void driver_read_bytes(Driver *driver, uint64_t address, uint8_t *data, size_t size)
{
    g_autofree char *request = g_strdup_printf("b64read 0x%" PRIx64 " %zu\n", address, size);
    g_autofree char *text = ask(driver, request);
    gsize got = 0;
    g_autofree guchar *bytes = text ? g_base64_decode(text, &got) : NULL;

    if (got == size) {
        memcpy(data, bytes, size);
    } else {
        driver_fail(driver, "the machine gives %" G_GSIZE_FORMAT " bytes instead of %zu", got,
                    size);
    }
}

void driver_write_bytes(Driver *driver, uint64_t address, const uint8_t *data, size_t size)
{
    g_autofree char *text = g_base64_encode(data, size);
    g_autofree char *request =
        g_strdup_printf("b64write 0x%" PRIx64 " %zu %s\n", address, size, text);

    g_free(ask(driver, request));
}

void driver_wait_for(Driver *driver, uint64_t address, uint8_t mask, uint8_t value, int seconds,
                     const char *what)
{
    gint64 deadline = g_get_monotonic_time() + seconds * G_TIME_SPAN_SECOND;

    while (!driver->error && (driver_read8(driver, address) & mask) != value) {
        if (g_get_monotonic_time() > deadline) {
            driver_fail(driver, "no %s within %d s", what, seconds);
            return;
        }
        g_usleep(POLL_US);
    }
}

/* ---- headers ---- */

size_t tcti_size_in_header(const uint8_t *header)
{
    uint32_t size;

    memcpy(&size, header + 2, sizeof(size));
    return GUINT32_FROM_BE(size);
}

size_t tcti_response_size(Driver *driver, const uint8_t *header)
{
    size_t size = driver->error ? 0 : tcti_size_in_header(header);

    if (size < TPM_HEADER_SIZE || size > TPM_BUFFER_SIZE_MAX) {
        driver_fail(driver, "the response says it has %zu bytes", size);
        return 0;
    }
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
    g_free(ask(driver, "endianness\n"));
    return !driver->error;
}

/* A whole command from standard input; 0 at its end. */
static size_t read_command(Driver *driver, uint8_t *command)
{
    size_t got = fread(command, 1, TPM_HEADER_SIZE, stdin);

    if (got == 0) {
        return 0;
    }
    size_t size = got == TPM_HEADER_SIZE ? tcti_size_in_header(command) : 0;

    if (size < TPM_HEADER_SIZE || size > TPM_BUFFER_SIZE_MAX ||
        fread(command + TPM_HEADER_SIZE, 1, size - TPM_HEADER_SIZE, stdin) !=
            size - TPM_HEADER_SIZE) {
        driver_fail(driver, "standard input holds no whole TPM command");
        return 0;
    }
    return size;
}

int main(int argc, char **argv)
{
    Driver driver = { 0 };
    uint8_t buffer[TPM_BUFFER_SIZE_MAX];
    size_t size;
    bool crb = argc == 3 && strcmp(argv[1], "--crb") == 0;

    if (argc != 2 && !crb) {
        g_printerr("usage: %s [--crb] SOCKET\nSOCKET is that of a machine started with "
                   "-qtest unix:SOCKET,server=on\n--crb is for one with -device tpm-crb\n",
                   argv[0]);
        return EXIT_FAILURE;
    }
    const char *socket = argv[argc - 1];
    bool connected = connect_machine(&driver, socket);

    while (connected && (size = read_command(&driver, buffer)) > 0) {
        size = crb ? crb_carry_out(&driver, buffer, size) : tis_carry_out(&driver, buffer, size);
        if (driver.error || fwrite(buffer, 1, size, stdout) != size || fflush(stdout)) {
            break;
        }
    }
    if (driver.error) {
        g_printerr("%s: %s: %s\n", argv[0], socket, driver.error->message);
    }
    bool good = !driver.error;

    g_clear_object(&driver.replies);
    g_clear_object(&driver.connection);
    g_clear_error(&driver.error);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
