/**
 * Items of the UNH-IOL test suites for initiators: Login Phase 3.0, Full Feature Phase 3.1, CHAP 3.1. Number
 * and title only, as far as copies of the lists could be read: Login ends at 23.1 and CHAP at 5.3 there, and
 * where a list gives one title to several numbers, words were added that tell them apart.
 */

const LOGIN = `
1.1 Standard Login
2.1 TSIH
2.2 TSIH Invalid Value
2.3 TSIH in Second Connection
3.1 T-Bit
3.2 T-Bit Delay
4.1 StatSN Zero
4.2 StatSN Non-Zero
5.1 ExpStatSN
6.1 Negotiate Once
6.2 Negotiate Once ImmediateData, separate PDUs
6.3 Negotiate Once ImmediateData, same PDU
7.1 Login Request
7.2 List Negotiation
7.3 Invalid AuthMethod
7.4 FirstBurstLength Too High
7.5 ImmediateData Invalid Value
7.6 Invalid Key
8.1 Invalid PDU
9.1 Digests Offer
9.2 Digest Response
9.3 CRC32C
10.1 MaxConnections
11.1 Initiator and Target Name
12.1 Marker
13.1 Boolean, ImmediateData (AND)
13.2 Boolean, InitialR2T (OR)
13.3 Boolean, illegal
14.1 MaxRecvDataSegmentLength
15.1 MaxBurstLength
16.1 FirstBurstLength below MaxBurstLength
16.2 FirstBurstLength above MaxBurstLength
16.3 FirstBurstLength offered
17.1 DefaultTime2Retain
18.1 DefaultTime2Wait
19.1 MaxOutstandingR2T
20.1 ErrorRecoveryLevel
21.1 SessionType
22.1 AuthMethod
23.1 Target keys`;

const FULL_FEATURE = `
1.1 Command Numbering
2.1 Immediate Delivery
2.2 Immediate TMF
3.1 Closed Window
3.2 Large Window
3.3 Single Command
4.1 Command Retry
5.1 ExpStatSN
6.1 DataSN
7.1 Connection Reassignment
8.1 Unsolicited Data
8.2 Solicited Data
8.3 Unsolicited and Solicited Data
9.1 Target Transfer Tag
10.1 Data-In Status
10.2 A bit
11.1.1 DataSegmentLength, outgoing
11.1.2 DataSegmentLength, incoming
11.2.1 F bit, unsolicited
11.2.2 F bit, solicited
11.3 DataSN
11.4 Buffer Offset
12.1 R2T TTT
12.2 R2T Offset and Length
12.3 R2T Offset
12.4 Parallel Commands
13.1 SNACK Begin Run
13.2 DataACK
14.1 Async Logout
14.2 Async Logout, several connections
15.1 Ping Response
15.2 Ping Request
15.3 Confirm ExpStatSN
16.1.1 Command fields, with immediate data
16.1.2 Command fields, without immediate data
16.2.1 ImmediateData=Yes, InitialR2T=Yes
16.2.2 ImmediateData=Yes, InitialR2T=No
16.2.3 ImmediateData=No, InitialR2T=Yes
16.2.4 ImmediateData=No, InitialR2T=No
16.3.1 F bit
16.4.1 CRC error sense
16.4.2 SNACK reject
16.4.3 Unexpected unsolicited data
16.4.4 Not enough unsolicited data
16.4.5 BUSY
16.4.6 RESERVATION CONFLICT
16.5 MaxCmdSN in Response
16.6 EDTL
17.1 Logout
18.1 Text Request
18.2 Text Response
18.3 Text continued
18.4 Text Target Transfer Tag
18.5 Text reset
19.1 TMF CmdSN
19.2 TMF LUN
19.3 RefCmdSN
19.4.1 Abort Task Set
19.4.2 Abort Task Set, outstanding R2T
19.4.3 Abort Task Set, data under way
19.5 Task Reassign
20.1 Async 1
20.2 Async 2
20.3 Async 3
20.4 Async 4`;

const CHAP = `
1.1 CHAP_A valid
1.2.1 CHAP_A invalid, numeric
1.2.2 CHAP_A invalid, not numeric
1.3 CHAP_A out of order
2.1 CHAP_I valid
2.2 CHAP_I invalid
2.3 CHAP_I out of order
2.4 CHAP_I same
2.5 CHAP_I reflected
2.6 CHAP_I different
3.1 CHAP_C big
3.2 CHAP_C small
3.3 CHAP_C too big
3.4 CHAP_C too small
3.5 CHAP_C out of order
3.6.1 CHAP_C same value, parallel, target
3.6.2 CHAP_C same value, parallel, initiator
3.6.3 CHAP_C same value, serial, target
3.6.4 CHAP_C same value, serial, initiator
3.7 CHAP_C reflect
3.8 CHAP_C reflected
4.1 CHAP_N valid
4.2 CHAP_N big
4.3 CHAP_N small
4.4 CHAP_N too big
4.5 CHAP_N out of order
4.6 CHAP_N reflected
4.7 CHAP_N same
4.8 CHAP_N different
5.1 CHAP_R invalid
5.2 CHAP_R too big
5.3 CHAP_R too small`;

function items(suite: string, list: string): string[] {
  return list
    .trim()
    .split('\n')
    .map((line) => `${suite} ${line}`);
}

/** "Login 3.1 T-Bit", in the order of the lists. */
export const ITEMS: readonly string[] = [
  ...items('Login', LOGIN),
  ...items('FFP', FULL_FEATURE),
  ...items('CHAP', CHAP),
];
