/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that links nothing of this project but the shared library, and touches every function
 * the headers declare. test-symbols.py holds the list against headers and library.
 */
#include <stdio.h>
#include <tpmdev/tpmdev.h>

typedef void (*Function)(void);

#define TOUCH(name)                                                                                \
    {                                                                                              \
#name, (Function)name                                                                      \
    }

static const struct {
    const char *name;
    Function address;
} functions[] = {
    TOUCH(tpmdev_acpi_linkable),
    TOUCH(tpmdev_acpi_log_table),
    TOUCH(tpmdev_acpi_ssdt),
    TOUCH(tpmdev_backend_can_migrate),
    TOUCH(tpmdev_backend_complete),
    TOUCH(tpmdev_backend_complete_with_error),
    TOUCH(tpmdev_backend_emulator_new),
    TOUCH(tpmdev_backend_failed),
    TOUCH(tpmdev_backend_failed_in_cycle),
    TOUCH(tpmdev_backend_fault_new),
    TOUCH(tpmdev_backend_get_buffer_size),
    TOUCH(tpmdev_backend_get_command_statistics),
    TOUCH(tpmdev_backend_get_context),
    TOUCH(tpmdev_backend_get_cycle),
    TOUCH(tpmdev_backend_get_description),
    TOUCH(tpmdev_backend_get_id),
    TOUCH(tpmdev_backend_get_statistics),
    TOUCH(tpmdev_backend_get_type),
    TOUCH(tpmdev_backend_get_types),
    TOUCH(tpmdev_backend_get_version),
    TOUCH(tpmdev_backend_hashed),
    TOUCH(tpmdev_backend_libtpms_get_counter),
    TOUCH(tpmdev_backend_libtpms_new),
    TOUCH(tpmdev_backend_loaded),
    TOUCH(tpmdev_backend_new),
    TOUCH(tpmdev_backend_new_from_string),
    TOUCH(tpmdev_backend_null_new),
    TOUCH(tpmdev_backend_passthrough_can_cancel),
    TOUCH(tpmdev_backend_passthrough_new),
    TOUCH(tpmdev_backend_ref),
    TOUCH(tpmdev_backend_refused),
    TOUCH(tpmdev_backend_recovered),
    TOUCH(tpmdev_backend_register),
    TOUCH(tpmdev_backend_saved),
    TOUCH(tpmdev_backend_set_established),
    TOUCH(tpmdev_backend_set_link),
    TOUCH(tpmdev_backend_started),
    TOUCH(tpmdev_backend_unref),
    TOUCH(tpmdev_command_name),
    TOUCH(tpmdev_device_can_migrate),
    TOUCH(tpmdev_device_free),
    TOUCH(tpmdev_device_get_backend),
    TOUCH(tpmdev_device_wait_ready),
    TOUCH(tpmdev_device_get_interface),
    TOUCH(tpmdev_device_get_irq_level),
    TOUCH(tpmdev_device_get_page),
    TOUCH(tpmdev_device_get_ppi),
    TOUCH(tpmdev_device_get_ppi_address),
    TOUCH(tpmdev_device_get_page_address),
    TOUCH(tpmdev_device_get_model),
    TOUCH(tpmdev_device_get_models),
    TOUCH(tpmdev_device_get_size),
    TOUCH(tpmdev_device_get_statistics),
    TOUCH(tpmdev_device_get_version),
    TOUCH(tpmdev_device_i2c_event),
    TOUCH(tpmdev_device_i2c_receive),
    TOUCH(tpmdev_device_i2c_send),
    TOUCH(tpmdev_device_load),
    TOUCH(tpmdev_device_new),
    TOUCH(tpmdev_device_new_from_string),
    TOUCH(tpmdev_device_read),
    TOUCH(tpmdev_device_reset),
    TOUCH(tpmdev_device_resume),
    TOUCH(tpmdev_device_reset_crq),
    TOUCH(tpmdev_device_resume_crq),
    TOUCH(tpmdev_device_save),
    TOUCH(tpmdev_device_send_crq),
    TOUCH(tpmdev_device_spi_select),
    TOUCH(tpmdev_device_spi_transfer),
    TOUCH(tpmdev_device_write),
    TOUCH(tpmdev_device_tree_add),
    TOUCH(tpmdev_error_name),
    TOUCH(tpmdev_error_quark),
    TOUCH(tpmdev_failure_response),
    TOUCH(tpmdev_fw_cfg_config),
    TOUCH(tpmdev_fw_cfg_log),
    TOUCH(tpmdev_fw_cfg_log_commands),
    TOUCH(tpmdev_fw_cfg_tables),
    TOUCH(tpmdev_link_name),
    TOUCH(tpmdev_options_get),
    TOUCH(tpmdev_options_get_socket),
    TOUCH(tpmdev_options_get_version),
    TOUCH(tpmdev_spapr_get_compatible),
    TOUCH(tpmdev_version_check),
    TOUCH(tpmdev_version_string),
};

/* A few are called, so that the library is seen to work when it is loaded like this. */
static gboolean it_works(void)
{
    TPMBackend *backend = tpmdev_backend_new_from_string("null,id=tpm0", NULL, NULL, NULL);
    TPMBackend *const backends[] = { backend, NULL };
    TPMDevice *device =
        tpmdev_device_new_from_string("tpm-tis,tpmdev=tpm0", backends, NULL, NULL, NULL);
    uint64_t did_vid = 0;

    if (device) {
        tpmdev_device_read(device, 0xF00, 4, &did_vid);
    }
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
    return did_vid == 0x00011014 && tpmdev_version_check(0, 1, 0);
}

int main(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(functions); i++) {
        printf("%s %u - %s is there\n", functions[i].address ? "ok" : "not ok", ++n,
               functions[i].name);
    }
    printf("%s %u - a device of the shared library works\n", it_works() ? "ok" : "not ok", ++n);
    printf("1..%u\n", n);
    return 0;
}
