/* SPDX-License-Identifier: BSD-3-Clause */
/* What has come of a case of a sick swtpm, and how the TPM comes back; see sick-run.h. */
#include "sick-run.h"

#include <inttypes.h>
#include <string.h>

/* Those that a TPM begins with zeros in, but for the locality's of a D-RTM: 0 to 16, and 23. */
#define CAPPED_PCRS 0x81FFFFu

/* The guest tries again, as long as need be; a TPM that lost its start is started by the guest. */
static bool is_back(SickMachine *machine)
{
    SickRun *run = sick_run_of(machine);
    SickAnswer answer;

    if (!run->started) {
        answer = sick_startup(machine);
        run->started = answer == SICK_RIGHT || answer == SICK_REFUSAL;
        return false;
    }
    return sick_command(machine) == SICK_RIGHT;
}

/* ---- what is asserted of it ---- */

static void check_guest(SickRun *run)
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
        sick_wrong(&run->machine, "the guest sees %s; it should see %s (told: %s)",
                   names[run->seen], sick_view_name(run->kase->guest), run->machine.told->str);
    }
}

static void check_host(SickRun *run)
{
    SickMachine *machine = &run->machine;

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
static bool is_link_right(const SickRun *run, bool away, TPMBackendLink link)
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
static void check_statistics(SickRun *run, bool away)
{
    SickMachine *machine = &run->machine;
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
static bool is_away(const SickRun *run)
{
    const SickCase *kase = run->kase;

    return kase->guest == SICK_SEES_FAILURE &&
           (kase->fault.illness == SICK_DIES || kase->fault.illness == SICK_HANGS);
}

/* Must the guest have got the very TPM back that it had? */
static bool is_to_be_the_same(SickRun *run)
{
    SickMachine *machine = &run->machine;

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
static bool is_spoiled(SickRun *run)
{
    return run->kase->time == SICK_AT_MEASUREMENT && run->seen == SICK_FAILURE &&
           run->kase->recovery == SICK_BY_ITSELF;
}

/*
 * A TPM that is in the session its guest started has not been touched. In any other nobody can
 * make the PCRs those of a good boot.
 */
static void check_pcrs(SickRun *run)
{
    SickMachine *machine = &run->machine;
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

static void check_recovery(SickRun *run)
{
    SickMachine *machine = &run->machine;

    if (run->kase->host) {
        sick_until(machine, sick_host_was_told_of_it, run->kase->host);
    }
    if (is_away(run)) {
        check_statistics(run, true);
    }
    sick_run_heal(run);
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

void sick_run_check(SickRun *run)
{
    check_guest(run);
    check_recovery(run);
    check_host(run);
}
