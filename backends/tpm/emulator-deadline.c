/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend's deadlines: how long swtpm may take for a message or a command, and when
 * it is time to look for one that has gone.
 *
 * A deadline is worked out when a thread leaves the backend with something under way, and not
 * before: a command that is answered while the device lingers never has one, nor looks at the
 * clock. The source wakes for the earliest. It is not told that a deadline is no more, but finds
 * out when it wakes, so a stream of commands costs one wake-up in the time one may take.
 *
 * swtpm is one thread and reads no message while a command runs (measured, 0.7.1), so the time of
 * a message runs when no command is under way.
 *
 * Neighbours: emulator.c has the source and arms it; emulator-return.c does what follows.
 */
#include "emulator-internal.h"

#include "command.h"

gint64 tpm_emulator_now(const Emulator *emulator)
{
    return emulator->clock ? emulator->clock->now : g_get_monotonic_time();
}

bool tpm_emulator_data_is_under_way(const Emulator *emulator)
{
    switch (emulator->data) {
    case DATA_SENT:
    case DATA_OWN:
    case DATA_ABANDONED:
        return true;
    case DATA_IDLE:
    case DATA_WAITING:
        break;
    }
    return false;
}

/* The library's own commands are quick ones, but a TPM may test itself at its start. */
static unsigned data_timeout(const Emulator *emulator)
{
    const EmulatorTimeouts *timeouts = &emulator->timeouts;

    if (emulator->data == DATA_OWN) {
        return emulator->step == STEP_RESTORE || emulator->step == STEP_STARTUP_STATE
                   ? timeouts->init
                   : timeouts->control;
    }
    return tpm_command_is_short(emulator->version, emulator->ordinal) ? timeouts->short_command
                                                                      : timeouts->long_command;
}

/*
 * After a command that was given up swtpm takes the new data channel when that command has ended,
 * and nobody is kept waiting meanwhile.
 */
static unsigned request_timeout(const Emulator *emulator)
{
    const EmulatorTimeouts *timeouts = &emulator->timeouts;

    if (emulator->request == SWTPM_INIT) {
        return timeouts->init;
    }
    if (emulator->kept_control && emulator->step == STEP_SET_DATAFD) {
        return MAX(timeouts->long_command, timeouts->control);
    }
    if (emulator->request == SWTPM_LOCK_STORAGE ||
        (emulator->request == SWTPM_SET_STATEBLOB &&
         emulator->capabilities & SWTPM_CAP_LOCK_STORAGE)) {
        return timeouts->control + EMULATOR_LOCK_MS; /* it waits for its storage */
    }
    return timeouts->control;
}

static gint64 from_now(const Emulator *emulator, unsigned ms)
{
    return tpm_emulator_now(emulator) + (gint64)ms * G_TIME_SPAN_MILLISECOND;
}

/* Work out what has not been; returns the earliest. */
static gint64 next_deadline(Emulator *emulator)
{
    gint64 next = emulator->retry_at;

    if (tpm_emulator_data_is_under_way(emulator)) {
        if (emulator->data_deadline == 0) {
            emulator->data_deadline = from_now(emulator, data_timeout(emulator));
        }
        next = MIN(next, emulator->data_deadline);
    } else if (emulator->request) {
        if (emulator->request_deadline == 0) {
            emulator->request_deadline = from_now(emulator, request_timeout(emulator));
        }
        next = MIN(next, emulator->request_deadline);
    }
    return next;
}

void tpm_emulator_arm(Emulator *emulator)
{
    if (emulator->lingering || emulator->dying || !emulator->source) {
        return;
    }
    gint64 next = next_deadline(emulator);

    if (next < emulator->armed_at) {
        emulator->armed_at = next;
        if (!emulator->clock) {
            g_source_set_ready_time(emulator->source, next);
        }
    }
}

static bool data_is_late(const Emulator *emulator, gint64 now)
{
    return tpm_emulator_data_is_under_way(emulator) && emulator->data_deadline != 0 &&
           emulator->data_deadline <= now;
}

static bool request_is_late(const Emulator *emulator, gint64 now)
{
    return emulator->request && !tpm_emulator_data_is_under_way(emulator) &&
           emulator->request_deadline != 0 && emulator->request_deadline <= now;
}

/*
 * What is late is looked for once more: this thread may have been the late one. While the device
 * lingers nothing has a deadline, and nothing can be late.
 */
void tpm_emulator_deadlines(Emulator *emulator)
{
    gint64 now = tpm_emulator_now(emulator);

    if (emulator->dying) {
        return;
    }
    if (emulator->retry_at <= now) {
        tpm_emulator_retry(emulator);
    } else if (data_is_late(emulator, now)) {
        tpm_emulator_pump_data(emulator);
        if (data_is_late(emulator, now)) {
            tpm_emulator_data_timed_out(emulator, data_timeout(emulator));
        }
    } else if (request_is_late(emulator, now)) {
        tpm_emulator_pump_control(emulator);
        if (request_is_late(emulator, now)) {
            tpm_emulator_request_timed_out(emulator, request_timeout(emulator));
        }
    }
}
