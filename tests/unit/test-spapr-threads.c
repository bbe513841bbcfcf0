/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One tpm-spapr device and many threads: a vCPU that carries commands, vCPUs that ask for this and
 * that, a TPM that answers on a thread of its own, and a hypervisor whose guest begins its queue
 * anew, or is reset, now and then. The hypervisor has one thread at a time in its callbacks, every
 * message it accepted is answered exactly once unless its queue went, and the answers of one vCPU
 * keep their order; the rest is ThreadSanitizer's.
 */
#include "spapr-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMANDS  500
#define QUESTIONS 500
#define ASKERS    2
#define UPHEAVALS 50

#define ANSWER_10 (ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER)

/* An asker's two questions, which it asks in turn and nobody else does. */
static const struct {
    uint64_t question[2];
    uint64_t answer[2];
} kinds[ASKERS] = {
    { { MESSAGE_INIT, MESSAGE_INIT_COMPLETE }, { MESSAGE_INIT, MESSAGE_INIT_COMPLETE } },
    { { MESSAGE_VERSION, MESSAGE_SUSPEND }, { ANSWER_VERSION | 2, ANSWER_SUSPEND } },
};

typedef struct Crowd {
    SpaprMachine *machine;

    GMutex lock;
    unsigned answered[ASKERS];
    unsigned out_of_order;
    unsigned commands_answered;
    unsigned strange; /* messages that are no answer to anything */
    unsigned epoch;   /* counts up before an upheaval and after it: odd while one is due */
    bool over;

    unsigned asked[ASKERS]; /* each by its thread alone */
    unsigned lost;          /* commands ended by an upheaval; by the commands' thread alone */
    unsigned wrong;
} Crowd;

static Crowd *crowd_now; /* the callback is given the machine alone */

/* ---- the hypervisor's side ---- */

static uint64_t first_half(const uint8_t message[16])
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++) {
        value = value << 8 | message[i];
    }
    return value;
}

static void note(Crowd *crowd, uint64_t message)
{
    for (unsigned i = 0; i < ASKERS; i++) {
        for (unsigned turn = 0; turn < 2; turn++) {
            if (message == kinds[i].answer[turn]) {
                crowd->out_of_order += turn != crowd->answered[i] % 2;
                crowd->answered[i]++;
                return;
            }
        }
    }
    if (message == ANSWER_10) {
        crowd->commands_answered++;
    } else {
        crowd->strange++;
    }
}

static bool (*put_message)(void *opaque, const uint8_t message[16]);

static bool on_send_crq(void *opaque, const uint8_t message[16])
{
    Crowd *crowd = crowd_now;

    g_mutex_lock(&crowd->lock);
    note(crowd, first_half(message));
    g_mutex_unlock(&crowd->lock);
    return put_message(opaque, message);
}

static unsigned number(Crowd *crowd, const unsigned *counter)
{
    g_mutex_lock(&crowd->lock);
    unsigned value = *counter;
    g_mutex_unlock(&crowd->lock);
    return value;
}

static void upheave(Crowd *crowd, unsigned i)
{
    g_mutex_lock(&crowd->lock);
    crowd->epoch++;
    g_mutex_unlock(&crowd->lock);
    if (i % 2 == 0) {
        tpmdev_device_reset_crq(crowd->machine->device);
    } else {
        tpmdev_device_reset(crowd->machine->device);
    }
    g_mutex_lock(&crowd->lock);
    crowd->epoch++;
    g_mutex_unlock(&crowd->lock);
}

static gpointer upheaval_thread(gpointer data)
{
    Crowd *crowd = data;

    for (unsigned i = 0; i < UPHEAVALS; i++) {
        unsigned before = number(crowd, &crowd->commands_answered);

        /* Let some commands through in between. */
        while (number(crowd, &crowd->commands_answered) < before + 3) {
            g_mutex_lock(&crowd->lock);
            bool over = crowd->over;
            g_mutex_unlock(&crowd->lock);
            if (over) {
                return NULL;
            }
            g_thread_yield();
        }
        upheave(crowd, i);
    }
    return NULL;
}

/* ---- the guest's side ---- */

/* True when the command was answered, false when an upheaval may have ended it. */
static bool carry_command(Crowd *crowd, gint64 deadline)
{
    unsigned epoch = number(crowd, &crowd->epoch);
    unsigned before = number(crowd, &crowd->commands_answered);

    /* No cmocka off the main thread. */
    while (spapr_send(crowd->machine, spapr_command(12, BUFFER)) != SUCCESS) {
        if (g_get_monotonic_time() > deadline) {
            crowd->wrong++;
            return false;
        }
        g_thread_yield();
    }
    while (number(crowd, &crowd->commands_answered) == before) {
        if (epoch % 2 != 0 || number(crowd, &crowd->epoch) != epoch) {
            return false;
        }
        if (g_get_monotonic_time() > deadline) {
            crowd->wrong++;
            return false;
        }
        g_thread_yield();
    }
    return true;
}

static gpointer command_thread(gpointer data)
{
    Crowd *crowd = data;
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;

    for (unsigned i = 0; i < COMMANDS; i++) {
        crowd->lost += !carry_command(crowd, deadline);
        spapr_put(crowd->machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    }
    return NULL;
}

typedef struct Asker {
    Crowd *crowd;
    unsigned kind;
} Asker;

/* A message that was dropped is sent again. */
static gpointer asker_thread(gpointer data)
{
    const Asker *asker = data;
    unsigned *asked = &asker->crowd->asked[asker->kind];
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;

    while (*asked < QUESTIONS && g_get_monotonic_time() < deadline) {
        int64_t code = spapr_send(asker->crowd->machine, kinds[asker->kind].question[*asked % 2]);

        if (code == SUCCESS) {
            (*asked)++;
        } else if (code != DROPPED) {
            break;
        }
    }
    return NULL;
}

/* ---- all together ---- */

static void crowd_begin(Crowd *crowd, FakeWhen when, bool window)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);

    *crowd = (Crowd){ .machine = machine };
    g_mutex_init(&crowd->lock);
    machine->tpm->submit_when = when;
    machine->tpm->polls_needed = 2;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD; /* its thread answers */
    machine->config.completion_window_ns = window ? 1000000 : 0;
    put_message = machine->host.host.send_crq;
    machine->host.host.send_crq = on_send_crq;
    crowd_now = crowd;
    spapr_machine_plug(machine);
    spapr_put(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
}

static void crowd_end(Crowd *crowd)
{
    unsigned answers = 0;

    assert_int_equal(crowd->wrong, 0);
    assert_int_equal(crowd->strange, 0);
    for (unsigned i = 0; i < ASKERS; i++) {
        answers += crowd->answered[i];
        assert_int_equal(crowd->asked[i], QUESTIONS);
        assert_true(crowd->answered[i] <= QUESTIONS);
        if (crowd->epoch == 0) {
            assert_int_equal(crowd->answered[i], QUESTIONS);
        }
    }
    assert_int_equal(spapr_messages(crowd->machine), answers + crowd->commands_answered);
    if (crowd->epoch == 0) {
        assert_int_equal(crowd->out_of_order, 0);
        assert_int_equal(crowd->commands_answered, COMMANDS);
        assert_int_equal(crowd->lost, 0);
    }
    assert_int_equal(crowd->machine->outside, 0);
    spapr_machine_free(crowd->machine);
    g_mutex_clear(&crowd->lock);
}

static void run_crowd(FakeWhen when, bool window, bool upheavals)
{
    Crowd crowd;
    GThread *threads[ASKERS + 2];
    Asker askers[ASKERS];
    unsigned n = 0;

    crowd_begin(&crowd, when, window);
    GThread *commands = g_thread_new("commands", command_thread, &crowd);

    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i] = (Asker){ &crowd, i };
        threads[n++] = g_thread_new("asker", asker_thread, &askers[i]);
    }
    if (upheavals) {
        threads[n++] = g_thread_new("upheavals", upheaval_thread, &crowd);
    }
    g_thread_join(commands);
    g_mutex_lock(&crowd.lock);
    crowd.over = true;
    g_mutex_unlock(&crowd.lock);
    while (n > 0) {
        g_thread_join(threads[--n]);
    }
    crowd_end(&crowd);
}

static void test_every_message_is_answered_once(void **state)
{
    (void)state;
    run_crowd(FAKE_BY_THREAD, false, false);
}

static void test_every_message_is_answered_once_with_a_window(void **state)
{
    (void)state;
    run_crowd(FAKE_SOMEHOW, true, false);
}

static void test_every_message_is_answered_once_by_a_tpm_that_answers_at_once(void **state)
{
    (void)state;
    run_crowd(FAKE_AT_ONCE, false, false);
}

static void test_queues_and_machines_that_begin_anew_leave_no_answer_behind(void **state)
{
    (void)state;
    run_crowd(FAKE_BY_THREAD, false, true);
}

static void test_queues_and_machines_that_begin_anew_with_a_window(void **state)
{
    (void)state;
    run_crowd(FAKE_SOMEHOW, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_is_answered_once),
        cmocka_unit_test(test_every_message_is_answered_once_with_a_window),
        cmocka_unit_test(test_every_message_is_answered_once_by_a_tpm_that_answers_at_once),
        cmocka_unit_test(test_queues_and_machines_that_begin_anew_leave_no_answer_behind),
        cmocka_unit_test(test_queues_and_machines_that_begin_anew_with_a_window),
    };

    return cmocka_run_group_tests_name("spapr-threads", tests, NULL, NULL);
}
