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
#include "sick-cases.h"

#include <glib/gstdio.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Rows under way at a time. Most of them wait for a deadline. */
#define THREADS 24

/* What no call of a vCPU may exceed, and how often one is tried that did. */
#define MILLISECOND_NS 1000000
#define REPEATS        5u

/* A call that waits in each row would make of so many one that sleeps. */
#define CALLS_A_SLEEP 10000

/* Those that a TPM begins with zeros in, but for the locality's of a D-RTM: 0 to 16, and 23. */
#define CAPPED_PCRS 0x81FFFFu

/* How long a creation may take that is known to fail. */
#define CREATION_MS 100

/* One case with one device and one position. */
typedef struct Row {
    const SickCase *kase;
    SickForm form;
    size_t position;
    char *wrong;
    char *told;
    SickCost cost;
} Row;

/* A row while it is run. */
typedef struct Run {
    SickMachine machine;
    const SickCase *kase;
    SickFault fault;
    SickAnswer seen;
    bool started; /* the guest's TPM2_Startup was successful, since the last reset */
} Run;

static GArray *cases;
static GArray *rows;
static char *directory;

static SickMachine *machine_of(Run *run)
{
    return &run->machine;
}

static Run *run_of(SickMachine *machine)
{
    return (Run *)machine; /* it is the first member */
}

/* ---- conditions ---- */

static bool has_struck(SickMachine *machine)
{
    return sick_swtpm_state(machine->peer).struck;
}

static bool host_was_told(SickMachine *machine)
{
    return machine->told_count > 0;
}

/* The line that says what was going on, which names the backend and swtpm. */
static bool host_was_told_of_it(SickMachine *machine)
{
    const char *wanted = run_of(machine)->kase->host;
    g_auto(GStrv) lines = g_strsplit(machine->told->str, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        if (strstr(lines[i], wanted) && strstr(lines[i], machine->config.path) &&
            g_str_has_prefix(lines[i], "TPM backend 'tpm0': ")) {
            return true;
        }
    }
    return false;
}

static bool command_has_arrived(SickMachine *machine)
{
    SickState state = sick_swtpm_state(machine->peer);

    return state.counts[SICK_COMMAND] + state.counts[SICK_HEADED_COMMAND] > 0;
}

/* The guest tries again, as long as need be; a TPM that lost its start is started by the guest. */
static bool is_back(SickMachine *machine)
{
    Run *run = run_of(machine);
    SickAnswer answer;

    if (!run->started) {
        answer = sick_startup(machine);
        run->started = answer == SICK_RIGHT || answer == SICK_REFUSAL;
        return false;
    }
    return sick_command(machine) == SICK_RIGHT;
}

/* ---- the parts of a run ---- */

static void arm(Run *run)
{
    sick_swtpm_arm(run->machine.peer, &run->fault);
}

static bool needs_a_deadline(const SickCase *kase)
{
    return kase->fault.illness == SICK_HANGS || kase->fault.illness == SICK_STOPS_SHORT ||
           kase->fault.illness == SICK_IS_LATE;
}

/* Make swtpm well again. A hang ends by waking for some positions, by a new process for others. */
static void heal(Run *run)
{
    SickSwtpm *peer = run->machine.peer;

    if (sick_swtpm_state(peer).hung && run->fault.position % 2 == 0) {
        sick_swtpm_wake(peer);
    } else if (sick_swtpm_state(peer).hung || sick_swtpm_state(peer).dead) {
        sick_swtpm_revive(peer);
    }
    if (run->fault.illness == SICK_IS_LATE) {
        sick_swtpm_release(peer);
    }
}

static void take_answer(Run *run)
{
    run->seen = sick_take(machine_of(run));
}

/* ---- each time ---- */

static void run_creation(Run *run)
{
    SickMachine *machine = machine_of(run);

    arm(run);
    sick_connect(machine);
    if (!sick_swtpm_state(machine->peer).struck) {
        sick_wrong(machine, "the peer was not asked");
    }
    if (run->kase->recovery != SICK_BY_ITSELF &&
        (machine->backend != NULL) == (run->kase->recovery == SICK_BY_CREATION)) {
        sick_wrong(machine, machine->backend ? "a backend was made" : "no backend was made: %s",
                   machine->told->str);
    }
    heal(run);
    machine->creation_ms = SICK_DEADLINE_S * 1000;
    if (!machine->backend) {
        sick_connect(machine);
    }
    sick_plug(machine);
}

static void run_start(Run *run)
{
    SickMachine *machine = machine_of(run);

    sick_connect(machine);
    arm(run);
    sick_plug(machine);
    sick_startup_begin(machine);
    take_answer(run);
}

static void begin_running(Run *run)
{
    sick_run(machine_of(run));
    run->started = true;
}

static void run_reset(Run *run)
{
    SickMachine *machine = machine_of(run);

    begin_running(run);
    arm(run);
    sick_reset(machine);
    run->started = false;
    sick_startup_begin(machine);
    take_answer(run);
}

static void run_command(Run *run)
{
    begin_running(run);
    arm(run);
    sick_command_begin(machine_of(run));
    take_answer(run);
}

static void run_cancel(Run *run)
{
    SickMachine *machine = machine_of(run);

    begin_running(run);
    sick_swtpm_hold_commands(machine->peer);
    sick_command_begin(machine);
    sick_until(machine, command_has_arrived, "the command at swtpm");
    arm(run);
    sick_cancel(machine);
    if (machine->form == SICK_CRB_2_0) {
        sick_take(machine);
    }
    sick_until(machine, has_struck, "the cancel at swtpm");
    run->seen = sick_command(machine);
}

static void run_established(Run *run)
{
    SickMachine *machine = machine_of(run);

    begin_running(run);
    arm(run);
    sick_reset_established(machine);
    sick_until(machine, has_struck, "the message at swtpm");
    run->seen = sick_command(machine);
}

static void run_measurement(Run *run)
{
    SickMachine *machine = machine_of(run);
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    begin_running(run);
    arm(run);
    sick_measure_begin(machine);
    sick_until(machine, sick_measure_is_over, "the end of the measurement");
    if (!machine->wrong) {
        tpmdev_device_get_statistics(machine->device, &statistics);
        run->seen = statistics.measurements == 1 ? SICK_RIGHT : SICK_FAILURE;
    }
}

static void run_reconnection(Run *run)
{
    SickMachine *machine = machine_of(run);

    begin_running(run);
    sick_swtpm_kill(machine->peer);
    sick_until(machine, host_was_told, "word of the death");
    if (sick_command(machine) != SICK_FAILURE) {
        sick_wrong(machine, "a dead TPM does not answer with its failure");
    }
    arm(run);
    sick_swtpm_revive(machine->peer);
    sick_until(machine, has_struck, "the message at swtpm");
    run->seen = sick_command(machine);
}

static void run_end(Run *run)
{
    SickMachine *machine = machine_of(run);

    begin_running(run);
    arm(run);
    sick_unplug(machine);
    sick_disconnect(machine);
    sick_until(machine, has_struck, "the message at swtpm");
    sick_swtpm_revive(machine->peer);
    sick_connect(machine);
    sick_plug(machine);
    run->started = false;
}

/* A command that changes volatile state: of GetRandom that of the generator. */
static void run_checkpoint(Run *run)
{
    machine_of(run)->config.checkpoint = true;
    run_command(run);
}

static void run_new_channel(Run *run)
{
    SickMachine *machine = machine_of(run);
    bool headed = machine->form == SICK_CRB_2_0;
    SickFault silence = { headed ? SICK_HEADED_COMMAND : SICK_COMMAND, 0, SICK_STOPS_SHORT, 0,
                          NULL };

    begin_running(run);
    sick_swtpm_arm(machine->peer, &silence);
    sick_command_begin(machine);
    sick_until(machine, has_struck, "the command at swtpm");
    arm(run);
    if (sick_take(machine) != SICK_FAILURE) {
        sick_wrong(machine, "a command without answer does not fail");
    }
    sick_until(machine, has_struck, "the message at swtpm");
    run->seen = sick_command(machine);
}

static void run_resumption(Run *run)
{
    machine_of(run)->config.checkpoint = true;
    run_reconnection(run);
}

static void run_startup(Run *run)
{
    SickMachine *machine = machine_of(run);

    sick_connect(machine);
    sick_plug(machine);
    arm(run);
    sick_startup_begin(machine);
    take_answer(run);
    run->started = run->seen == SICK_RIGHT;
}

static void run_idle(Run *run)
{
    SickMachine *machine = machine_of(run);
    bool data = run->fault.exchange == SICK_COMMAND;

    begin_running(run);
    if (run->fault.illness == SICK_HANGS) {
        sick_swtpm_hang(machine->peer);
        run->seen = sick_command(machine);
        return;
    }
    if (run->fault.illness == SICK_IS_REPLACED) {
        sick_swtpm_kill(machine->peer);
        sick_swtpm_change_tpm(machine->peer);
        sick_swtpm_revive(machine->peer);
        sick_until(machine, host_was_told_of_it, "word of the other TPM");
    } else if (run->fault.illness == SICK_DIES) {
        sick_swtpm_kill(machine->peer);
    } else if (run->fault.illness == SICK_DROPS) {
        sick_swtpm_drop(machine->peer, data);
    } else {
        sick_swtpm_say(machine->peer, data, run->fault.bytes);
    }
    sick_until(machine, host_was_told, "word of it");
    run->seen = sick_command(machine);
}

static void run_to_the_fault(Run *run)
{
    switch (run->kase->time) {
    case SICK_AT_CREATION:
        run_creation(run);
        break;
    case SICK_AT_START:
        run_start(run);
        break;
    case SICK_AT_RESET:
        run_reset(run);
        break;
    case SICK_AT_COMMAND:
        run_command(run);
        break;
    case SICK_AT_CANCEL:
        run_cancel(run);
        break;
    case SICK_AT_ESTABLISHED:
        run_established(run);
        break;
    case SICK_AT_MEASUREMENT:
        run_measurement(run);
        break;
    case SICK_AT_STARTUP:
        run_startup(run);
        break;
    case SICK_AT_CHECKPOINT:
        run_checkpoint(run);
        break;
    case SICK_AT_NEW_CHANNEL:
        run_new_channel(run);
        break;
    case SICK_AT_RESUMPTION:
        run_resumption(run);
        break;
    case SICK_WHILE_IDLE:
        run_idle(run);
        return;
    case SICK_AT_RECONNECTION:
        run_reconnection(run);
        break;
    case SICK_AT_END:
        run_end(run);
        break;
    }
    if (!has_struck(machine_of(run))) {
        sick_wrong(machine_of(run), "the fault did not come to be: the peer was not asked");
    }
}

/* ---- what is asserted of it ---- */

static void check_guest(Run *run)
{
    static const char *const names[] = { "nothing", "the answer", "the failure", "a refusal",
                                         "nonsense" };
    bool good = false;

    switch (run->kase->guest) {
    case SICK_SEES_NOTHING:
        good = run->seen == SICK_NO_ANSWER;
        break;
    case SICK_SEES_ANSWER:
        good = run->seen == SICK_RIGHT;
        break;
    case SICK_SEES_FAILURE:
        good = run->seen == SICK_FAILURE;
        break;
    case SICK_SEES_EITHER:
        good = run->seen == SICK_RIGHT || run->seen == SICK_FAILURE;
        break;
    case SICK_SEES_THAT:
        good = run->seen == SICK_NONSENSE;
        break;
    }
    if (!good) {
        sick_wrong(machine_of(run), "the guest sees %s; it should see %s (told: %s)",
                   names[run->seen], sick_view_name(run->kase->guest), run->machine.told->str);
    }
}

static void check_host(Run *run)
{
    SickMachine *machine = machine_of(run);

    if (!run->kase->host && run->kase->time != SICK_AT_END && machine->told_count > 0) {
        sick_wrong(machine, "the host was told '%s'", machine->told->str);
    }
}

static uint64_t count_errors(const TPMBackendStatistics *statistics)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < TPM_STATISTICS_ERRORS; i++) {
        sum += statistics->errors[i];
    }
    return sum;
}

/* One that hangs is there, and may go on. On the way back it is as it was when that began. */
static bool is_link_right(const Run *run, bool away, TPMBackendLink link)
{
    SickTime time = run->kase->time;

    if (!away) {
        return link == TPM_LINK_CONNECTED;
    } else if (time == SICK_AT_NEW_CHANNEL || time == SICK_AT_RECONNECTION ||
               time == SICK_AT_RESUMPTION) {
        return link != TPM_LINK_CONNECTED;
    }
    return link == (run->fault.illness == SICK_HANGS ? TPM_LINK_RESYNCHRONISING : TPM_LINK_GONE);
}

/* What a monitor shows of it, which is also what the host was told last. */
static void check_statistics(Run *run, bool away)
{
    SickMachine *machine = machine_of(run);
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    if (machine->wrong) {
        return;
    }
    tpmdev_backend_get_statistics(machine->backend, &statistics);
    if (statistics.failed != away || !is_link_right(run, away, statistics.link)) {
        sick_wrong(machine, "statistics tell of link '%s', failed: %d; the TPM is %s",
                   tpmdev_link_name(statistics.link), statistics.failed, away ? "away" : "there");
    } else if (machine->link != statistics.link) {
        sick_wrong(machine, "the host was told of link %d, statistics tell of %d", machine->link,
                   statistics.link);
    } else if (run->kase->host && run->kase->time != SICK_AT_CREATION &&
               (count_errors(&statistics) == 0 ||
                !strstr(statistics.last_error, machine->config.path))) {
        sick_wrong(machine, "statistics tell of %" PRIu64 " errors, the last '%s'",
                   count_errors(&statistics), statistics.last_error);
    }
}

/* Is it certain that there is no TPM, before swtpm is made well? */
static bool is_away(const Run *run)
{
    const SickCase *kase = run->kase;

    return kase->guest == SICK_SEES_FAILURE &&
           (kase->fault.illness == SICK_DIES || kase->fault.illness == SICK_HANGS);
}

/* Must the guest have got the very TPM back that it had? */
static bool is_to_be_the_same(Run *run)
{
    SickMachine *machine = machine_of(run);

    switch (run->kase->time) {
    case SICK_AT_COMMAND:
    case SICK_AT_CANCEL:
    case SICK_AT_ESTABLISHED:
    case SICK_AT_NEW_CHANNEL:
    case SICK_WHILE_IDLE:
        return sick_swtpm_state(machine->peer).lives == machine->lives;
    case SICK_AT_RESUMPTION:
        return run->kase->fault.illness != SICK_SAYS;
    case SICK_AT_CREATION:
    case SICK_AT_START:
    case SICK_AT_STARTUP:
    case SICK_AT_RESET:
    case SICK_AT_MEASUREMENT:
    case SICK_AT_CHECKPOINT:
    case SICK_AT_RECONNECTION:
    case SICK_AT_END:
        break;
    }
    return false;
}

/* Was a measurement cut off? Then the PCRs are those of no measurement, and the TPM has to go. */
static bool is_spoiled(Run *run)
{
    return run->kase->time == SICK_AT_MEASUREMENT && run->seen == SICK_FAILURE &&
           run->kase->recovery == SICK_BY_ITSELF;
}

/*
 * A TPM that is in the session its guest started has not been touched. In any other nobody can
 * make the PCRs those of a good boot.
 */
static void check_pcrs(Run *run)
{
    SickMachine *machine = machine_of(run);
    bool same = sick_swtpm_state(machine->peer).session == machine->session;
    uint32_t extended = sick_swtpm_state(machine->peer).extended;
    bool locked = sick_swtpm_state(machine->peer).locked;

    if (machine->session == 0) {
        return; /* the guest does not think that it has started it */
    }
    if (same && (extended != 0 || locked)) {
        sick_wrong(machine, "PCRs of a TPM that was not reset were extended: %Xh", extended);
    } else if (same && is_spoiled(run)) {
        sick_wrong(machine, "the TPM goes on with a measurement that was cut off");
    } else if (!same && is_to_be_the_same(run)) {
        sick_wrong(machine, "the TPM was reset, and need not have been");
    } else if (!same && (extended != CAPPED_PCRS || !locked)) {
        sick_wrong(machine, "the TPM was reset: PCRs %Xh are capped, the platform is%s locked",
                   extended, locked ? "" : " not");
    }
}

static void check_recovery(Run *run)
{
    SickMachine *machine = machine_of(run);

    if (run->kase->host) {
        sick_until(machine, host_was_told_of_it, run->kase->host);
    }
    if (is_away(run)) {
        check_statistics(run, true);
    }
    heal(run);
    if (run->kase->recovery == SICK_BY_RESET) {
        sick_reset(machine);
        run->started = false;
    }
    sick_until(machine, is_back, "the TPM's return");
    for (unsigned i = 0; i < 3; i++) {
        if (sick_command(machine) != SICK_RIGHT) {
            sick_wrong(machine, "a command fails after the TPM has come back: %s",
                       machine->told->str);
        }
    }
    check_statistics(run, false);
    check_pcrs(run);
    /* And a reset mends all there may be. */
    sick_reset(machine);
    run->started = false;
    sick_until(machine, is_back, "the TPM's return after a reset");
}

static void row_run(gpointer data, gpointer unused)
{
    Row *row = data;
    Run run = { .kase = row->kase, .fault = row->kase->fault };
    SickMachine *machine = &run.machine;

    (void)unused;
    run.fault.position = row->position;
    sick_machine_init(machine, row->form, directory);
    if (row->kase->time == SICK_AT_CREATION && needs_a_deadline(row->kase)) {
        machine->creation_ms = CREATION_MS;
    }
    run_to_the_fault(&run);
    check_guest(&run);
    check_recovery(&run);
    check_host(&run);
    sick_unplug(machine);
    sick_disconnect(machine);
    row->wrong = g_steal_pointer(&machine->wrong);
    row->told = g_strdup(machine->told->str);
    row->cost = machine->cost;
    sick_machine_clear(machine);
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
            g_free(row->told);
            row_run(row, NULL);
        }
    }
}

static int run_all(void **state)
{
    GThreadPool *pool = g_thread_pool_new(row_run, NULL, THREADS, FALSE, NULL);

    (void)state;
    for (unsigned i = 0; i < rows->len; i++) {
        g_thread_pool_push(pool, &g_array_index(rows, Row, i), NULL);
    }
    g_thread_pool_free(pool, FALSE, TRUE);
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
