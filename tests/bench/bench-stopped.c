/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long register accesses take while swtpm is stopped in the middle of a command: every
 * register, reads and writes, tpmGo with its completion window, cancel, abort and reset. Aim: each
 * under a millisecond. That each returns, and that commands complete once swtpm goes on, is
 * asserted; the times are printed.
 *
 * Beside the time that passed stands the time the thread had a processor: on a busy machine the
 * first one holds what others took.
 */
#include "command.h"
#include "swtpm-process.h"
#include "tis-guest.h"
#include "tis-regs.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define MILLISECOND_NS 1000000

typedef enum Kind { KIND_READ, KIND_WRITE, KIND_GO, KIND_CANCEL, KIND_RESET, KINDS } Kind;

static const char *const kind_names[KINDS] = {
    "register reads",
    "register writes",
    "tpmGo, with the completion window",
    "commandCancel and commandReady",
    "device reset",
};

typedef struct Watch {
    SwtpmProcess swtpm;
    TisGuest guest;
    uint32_t random; /* state of the generator */
    BenchSamples wall[KINDS];
    int64_t cpu_max[KINDS];
} Watch;

/* ---- timed accesses ---- */

typedef struct Clock {
    int64_t wall;
    int64_t cpu;
} Clock;

static Clock clock_start(void)
{
    Clock clock = { .cpu = bench_thread_ns() };

    clock.wall = bench_now_ns();
    return clock;
}

static void clock_stop(Watch *watch, Kind kind, const Clock *start)
{
    int64_t wall = bench_now_ns() - start->wall;
    int64_t cpu = bench_thread_ns() - start->cpu;

    bench_samples_add(&watch->wall[kind], wall);
    watch->cpu_max[kind] = MAX(watch->cpu_max[kind], cpu);
}

static uint64_t timed_read(Watch *watch, uint32_t offset, unsigned width)
{
    Clock clock = clock_start();
    uint64_t value;

    tpmdev_device_read(watch->guest.device, offset, width, &value);
    clock_stop(watch, KIND_READ, &clock);
    return value;
}

static void timed_write(Watch *watch, Kind kind, uint32_t offset, unsigned width, uint64_t value)
{
    Clock clock = clock_start();

    tpmdev_device_write(watch->guest.device, offset, width, value);
    clock_stop(watch, kind, &clock);
}

static void timed_reset(Watch *watch)
{
    Clock clock = clock_start();

    tpmdev_device_reset(watch->guest.device);
    clock_stop(watch, KIND_RESET, &clock);
}

/* ---- groups of accesses ---- */

static const uint32_t registers[] = {
    TIS_ACCESS,          TIS_INT_ENABLE, TIS_INT_VECTOR, TIS_INT_STATUS,
    TIS_INTF_CAPABILITY, TIS_STS,        TIS_DATA_FIFO,  TIS_INTERFACE_ID,
    TIS_XDATA_FIFO,      TIS_DID_VID,    TIS_RID,
};

static uint32_t place(unsigned locality, uint32_t offset)
{
    return locality << TIS_LOCALITY_SHIFT | offset;
}

static uint32_t next_random(Watch *watch)
{
    watch->random = watch->random * 1664525u + 1013904223u;
    return watch->random;
}

/* Every register of every locality at every width; none of it touches a command under way. */
static void read_all(Watch *watch)
{
    for (unsigned locality = 0; locality < TIS_LOCALITIES; locality++) {
        for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
            for (unsigned width = 1; width <= 8; width *= 2) {
                timed_read(watch, place(locality, registers[i]), width);
            }
        }
    }
}

/* Writes that a device ignores, or that do not concern a command under way. */
static void write_harmless(Watch *watch)
{
    timed_write(watch, KIND_WRITE, TIS_ACCESS, 1, TIS_ACCESS_REQUEST_USE);
    timed_write(watch, KIND_WRITE, TIS_INT_ENABLE, 4, TIS_INT_POLARITY_LOW_LEVEL);
    timed_write(watch, KIND_WRITE, TIS_INT_STATUS, 4, TIS_INT_SOURCES);
    timed_write(watch, KIND_WRITE, TIS_STS, 4, TIS_STS_TPM_GO);
    timed_write(watch, KIND_WRITE, TIS_STS, 1, TIS_STS_RESPONSE_RETRY);
    timed_write(watch, KIND_WRITE, TIS_STS, 4, TIS_STS_RESET_ESTABLISHMENT);
    timed_write(watch, KIND_WRITE, TIS_DATA_FIFO, 1, 0x80);
    timed_write(watch, KIND_WRITE, TIS_DATA_FIFO, 4, 0x80);
    timed_write(watch, KIND_WRITE, TIS_XDATA_FIFO, 8, 0x80);
    timed_write(watch, KIND_WRITE, TIS_INTERFACE_ID, 4, 0);
    timed_write(watch, KIND_WRITE, TIS_DID_VID, 4, UINT32_MAX);
}

/* Anything, anywhere: localities seized and given up, commands begun and dropped. */
static void write_anything(Watch *watch)
{
    for (unsigned locality = 0; locality < TIS_LOCALITIES; locality++) {
        for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
            uint32_t value = next_random(watch) >> 4;

            timed_write(watch, KIND_WRITE, place(locality, registers[i]), 1u << value % 4,
                        (uint64_t)value << 24 | value);
        }
    }
}

/* ---- swtpm stopped and going on ---- */

static bool stop_swtpm(Watch *watch)
{
    int status;

    return kill(watch->swtpm.pid, SIGSTOP) == 0 &&
           waitpid(watch->swtpm.pid, &status, WUNTRACED) == watch->swtpm.pid &&
           (WIFSTOPPED(status) || bench_fail("swtpm has ended"));
}

static void continue_swtpm(Watch *watch)
{
    kill(watch->swtpm.pid, SIGCONT);
}

/* Run commands until one completes in the window, so that the next one will be waited for. */
static bool earn_trust(Watch *watch)
{
    uint64_t commands, before, after = 0;

    tis_guest_counters(&watch->guest, &commands, &before);
    for (unsigned i = 0; i < 200 && after <= before; i++) {
        if (!tis_guest_run(&watch->guest, &bench_get_random)) {
            return bench_fail("swtpm goes on, but GetRandom fails");
        }
        tis_guest_counters(&watch->guest, &commands, &after);
    }
    return true;
}

/* A command is loaded; swtpm is stopped before it can answer. */
static bool go_while_stopped(Watch *watch, const BenchCommand *command)
{
    if (!tis_guest_load(&watch->guest, command) || !stop_swtpm(watch)) {
        return false;
    }
    timed_write(watch, KIND_GO, TIS_STS, 4, TIS_STS_TPM_GO);
    return true;
}

static bool completes(Watch *watch, const BenchCommand *command)
{
    TisGuest *guest = &watch->guest;

    continue_swtpm(watch);
    return tis_guest_receive(guest) &&
           (bench_response_is_good(command, guest->response, guest->size) ||
            bench_fail("%s does not complete after SIGCONT", command->name));
}

/* ---- what is tried, once a round ---- */

static bool try_short_command(Watch *watch)
{
    if (!earn_trust(watch) || !go_while_stopped(watch, &bench_get_random)) {
        return false;
    }
    read_all(watch);
    write_harmless(watch);
    return completes(watch, &bench_get_random);
}

static bool flush_key(Watch *watch)
{
    uint8_t bytes[14] = { 0x80, 0x01, 0, 0, 0, sizeof(bytes), 0, 0, 0x01, 0x65 };
    const BenchCommand flush = { "FlushContext", bytes, sizeof(bytes), TPM_HEADER_SIZE };

    memcpy(bytes + TPM_HEADER_SIZE, watch->guest.response + TPM_HEADER_SIZE, 4);
    return tis_guest_run(&watch->guest, &flush);
}

/* Stopped while it computes, a millisecond or two after the start. */
static bool try_long_command(Watch *watch)
{
    if (!tis_guest_load(&watch->guest, &bench_create_primary)) {
        return false;
    }
    tis_guest_go(&watch->guest);
    g_usleep(2000);
    if (!stop_swtpm(watch)) {
        return false;
    }
    read_all(watch);
    write_harmless(watch);
    return completes(watch, &bench_create_primary) && flush_key(watch);
}

static bool try_cancel(Watch *watch)
{
    if (!go_while_stopped(watch, &bench_get_random)) {
        return false;
    }
    timed_write(watch, KIND_CANCEL, TIS_STS, 4, TIS_STS_COMMAND_CANCEL);
    read_all(watch);
    write_harmless(watch);
    timed_write(watch, KIND_CANCEL, TIS_STS, 4, TIS_STS_COMMAND_READY);
    read_all(watch);
    write_harmless(watch);
    continue_swtpm(watch);
    return tis_guest_wait(&watch->guest, TIS_STS_COMMAND_READY, TIS_STS_COMMAND_READY) &&
           tis_guest_run(&watch->guest, &bench_get_random);
}

/* The machine is reset, and its firmware starts the TPM while that is still stopped. */
static bool try_reset(Watch *watch)
{
    if (!go_while_stopped(watch, &bench_get_random)) {
        return false;
    }
    write_anything(watch);
    timed_reset(watch);
    read_all(watch);
    write_anything(watch);
    timed_reset(watch);
    tis_guest_request_use(&watch->guest);
    if (!tis_guest_load(&watch->guest, &bench_startup)) {
        return false;
    }
    timed_write(watch, KIND_GO, TIS_STS, 4, TIS_STS_TPM_GO);
    read_all(watch);
    write_harmless(watch);
    return completes(watch, &bench_startup);
}

/* ---- the benchmark ---- */

static void print_table(Watch *watch)
{
    bench_say("%-34s %7s %8s %8s %8s %8s %6s %8s", "accesses, swtpm stopped", "n", "p50 us",
              "p99 us", "p99.9 us", "max us", "> 1 ms", "CPU max");
    for (unsigned kind = 0; kind < KINDS; kind++) {
        BenchSamples *wall = &watch->wall[kind];
        unsigned over = 0;

        for (size_t i = 0; i < wall->n; i++) {
            over += wall->ns[i] > MILLISECOND_NS;
        }
        bench_say("%-34s %7zu %8.2f %8.2f %8.2f %8.2f %6u %8.2f", kind_names[kind], wall->n,
                  (double)bench_samples_quantile(wall, 0.5) / 1000,
                  (double)bench_samples_quantile(wall, 0.99) / 1000,
                  (double)bench_samples_quantile(wall, 0.999) / 1000,
                  (double)bench_samples_quantile(wall, 1) / 1000, over,
                  (double)watch->cpu_max[kind] / 1000);
    }
}

static bool run(Watch *watch, const BenchOptions *options)
{
    unsigned rounds = options->quick ? 3 : 100;
    TPMEmulatorConfig config = { .size = sizeof(config), .id = "tpm0" };
    GError *error = NULL;

    if (!swtpm_start(&watch->swtpm, options->directory, "tpm")) {
        return false;
    }
    config.path = watch->swtpm.path;
    TPMBackend *backend = tpmdev_backend_emulator_new(&config, &error);

    if (!backend) {
        bench_fail("%s", error->message);
        g_clear_error(&error);
        return false;
    }
    if (!tis_guest_open(&watch->guest, backend, TPM_COMPLETION_WINDOW_DEFAULT_NS)) {
        return false;
    }
    for (unsigned i = 0; i < rounds; i++) {
        if (!try_short_command(watch) || !try_long_command(watch) || !try_cancel(watch) ||
            !try_reset(watch)) {
            return false;
        }
    }
    bench_say("%u rounds of 4 commands that swtpm was stopped in; all completed after SIGCONT",
              rounds);
    print_table(watch);
    return true;
}

BenchResult bench_stopped(const BenchOptions *options)
{
    Watch watch = { .random = 1 };

    if (!swtpm_is_installed()) {
        return BENCH_SKIPPED;
    }
    bool good = run(&watch, options);

    /* Dead before the device goes: it may be stopped, and then would not say goodbye. */
    swtpm_end(&watch.swtpm);
    tis_guest_close(&watch.guest);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        bench_samples_clear(&watch.wall[kind]);
    }
    return good ? BENCH_OK : BENCH_FAILED;
}
