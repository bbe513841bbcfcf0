/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device with an `emulator` backend takes of its process: heap and threads, with one of
 * them and with 500. Aims: at most 24 KiB beyond the buffers for commands, and no thread each.
 *
 * The peers are the unit tests' farm, in a process of its own so that its heap is not counted.
 * "Commands" are the five copies of a command or response a device holds at its largest: the
 * FIFO, the request's copy, the backend's command and response, and what the socket has brought.
 */
#include "fake-swtpm.h"
#include "tis-guest.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES_MAX     500u
#define COMMAND_BUFFERS 5u

/* ---- the peers ---- */

typedef struct Peers {
    pid_t pid;
    int ready_fd; /* the path of their socket comes here */
    int end_fd;   /* closing it ends them */
    char *path;
} Peers;

/* In the child: be the peers until the parent closes its end. */
static G_GNUC_NORETURN void be_peers(int ready_fd, int end_fd)
{
    FakeFarm *farm = fake_farm_new();
    const char *path = fake_farm_path(farm);
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (write(ready_fd, path, strlen(path) + 1) > 0) {
        while (read(end_fd, &byte, 1) > 0) {
        }
    }
    fake_farm_free(farm);
    _exit(0);
}

static bool peers_start(Peers *peers)
{
    int ready[2], end[2];
    char path[128] = "";

    if (pipe(ready) != 0 || pipe(end) != 0) {
        return bench_fail("no pipes");
    }
    peers->pid = fork();
    if (peers->pid == 0) {
        close(end[1]);
        be_peers(ready[1], end[0]);
    }
    close(ready[1]);
    close(end[0]);
    peers->ready_fd = ready[0];
    peers->end_fd = end[1];
    if (read(peers->ready_fd, path, sizeof(path) - 1) <= 0) {
        return bench_fail("the peers do not start");
    }
    peers->path = g_strdup(path);
    return true;
}

static void peers_end(Peers *peers)
{
    close(peers->end_fd);
    close(peers->ready_fd);
    waitpid(peers->pid, NULL, 0);
    g_free(peers->path);
}

/* ---- what the process has ---- */

typedef struct Footprint {
    size_t heap;
    size_t resident;
    unsigned threads;
    unsigned files;
} Footprint;

static unsigned count_entries(const char *path)
{
    unsigned n = 0;
    DIR *directory = opendir(path);

    while (directory && readdir(directory)) {
        n++;
    }
    if (directory) {
        closedir(directory);
    }
    return n > 2 ? n - 2 : 0;
}

static size_t resident_bytes(void)
{
    char *text = NULL;
    unsigned long long total = 0, resident = 0;

    if (g_file_get_contents("/proc/self/statm", &text, NULL, NULL)) {
        sscanf(text, "%llu %llu", &total, &resident);
    }
    g_free(text);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static Footprint footprint(void)
{
    struct mallinfo2 heap = mallinfo2();

    return (Footprint){
        .heap = heap.uordblks + heap.hblkhd,
        .resident = resident_bytes(),
        .threads = count_entries("/proc/self/task"),
        .files = count_entries("/proc/self/fd"),
    };
}

/* ---- the devices ---- */

static bool device_open(TisGuest *guest, const char *path)
{
    TPMEmulatorConfig config = { .size = sizeof(config), .id = "tpm0", .path = path };
    GError *error = NULL;
    TPMBackend *backend = tpmdev_backend_emulator_new(&config, &error);

    if (!backend) {
        bench_fail("%s", error->message);
        g_clear_error(&error);
        return false;
    }
    return tis_guest_open(guest, backend, TPM_COMPLETION_WINDOW_DEFAULT_NS);
}

/* A command under way in every device at once; then all of their responses. */
static bool run_all(TisGuest *guests, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!tis_guest_load(&guests[i], &bench_get_random)) {
            return false;
        }
        tis_guest_go(&guests[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        if (!tis_guest_receive(&guests[i])) {
            return bench_fail("device %u of %u has no response", i, n);
        }
    }
    return true;
}

static void print_row(unsigned n, const Footprint *before, const Footprint *after)
{
    double each = (double)(after->heap - before->heap) / n;
    double buffers = (double)COMMAND_BUFFERS * TPM_BUFFER_SIZE_COMMON;

    bench_say("%7u %14.1f %16.1f %16.1f %8u %11.1f", n, each / 1024, (each - buffers) / 1024,
              (double)(after->resident - before->resident) / n / 1024, after->threads,
              (double)(after->files - before->files) / n);
}

static bool measure(const char *path, unsigned n)
{
    /* Not counted: they are the benchmark's. Touched now, so that they are resident. */
    TisGuest *guests = g_new(TisGuest, n);

    memset(guests, 0, n * sizeof(*guests));
    Footprint before = footprint();
    unsigned open = 0;

    while (open < n && device_open(&guests[open], path)) {
        open++;
    }
    bool good = open == n && run_all(guests, n);
    Footprint after = footprint();

    if (good) {
        print_row(n, &before, &after);
    }
    if (good && after.heap == 0) {
        bench_say("the heap cannot be counted: a sanitizer has one of its own");
    }
    for (unsigned i = 0; i < n; i++) {
        tis_guest_close(&guests[i]);
    }
    g_free(guests);
    return good;
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

BenchResult bench_heap(const BenchOptions *options)
{
    static const unsigned counts[] = { 1, 50, DEVICES_MAX };
    Peers peers = { 0 };
    bool good;

    raise_file_limit();
    good = peers_start(&peers);
    bench_say("%7s %14s %16s %16s %8s %11s", "devices", "KiB heap each", "less commands",
              "KiB resident", "threads", "files each");
    /* The line for one device holds what a process makes once: the I/O thread and its context. */
    for (size_t i = 0; i < G_N_ELEMENTS(counts) && good; i++) {
        if (!options->quick || counts[i] < DEVICES_MAX) {
            good = measure(peers.path, counts[i]);
        }
    }
    peers_end(&peers);
    return good ? BENCH_OK : BENCH_FAILED;
}
