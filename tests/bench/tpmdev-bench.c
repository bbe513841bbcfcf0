/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The benchmarks' program: `tpmdev-bench [--quick] [NAME...]`.
 *
 * Each benchmark runs in a process of its own: libtpms is global to its process, heap is counted
 * from a clean start, and a benchmark that crashes or hangs takes nobody along. README.rst says
 * what is measured and what came out.
 */
#include "bench.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A benchmark that takes longer than this hangs, in seconds. */
#define QUICK_LIMIT_S 100
#define FULL_LIMIT_S  600

static const struct {
    const char *name;
    const char *description;
    BenchResult (*run)(const BenchOptions *options);
} benches[] = {
    { "emulator", "a bare swtpm beside TIS + emulator", bench_emulator },
    { "libtpms", "bare libtpms beside TIS + libtpms", bench_libtpms },
    { "heap", "heap and threads of many devices", bench_heap },
    { "stopped", "register accesses while swtpm is stopped", bench_stopped },
    { "state", "save and load beside libtpms' own", bench_state },
    { "state-emulator", "save and load beside swtpm's own", bench_state_emulator },
    { "state-registers", "save and load of each kind of device", bench_state_registers },
};

#define NAMES "emulator, libtpms, heap, stopped, state, state-emulator, state-registers"

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* In the child. Should the parent die, nobody is left to wait for it. */
static G_GNUC_NORETURN void run_here(size_t index, const BenchOptions *options)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(options->quick ? QUICK_LIMIT_S : FULL_LIMIT_S);
    exit(benches[index].run(options));
}

static BenchResult wait_for(pid_t child)
{
    int status;

    if (child < 0 || waitpid(child, &status, 0) != child) {
        return BENCH_FAILED;
    }
    if (!WIFEXITED(status)) {
        bench_fail("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        return BENCH_FAILED;
    }
    switch (WEXITSTATUS(status)) {
    case BENCH_OK:
        return BENCH_OK;
    case BENCH_SKIPPED:
        return BENCH_SKIPPED;
    default:
        return BENCH_FAILED;
    }
}

static void remove_directory(char *path)
{
    if (path) {
        nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        g_free(path);
    }
}

static BenchResult run_bench(size_t index, bool quick)
{
    GError *error = NULL;
    char *directory = g_dir_make_tmp("tpmdev-bench-XXXXXX", &error);
    char *memory = g_strdup("/dev/shm/tpmdev-bench-XXXXXX");

    if (!directory) {
        bench_fail("%s", error->message);
        g_clear_error(&error);
        g_free(memory);
        return BENCH_FAILED;
    }
    if (!g_mkdtemp(memory)) {
        g_clear_pointer(&memory, g_free);
    }
    BenchOptions options = { quick, directory, memory ? memory : directory };

    bench_say("---- %s: %s", benches[index].name, benches[index].description);
    fflush(NULL);
    pid_t child = fork();

    if (child == 0) {
        run_here(index, &options);
    }
    BenchResult result = wait_for(child);

    remove_directory(memory);
    remove_directory(directory);
    return result;
}

static bool report(size_t number, size_t index, BenchResult result, bool tap)
{
    const char *skip = result == BENCH_SKIPPED ? " # SKIP swtpm is not installed" : "";

    if (tap) {
        printf("%sok %zu - %s: %s%s\n", result == BENCH_FAILED ? "not " : "", number,
               benches[index].name, benches[index].description, skip);
    } else if (result != BENCH_OK) {
        printf("%s %s%s\n", benches[index].name, result == BENCH_FAILED ? "FAILED" : "", skip);
    }
    fflush(stdout);
    return result != BENCH_FAILED;
}

static bool is_wanted(size_t index, char **names)
{
    return !names || !*names || g_strv_contains((const char *const *)names, benches[index].name);
}

static bool names_check(char **names)
{
    for (; names && *names; names++) {
        size_t i = 0;

        while (i < G_N_ELEMENTS(benches) && strcmp(benches[i].name, *names) != 0) {
            i++;
        }
        if (i == G_N_ELEMENTS(benches)) {
            fprintf(stderr, "tpmdev-bench: there is no '%s'; give " NAMES "\n", *names);
            return false;
        }
    }
    return true;
}

/* GLib's own allocator takes whole pages for each size, which would hide what is really used. */
static void use_plain_malloc(char **argv)
{
    if (!g_getenv("G_SLICE")) {
        g_setenv("G_SLICE", "always-malloc", TRUE);
        execv("/proc/self/exe", argv);
    }
}

int main(int argc, char **argv)
{
    gboolean quick = FALSE;
    char **names = NULL;
    GError *error = NULL;
    const GOptionEntry entries[] = {
        { "quick", 0, 0, G_OPTION_ARG_NONE, &quick, "Only show that it works, as TAP", NULL },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &names, NULL, "[NAME...]" },
        G_OPTION_ENTRY_NULL,
    };
    GOptionContext *context;
    size_t number = 0;
    bool good = true;

    use_plain_malloc(argv);
    context = g_option_context_new(NULL);
    g_option_context_set_summary(context, "Benchmarks: " NAMES "; all by default.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || !names_check(names)) {
        if (error) {
            fprintf(stderr, "tpmdev-bench: %s\n", error->message);
        }
        return 2;
    }
    bench_say_tap(quick);
    for (size_t i = 0; i < G_N_ELEMENTS(benches); i++) {
        if (is_wanted(i, names)) {
            good &= report(++number, i, run_bench(i, quick), quick);
        }
    }
    if (quick) {
        printf("1..%zu\n", number);
    }
    g_strfreev(names);
    g_option_context_free(context);
    return good ? 0 : 1;
}
