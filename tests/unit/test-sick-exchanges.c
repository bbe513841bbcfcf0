/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend and a swtpm that falls ill at every byte of every exchange: each case of
 * the table in sick-cases.c, made to come true with each device.
 *
 * All cases run at once, some dozens of them at a time, before the first test; each test then looks
 * at what became of one case. What guest and host see and how the TPM comes back is printed, a line
 * a case, and in the end what the calls that a vCPU makes have cost at most. That no one of them
 * waits is not asserted by a clock: a call that gave up the processor of its own accord is counted.
 */
#include "sick-run.h"

#include <glib/gstdio.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Rows under way at a time. Most of them wait for a deadline. */
#define THREADS 24

/* What no call of a vCPU may exceed, and how often one is tried that did. */
#define MILLISECOND_NS 1000000
#define REPEATS        5u
#define PATIENCE_MAX   64u

/* A call that waits in each row would make of so many one that sleeps. */
#define CALLS_A_SLEEP 10000

/* One case with one device and one position. */
typedef struct Row {
    const SickCase *kase;
    SickForm form;
    size_t position;
    char *wrong;
    char *told;
    SickCost cost;
} Row;

static GArray *cases;
static GArray *rows;
static char *directory;

static void row_try(Row *row, unsigned patience)
{
    SickRun run;
    SickMachine *machine = &run.machine;

    g_free(row->wrong);
    g_free(row->told);
    sick_run_case(&run, row->kase, row->form, row->position, patience, directory);
    row->wrong = g_steal_pointer(&machine->wrong);
    row->told = g_strdup(machine->told->str);
    row->cost = machine->cost;
    sick_machine_clear(machine);
}

/*
 * On a busy machine a deadline of the real clock may pass before the exchange that is to fall ill.
 * What is wrong with the library is so with longer ones, too.
 */
static void row_run(Row *row)
{
    row_try(row, 1);
    for (unsigned patience = 4; row->wrong && patience <= PATIENCE_MAX; patience *= 4) {
        row_try(row, patience);
    }
}

/* ---- all rows ---- */

/* With TPMDEV_TEST_EVERY in the environment, one position in so many: for a sanitizer. */
static size_t every(void)
{
    const char *text = g_getenv("TPMDEV_TEST_EVERY");

    return text ? (size_t)g_ascii_strtoull(text, NULL, 10) : 1;
}

static void add_rows(const SickCase *kase)
{
    for (SickForm form = 0; form < SICK_FORMS; form++) {
        for (size_t position = 0; position < MAX(kase->positions, 1); position += every()) {
            Row row = { .kase = kase, .form = form, .position = position };

            if (kase->forms & 1u << form) {
                g_array_append_val(rows, row);
            }
        }
    }
}

/*
 * A clock may count what others did to the machine meanwhile. A call that takes long by itself does
 * so each time.
 */
static void repeat_what_took_long(void)
{
    for (unsigned i = 0; i < rows->len; i++) {
        Row *row = &g_array_index(rows, Row, i);

        for (unsigned n = 0; n < REPEATS && !row->wrong && row->cost.cpu_ns > MILLISECOND_NS; n++) {
            row_run(row);
        }
    }
}

/* One after the other, of those that nobody has begun. */
static gpointer run_rows(gpointer next)
{
    guint i;

    while ((i = (guint)g_atomic_int_add((gint *)next, 1)) < rows->len) {
        row_run(&g_array_index(rows, Row, i));
    }
    return NULL;
}

static int run_all(void **state)
{
    GThread *threads[THREADS];
    gint next = 0;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = g_thread_new("sick-rows", run_rows, &next);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
    }
    repeat_what_took_long();
    return 0;
}

/*
 * A call that waits sleeps. Here nobody else has a lock of the device's, so that none should; but
 * malloc() has some of its own.
 */
static void test_no_call_of_a_vcpu_waits(void **state)
{
    SickCost all = { 0 };

    (void)state;
    for (unsigned i = 0; i < rows->len; i++) {
        SickCost *cost = &g_array_index(rows, Row, i).cost;

        all.calls += cost->calls;
        all.sleeps += cost->sleeps;
        all.wall_ns = MAX(all.wall_ns, cost->wall_ns);
        all.cpu_ns = MAX(all.cpu_ns, cost->cpu_ns);
    }
    print_message("# %u rows, %" PRIu64 " calls of vCPUs. All calls of a guest's step took at most "
                  "%" PRId64 " us of the processor; one call %" PRId64 " us by the clock of a "
                  "machine with %d threads at work. The processor was given up %ld times\n",
                  rows->len, all.calls, all.cpu_ns / 1000, all.wall_ns / 1000, THREADS, all.sleeps);
    assert_true((uint64_t)all.sleeps < all.calls / CALLS_A_SLEEP);
}

static void test_case(void **state)
{
    const SickCase *kase = *state;
    g_autofree char *illness = sick_illness_name(kase);
    const char *quote = kase->host ? "'" : "";
    unsigned wrong = 0;

    print_message("# %s, %s %s | guest: %s | host: %s%s%s | TPM: %s\n", sick_time_name(kase->time),
                  sick_meeting_name(kase), illness, sick_view_name(kase->guest), quote,
                  kase->host ? kase->host : "is told nothing", quote,
                  sick_recovery_name(kase->recovery));
    for (unsigned i = 0; i < rows->len; i++) {
        Row *row = &g_array_index(rows, Row, i);

        if (row->kase == kase && row->wrong) {
            print_message("# row %u, form %u, after %zu bytes: %s\n", i, row->form, row->position,
                          row->wrong);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    cases = sick_cases();
    rows = g_array_new(FALSE, TRUE, sizeof(Row));
    directory = g_dir_make_tmp("sick-XXXXXX", NULL);
    g_autofree struct CMUnitTest *tests = g_new0(struct CMUnitTest, cases->len + 1);

    for (unsigned i = 0; i < cases->len; i++) {
        SickCase *kase = &g_array_index(cases, SickCase, i);
        g_autofree char *illness = sick_illness_name(kase);

        add_rows(kase);
        tests[i].name = g_strdup_printf("%s, %s %s", sick_time_name(kase->time),
                                        sick_meeting_name(kase), illness);
        tests[i].test_func = test_case;
        tests[i].initial_state = kase;
    }
    tests[cases->len] = (struct CMUnitTest)cmocka_unit_test(test_no_call_of_a_vcpu_waits);
    int status = _cmocka_run_group_tests("sick", tests, cases->len + 1, run_all, NULL);

    for (unsigned i = 0; i < cases->len; i++) {
        g_free((char *)tests[i].name);
    }
    for (unsigned i = 0; i < rows->len; i++) {
        g_free(g_array_index(rows, Row, i).wrong);
        g_free(g_array_index(rows, Row, i).told);
    }
    g_array_unref(rows);
    g_array_unref(cases);
    g_rmdir(directory);
    g_free(directory);
    return status;
}
