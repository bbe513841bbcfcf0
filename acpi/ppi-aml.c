/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * _DSM of the TPM device: how a system asks firmware to clear or reconfigure the TPM at the next
 * boot (TCG PC Client Platform Physical Presence Interface Specification 1.30, functions 0 to 8)
 * and to wipe memory (TCG Platform Reset Attack Mitigation Specification, functions 0 and 1).
 *
 * Both only write down what is wanted, in the memory of hw/tpm/ppi.c, where firmware finds it after
 * the reboot. What firmware can do it writes into the first 256 bytes, one for each operation.
 *
 * Two forms look odd and are deliberate, since Windows' interpreter stumbles over the plain ones:
 * the byte of an operation is read through a region made for it, and packages with variables in
 * them are named objects that are filled in.
 *
 * Neighbours: ssdt.c puts this into the device object; aml.c and aml-code.c encode it.
 */
#include "ppi-aml.h"

#include "aml-code.h"
#include "ppi-layout.h"

#define PPI_UUID "3dddfaa6-361b-4eb4-a424-8d10089d1653"
#define MOR_UUID "376054ed-cc13-4675-901c-4756d7f2d45d"

/* Functions 0 to 8, and functions 0 and 1: the answer to function 0. */
static const uint8_t ppi_functions[] = { 0xFF, 0x01 };
static const uint8_t mor_functions[] = { 0x03 };
static const uint8_t no_functions[] = { 0x00 };

/* Return values of the interface's functions 2 and 7, and of 4 and 6. */
#define PPI_SUCCESS           0u
#define PPI_NOT_IMPLEMENTED   1u
#define PPI_BLOCKED           3u
#define PPI_REBOOT            2u /* how an operation takes effect */
#define PPI_NO_LANGUAGE       3u /* "not implemented" */
#define PPI_OPERATION_STATUS  7u /* the bits of an operation's byte that say so */
#define PPI_OPERATION_BLOCKED 2u

/* ---- small phrases ---- */

/* If (LEqual (Arg<argument>, <value>)) { */
static void if_arg_is(TPMAml *aml, unsigned argument, unsigned value)
{
    tpm_aml_if(aml);
    tpm_aml_equal(aml);
    tpm_aml_arg(aml, argument);
    tpm_aml_integer(aml, value);
}

/* If (LEqual (Local<local>, <value>)) { Return (<result>) } */
static void return_if_local_is(TPMAml *aml, unsigned local, unsigned value, unsigned result)
{
    tpm_aml_if(aml);
    tpm_aml_equal(aml);
    tpm_aml_local(aml, local);
    tpm_aml_integer(aml, value);
    tpm_aml_return(aml);
    tpm_aml_integer(aml, result);
    tpm_aml_end(aml);
}

/* Return (<value>) */
static void return_integer(TPMAml *aml, unsigned value)
{
    tpm_aml_return(aml);
    tpm_aml_integer(aml, value);
}

/* DerefOf (Index (Arg3, <index>)): an element of the function's arguments */
static void argument_element(TPMAml *aml, unsigned index)
{
    tpm_aml_deref_of(aml);
    tpm_aml_index(aml);
    tpm_aml_arg(aml, 3);
    tpm_aml_integer(aml, index);
    tpm_aml_no_target(aml);
}

/* Store (<field>, Index (<package>, <index>)) */
static void store_into_package(TPMAml *aml, const char *field, const char *package, unsigned index)
{
    tpm_aml_store(aml);
    tpm_aml_name_string(aml, field);
    tpm_aml_index(aml);
    tpm_aml_name_string(aml, package);
    tpm_aml_integer(aml, index);
    tpm_aml_no_target(aml);
}

/* Name (<name>, Package () { 0, ... }) */
static void name_package(TPMAml *aml, const char *name, unsigned count)
{
    tpm_aml_name(aml, name);
    tpm_aml_package(aml, count);
    for (unsigned i = 0; i < count; i++) {
        tpm_aml_integer(aml, 0);
    }
    tpm_aml_end(aml);
}

/* ---- the memory ---- */

static void region(TPMAml *aml, const char *name, uint32_t address, uint32_t size)
{
    tpm_aml_operation_region(aml, name, TPM_AML_SYSTEM_MEMORY);
    tpm_aml_integer(aml, address);
    tpm_aml_integer(aml, size);
}

/* All behind the operations' bytes, in its order: see ppi-layout.h. */
static void fields(TPMAml *aml, uint32_t address)
{
    region(aml, "TPP2", address + TPM_PPI_PPIN, TPM_PPI_MOVV - TPM_PPI_PPIN);
    tpm_aml_field(aml, "TPP2", TPM_AML_ANY_ACC); /* Field (TPP2, AnyAcc, NoLock, Preserve) { */
    tpm_aml_field_unit(aml, "PPIN", 8);          /*     PPIN, 8: firmware has set the memory up */
    tpm_aml_field_unit(aml, "PPIP", 32);         /*     PPIP, 32: for firmware's own use */
    tpm_aml_field_unit(aml, "PPRP", 32);         /*     PPRP, 32: the last operation's result */
    tpm_aml_field_unit(aml, "PPRQ", 32);         /*     PPRQ, 32: the operation asked for */
    tpm_aml_field_unit(aml, "PPRM", 32);         /*     PPRM, 32: its parameter */
    tpm_aml_field_unit(aml, "LPPR", 32);         /*     LPPR, 32: the last operation */
    tpm_aml_field_unit(aml, "FRET", 32);         /*     FRET, 32: not used */
    tpm_aml_field_gap(aml, TPM_PPI_RES1_SIZE * 8);
    tpm_aml_field_unit(aml, "NEXT", 8); /*     NEXT, 8: for firmware's own use */
    tpm_aml_end(aml);                   /* } */

    region(aml, "TPP3", address + TPM_PPI_MOVV, 1);
    tpm_aml_field(aml, "TPP3", TPM_AML_BYTE_ACC); /* Field (TPP3, ByteAcc, NoLock, Preserve) { */
    tpm_aml_field_unit(aml, "MOVV", 8);           /*     MOVV, 8: memory overwrite request */
    tpm_aml_end(aml);                             /* } */
}

/* What firmware says of an operation; nothing of one that has no byte. */
static void operation_method(TPMAml *aml, uint32_t address)
{
    tpm_aml_method(aml, "TPFN", 1); /* Method (TPFN, 1, Serialized) { */
    tpm_aml_if(aml);                /*     If (LGreaterEqual (Arg0, 0x100)) { */
    tpm_aml_greater_equal(aml);
    tpm_aml_arg(aml, 0);
    tpm_aml_integer(aml, TPM_PPI_FUNC_SIZE);
    return_integer(aml, 0); /*         Return (Zero) */
    tpm_aml_end(aml);       /*     } */

    /*     OperationRegion (TPP1, SystemMemory, Add (<address>, Arg0), One) */
    tpm_aml_operation_region(aml, "TPP1", TPM_AML_SYSTEM_MEMORY);
    tpm_aml_add(aml);
    tpm_aml_integer(aml, address + TPM_PPI_FUNC);
    tpm_aml_arg(aml, 0);
    tpm_aml_no_target(aml);
    tpm_aml_integer(aml, 1);
    tpm_aml_field(aml, "TPP1",
                  TPM_AML_BYTE_ACC);    /*     Field (TPP1, ByteAcc, NoLock, Preserve) { */
    tpm_aml_field_unit(aml, "TPPF", 8); /*         TPPF, 8 */
    tpm_aml_end(aml);                   /*     } */
    tpm_aml_return(aml);                /*     Return (TPPF) */
    tpm_aml_name_string(aml, "TPPF");
    tpm_aml_end(aml); /* } */
}

/* ---- functions of the physical presence interface ---- */

/* Store (<the operation asked about>, Local0); Store (And (TPFN (Local0), 7), Local1) */
static void look_at_operation(TPMAml *aml)
{
    tpm_aml_store(aml);
    argument_element(aml, 0);
    tpm_aml_local(aml, 0);
    tpm_aml_and(aml);
    tpm_aml_name_string(aml, "TPFN");
    tpm_aml_local(aml, 0);
    tpm_aml_integer(aml, PPI_OPERATION_STATUS);
    tpm_aml_local(aml, 1);
}

/* Store (Local0, PPRQ); Store (Zero, PPRM) */
static void ask_for_operation(TPMAml *aml)
{
    tpm_aml_store(aml);
    tpm_aml_local(aml, 0);
    tpm_aml_name_string(aml, "PPRQ");
    tpm_aml_store(aml);
    tpm_aml_integer(aml, 0);
    tpm_aml_name_string(aml, "PPRM");
}

/* 2, "Submit TPM Operation Request to Pre-OS Environment": Package { operation } */
static void submit_request(TPMAml *aml)
{
    if_arg_is(aml, 2, 2);
    look_at_operation(aml);
    return_if_local_is(aml, 1, 0, PPI_NOT_IMPLEMENTED);
    ask_for_operation(aml);
    return_integer(aml, PPI_SUCCESS);
    tpm_aml_end(aml);
}

/* 3, "Get Pending TPM Operation Requested By the OS": with its parameter from revision 2 on */
static void get_pending_request(TPMAml *aml)
{
    if_arg_is(aml, 2, 3);
    if_arg_is(aml, 1, 1);
    store_into_package(aml, "PPRQ", "TPM2", 1);
    tpm_aml_return(aml);
    tpm_aml_name_string(aml, "TPM2");
    tpm_aml_end(aml);
    if_arg_is(aml, 1, 2);
    store_into_package(aml, "PPRQ", "TPM3", 1);
    store_into_package(aml, "PPRM", "TPM3", 2);
    tpm_aml_return(aml);
    tpm_aml_name_string(aml, "TPM3");
    tpm_aml_end(aml);
    tpm_aml_end(aml);
}

/* 5, "Return TPM Operation Response to OS Environment": Package { 0, operation, its result } */
static void get_response(TPMAml *aml)
{
    if_arg_is(aml, 2, 5);
    store_into_package(aml, "LPPR", "TPM3", 1);
    store_into_package(aml, "PPRP", "TPM3", 2);
    tpm_aml_return(aml);
    tpm_aml_name_string(aml, "TPM3");
    tpm_aml_end(aml);
}

/* 7, "Submit TPM Operation Request to Pre-OS Environment 2": with a parameter in revision 2 */
static void submit_request_2(TPMAml *aml)
{
    if_arg_is(aml, 2, 7);
    look_at_operation(aml);
    return_if_local_is(aml, 1, 0, PPI_NOT_IMPLEMENTED);
    return_if_local_is(aml, 1, PPI_OPERATION_BLOCKED, PPI_BLOCKED);
    ask_for_operation(aml);
    if_arg_is(aml, 1, 2);
    tpm_aml_store(aml);
    argument_element(aml, 1);
    tpm_aml_name_string(aml, "PPRM");
    tpm_aml_end(aml);
    return_integer(aml, PPI_SUCCESS);
    tpm_aml_end(aml);
}

/* 8, "Get User Confirmation Status for Operation": Package { operation } */
static void get_confirmation_status(TPMAml *aml)
{
    if_arg_is(aml, 2, 8);
    look_at_operation(aml);
    tpm_aml_return(aml);
    tpm_aml_local(aml, 1);
    tpm_aml_end(aml);
}

/* If (LEqual (Arg2, <function>)) { Return (<value>) } */
static void fixed_answer(TPMAml *aml, unsigned function, unsigned value)
{
    if_arg_is(aml, 2, function);
    return_integer(aml, value);
    tpm_aml_end(aml);
}

/* 0: which functions there are */
static void functions_answer(TPMAml *aml, const uint8_t *functions, unsigned size)
{
    if_arg_is(aml, 2, 0);
    tpm_aml_return(aml);
    tpm_aml_buffer(aml, functions, size);
    tpm_aml_end(aml);
}

/* If (LEqual (Arg0, ToUUID (<uuid>))) { */
static void if_interface_is(TPMAml *aml, const char *uuid)
{
    tpm_aml_if(aml);
    tpm_aml_equal(aml);
    tpm_aml_arg(aml, 0);
    tpm_aml_uuid(aml, uuid);
}

static void physical_presence(TPMAml *aml)
{
    if_interface_is(aml, PPI_UUID);
    functions_answer(aml, ppi_functions, sizeof(ppi_functions));
    if_arg_is(aml, 2, 1); /* "Get Physical Presence Interface Version" */
    tpm_aml_return(aml);
    tpm_aml_string(aml, "1.3");
    tpm_aml_end(aml);
    submit_request(aml);
    get_pending_request(aml);
    fixed_answer(aml, 4, PPI_REBOOT); /* "Get Platform-Specific Action to Transition" */
    get_response(aml);
    fixed_answer(aml, 6, PPI_NO_LANGUAGE); /* "Submit preferred user language" */
    submit_request_2(aml);
    get_confirmation_status(aml);
    tpm_aml_end(aml);
}

/* ---- functions of the memory-clear interface ---- */

/* 1: Package { byte }, bit 0 of which asks for memory to be cleared at the next reset */
static void memory_clear(TPMAml *aml)
{
    if_interface_is(aml, MOR_UUID);
    functions_answer(aml, mor_functions, sizeof(mor_functions));
    if_arg_is(aml, 2, 1);
    tpm_aml_store(aml);
    argument_element(aml, 0);
    tpm_aml_name_string(aml, "MOVV");
    return_integer(aml, 0);
    tpm_aml_end(aml);
    tpm_aml_end(aml);
}

void tpm_ppi_aml(TPMAml *aml, uint32_t address)
{
    fields(aml, address);
    operation_method(aml, address);
    name_package(aml, "TPM2", 2);
    name_package(aml, "TPM3", 3);
    tpm_aml_method(aml, "_DSM", 4); /* Method (_DSM, 4, Serialized) { */
    physical_presence(aml);
    memory_clear(aml);
    tpm_aml_return(aml); /*     Return (Buffer () { 0x00 }): no such interface or function */
    tpm_aml_buffer(aml, no_functions, sizeof(no_functions));
    tpm_aml_end(aml); /* } */
}
