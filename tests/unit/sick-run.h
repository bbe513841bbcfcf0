/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One case of sick-cases.h with one device and one position, as it comes true: sick-run.c goes as
 * far as the fault, sick-checks.c sees what has come of it and brings the TPM back.
 */
#ifndef SICK_RUN_H
#define SICK_RUN_H

#include "sick-cases.h"

typedef struct SickRun {
    SickMachine machine;
    const SickCase *kase;
    SickFault fault;
    SickAnswer seen;
    bool started; /* the guest's TPM2_Startup was successful, since the last reset */
} SickRun;

/* The run a machine is of. */
SickRun *sick_run_of(SickMachine *machine);

/*
 * Run it; what is wrong is in its machine, which is yet to be cleared. What goes by the real clock
 * has `patience` times its deadlines, which are short.
 */
void sick_run_case(SickRun *run, const SickCase *kase, SickForm form, size_t position,
                   unsigned patience, const char *directory);

/* Has the host been told what the case says, in a line that names backend and swtpm? */
bool sick_host_was_told_of_it(SickMachine *machine);

/* Make swtpm well again. */
void sick_run_heal(SickRun *run);

/* See what has come of it, and bring the TPM back. */
void sick_run_check(SickRun *run);

#endif /* SICK_RUN_H */
