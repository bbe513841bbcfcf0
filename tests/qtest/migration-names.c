/* SPDX-License-Identifier: BSD-3-Clause */
/* QEMU's names of a guest's and a migration's states, as query-status and query-migrate have them.
 */
#include "migration.h"

const char *run_status_name(RunStatus status)
{
    switch (status) {
    case RUN_PRELAUNCH:
        return "prelaunch";
    case RUN_RUNNING:
        return "running";
    case RUN_PAUSED:
        return "paused";
    case RUN_INMIGRATE:
        return "inmigrate";
    case RUN_FINISH_MIGRATE:
        return "finish-migrate";
    case RUN_POSTMIGRATE:
        return "postmigrate";
    }
    g_return_val_if_reached("internal-error");
}

const char *move_status_name(MigrationStatus status)
{
    switch (status) {
    case MIGRATION_NONE:
        return "none";
    case MIGRATION_SETUP:
        return "setup";
    case MIGRATION_ACTIVE:
        return "active";
    case MIGRATION_COMPLETED:
        return "completed";
    case MIGRATION_FAILED:
        return "failed";
    case MIGRATION_CANCELLING:
        return "cancelling";
    case MIGRATION_CANCELLED:
        return "cancelled";
    }
    g_return_val_if_reached("failed");
}
