/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages of the virtual TPM of POWER's platforms, in the order of the specification: LoPAPR,
 * "Virtual TPM", "VTPM Command/Response Queue". All numbers are big-endian.
 *
 * A message whose first byte is 0 is an empty place of the queue.
 */
#ifndef TPM_SPAPR_CRQ_H
#define TPM_SPAPR_CRQ_H

/*                     offset  bytes */
#define CRQ_VALID 0u /*  1     what kind of message it is */
#define CRQ_TYPE  1u /*  1     which one */
#define CRQ_LEN   2u /*  2     bytes of the command, of the response, or of the buffer */
#define CRQ_DATA  4u /*  4     DMA address, version or error */
/*      reserved  8      8     zero in all we send */

/* CRQ_VALID */
#define CRQ_VALID_COMMAND 0x80u
#define CRQ_VALID_INIT    0xC0u

/* CRQ_TYPE of CRQ_VALID_INIT; both are answered with themselves */
#define CRQ_INIT          0x01u
#define CRQ_INIT_COMPLETE 0x02u

/* CRQ_TYPE of CRQ_VALID_COMMAND; the answer's has CRQ_ANSWER set */
#define CRQ_GET_VERSION 0x01u /* data of the answer: CRQ_VERSION_* */
#define CRQ_TPM_COMMAND                                                                            \
    0x02u /* len and data: where the command is; of the answer: the response                       \
           */
#define CRQ_GET_RTCE_SIZE   0x03u /* len of the answer: bytes of the largest command and response */
#define CRQ_PREPARE_SUSPEND 0x04u
#define CRQ_ANSWER          0x80u
#define CRQ_ERROR           0xFFu /* in place of an answer; data: CRQ_ERROR_* */

#define CRQ_VERSION_1_2 1u
#define CRQ_VERSION_2_0 2u

#define CRQ_ERROR_COPY_IN  3u /* the command could not be read from the guest's memory */
#define CRQ_ERROR_COPY_OUT 4u /* the response could not be written there */

#endif /* TPM_SPAPR_CRQ_H */
