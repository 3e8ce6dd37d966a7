// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDcapCertificates} from "./IDcapCertificates.sol";

/// @title What Intel states about its platforms and quoting enclaves, kept on chain
interface IDcapCollateral {
    event TcbInfoPosted(
        bool indexed isTdx, bytes6 indexed fmspc, uint64 issuedAt, uint64 nextUpdate, uint32 evaluation
    );
    event QeIdentityPosted(bool indexed isTdx, uint64 issuedAt, uint64 nextUpdate, uint32 evaluation);

    error SignatureLength(uint256 got);

    /// @notice Who signs them, and which platforms' keys are Intel's.
    function CERTIFICATES() external view returns (IDcapCertificates);

    /// @notice Intel's statement about platforms of `fmspc`.
    /// @return data In the form of TcbInfo.
    /// @return pceId The provisioning enclave that it is about.
    /// @return expiresAt Unix seconds; the first in which it counts for nothing.
    function requireTcbInfo(bool isTdx, bytes6 fmspc)
        external
        view
        returns (bytes memory data, bytes2 pceId, uint64 expiresAt);

    /// @notice Intel's statement about quoting enclaves.
    /// @return data In the form of QeIdentity.
    /// @return expiresAt Unix seconds; the first in which it counts for nothing.
    function requireQeIdentity(bool isTdx) external view returns (bytes memory data, uint64 expiresAt);
}
