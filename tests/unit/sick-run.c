/* SPDX-License-Identifier: BSD-3-Clause */
/* A case of a sick swtpm up to its fault, at each time at which there can be one; see sick-run.h.
 */
#include "sick-run.h"

#include <string.h>

/* How long a creation may take that is known to fail. */
#define CREATION_MS 100

SickRun *sick_run_of(SickMachine *machine)
{
    return (SickRun *)machine; /* it is the first member */
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

static bool command_has_arrived(SickMachine *machine)
{
    SickState state = sick_swtpm_state(machine->peer);

    return state.counts[SICK_COMMAND] + state.counts[SICK_HEADED_COMMAND] > 0;
}

/* The line that says what was going on, which names the backend and swtpm. */
bool sick_host_was_told_of_it(SickMachine *machine)
{
    const char *wanted = sick_run_of(machine)->kase->host;
    g_auto(GStrv) lines = g_strsplit(machine->told->str, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        if (strstr(lines[i], wanted) && strstr(lines[i], machine->config.path) &&
            g_str_has_prefix(lines[i], "TPM backend 'tpm0': ")) {
            return true;
        }
    }
    return false;
}

/* ---- the parts of a run ---- */

static void arm(SickRun *run)
{
    sick_swtpm_arm(run->machine.peer, &run->fault);
}

static bool needs_a_deadline(const SickCase *kase)
{
    return kase->fault.illness == SICK_HANGS || kase->fault.illness == SICK_STOPS_SHORT ||
           kase->fault.illness == SICK_IS_LATE;
}

static void take_answer(SickRun *run)
{
    run->seen = sick_take(&run->machine);
}

/* Make swtpm well again. A hang ends by waking for some positions, by a new process for others. */
void sick_run_heal(SickRun *run)
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

/* ---- each time ---- */

static void run_creation(SickRun *run)
{
    SickMachine *machine = &run->machine;

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
    sick_run_heal(run);
    machine->creation_ms = SICK_DEADLINE_S * 1000;
    if (!machine->backend) {
        sick_connect(machine);
    }
    sick_plug(machine);
}

static void run_start(SickRun *run)
{
    SickMachine *machine = &run->machine;

    sick_connect(machine);
    arm(run);
    sick_plug(machine);
    sick_startup_begin(machine);
    take_answer(run);
}

static void begin_running(SickRun *run)
{
    sick_run(&run->machine);
    run->started = true;
}

static void run_reset(SickRun *run)
{
    SickMachine *machine = &run->machine;

    begin_running(run);
    arm(run);
    sick_reset(machine);
    run->started = false;
    sick_startup_begin(machine);
    take_answer(run);
}

static void run_command(SickRun *run)
{
    begin_running(run);
    arm(run);
    sick_command_begin(&run->machine);
    take_answer(run);
}

static void run_cancel(SickRun *run)
{
    SickMachine *machine = &run->machine;

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

static void run_established(SickRun *run)
{
    SickMachine *machine = &run->machine;

    begin_running(run);
    arm(run);
    sick_reset_established(machine);
    sick_until(machine, has_struck, "the message at swtpm");
    run->seen = sick_command(machine);
}

static void run_measurement(SickRun *run)
{
    SickMachine *machine = &run->machine;
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

static void run_reconnection(SickRun *run)
{
    SickMachine *machine = &run->machine;

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

static void run_end(SickRun *run)
{
    SickMachine *machine = &run->machine;

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
static void run_checkpoint(SickRun *run)
{
    run->machine.config.checkpoint = true;
    run_command(run);
}

static void run_new_channel(SickRun *run)
{
    SickMachine *machine = &run->machine;
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

static void run_resumption(SickRun *run)
{
    run->machine.config.checkpoint = true;
    run_reconnection(run);
}

static void run_startup(SickRun *run)
{
    SickMachine *machine = &run->machine;

    sick_connect(machine);
    sick_plug(machine);
    arm(run);
    sick_startup_begin(machine);
    take_answer(run);
    run->started = run->seen == SICK_RIGHT;
}

static void run_idle(SickRun *run)
{
    SickMachine *machine = &run->machine;
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
        sick_until(machine, sick_host_was_told_of_it, "word of the other TPM");
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

static void run_to_the_fault(SickRun *run)
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
    if (!has_struck(&run->machine)) {
        sick_wrong(&run->machine, "the fault did not come to be: the peer was not asked");
    }
}

void sick_run_case(SickRun *run, const SickCase *kase, SickForm form, size_t position,
                   unsigned patience, const char *directory)
{
    SickMachine *machine = &run->machine;

    *run = (SickRun){ .kase = kase, .fault = kase->fault };
    run->fault.position = position;
    sick_machine_init(machine, form, directory);
    if (kase->time == SICK_AT_CREATION && needs_a_deadline(kase)) {
        machine->creation_ms = CREATION_MS * patience;
    }
    if (machine->real_time) {
        machine->config.control_timeout_ms *= patience;
        machine->config.short_timeout_ms *= patience;
        machine->config.long_timeout_ms *= patience;
        machine->config.init_timeout_ms *= patience;
    }
    run_to_the_fault(run);
    sick_run_check(run);
    sick_unplug(machine);
    sick_disconnect(machine);
}
