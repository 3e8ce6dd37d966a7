// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EvidenceKind} from "../libraries/Types.sol";
import {IVerifier} from "./IVerifier.sol";

/// @title Which verifier answers to a selector, and whether it may
interface IVerifierRouter {
    enum RouteState {
        UNKNOWN,
        ACTIVE,
        STOPPED,
        REMOVED
    }

    event VerifierAdded(bytes4 indexed selector, EvidenceKind indexed kind, address verifier);
    event VerifierRemoved(bytes4 indexed selector);
    event VerifierStopped(bytes4 indexed selector, address by);
    event VerifierResumed(bytes4 indexed selector);
    event GuardianChanged(address indexed guardian);

    error SelectorUnknown(bytes4 selector);
    error SelectorUsed(bytes4 selector);
    error SelectorRemoved(bytes4 selector);
    error SelectorStopped(bytes4 selector);
    error SelectorNotStopped(bytes4 selector);
    error WrongKind(bytes4 selector, EvidenceKind expected, EvidenceKind got);
    error NotAVerifier(address verifier);
    error NotGuardian(address caller);

    /// @notice The active verifier of `selector`; reverts when there is none or it checks another kind of evidence.
    function resolve(EvidenceKind kind, bytes4 selector) external view returns (IVerifier);

    /// @notice Whether at least one active verifier checks this kind of evidence.
    function isServed(EvidenceKind kind) external view returns (bool);
}
