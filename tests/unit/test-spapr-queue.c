/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The answers of the tpm-spapr device (hw/tpm/spapr.c) on their way into the guest's queue: what
 * firmware and drivers demand of their order and their moment, and a queue without room.
 */
#include "spapr-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ANSWER_10 (ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER)

/* Answers that are kept for a guest that does not empty its queue. */
#define KEPT_MAX 8u

static void start(SpaprMachine *machine)
{
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
}

/* ---- SLOF ---- */

/* It counts turns of a loop of some ten microseconds, so the answer must be there already. */
static void test_slof_finds_the_init_answer_when_the_hypercall_returns(void **state)
{
    SpaprMachine *machine = *state;

    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_assert_last(machine, 1, MESSAGE_INIT);
    assert_ptr_equal(machine->message_thread, g_thread_self());
}

static void test_slof_finds_the_rtce_size_when_the_hypercall_returns(void **state)
{
    SpaprMachine *machine = *state;

    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_send_ok(machine, MESSAGE_RTCE_SIZE);
    spapr_assert_last(machine, 2, ANSWER_RTCE_SIZE | ANSWER_LEN(4096));
    assert_ptr_equal(machine->message_thread, g_thread_self());
}

static void test_slof_is_answered_while_its_tpm_still_starts(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare_told();

    (void)state;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    spapr_machine_plug(machine);
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_send_ok(machine, MESSAGE_RTCE_SIZE);
    spapr_assert_last(machine, 2, ANSWER_RTCE_SIZE | ANSWER_LEN(4096));
    spapr_machine_free(machine);
}

/* And as much of the answer's other fields as the message had. */
static void test_slof_needs_no_version_and_finds_its_address_in_the_answer(void **state)
{
    SpaprMachine *machine = *state;

    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_send_ok(machine, MESSAGE_RTCE_SIZE);
    start(machine);
    spapr_assert_last(machine, 3, ANSWER_10);
}

/* SLOF gave the memory back when it left; Linux has other things there. */
static void test_slofs_last_command_never_reaches_the_memory_of_linux(void **state)
{
    SpaprMachine *machine = *state;

    start(machine);
    tpmdev_device_reset_crq(machine->device); /* H_FREE_CRQ, at quiesce */
    spapr_put(machine, "Linux", 5);
    tpmdev_device_reset_crq(machine->device); /* H_REG_CRQ */
    spapr_send_ok(machine, MESSAGE_INIT);
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, 1, MESSAGE_INIT);
    spapr_assert_buffer(machine, "Linux", 5, 0xEE);
    assert_int_equal(machine->dmas, 1);
}

/* ---- Linux ---- */

static void test_linux_probe_gets_its_answers_in_order(void **state)
{
    SpaprMachine *machine = *state;

    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_send_ok(machine, MESSAGE_INIT_COMPLETE);
    spapr_send_ok(machine, MESSAGE_VERSION);
    spapr_send_ok(machine, MESSAGE_RTCE_SIZE);
    assert_int_equal(spapr_messages(machine), 4);
    spapr_assert_message(machine, 0, MESSAGE_INIT);
    spapr_assert_message(machine, 1, MESSAGE_INIT_COMPLETE);
    spapr_assert_message(machine, 2, ANSWER_VERSION | 2);
    spapr_assert_message(machine, 3, ANSWER_RTCE_SIZE | ANSWER_LEN(4096));
}

static void assert_response_is_there(SpaprMachine *machine)
{
    spapr_assert_buffer(machine, spapr_response_2_0, 10, spapr_command_2_0[10]);
}

static void test_linux_finds_the_response_in_memory_when_it_is_announced(void **state)
{
    SpaprMachine *machine = *state;

    machine->on_message = assert_response_is_there;
    start(machine);
    fake_backend_answer(machine->tpm);
    assert_null(machine->on_message);
    spapr_assert_last(machine, 1, ANSWER_10);
}

/* Its interrupt comes while the hypervisor is still about the last answer: H_BUSY would be EIO. */
static void test_linux_may_send_its_next_command_as_soon_as_it_sees_the_answer(void **state)
{
    SpaprMachine *machine = *state;

    start(machine);
    machine->on_seen = start;
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 2);
    spapr_assert_last(machine, 1, ANSWER_10);
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, 2, ANSWER_10);
}

static void test_linux_gets_one_answer_a_command(void **state)
{
    SpaprMachine *machine = *state;

    for (unsigned i = 1; i <= 20; i++) {
        start(machine);
        assert_int_equal(spapr_messages(machine), i - 1);
        fake_backend_answer(machine->tpm);
        spapr_assert_last(machine, i, ANSWER_10);
    }
}

static void test_linux_may_suspend_while_a_command_runs(void **state)
{
    SpaprMachine *machine = *state;

    start(machine);
    spapr_send_ok(machine, MESSAGE_SUSPEND);
    spapr_assert_last(machine, 1, ANSWER_SUSPEND);
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, 2, ANSWER_10);
}

/* ---- a queue without room ---- */

static void test_answer_without_room_is_kept_and_comes_before_the_next(void **state)
{
    SpaprMachine *machine = *state;

    machine->queue_full = true;
    spapr_send_ok(machine, MESSAGE_VERSION);
    assert_int_equal(machine->refused, 1);
    machine->queue_full = false;
    assert_int_equal(spapr_messages(machine), 0);
    spapr_send_ok(machine, MESSAGE_INIT);
    assert_int_equal(spapr_messages(machine), 2);
    spapr_assert_message(machine, 0, ANSWER_VERSION | 2);
    spapr_assert_message(machine, 1, MESSAGE_INIT);
    assert_int_equal(machine->refused, 1);
}

static void test_response_without_room_is_kept_and_offered_by_resume(void **state)
{
    SpaprMachine *machine = *state;

    start(machine);
    machine->queue_full = true;
    fake_backend_answer(machine->tpm);
    tpmdev_device_resume_crq(machine->device);
    assert_int_equal(machine->refused, 2);
    machine->queue_full = false;
    tpmdev_device_resume_crq(machine->device);
    spapr_assert_last(machine, 1, ANSWER_10);
    tpmdev_device_resume_crq(machine->device);
    assert_int_equal(spapr_messages(machine), 1);
    assert_int_equal(machine->dmas, 2);
}

/* Nobody said that there is room, so nobody is asked. */
static void test_answer_that_waits_is_not_offered_by_what_else_happens(void **state)
{
    SpaprMachine *machine = *state;
    uint64_t value;

    start(machine);
    machine->queue_full = true;
    spapr_send_ok(machine, MESSAGE_INIT);
    assert_int_equal(machine->refused, 1);
    tpmdev_device_read(machine->device, 0, 4, &value);
    spapr_statistics(machine);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->refused, 1);
    assert_int_equal(machine->dmas, 2); /* the response is written meanwhile */
    machine->queue_full = false;
    tpmdev_device_resume_crq(machine->device);
    spapr_assert_message(machine, 0, MESSAGE_INIT);
    spapr_assert_last(machine, 2, ANSWER_10);
}

static const uint64_t questions[] = { MESSAGE_INIT,    MESSAGE_INIT_COMPLETE, MESSAGE_VERSION,
                                      MESSAGE_SUSPEND, MESSAGE_RTCE_SIZE,     MESSAGE_INIT,
                                      MESSAGE_VERSION, MESSAGE_SUSPEND };
static const uint64_t answers[] = { MESSAGE_INIT,
                                    MESSAGE_INIT_COMPLETE,
                                    ANSWER_VERSION | 2,
                                    ANSWER_SUSPEND,
                                    ANSWER_RTCE_SIZE | ANSWER_LEN(4096),
                                    MESSAGE_INIT,
                                    ANSWER_VERSION | 2,
                                    ANSWER_SUSPEND };
G_STATIC_ASSERT(G_N_ELEMENTS(questions) == KEPT_MAX && G_N_ELEMENTS(answers) == KEPT_MAX);

static void fill(SpaprMachine *machine, unsigned n)
{
    machine->queue_full = true;
    for (unsigned i = 0; i < n; i++) {
        spapr_send_ok(machine, questions[i]);
    }
}

static void test_eight_answers_are_kept_and_what_has_no_place_is_dropped(void **state)
{
    SpaprMachine *machine = *state;

    fill(machine, KEPT_MAX);
    assert_int_equal(spapr_statistics(machine).guest_errors, 0);
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        assert_int_equal(spapr_send(machine, questions[i]), DROPPED);
    }
    assert_int_equal(spapr_statistics(machine).guest_errors, KEPT_MAX);
    machine->queue_full = false;
    tpmdev_device_resume_crq(machine->device);
    assert_int_equal(spapr_messages(machine), KEPT_MAX);
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        spapr_assert_message(machine, i, answers[i]);
    }
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_assert_last(machine, KEPT_MAX + 1, MESSAGE_INIT);
}

/* A guest that has been told so tries again: the first attempt makes the room for the second. */
static void test_dropped_message_is_taken_once_the_queue_has_room(void **state)
{
    SpaprMachine *machine = *state;

    fill(machine, KEPT_MAX);
    machine->queue_full = false;
    assert_int_equal(spapr_send(machine, MESSAGE_INIT), DROPPED);
    assert_int_equal(spapr_messages(machine), KEPT_MAX);
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_assert_last(machine, KEPT_MAX + 1, MESSAGE_INIT);
}

static void test_command_is_only_taken_when_its_answer_has_a_place(void **state)
{
    SpaprMachine *machine = *state;

    fill(machine, KEPT_MAX);
    assert_int_equal(spapr_send(machine, spapr_command(12, BUFFER)), DROPPED);
    assert_int_equal(machine->dmas, 0);
    assert_int_equal(machine->tpm->submits, 0);
}

static void test_place_of_a_commands_answer_is_not_for_others(void **state)
{
    SpaprMachine *machine = *state;

    fill(machine, KEPT_MAX - 1);
    start(machine);
    assert_int_equal(spapr_send(machine, MESSAGE_INIT), DROPPED);
    assert_int_equal(spapr_send(machine, spapr_command(12, BUFFER)), BUSY);
    fake_backend_answer(machine->tpm);
    machine->queue_full = false;
    tpmdev_device_resume_crq(machine->device);
    spapr_assert_last(machine, KEPT_MAX, ANSWER_10);
}

/* The same for the error that stands in place of the answer. */
static void test_error_of_a_failed_copy_has_that_place(void **state)
{
    SpaprMachine *machine = *state;

    fill(machine, KEPT_MAX - 1);
    spapr_send_ok(machine, spapr_command(12, 0));
    assert_int_equal(spapr_send(machine, MESSAGE_INIT), DROPPED);
    machine->queue_full = false;
    tpmdev_device_resume_crq(machine->device);
    spapr_assert_last(machine, KEPT_MAX, ANSWER_COPY_IN);
}

static void test_unknown_messages_need_no_place(void **state)
{
    SpaprMachine *machine = *state;

    fill(machine, KEPT_MAX);
    spapr_send_ok(machine, 0x80FF000000000000u);
}

static void test_answers_of_an_old_queue_never_reach_a_new_one(void **state)
{
    SpaprMachine *machine = *state;

    fill(machine, KEPT_MAX);
    machine->queue_full = false;
    tpmdev_device_reset_crq(machine->device);
    assert_int_equal(spapr_messages(machine), 0);
    fill(machine, KEPT_MAX);
    machine->queue_full = false;
    tpmdev_device_reset(machine->device);
    tpmdev_device_resume_crq(machine->device);
    assert_int_equal(spapr_messages(machine), 0);
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_assert_last(machine, 1, MESSAGE_INIT);
}

/* ---- room that comes, and queues that go, while a message is being refused ---- */

static void make_room(SpaprMachine *machine)
{
    machine->queue_full = false;
}

/* This message is still refused: the room came too late for it. */
static void say_there_is_room(SpaprMachine *machine)
{
    machine->on_message = make_room;
    tpmdev_device_resume_crq(machine->device);
}

static void test_resume_while_a_message_is_refused_is_heard(void **state)
{
    SpaprMachine *machine = *state;

    machine->queue_full = true;
    machine->on_message = say_there_is_room;
    spapr_send_ok(machine, MESSAGE_INIT);
    assert_int_equal(machine->refused, 1);
    spapr_assert_last(machine, 1, MESSAGE_INIT);
}

static void begin_anew(SpaprMachine *machine)
{
    tpmdev_device_reset_crq(machine->device);
}

static void test_message_refused_by_a_queue_that_goes_is_not_kept(void **state)
{
    SpaprMachine *machine = *state;

    machine->queue_full = true;
    machine->on_message = begin_anew;
    spapr_send_ok(machine, MESSAGE_VERSION);
    machine->queue_full = false;
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_assert_last(machine, 1, MESSAGE_INIT);
}

/* The old answer was taken; that says nothing of the first answer of the new queue. */
static void begin_anew_and_ask(SpaprMachine *machine)
{
    tpmdev_device_reset_crq(machine->device);
    spapr_send_ok(machine, MESSAGE_VERSION);
}

static void test_answer_to_a_new_queue_is_not_mistaken_for_the_one_under_way(void **state)
{
    SpaprMachine *machine = *state;

    machine->on_seen = begin_anew_and_ask;
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_assert_last(machine, 2, ANSWER_VERSION | 2);
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_assert_last(machine, 3, MESSAGE_INIT);
}

static void refuse_and_ask(SpaprMachine *machine)
{
    tpmdev_device_reset_crq(machine->device);
    spapr_send_ok(machine, MESSAGE_VERSION);
    machine->on_message = make_room;
}

static void test_refusal_by_an_old_queue_does_not_stop_a_new_one(void **state)
{
    SpaprMachine *machine = *state;

    machine->queue_full = true;
    machine->on_message = refuse_and_ask;
    spapr_send_ok(machine, MESSAGE_INIT);
    assert_int_equal(machine->refused, 1);
    spapr_assert_last(machine, 1, ANSWER_VERSION | 2);
}

/* ---- two threads ---- */

typedef struct Other {
    SpaprMachine *machine;
    GThread *thread;
    GMutex lock;
    GCond changed;
    bool is_inside;
    bool may_return;
} Other;

static Other *other_now; /* the hooks are given the machine alone */

static void set(bool *flag)
{
    g_mutex_lock(&other_now->lock);
    *flag = true;
    g_cond_broadcast(&other_now->changed);
    g_mutex_unlock(&other_now->lock);
}

static void wait_until(const bool *flag)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&other_now->lock);
    while (!*flag && g_cond_wait_until(&other_now->changed, &other_now->lock, deadline)) {
    }
    g_mutex_unlock(&other_now->lock);
}

static void stay_inside(SpaprMachine *machine)
{
    (void)machine;
    set(&other_now->is_inside);
    wait_until(&other_now->may_return);
}

static gpointer other_thread(gpointer data)
{
    tpmdev_device_resume_crq(((Other *)data)->machine->device);
    return NULL;
}

/* This thread has found that there is something to deliver; before it does, another one begins. */
static void let_another_thread_deliver(FakeHost *host)
{
    (void)host;
    other_now->machine->on_message = stay_inside;
    other_now->thread = g_thread_new("other", other_thread, other_now);
    wait_until(&other_now->is_inside);
}

static void test_thread_that_finds_another_one_delivering_leaves_it_to_that_one(void **state)
{
    SpaprMachine *machine = *state;
    Other other = { .machine = machine };

    g_mutex_init(&other.lock);
    g_cond_init(&other.changed);
    other_now = &other;
    machine->queue_full = true;
    spapr_send_ok(machine, MESSAGE_VERSION);
    machine->queue_full = false;
    machine->host.on_clock = let_another_thread_deliver; /* to limit the rate of messages */
    spapr_send_ok(machine, 0x8005000000000000u);
    assert_int_equal(spapr_messages(machine), 0);
    spapr_send_ok(machine, MESSAGE_INIT);
    assert_int_equal(spapr_messages(machine), 0);
    set(&other.may_return);
    g_thread_join(other.thread);
    assert_int_equal(spapr_messages(machine), 2);
    spapr_assert_message(machine, 0, ANSWER_VERSION | 2);
    spapr_assert_message(machine, 1, MESSAGE_INIT);
    g_mutex_clear(&other.lock);
    g_cond_clear(&other.changed);
}

/* ---- a context of the host's ---- */

static void test_completions_come_on_the_hosts_context_alone(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);

    (void)state;
    fake_host_use_context(&machine->host);
    machine->tpm->submit_when = FAKE_BY_THREAD;
    machine->config.completion_window_ns = 0;
    spapr_machine_plug(machine);
    start(machine);
    assert_int_equal(spapr_messages(machine), 0);
    fake_host_wait_context(&machine->host);
    spapr_assert_last(machine, 1, ANSWER_10);
    assert_ptr_equal(machine->message_thread, g_thread_self());
    spapr_machine_free(machine);
}

#define TOLD(test) cmocka_unit_test_setup_teardown(test, spapr_setup_told, spapr_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOLD(test_slof_finds_the_init_answer_when_the_hypercall_returns),
        TOLD(test_slof_finds_the_rtce_size_when_the_hypercall_returns),
        cmocka_unit_test(test_slof_is_answered_while_its_tpm_still_starts),
        cmocka_unit_test_setup_teardown(
            test_slof_needs_no_version_and_finds_its_address_in_the_answer, spapr_setup_2_0,
            spapr_teardown),
        TOLD(test_slofs_last_command_never_reaches_the_memory_of_linux),
        TOLD(test_linux_probe_gets_its_answers_in_order),
        TOLD(test_linux_finds_the_response_in_memory_when_it_is_announced),
        TOLD(test_linux_may_send_its_next_command_as_soon_as_it_sees_the_answer),
        TOLD(test_linux_gets_one_answer_a_command),
        TOLD(test_linux_may_suspend_while_a_command_runs),
        TOLD(test_answer_without_room_is_kept_and_comes_before_the_next),
        TOLD(test_response_without_room_is_kept_and_offered_by_resume),
        TOLD(test_answer_that_waits_is_not_offered_by_what_else_happens),
        TOLD(test_eight_answers_are_kept_and_what_has_no_place_is_dropped),
        TOLD(test_dropped_message_is_taken_once_the_queue_has_room),
        TOLD(test_command_is_only_taken_when_its_answer_has_a_place),
        TOLD(test_place_of_a_commands_answer_is_not_for_others),
        TOLD(test_error_of_a_failed_copy_has_that_place),
        TOLD(test_unknown_messages_need_no_place),
        TOLD(test_answers_of_an_old_queue_never_reach_a_new_one),
        TOLD(test_resume_while_a_message_is_refused_is_heard),
        TOLD(test_message_refused_by_a_queue_that_goes_is_not_kept),
        TOLD(test_answer_to_a_new_queue_is_not_mistaken_for_the_one_under_way),
        TOLD(test_refusal_by_an_old_queue_does_not_stop_a_new_one),
        TOLD(test_thread_that_finds_another_one_delivering_leaves_it_to_that_one),
        cmocka_unit_test(test_completions_come_on_the_hosts_context_alone),
    };

    return cmocka_run_group_tests_name("spapr-queue", tests, NULL, NULL);
}
