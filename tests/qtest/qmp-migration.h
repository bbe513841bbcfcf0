/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of QMP that take arguments: of the guest's run and its migration. */
#ifndef TESTS_QTEST_QMP_MIGRATION_H
#define TESTS_QTEST_QMP_MIGRATION_H

#include "qmp.h"

#include <json-glib/json-glib.h>

/* Adds the value of "return"; without one nothing is added, false returned and the error set. */
typedef bool (*ArgumentsFunction)(Qmp *qmp, Channel *channel, JsonObject *arguments,
                                  JsonBuilder *builder, GError **error);

typedef struct ArgumentsCommand {
    const char *name;
    ArgumentsFunction run;
    const char *required;        /* the argument it must have, a string; or NULL */
    const char *const *optional; /* others it can have, NULL-terminated; any if it is NULL */
} ArgumentsCommand;

/* All of them, the last without a name. */
extern const ArgumentsCommand qmp_arguments_commands[];

/* Do the arguments fit the command? */
bool qmp_check_arguments(const ArgumentsCommand *command, JsonObject *arguments, GError **error);

#endif /* TESTS_QTEST_QMP_MIGRATION_H */
