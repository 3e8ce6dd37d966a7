// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {IVerifier} from "./interfaces/IVerifier.sol";
import {IVerifierRouter} from "./interfaces/IVerifierRouter.sol";
import {EvidenceKind} from "./libraries/Types.sol";

/// @title VerifierRouter: which verifier answers to a selector, and whether it may
/// @notice Several verifiers of one kind can be active beside each other; evidence names the one it is for. A selector
///         is used once and never again. The owner is a timelock; the guardian can only stop.
contract VerifierRouter is IVerifierRouter, Ownable2Step {
    /// @dev UNKNOWN ──add──▶ ACTIVE ⇄ STOPPED (stop: guardian or owner; resume: owner), both ──remove──▶ REMOVED.
    struct Route {
        address verifier;
        EvidenceKind kind;
        RouteState state;
    }

    mapping(bytes4 selector => Route) private _routes;
    mapping(EvidenceKind kind => uint256 activeCount) private _activeCounts;

    /// @notice Who can stop a verifier at once.
    address public guardian;

    /// @param verifiers Active from the start, so that a deployment needs no transaction of the owner.
    constructor(address owner, address initialGuardian, IVerifier[] memory verifiers) Ownable(owner) {
        _setGuardian(initialGuardian);
        for (uint256 i; i < verifiers.length; ++i) {
            _add(verifiers[i]);
        }
    }

    /// @notice Adds a verifier under the selector and kind it names itself.
    /// @dev WARNING: an active verifier decides what is true for every request of its kind.
    function add(IVerifier verifier) external onlyOwner {
        _add(verifier);
    }

    /// @notice Removes a verifier for ever; its selector becomes a tombstone.
    function remove(bytes4 selector) external onlyOwner {
        Route storage route = _known(selector);
        if (route.state == RouteState.ACTIVE) --_activeCounts[route.kind];
        route.state = RouteState.REMOVED;
        emit VerifierRemoved(selector);
    }

    /// @notice Stops a verifier at once: an emergency measure, undone by the owner alone.
    function stop(bytes4 selector) external {
        if (msg.sender != guardian && msg.sender != owner()) revert NotGuardian(msg.sender);
        Route storage route = _known(selector);
        if (route.state == RouteState.STOPPED) revert SelectorStopped(selector);
        route.state = RouteState.STOPPED;
        --_activeCounts[route.kind];
        emit VerifierStopped(selector, msg.sender);
    }

    /// @notice Lets a stopped verifier answer again.
    function resume(bytes4 selector) external onlyOwner {
        Route storage route = _known(selector);
        if (route.state != RouteState.STOPPED) revert SelectorNotStopped(selector);
        route.state = RouteState.ACTIVE;
        ++_activeCounts[route.kind];
        emit VerifierResumed(selector);
    }

    /// @notice Replaces the guardian; zero leaves stopping to the owner.
    function setGuardian(address newGuardian) external onlyOwner {
        _setGuardian(newGuardian);
    }

    /// @inheritdoc IVerifierRouter
    function resolve(EvidenceKind kind, bytes4 selector) external view returns (IVerifier) {
        Route storage route = _known(selector);
        if (route.state == RouteState.STOPPED) revert SelectorStopped(selector);
        if (route.kind != kind) revert WrongKind(selector, kind, route.kind);
        return IVerifier(route.verifier);
    }

    /// @inheritdoc IVerifierRouter
    function isServed(EvidenceKind kind) external view returns (bool) {
        return _activeCounts[kind] != 0;
    }

    /// @notice What is known of a selector; zeros when it was never used.
    function routeOf(bytes4 selector) external view returns (address verifier, EvidenceKind kind, RouteState state) {
        Route storage route = _routes[selector];
        return (route.verifier, route.kind, route.state);
    }

    function _add(IVerifier verifier) private {
        if (address(verifier).code.length == 0) revert NotAVerifier(address(verifier));
        (bytes4 selector, EvidenceKind kind) = (verifier.selector(), verifier.kind());
        if (selector == 0 || kind == EvidenceKind.NONE) revert NotAVerifier(address(verifier));
        if (_routes[selector].state != RouteState.UNKNOWN) revert SelectorUsed(selector);
        _routes[selector] = Route(address(verifier), kind, RouteState.ACTIVE);
        ++_activeCounts[kind];
        emit VerifierAdded(selector, kind, address(verifier));
    }

    function _setGuardian(address newGuardian) private {
        guardian = newGuardian;
        emit GuardianChanged(newGuardian);
    }

    function _known(bytes4 selector) private view returns (Route storage route) {
        route = _routes[selector];
        if (route.state == RouteState.UNKNOWN) revert SelectorUnknown(selector);
        if (route.state == RouteState.REMOVED) revert SelectorRemoved(selector);
    }
}
