/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rule of a `fault` backend: which calls the fault shows with, and what it makes of their
 * answers. By seed and calls alone, so that what went wrong once goes wrong again.
 *
 * Neighbours: fault.c asks, under its lock.
 */
#include "command.h"
#include "fault-internal.h"

#include <string.h>

void tpm_fault_rule_init(FaultRule *rule, const TPMFaultConfig *config)
{
    rule->config = *config;
    rule->config.id = NULL;
    rule->config.backend = NULL;
    rule->config.percent = config->percent ? config->percent : 100;
    rule->config.bytes = config->bytes ? config->bytes : 1;
    rule->config.delay_max_us = config->delay_max_us ? config->delay_max_us : config->delay_min_us;
    rule->random = g_rand_new_with_seed(config->seed);
}

void tpm_fault_rule_clear(FaultRule *rule)
{
    g_rand_free(rule->random);
}

/* ---- whether it shows ---- */

/* One more of those that are counted. */
static bool shows_now(FaultRule *rule)
{
    uint32_t percent = rule->config.percent;

    if (rule->matched < UINT32_MAX) {
        rule->matched++;
    }
    if (rule->config.nth && rule->matched != rule->config.nth) {
        return false;
    }
    return percent == 100 || (uint32_t)g_rand_int_range(rule->random, 0, 100) < percent;
}

bool tpm_fault_rule_start(FaultRule *rule)
{
    return rule->config.fault == TPM_FAULT_START && shows_now(rule);
}

bool tpm_fault_rule_command(FaultRule *rule, uint32_t ordinal)
{
    const TPMFaultConfig *config = &rule->config;

    if (config->fault == TPM_FAULT_START || config->on != TPM_FAULT_ON_COMMAND ||
        (config->ordinal && config->ordinal != ordinal)) {
        return false;
    }
    return shows_now(rule);
}

bool tpm_fault_rule_call(FaultRule *rule, TPMFaultOn on)
{
    return rule->config.on == on && shows_now(rule);
}

/* ---- what it makes of a response ---- */

static gint64 random_delay(FaultRule *rule)
{
    uint32_t spread = rule->config.delay_max_us - rule->config.delay_min_us;
    gint64 more = spread ? (gint64)(g_rand_double(rule->random) * ((double)spread + 1)) : 0;

    return (gint64)rule->config.delay_min_us + more;
}

static void fill_randomly(FaultRule *rule, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)g_rand_int(rule->random);
    }
}

static void make_garbage(FaultRule *rule, uint8_t *response, size_t size)
{
    fill_randomly(rule, response + TPM_HEADER_TAG, TPM_HEADER_LEN);
    fill_randomly(rule, response + TPM_HEADER_CODE, size - TPM_HEADER_CODE);
}

/* Does the TPM die in the midst of this response? */
static bool dies_within(FaultRule *rule, size_t size)
{
    uint64_t byte = rule->config.byte;
    bool dies = byte > rule->given && byte - rule->given <= size;

    rule->given += size;
    return dies;
}

static void apply(FaultRule *rule, TPMVersion version, uint8_t *response, FaultOutcome *outcome)
{
    const TPMFaultConfig *config = &rule->config;

    switch (config->fault) {
    case TPM_FAULT_DELAY:
        outcome->delay_us = random_delay(rule);
        break;
    case TPM_FAULT_HANG:
        outcome->hangs = true;
        break;
    case TPM_FAULT_SIZE:
        tpm_put_be32(response + TPM_HEADER_LEN, (uint32_t)outcome->size + 1);
        break;
    case TPM_FAULT_TRUNCATED:
        outcome->size -= MIN(outcome->size, config->bytes);
        break;
    case TPM_FAULT_LONGER:
        fill_randomly(rule, response + outcome->size, config->bytes);
        outcome->size += config->bytes;
        break;
    case TPM_FAULT_GARBAGE:
        make_garbage(rule, response, outcome->size);
        break;
    case TPM_FAULT_CODE:
        if (config->code) {
            tpm_error_response(version, config->code, response);
        } else {
            tpmdev_failure_response(version, response);
        }
        outcome->size = TPM_HEADER_SIZE;
        break;
    case TPM_FAULT_DEATH:
        outcome->dies = true;
        break;
    case TPM_FAULT_START:
    case TPM_FAULT_REFUSE:
        break;
    }
}

FaultOutcome tpm_fault_rule_response(FaultRule *rule, bool shows, TPMVersion version,
                                     uint8_t *response, size_t size)
{
    FaultOutcome outcome = { .size = size };

    if (rule->config.fault == TPM_FAULT_DEATH && rule->config.byte) {
        outcome.dies = dies_within(rule, size);
    } else if (shows) {
        apply(rule, version, response, &outcome);
    }
    return outcome;
}

FaultOutcome tpm_fault_rule_move(FaultRule *rule)
{
    FaultOutcome outcome = { 0 };

    switch (rule->config.fault) {
    case TPM_FAULT_DELAY:
        outcome.delay_us = random_delay(rule);
        break;
    case TPM_FAULT_HANG:
        outcome.refuses = true;
        outcome.delay_us =
            rule->config.delay_max_us ? random_delay(rule) : (gint64)TPM_FAULT_HANG_DEFAULT;
        break;
    case TPM_FAULT_REFUSE:
        outcome.refuses = true;
        break;
    case TPM_FAULT_DEATH:
        outcome.dies = true;
        break;
    case TPM_FAULT_SIZE:
    case TPM_FAULT_TRUNCATED:
    case TPM_FAULT_LONGER:
    case TPM_FAULT_GARBAGE:
    case TPM_FAULT_CODE:
    case TPM_FAULT_START:
        break;
    }
    return outcome;
}
