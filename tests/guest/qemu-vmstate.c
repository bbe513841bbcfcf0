/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding QEMU's functions for saved state, and checking how it describes what is saved.
 *
 * Neighbours: qemu-vmstate.h says what; qemu-state.c and qemu-vio.c use it.
 */
#include "qemu-vmstate.h"

/* What is known of a CPU's state: two members of 32 bits, which a CPU of every kind has. */
#define CPU_NAME "cpu_common"

static const char *const cpu_fields[] = { "halted", "interrupt_request" };

QemuVmstateApi qemu_vmstate;

bool qemu_vmstate_is_plain(const QemuDescription *description, const char *name)
{
    QemuDescription found;

    return qemu_peek(description, &found, sizeof(found)) && qemu_peek_is_string(found.name, name) &&
           !found.unmigratable && found.version == 1 && found.minimum_version == 1 &&
           found.priority == 0 && !found.before_load && !found.after_load && !found.before_save &&
           !found.after_save && !found.needed && !found.unplug_pending && found.fields &&
           !found.subsections;
}

/* A number of 32 bits, and nothing said of it but that. */
static bool is_number(const QemuField *field, const char *name, const QemuFieldInfo *number)
{
    return qemu_peek_is_string(field->name, name) && !field->hint && field->offset > 0 &&
           field->size == 4 && field->start == 0 && field->count == 0 && field->count_offset == 0 &&
           field->size_offset == 0 && field->info == number && field->flags == QEMU_FIELD_SINGLE &&
           !field->description && field->version == 0 && field->struct_version == 0 &&
           !field->exists;
}

static bool fields_are_known(const QemuField *address, const QemuFieldInfo *number)
{
    QemuField fields[G_N_ELEMENTS(cpu_fields) + 1];
    bool known = qemu_peek(address, fields, sizeof(fields));

    for (unsigned i = 0; known && i < G_N_ELEMENTS(cpu_fields); i++) {
        known = is_number(&fields[i], cpu_fields[i], number);
    }
    return known && !fields[G_N_ELEMENTS(cpu_fields)].name;
}

/* A CPU's state has something to do before and after it is loaded, and nothing at a save. */
static bool description_is_known(const QemuDescription *description, const QemuFieldInfo *number)
{
    QemuDescription found;
    QemuFieldInfo info;

    return qemu_peek(description, &found, sizeof(found)) &&
           qemu_peek(number, &info, sizeof(info)) && qemu_peek_is_string(found.name, CPU_NAME) &&
           !found.unmigratable && found.version == 1 && found.minimum_version == 1 &&
           found.priority == 0 && found.before_load && found.after_load && !found.before_save &&
           !found.after_save && !found.needed && !found.unplug_pending && found.subsections &&
           qemu_peek_is_string(info.name, "uint32") && info.get && info.put &&
           fields_are_known(found.fields, number);
}

static const char *look_up_all(const QemuDescription **cpu, const QemuFieldInfo **number)
{
#define QEMU_VMSTATE_FUNCTION_LOOK_UP(type, name, parameters)                                      \
    if (!qemu_look_up(#name, &qemu_vmstate.name)) {                                                \
        return #name;                                                                              \
    }
    QEMU_VMSTATE_FUNCTIONS(QEMU_VMSTATE_FUNCTION_LOOK_UP)
#undef QEMU_VMSTATE_FUNCTION_LOOK_UP
    if (!qemu_look_up("RunState_lookup", &qemu_vmstate.run_state_names)) {
        return "RunState_lookup";
    }
    if (!qemu_look_up("vmstate_cpu_common", cpu)) {
        return "vmstate_cpu_common";
    }
    return qemu_look_up("vmstate_info_uint32", number) ? NULL : "vmstate_info_uint32";
}

char *qemu_vmstate_load(void)
{
    const QemuDescription *cpu;
    const QemuFieldInfo *number;
    const char *missing = look_up_all(&cpu, &number);

    if (missing) {
        return g_strdup_printf("this QEMU does not export %s; " WHICH_QEMU, missing);
    }
    return description_is_known(cpu, number)
               ? NULL
               : g_strdup("the saved state of a CPU is not as in QEMU 7.2; " WHICH_QEMU);
}

char *qemu_vmstate_register(const QemuDescription *description, void *opaque)
{
    QemuError *error = NULL;

    qemu_vmstate.vmstate_register_with_alias_id(NULL, 0, description, opaque, -1, 0, &error);
    return error ? g_strdup(qemu.error_get_pretty(error)) : NULL;
}
