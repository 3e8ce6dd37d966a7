// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Intel's words for the state of a platform, its TDX module or its quoting enclave, by increasing distrust. The
///      numbers are stored (DcapCollateral) and are what `TcbNotAccepted` tells.
enum TcbStatus {
    None,
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    Revoked
}
