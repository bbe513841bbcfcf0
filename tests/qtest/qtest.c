/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The qtest protocol as libqtest and QEMU 7.2 speak it, one function per request; see qtest.h.
 * Where QEMU asserts on a malformed request, this answers FAIL with a reason.
 */
#include "qtest.h"
#include "keyval.h"
#include "papr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The most bytes one request can read, write or set. */
#define QTEST_SIZE_MAX (64u << 20)

struct QTest {
    Machine *machine;
    Migration *migration;
    Channel *channel;
    FILE *log;
    gint64 start;  /* of the log's times */
    int64_t clock; /* the virtual clock, in nanoseconds; nothing in the machine runs by it */
    bool intercepted;
    bool is_vcpu; /* the client stands still when the guest does */
    void (*closed)(void *opaque);
    void *opaque;
};

typedef struct Request {
    const char *name;
    unsigned arguments; /* it needs at least */
    unsigned width;     /* of an access, in bytes */
    void (*run)(QTest *qtest, const struct Request *request, char **arguments);
} Request;

/* ---- replies ---- */

static void log_line(QTest *qtest, char direction, const char *line)
{
    if (qtest->log) {
        double seconds = (double)(g_get_monotonic_time() - qtest->start) / G_USEC_PER_SEC;

        fprintf(qtest->log, "[%c +%f] %s\n", direction, seconds, line);
        fflush(qtest->log);
    }
}

static void send_line(QTest *qtest, const char *line)
{
    log_line(qtest, 'S', line);
    channel_send(qtest->channel, line);
}

G_GNUC_PRINTF(2, 3)
static void reply(QTest *qtest, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    send_line(qtest, line);
}

static bool get_number(QTest *qtest, const Request *request, const char *text, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = g_ascii_strtoull(text, &end, 0);
    if (end == text || *end || errno) {
        reply(qtest, "FAIL Invalid number '%s' in '%s'", text, request->name);
        return false;
    }
    return true;
}

static bool get_size(QTest *qtest, const Request *request, const char *text, size_t *size)
{
    uint64_t value;

    if (!get_number(qtest, request, text, &value)) {
        return false;
    }
    if (value > QTEST_SIZE_MAX) {
        reply(qtest, "FAIL Size '%s' in '%s' is above %u", text, request->name, QTEST_SIZE_MAX);
        return false;
    }
    *size = value;
    return true;
}

/* ---- memory ---- */

static void on_load(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t address;

    if (get_number(qtest, request, arguments[0], &address)) {
        reply(qtest, "OK 0x%016" PRIx64, machine_load(qtest->machine, address, request->width));
    }
}

static void on_store(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t address, value;

    if (get_number(qtest, request, arguments[0], &address) &&
        get_number(qtest, request, arguments[1], &value)) {
        machine_store(qtest->machine, address, request->width, value);
        reply(qtest, "OK");
    }
}

static uint8_t *read_memory(QTest *qtest, const Request *request, char **arguments, size_t *size)
{
    uint64_t address;

    if (!get_number(qtest, request, arguments[0], &address) ||
        !get_size(qtest, request, arguments[1], size)) {
        return NULL;
    }
    if (*size == 0) {
        reply(qtest, "FAIL Size in '%s' is 0", request->name);
        return NULL;
    }
    uint8_t *data = g_malloc(*size);

    machine_read(qtest->machine, address, data, *size);
    return data;
}

static void on_read(QTest *qtest, const Request *request, char **arguments)
{
    static const char digits[] = "0123456789abcdef";
    size_t size;
    g_autofree uint8_t *data = read_memory(qtest, request, arguments, &size);

    if (!data) {
        return;
    }
    GString *line = g_string_sized_new(2 * size + 8);

    g_string_append(line, "OK 0x");
    for (size_t i = 0; i < size; i++) {
        g_string_append_c(line, digits[data[i] >> 4]);
        g_string_append_c(line, digits[data[i] & 15]);
    }
    send_line(qtest, line->str);
    g_string_free(line, TRUE);
}

static void on_b64read(QTest *qtest, const Request *request, char **arguments)
{
    size_t size;
    g_autofree uint8_t *data = read_memory(qtest, request, arguments, &size);

    if (data) {
        g_autofree char *text = g_base64_encode(data, size);

        reply(qtest, "OK %s", text);
    }
}

/* The digits after 0x; what is not there, or is no digit, stays zero. */
static void decode_hex(const char *text, uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && text[0] && text[1]; i++, text += 2) {
        int high = g_ascii_xdigit_value(text[0]);
        int low = g_ascii_xdigit_value(text[1]);

        data[i] = (uint8_t)(high < 0 || low < 0 ? 0 : high << 4 | low);
    }
}

static void on_write(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t address;
    size_t size;

    if (!get_number(qtest, request, arguments[0], &address) ||
        !get_size(qtest, request, arguments[1], &size)) {
        return;
    }
    if (strlen(arguments[2]) < strlen("0x") + 1) {
        reply(qtest, "ERR invalid argument size");
        return;
    }
    g_autofree uint8_t *data = g_malloc0(size);

    decode_hex(arguments[2] + strlen("0x"), data, size);
    machine_write(qtest->machine, address, data, size);
    reply(qtest, "OK");
}

static void on_b64write(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t address;
    size_t size;
    gsize got;

    if (!get_number(qtest, request, arguments[0], &address) ||
        !get_size(qtest, request, arguments[1], &size)) {
        return;
    }
    g_autofree uint8_t *data = g_base64_decode(arguments[2], &got);

    machine_write(qtest->machine, address, data, MIN(got, size));
    reply(qtest, "OK");
}

static void on_memset(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t address, byte;
    size_t size;

    if (!get_number(qtest, request, arguments[0], &address) ||
        !get_size(qtest, request, arguments[1], &size) ||
        !get_number(qtest, request, arguments[2], &byte)) {
        return;
    }
    g_autofree uint8_t *data = g_malloc(size);

    if (size) {
        memset(data, (int)(byte & 0xFF), size);
        machine_write(qtest->machine, address, data, size);
    }
    reply(qtest, "OK");
}

/* ---- I/O ports, of which the machine has none ---- */

static void on_in(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t port;

    if (get_number(qtest, request, arguments[0], &port)) {
        reply(qtest, "OK 0x0000");
    }
}

static void on_out(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t port, value;

    if (get_number(qtest, request, arguments[0], &port) &&
        get_number(qtest, request, arguments[1], &value)) {
        reply(qtest, "OK");
    }
}

/* ---- interrupts ---- */

static void on_irq(void *opaque, unsigned line, bool level)
{
    reply(opaque, "IRQ %s %u", level ? "raise" : "lower", line);
}

/* A device is named by its path in QEMU's object tree, of which the last part will do here. */
static bool is_irq_controller(const QTest *qtest, const char *path)
{
    const char *slash = strrchr(path, '/');

    return strcmp(slash ? slash + 1 : path, machine_arch(qtest->machine)->irq_controller) == 0;
}

static void on_intercept_in(QTest *qtest, const Request *request, char **arguments)
{
    (void)request;
    if (!is_irq_controller(qtest, arguments[0])) {
        reply(qtest, "FAIL Unknown device");
        return;
    }
    qtest->intercepted = true;
    machine_watch_irq(qtest->machine, on_irq, qtest);
    reply(qtest, "OK");
}

/* The controller has no outputs: all that can be said is what was intercepted before. */
static void on_intercept_out(QTest *qtest, const Request *request, char **arguments)
{
    (void)request;
    if (!is_irq_controller(qtest, arguments[0])) {
        reply(qtest, "FAIL Unknown device");
    } else if (!qtest->intercepted) {
        reply(qtest, "FAIL No intercepts installed");
    } else {
        reply(qtest, "OK");
    }
}

static void on_set_irq_in(QTest *qtest, const Request *request, char **arguments)
{
    (void)request;
    if (!is_irq_controller(qtest, arguments[0])) {
        reply(qtest, "FAIL Unknown device");
    } else {
        reply(qtest, "FAIL No line '%s' of '%s' can be driven from here", arguments[1],
              arguments[0]);
    }
}

/* ---- hypercalls ---- */

/* hcall OPCODE [ARGUMENT...]: what the guest finds in register 3, as 64 bits. */
static void on_hcall(QTest *qtest, const Request *request, char **arguments)
{
    Papr *papr = machine_papr(qtest->machine);
    uint64_t given[PAPR_ARGUMENTS] = { 0 };
    uint64_t opcode;

    if (!papr) {
        reply(qtest, "FAIL This machine has no device that takes hypercalls");
        return;
    }
    if (!get_number(qtest, request, arguments[0], &opcode)) {
        return;
    }
    for (unsigned i = 0; i < PAPR_ARGUMENTS && arguments[i + 1]; i++) {
        if (!get_number(qtest, request, arguments[i + 1], &given[i])) {
            return;
        }
    }
    reply(qtest, "OK 0x%016" PRIx64, (uint64_t)papr_hcall(papr, opcode, given));
}

/* ---- standing still ---- */

static void on_run_changed(void *opaque, bool runs)
{
    QTest *qtest = opaque;

    if (qtest->is_vcpu) {
        channel_hold(qtest->channel, !runs);
    }
}

/*
 * vcpu: the client is a processor of the guest from now on. What it asks for while the guest stands
 * still is done when the guest goes on here, so that each request is either done or not.
 */
static void on_vcpu(QTest *qtest, const Request *request, char **arguments)
{
    (void)request;
    (void)arguments;
    reply(qtest, "OK");
    qtest->is_vcpu = true;
    on_run_changed(qtest, migration_run_status(qtest->migration) == RUN_RUNNING);
}

/* ---- the rest ---- */

static void on_endianness(QTest *qtest, const Request *request, char **arguments)
{
    (void)request;
    (void)arguments;
    reply(qtest, "OK %s", machine_arch(qtest->machine)->endianness);
}

static void on_clock_step(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t step;

    if (!arguments[0]) {
        reply(qtest, "FAIL No timer is pending; say how many nanoseconds to step");
        return;
    }
    if (!get_number(qtest, request, arguments[0], &step)) {
        return;
    }
    if (step > (uint64_t)(INT64_MAX - qtest->clock)) {
        reply(qtest, "FAIL The clock is at %" PRIi64 " and ends at %" PRIi64, qtest->clock,
              INT64_MAX);
        return;
    }
    qtest->clock += (int64_t)step;
    reply(qtest, "OK %" PRIi64, qtest->clock);
}

static void on_clock_set(QTest *qtest, const Request *request, char **arguments)
{
    uint64_t value;

    if (!get_number(qtest, request, arguments[0], &value)) {
        return;
    }
    if (value > INT64_MAX || (int64_t)value < qtest->clock) {
        reply(qtest, "FAIL The clock is at %" PRIi64 " and only goes forward", qtest->clock);
        return;
    }
    qtest->clock = (int64_t)value;
    reply(qtest, "OK %" PRIi64, qtest->clock);
}

static const Request requests[] = {
    { "endianness", 0, 0, on_endianness },
    { "readb", 1, 1, on_load },
    { "readw", 1, 2, on_load },
    { "readl", 1, 4, on_load },
    { "readq", 1, 8, on_load },
    { "writeb", 2, 1, on_store },
    { "writew", 2, 2, on_store },
    { "writel", 2, 4, on_store },
    { "writeq", 2, 8, on_store },
    { "read", 2, 0, on_read },
    { "write", 3, 0, on_write },
    { "b64read", 2, 0, on_b64read },
    { "b64write", 3, 0, on_b64write },
    { "memset", 3, 0, on_memset },
    { "inb", 1, 1, on_in },
    { "inw", 1, 2, on_in },
    { "inl", 1, 4, on_in },
    { "outb", 2, 1, on_out },
    { "outw", 2, 2, on_out },
    { "outl", 2, 4, on_out },
    { "irq_intercept_in", 1, 0, on_intercept_in },
    { "irq_intercept_out", 1, 0, on_intercept_out },
    { "set_irq_in", 4, 0, on_set_irq_in },
    { "hcall", 1, 0, on_hcall },
    { "vcpu", 0, 0, on_vcpu },
    { "clock_step", 0, 0, on_clock_step },
    { "clock_set", 1, 0, on_clock_set },
};

static void on_line(void *opaque, char *line)
{
    QTest *qtest = opaque;
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    guint count = g_strv_length(words);

    log_line(qtest, 'R', line);
    if (count == 0 || !*words[0]) {
        return; /* a blank line has no reply */
    }
    for (gsize i = 0; i < G_N_ELEMENTS(requests); i++) {
        const Request *request = &requests[i];

        if (strcmp(words[0], request->name) != 0) {
            continue;
        }
        if (count - 1 < request->arguments) {
            reply(qtest, "FAIL '%s' needs %u arguments", request->name, request->arguments);
        } else {
            request->run(qtest, request, words + 1);
        }
        return;
    }
    reply(qtest, "FAIL Unknown command '%s'", words[0]);
}

/* ---- life ---- */

static void on_opened(void *opaque)
{
    (void)opaque;
}

static void forget_client(QTest *qtest)
{
    qtest->intercepted = qtest->is_vcpu = false;
    machine_watch_irq(qtest->machine, NULL, NULL);
}

static void on_closed(void *opaque)
{
    QTest *qtest = opaque;

    forget_client(qtest);
    channel_hold(qtest->channel, false);
    if (!channel_listens(qtest->channel)) {
        qtest->closed(qtest->opaque);
    }
}

static const ChannelHandler handler = { on_opened, on_line, on_closed };

QTest *qtest_new(Machine *machine, Migration *migration, const Chardev *chardev, const char *log,
                 void (*closed)(void *opaque), void *opaque, GError **error)
{
    QTest *qtest = g_new0(QTest, 1);

    qtest->machine = machine;
    qtest->migration = migration;
    qtest->closed = closed;
    qtest->opaque = opaque;
    qtest->start = g_get_monotonic_time();
    if (log && strcmp(log, "none") != 0) {
        qtest->log = fopen(log, "we");
        if (!qtest->log) {
            g_set_error(error, MACHINE_ERROR, 0, "-qtest-log %s: %s", log, g_strerror(errno));
            g_free(qtest);
            return NULL;
        }
    }
    qtest->channel = channel_open(chardev, &handler, qtest, error);
    if (!qtest->channel) {
        qtest_free(qtest);
        return NULL;
    }
    migration_watch_run(migration, on_run_changed, qtest);
    return qtest;
}

void qtest_free(QTest *qtest)
{
    if (qtest) {
        forget_client(qtest);
        migration_watch_run(qtest->migration, NULL, NULL);
        channel_free(qtest->channel);
        if (qtest->log) {
            fclose(qtest->log);
        }
        g_free(qtest);
    }
}
