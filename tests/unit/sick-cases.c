/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of what can go wrong with swtpm; see sick-cases.h. */
#include "sick-cases.h"

#include <string.h>

#define ON_2_0 (1u << SICK_TIS_2_0 | 1u << SICK_CRB_2_0)
#define ON_1_2 (1u << SICK_TIS_1_2)
#define ON_ALL (ON_2_0 | ON_1_2)
#define ON_CRB (1u << SICK_CRB_2_0)
#define ON_TIS (1u << SICK_TIS_2_0 | 1u << SICK_TIS_1_2)

/* An exchange, and when it takes place. */
typedef struct Meeting {
    SickTime time;
    SickExchange exchange;
    unsigned nth;
    unsigned forms;
} Meeting;

static const Meeting meetings[] = {
    { SICK_AT_CREATION, SICK_SET_DATAFD, 0, ON_ALL },
    { SICK_AT_CREATION, SICK_PROBE_2_0, 0, ON_ALL },
    { SICK_AT_CREATION, SICK_PROBE_1_2, 0, ON_1_2 },
    { SICK_AT_CREATION, SICK_GET_CAPABILITY, 0, ON_ALL },
    { SICK_AT_CREATION, SICK_GET_BUFFERSIZE, 0, ON_ALL },
    { SICK_AT_START, SICK_STOP, 0, ON_ALL },
    { SICK_AT_START, SICK_GET_BUFFERSIZE, 0, ON_ALL },
    { SICK_AT_START, SICK_STOP, 1, ON_ALL },
    { SICK_AT_START, SICK_SET_BUFFERSIZE, 0, ON_ALL },
    { SICK_AT_START, SICK_INIT, 0, ON_ALL },
    { SICK_AT_START, SICK_GET_TPMESTABLISHED, 0, ON_ALL },
    { SICK_AT_STARTUP, SICK_TPM_STARTUP, 0, ON_ALL },
    { SICK_AT_STARTUP, SICK_PROBE_2_0, 0, ON_2_0 },
    { SICK_AT_STARTUP, SICK_PROBE_1_2, 0, ON_1_2 },
    { SICK_AT_STARTUP, SICK_TPM_HASH, 0, ON_2_0 },
    { SICK_AT_COMMAND, SICK_SET_LOCALITY, 0, ON_TIS },
    { SICK_AT_COMMAND, SICK_COMMAND, 0, ON_TIS },
    { SICK_AT_COMMAND, SICK_HEADED_COMMAND, 0, ON_CRB },
    { SICK_AT_CANCEL, SICK_CANCEL_TPM_CMD, 0, ON_ALL },
    { SICK_AT_ESTABLISHED, SICK_RESET_TPMESTABLISHED, 0, ON_2_0 },
    { SICK_AT_ESTABLISHED, SICK_GET_TPMESTABLISHED, 0, ON_2_0 },
    { SICK_AT_MEASUREMENT, SICK_HASH_START, 0, ON_TIS },
    { SICK_AT_MEASUREMENT, SICK_HASH_DATA, 0, ON_TIS },
    { SICK_AT_MEASUREMENT, SICK_HASH_END, 0, ON_TIS },
    { SICK_AT_MEASUREMENT, SICK_GET_TPMESTABLISHED, 0, ON_TIS },
    { SICK_AT_CHECKPOINT, SICK_STORE_VOLATILE, 0, ON_ALL },
    { SICK_AT_RESET, SICK_TPM_SHUTDOWN, 0, ON_2_0 },
    { SICK_AT_RESET, SICK_STOP, 0, ON_ALL },
    { SICK_AT_RESET, SICK_INIT, 0, ON_ALL },
    { SICK_AT_NEW_CHANNEL, SICK_SET_DATAFD, 0, ON_ALL },
    { SICK_AT_NEW_CHANNEL, SICK_PROBE_2_0, 0, ON_ALL },
    { SICK_AT_NEW_CHANNEL, SICK_GET_CAPABILITY, 0, ON_ALL },
    { SICK_AT_NEW_CHANNEL, SICK_GET_BUFFERSIZE, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_SET_DATAFD, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_PROBE_2_0, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_PROBE_1_2, 0, ON_1_2 },
    { SICK_AT_RECONNECTION, SICK_GET_CAPABILITY, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_STOP, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_GET_BUFFERSIZE, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_SET_BUFFERSIZE, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_INIT, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_SET_LOCALITY, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_TPM_STARTUP, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_TPM_SELF_TEST, 0, ON_1_2 },
    { SICK_AT_RECONNECTION, SICK_TPM_HASH, 0, ON_2_0 },
    { SICK_AT_RECONNECTION, SICK_TPM_EXTEND, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_TPM_EXTEND, 17, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_TPM_LOCK, 0, ON_ALL },
    { SICK_AT_RECONNECTION, SICK_GET_TPMESTABLISHED, 0, ON_ALL },
    { SICK_AT_RESUMPTION, SICK_TPM_STARTUP, 0, ON_ALL },
    { SICK_AT_RESUMPTION, SICK_PROBE_2_0, 1, ON_2_0 },
    { SICK_AT_RESUMPTION, SICK_PROBE_1_2, 1, ON_1_2 },
    { SICK_AT_RESUMPTION, SICK_TPM_HASH, 0, ON_2_0 },
    { SICK_AT_RESUMPTION, SICK_GET_TPMESTABLISHED, 0, ON_ALL },
    { SICK_AT_END, SICK_TPM_SHUTDOWN, 0, ON_2_0 },
    { SICK_AT_END, SICK_SHUTDOWN, 0, ON_ALL },
};

/* What is said in place of a reply, and what the host is told of it; NULL: that is tolerated. */
typedef struct Saying {
    const char *bytes;
    const char *host;
} Saying;

#define IT_REFUSES "refused "
#define REFUSED                                                                                    \
    { "0000000a", IT_REFUSES }, { "00000101", IT_REFUSES },                                        \
    {                                                                                              \
        "ffffffff", IT_REFUSES                                                                     \
    }
#define SHRUGGED                                                                                   \
    { "0000000a", NULL }, { "00000101", NULL },                                                    \
    {                                                                                              \
        "ffffffff", NULL                                                                           \
    }
#define A_REFUSAL "80010000000a00000143"
#define IT_SAYS   "sent a response "
#define BAD_SIZES                                                                                  \
    { "80010000000000000000", IT_SAYS }, { "80010000000500000000", IT_SAYS },                      \
        { "80010000000900000000", IT_SAYS }, { "8001ffffffff00000000", IT_SAYS },                  \
        { "80017fffffff00000000", IT_SAYS },                                                       \
    {                                                                                              \
        "80010000100100000000", IT_SAYS                                                            \
    }

/* What an exchange is called in what the host is told, and the nonsense that may be said. */
static const struct {
    const char *told;
    Saying sayings[12];
} facts[SICK_EXCHANGES] = {
    [SICK_SET_DATAFD] = { "SET_DATAFD", { REFUSED } },
    [SICK_PROBE_2_0] = { "the TPM command that asks for its version", { BAD_SIZES } },
    [SICK_PROBE_1_2] = { "the TPM command that asks for its version",
                         { BAD_SIZES, { "ffff0000000a00000000", "answers as no TPM does" } } },
    [SICK_GET_CAPABILITY] = { "GET_CAPABILITY",
                              { REFUSED,
                                { "0000000000000000", "lacks what a TPM" },
                                { "00000000ffffffff", NULL } } },
    [SICK_GET_BUFFERSIZE] = { "SET_BUFFERSIZE",
                              { REFUSED,
                                { "00000000000000000000000000000000", "buffer " },
                                { "00000000ffffffffffffffffffffffff", NULL } } },
    [SICK_STOP] = { "STOP", { REFUSED } },
    [SICK_SET_BUFFERSIZE] = { "SET_BUFFERSIZE",
                              { REFUSED,
                                { "00000000ffffffff0000008000001000", "instead of the " },
                                { "00000000000000000000008000001000", "instead of the " } } },
    [SICK_INIT] = { "INIT", { REFUSED } },
    [SICK_GET_TPMESTABLISHED] = { "GET_TPMESTABLISHED",
                                  { SHRUGGED, { "00000000ffffffff", NULL } } },
    [SICK_SET_LOCALITY] = { "SET_LOCALITY", { REFUSED } },
    [SICK_HASH_START] = { "HASH_START", { REFUSED } },
    [SICK_HASH_DATA] = { "HASH_DATA", { REFUSED } },
    [SICK_HASH_END] = { "HASH_END", { REFUSED } },
    [SICK_CANCEL_TPM_CMD] = { "CANCEL_TPM_CMD", { SHRUGGED } },
    [SICK_RESET_TPMESTABLISHED] = { "RESET_TPMESTABLISHED", { SHRUGGED } },
    [SICK_STORE_VOLATILE] = { "STORE_VOLATILE", { REFUSED } },
    [SICK_SHUTDOWN] = { "SHUTDOWN", { SHRUGGED } },
    [SICK_COMMAND] = { "a TPM command", { BAD_SIZES } },
    [SICK_HEADED_COMMAND] = { "a TPM command",
                              { BAD_SIZES,
                                { "0000000a80010000000a0000000000000001", IT_SAYS },
                                { "0000000a80010000000b0000000000000000", IT_SAYS },
                                { "ffffffff80010000000a0000000000000000", IT_SAYS },
                                { "80010000000a00000084", NULL } } },
    [SICK_TPM_STARTUP] = { "a TPM command",
                           { BAD_SIZES, { A_REFUSAL, "reset, and refused TPM_Startup" } } },
    [SICK_TPM_SHUTDOWN] = { "a TPM command", { BAD_SIZES, { A_REFUSAL, NULL } } },
    [SICK_TPM_EXTEND] = { "a TPM command",
                          { BAD_SIZES, { A_REFUSAL, "refused an extension of its PCRs" } } },
    [SICK_TPM_HASH] = { "a TPM command",
                        { BAD_SIZES,
                          { "80010000000e0000000000000063", "another TPM than the guest's" } } },
    [SICK_TPM_LOCK] = { "a TPM command", { BAD_SIZES } },
    [SICK_TPM_SELF_TEST] = { "a TPM command", { BAD_SIZES } },
};

/* ---- illnesses that leave no answer, or a broken one ---- */

typedef struct Builder {
    GArray *cases;
    const Meeting *meeting;
    size_t size; /* of the reply when all is well */
} Builder;

/* What it brings is only noticed by the first start, or does no harm. */
static bool is_last_of_creation(const Meeting *meeting)
{
    return meeting->time == SICK_AT_CREATION && meeting->exchange == SICK_GET_BUFFERSIZE;
}

/* It had gone before, and the host was told so. */
static bool is_of_return(SickTime time)
{
    return time == SICK_AT_NEW_CHANNEL || time == SICK_AT_RECONNECTION ||
           time == SICK_AT_RESUMPTION;
}

static const char *told_of_loss(SickTime time)
{
    return time == SICK_AT_NEW_CHANNEL ? "did not answer the TPM command"
                                       : "while nothing was under way";
}

/* swtpm is there and says no: a TPM that does not start may do so the next time. */
static bool is_of_power_cycle(const Meeting *meeting)
{
    return meeting->time == SICK_AT_START || meeting->time == SICK_AT_RESET ||
           meeting->time == SICK_AT_MEASUREMENT;
}

static SickCase *add(Builder *builder, SickIllness illness, const char *bytes)
{
    const Meeting *meeting = builder->meeting;
    SickCase kase = {
        .time = meeting->time,
        .fault = { meeting->exchange, meeting->nth, illness, 0, bytes },
        .forms = meeting->forms,
        .guest = SICK_SEES_FAILURE,
        .host = facts[meeting->exchange].told,
        .recovery = SICK_BY_ITSELF,
    };

    if (meeting->time == SICK_AT_CREATION) {
        kase.guest = SICK_SEES_NOTHING;
        kase.recovery = SICK_BY_CREATION;
    } else if (meeting->time == SICK_AT_END) {
        kase.guest = SICK_SEES_NOTHING;
        kase.host = NULL;
        kase.recovery = SICK_BY_CREATION;
    }
    g_array_append_val(builder->cases, kase);
    return &g_array_index(builder->cases, SickCase, builder->cases->len - 1);
}

/* Who gives a backend up has no ear for it any more. */
static void set_host(SickCase *kase, const char *host)
{
    if (kase->time != SICK_AT_END) {
        kase->host = host;
    }
}

static void add_tolerated(Builder *builder, SickIllness illness, const char *bytes)
{
    SickCase *kase = add(builder, illness, bytes);

    if (is_of_return(kase->time)) {
        kase->host = told_of_loss(kase->time);
        return;
    }
    if (kase->guest == SICK_SEES_FAILURE) {
        kase->guest = SICK_SEES_ANSWER;
        kase->recovery = SICK_WAS_NOT_GONE;
    } else if (kase->time == SICK_AT_CREATION) {
        kase->recovery = SICK_WAS_NOT_GONE;
    }
    kase->host = NULL;
}

/* They break the connection as soon as they are seen, which may be with the next exchange. */
static SickCase *add_unasked(Builder *builder, SickIllness illness, const char *bytes)
{
    SickCase *kase = add(builder, illness, bytes);

    if (kase->host) {
        /* On another channel it may be seen before the next exchange begins there, or in it. */
        kase->host = kase->time == SICK_AT_CANCEL || illness != SICK_IS_LONG
                         ? "sent "
                         : "that nobody asked for";
    }
    if (kase->guest == SICK_SEES_FAILURE && !is_of_return(kase->time)) {
        kase->guest = SICK_SEES_EITHER;
    } else if (is_last_of_creation(builder->meeting)) {
        kase->recovery = SICK_BY_ITSELF;
    }
    return kase;
}

/*
 * What is late on the data channel is told by its ordinal. A host that has been told that the TPM
 * is gone is not told again that it is still not there.
 */
static const char *told_of_silence(const Meeting *meeting, SickIllness illness)
{
    if (meeting->time == SICK_AT_END) {
        return NULL;
    } else if (is_of_return(meeting->time)) {
        return told_of_loss(meeting->time);
    } else if (sick_exchange_is_command(meeting->exchange) &&
               (meeting->time != SICK_AT_CREATION || illness > SICK_DROPS)) {
        return "TPM command";
    }
    return facts[meeting->exchange].told;
}

/* TIS where it can be. */
static unsigned one_of(unsigned forms)
{
    return forms & ON_TIS ? forms & (~forms + 1) : forms;
}

static void add_without_answer(Builder *builder)
{
    static const SickIllness illnesses[] = { SICK_DIES, SICK_DROPS, SICK_HANGS, SICK_STOPS_SHORT,
                                             SICK_IS_LATE };

    for (size_t i = 0; i < G_N_ELEMENTS(illnesses); i++) {
        SickCase *kase = add(builder, illnesses[i], NULL);

        kase->positions = illnesses[i] == SICK_IS_LATE ? 0 : builder->size;
        kase->host = told_of_silence(builder->meeting, illnesses[i]);
        if (kase->time == SICK_AT_ESTABLISHED && illnesses[i] > SICK_DROPS) {
            /* A command with a header does not wait for the control channel. */
            kase->host = "did not answer ";
            kase->guest = illnesses[i] == SICK_HANGS ? SICK_SEES_FAILURE : SICK_SEES_EITHER;
        }
        if (illnesses[i] == SICK_DROPS || illnesses[i] == SICK_STOPS_SHORT) {
            kase->forms = one_of(kase->forms); /* much like the two before them */
        }
    }
}

static void add_with_too_much(Builder *builder)
{
    static const char *const longer[] = { "00", "0000000000000000" };

    for (size_t i = 0; i < G_N_ELEMENTS(longer); i++) {
        if (sick_exchange_is_command(builder->meeting->exchange)) {
            set_host(add(builder, SICK_IS_LONG, longer[i]), "sent ");
        } else {
            add_unasked(builder, SICK_IS_LONG, longer[i]);
        }
    }
    add_unasked(builder, SICK_INTERRUPTS, "00000000");
    SickCase *kase = add_unasked(builder, SICK_ADDS, "80010000000a00000000");

    if (kase->host && sick_exchange_is_command(builder->meeting->exchange)) {
        kase->host = "swtpm at"; /* they may come in time to be taken for the next reply */
    }
    add_tolerated(builder, SICK_PASSES_FDS, NULL);
}

/* Where it is only learned what a TPM says of itself, what has the form of a response will do. */
static bool is_tolerated(const Meeting *meeting, const Saying *saying)
{
    return !saying->host || is_last_of_creation(meeting) ||
           ((meeting->time == SICK_AT_STARTUP || meeting->time == SICK_AT_RESUMPTION) &&
            sick_exchange_is_command(meeting->exchange) && strcmp(saying->host, IT_SAYS) != 0);
}

/* What is a guest's own business: a response it gets as it is. */
static bool is_of_guest(const Meeting *meeting, const Saying *saying)
{
    return meeting->time == SICK_AT_STARTUP && meeting->exchange == SICK_TPM_STARTUP &&
           strcmp(saying->bytes, A_REFUSAL) == 0;
}

static void add_nonsense(Builder *builder)
{
    const Saying *saying = facts[builder->meeting->exchange].sayings;

    for (; saying->bytes; saying++) {
        if (is_of_guest(builder->meeting, saying)) {
            continue;
        }
        if (!is_tolerated(builder->meeting, saying)) {
            SickCase *kase = add(builder, SICK_SAYS, saying->bytes);

            set_host(kase, saying->host);
            if (is_of_power_cycle(builder->meeting)) {
                kase->recovery = SICK_BY_RESET;
            } else if (kase->fault.exchange == SICK_SET_LOCALITY && kase->time == SICK_AT_COMMAND) {
                kase->recovery = SICK_WAS_NOT_GONE; /* that command alone fails */
            }
        } else {
            add_tolerated(builder, SICK_SAYS, saying->bytes);
        }
    }
    if (builder->meeting->exchange == SICK_TPM_LOCK) {
        /* A TPM 1.2 refuses what it does not need. */
        SickCase *kase = add(builder, SICK_SAYS, A_REFUSAL);

        kase->forms = ON_2_0;
        kase->host = "refused TPM2_HierarchyControl";
    }
    if (builder->meeting->exchange == SICK_COMMAND) {
        /* It has the form of a response; what it is worth is the guest's to find out. */
        SickCase *kase = add(builder, SICK_SAYS, "ffff0000000a00000000");

        kase->host = NULL;
        kase->guest = SICK_SEES_THAT;
        kase->recovery = SICK_WAS_NOT_GONE;
    }
}

/* ---- while nothing is under way ---- */

static void add_idle(GArray *cases)
{
    static const struct {
        SickExchange exchange;
        SickIllness illness;
        const char *bytes;
        SickView guest;
        const char *host;
    } rows[] = {
        { SICK_STOP, SICK_DIES, NULL, SICK_SEES_FAILURE, "while nothing was under way" },
        { SICK_STOP, SICK_DROPS, NULL, SICK_SEES_EITHER,
          "closed the control channel while nothing" },
        { SICK_COMMAND, SICK_DROPS, NULL, SICK_SEES_EITHER,
          "closed the data channel while nothing" },
        { SICK_STOP, SICK_SAYS, "00", SICK_SEES_EITHER, "sent bytes on the control channel" },
        { SICK_COMMAND, SICK_SAYS, "80010000000a00000000", SICK_SEES_EITHER,
          "sent bytes on the data channel" },
        { SICK_STOP, SICK_HANGS, NULL, SICK_SEES_FAILURE, "did not answer " },
        { SICK_STOP, SICK_IS_REPLACED, NULL, SICK_SEES_FAILURE, "another TPM than the guest's" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        SickCase kase = {
            .time = SICK_WHILE_IDLE,
            .fault = { rows[i].exchange, 0, rows[i].illness, 0, rows[i].bytes },
            .positions = rows[i].illness == SICK_HANGS ? 2 : 0, /* it wakes, or a new one comes */
            .forms = rows[i].illness == SICK_IS_REPLACED ? ON_2_0 : ON_ALL,
            .guest = rows[i].guest,
            .host = rows[i].host,
            .recovery = rows[i].illness == SICK_IS_REPLACED ? SICK_BY_RESET : SICK_BY_ITSELF,
        };

        g_array_append_val(cases, kase);
    }
}

/* ---- all ---- */

static void add_meeting(Builder *builder)
{
    add_without_answer(builder);
    add_with_too_much(builder);
    add_nonsense(builder);
}

GArray *sick_cases(void)
{
    GArray *cases = g_array_new(FALSE, FALSE, sizeof(SickCase));

    for (size_t i = 0; i < G_N_ELEMENTS(meetings); i++) {
        Builder builder = { cases, &meetings[i],
                            sick_exchange_size(meetings[i].exchange, TPM_VERSION_2_0) };

        add_meeting(&builder);
    }
    add_idle(cases);
    return cases;
}

/* ---- for people ---- */

const char *sick_meeting_name(const SickCase *kase)
{
    if (kase->time == SICK_WHILE_IDLE) {
        return kase->fault.exchange == SICK_COMMAND ? "(data channel)" : "(control channel)";
    }
    return sick_exchange_name(kase->fault.exchange);
}

const char *sick_time_name(SickTime time)
{
    static const char *const names[] = {
        [SICK_AT_CREATION] = "at creation",
        [SICK_AT_START] = "at a start",
        [SICK_AT_STARTUP] = "at a startup",
        [SICK_AT_RESET] = "at a reset",
        [SICK_AT_COMMAND] = "at a command",
        [SICK_AT_CANCEL] = "at a cancel",
        [SICK_AT_ESTABLISHED] = "at a reset of tpmEstablished",
        [SICK_AT_MEASUREMENT] = "at a measurement",
        [SICK_AT_CHECKPOINT] = "at a checkpoint",
        [SICK_AT_NEW_CHANNEL] = "at a new data channel",
        [SICK_AT_RECONNECTION] = "at a reconnection",
        [SICK_AT_RESUMPTION] = "at a resumption",
        [SICK_AT_END] = "at the end",
        [SICK_WHILE_IDLE] = "while idle",
    };

    return names[time];
}

char *sick_illness_name(const SickCase *kase)
{
    static const char *const names[] = {
        [SICK_WELL] = "is well",
        [SICK_DIES] = "dies",
        [SICK_DROPS] = "closes the channel",
        [SICK_HANGS] = "hangs",
        [SICK_STOPS_SHORT] = "stops short",
        [SICK_IS_LATE] = "is late",
        [SICK_IS_LONG] = "adds",
        [SICK_SAYS] = "says",
        [SICK_INTERRUPTS] = "first sends on the other channel",
        [SICK_ADDS] = "then sends on the other channel",
        [SICK_IS_REPLACED] = "is replaced by one with another TPM",
        [SICK_PASSES_FDS] = "passes file descriptors",
    };
    const SickFault *fault = &kase->fault;
    GString *text = g_string_new(names[fault->illness]);

    if (kase->positions > 0 && kase->time != SICK_WHILE_IDLE) {
        g_string_append_printf(text, " after each of 0 to %zu bytes", kase->positions - 1);
    }
    if (fault->bytes) {
        g_string_append_printf(text, " %s", fault->bytes);
    }
    return g_string_free(text, FALSE);
}

const char *sick_view_name(SickView view)
{
    static const char *const names[] = {
        [SICK_SEES_NOTHING] = "is not there",
        [SICK_SEES_ANSWER] = "gets the answer",
        [SICK_SEES_FAILURE] = "gets the failure of its version",
        [SICK_SEES_EITHER] = "gets the answer, or the failure",
        [SICK_SEES_THAT] = "gets just that",
    };

    return names[view];
}

const char *sick_recovery_name(SickRecovery recovery)
{
    static const char *const names[] = {
        [SICK_WAS_NOT_GONE] = "is there",
        [SICK_BY_ITSELF] = "comes back by itself",
        [SICK_BY_RESET] = "comes back with a reset",
        [SICK_BY_CREATION] = "is had at the next attempt",
    };

    return names[recovery];
}
