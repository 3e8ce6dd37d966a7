// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {IVerifier} from "../src/interfaces/IVerifier.sol";
import {IVerifierRouter} from "../src/interfaces/IVerifierRouter.sol";
import {Claim, Evidence, EvidenceKind, Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @dev A verifier that accepts everything, under any name: what a bad governance decision looks like.
contract NamedVerifier is IVerifier {
    bytes4 public immutable selector;
    EvidenceKind public immutable kind;

    constructor(bytes4 selector_, EvidenceKind kind_) {
        (selector, kind) = (selector_, kind_);
    }

    function verify(Claim calldata, bytes32, bytes32, bytes calldata, bytes calldata, bytes calldata)
        external
        view
        returns (address[] memory paid)
    {
        paid = new address[](1);
        paid[0] = address(this);
    }
}

/// @title Selectors: added once, stopped at once, removed for ever
contract VerifierRouterTest is Deployment {
    bytes4 private constant NEXT = bytes4(keccak256("quorum, next version"));

    function test_QuorumAndProofAreThereFromTheStart() public view {
        vm.assertEq(address(router.resolve(EvidenceKind.QUORUM, QUORUM)), address(quorum));
        vm.assertEq(router.isServed(EvidenceKind.QUORUM), true);
        vm.assertEq(address(router.resolve(EvidenceKind.PROOF, PROOF)), address(truth));
        vm.assertEq(router.isServed(EvidenceKind.PROOF), true);
        vm.assertEq(router.isServed(EvidenceKind.ENCLAVE), false);
        vm.assertEq(router.isServed(EvidenceKind.NONE), false);
    }

    function test_AnotherVersionServesBesideTheFirst() public {
        IVerifier next = add(NEXT, EvidenceKind.QUORUM);
        vm.assertEq(address(router.resolve(EvidenceKind.QUORUM, NEXT)), address(next));
        vm.assertEq(address(router.resolve(EvidenceKind.QUORUM, QUORUM)), address(quorum));
        vm.prank(GUARDIAN);
        router.stop(QUORUM);
        vm.assertEq(router.isServed(EvidenceKind.QUORUM), true);
        vm.prank(GUARDIAN);
        router.stop(NEXT);
        vm.assertEq(router.isServed(EvidenceKind.QUORUM), false);
    }

    function test_WhoIsStoppedAndResumedServesAsBefore() public {
        vm.prank(GUARDIAN);
        router.stop(PROOF);
        vm.assertEq(router.isServed(EvidenceKind.PROOF), false);
        vm.prank(OWNER);
        router.resume(PROOF);
        vm.assertEq(router.isServed(EvidenceKind.PROOF), true);
        vm.assertEq(address(router.resolve(EvidenceKind.PROOF, PROOF)), address(truth));
        (address verifier, EvidenceKind kind, IVerifierRouter.RouteState state) = router.routeOf(PROOF);
        vm.assertTrue(verifier == address(truth) && kind == EvidenceKind.PROOF, "route");
        vm.assertTrue(state == IVerifierRouter.RouteState.ACTIVE, "state");
        vm.prank(OWNER);
        router.remove(PROOF);
        vm.assertEq(router.isServed(EvidenceKind.PROOF), false);
    }

    /// @dev Who watches the router reads what it did in its events alone.
    function test_EveryChangeIsTold() public {
        NamedVerifier next = new NamedVerifier(NEXT, EvidenceKind.QUORUM);
        vm.expectEmit(address(router));
        emit IVerifierRouter.VerifierAdded(NEXT, EvidenceKind.QUORUM, address(next));
        vm.prank(OWNER);
        router.add(next);
        vm.expectEmit(address(router));
        emit IVerifierRouter.VerifierStopped(NEXT, GUARDIAN);
        vm.prank(GUARDIAN);
        router.stop(NEXT);
        vm.expectEmit(address(router));
        emit IVerifierRouter.VerifierResumed(NEXT);
        vm.prank(OWNER);
        router.resume(NEXT);
        vm.expectEmit(address(router));
        emit IVerifierRouter.VerifierRemoved(NEXT);
        vm.prank(OWNER);
        router.remove(NEXT);
        vm.expectEmit(address(router));
        emit IVerifierRouter.GuardianChanged(address(1));
        vm.prank(OWNER);
        router.setGuardian(address(1));
        vm.assertEq(router.guardian(), address(1));
    }

    function test_ASelectorIsNeverUsedTwice() public {
        NamedVerifier twin = new NamedVerifier(QUORUM, EvidenceKind.QUORUM);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorUsed.selector, QUORUM));
        router.add(twin);
        vm.prank(OWNER);
        router.remove(QUORUM);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorUsed.selector, QUORUM));
        router.add(twin);
    }

    function test_RemovedIsForEver() public {
        vm.prank(OWNER);
        router.remove(QUORUM);
        bytes memory removed = abi.encodeWithSelector(IVerifierRouter.SelectorRemoved.selector, QUORUM);
        vm.expectRevert(removed);
        router.resolve(EvidenceKind.QUORUM, QUORUM);
        vm.prank(OWNER);
        vm.expectRevert(removed);
        router.resume(QUORUM);
        vm.prank(OWNER);
        vm.expectRevert(removed);
        router.remove(QUORUM);
        vm.prank(GUARDIAN);
        vm.expectRevert(removed);
        router.stop(QUORUM);
        vm.assertEq(router.isServed(EvidenceKind.QUORUM), false);
    }

    function test_AStoppedOneCanBeRemovedAndIsCountedOnce() public {
        add(NEXT, EvidenceKind.QUORUM);
        vm.prank(GUARDIAN);
        router.stop(QUORUM);
        vm.prank(OWNER);
        router.remove(QUORUM);
        vm.assertEq(router.isServed(EvidenceKind.QUORUM), true);
        vm.prank(OWNER);
        router.remove(NEXT);
        vm.assertEq(router.isServed(EvidenceKind.QUORUM), false);
    }

    function test_TheGuardianStopsAndDoesNothingElse() public {
        vm.prank(GUARDIAN);
        router.stop(QUORUM);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorStopped.selector, QUORUM));
        router.resolve(EvidenceKind.QUORUM, QUORUM);
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorStopped.selector, QUORUM));
        router.stop(QUORUM);
        bytes memory unauthorized = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, GUARDIAN);
        vm.prank(GUARDIAN);
        vm.expectRevert(unauthorized);
        router.resume(QUORUM);
        vm.prank(GUARDIAN);
        vm.expectRevert(unauthorized);
        router.remove(QUORUM);
        vm.prank(GUARDIAN);
        vm.expectRevert(unauthorized);
        router.add(quorum);
        vm.prank(GUARDIAN);
        vm.expectRevert(unauthorized);
        router.setGuardian(address(1));
    }

    function test_AStrangerDoesNothing() public {
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.NotGuardian.selector, address(this)));
        router.stop(QUORUM);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        router.add(quorum);
    }

    function test_TheOwnerStopsToo() public {
        vm.prank(OWNER);
        router.setGuardian(address(0));
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.NotGuardian.selector, GUARDIAN));
        router.stop(QUORUM);
        vm.prank(OWNER);
        router.stop(QUORUM);
        vm.prank(OWNER);
        router.resume(QUORUM);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorNotStopped.selector, QUORUM));
        router.resume(QUORUM);
    }

    function test_WhatIsNoVerifierIsNotAdded() public {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.NotAVerifier.selector, address(0xE0A)));
        router.add(IVerifier(address(0xE0A)));
        NamedVerifier nameless = new NamedVerifier(0, EvidenceKind.QUORUM);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.NotAVerifier.selector, address(nameless)));
        router.add(nameless);
        NamedVerifier kindless = new NamedVerifier(NEXT, EvidenceKind.NONE);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.NotAVerifier.selector, address(kindless)));
        router.add(kindless);
    }

    function testFuzz_AnUnknownSelectorResolvesToNothing(bytes4 selector) public {
        vm.assume(selector != QUORUM);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorUnknown.selector, selector));
        router.resolve(EvidenceKind.QUORUM, selector);
    }

    /// @dev A quorum does not stand in for a proof: each demand takes evidence of its own kind, in the fixed order.
    function test_OneKindDoesNotStandInForAnother() public {
        add(NEXT, EvidenceKind.PROOF);
        vm.expectRevert(
            abi.encodeWithSelector(IVerifierRouter.WrongKind.selector, QUORUM, EvidenceKind.PROOF, EvidenceKind.QUORUM)
        );
        router.resolve(EvidenceKind.PROOF, QUORUM);
        Request memory asked = ask(address(0xA11CE), "x", bytes32(hex"01020100000000"), 9, 0);
        Evidence[] memory evidence = new Evidence[](2);
        evidence[0] = Evidence(NEXT, "");
        evidence[1] = Evidence(QUORUM, quorumData(asked, "y", 0, 2));
        vm.expectPartialRevert(IVerifierRouter.WrongKind.selector);
        coprocessor.deliver(asked, "", "y", evidence);
        (evidence[0], evidence[1]) = (evidence[1], evidence[1]);
        vm.expectPartialRevert(IVerifierRouter.WrongKind.selector);
        coprocessor.deliver(asked, "", "y", evidence);
    }

    /// @dev Both demands met: everybody whose evidence counted is paid once, in order.
    function test_EveryDemandMustBeMetAndEveryKindIsPaid() public {
        IVerifier prover = add(NEXT, EvidenceKind.PROOF);
        Request memory asked = ask(address(0xA11CE), "x", bytes32(hex"01020100000000"), 10, 0);
        Evidence[] memory evidence = new Evidence[](2);
        evidence[0] = Evidence(QUORUM, quorumData(asked, "y", 0, 2));
        evidence[1] = Evidence(NEXT, "");
        coprocessor.deliver(asked, "", "y", evidence);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 4);
        vm.assertEq(coprocessor.balanceOf(operatorAt(1)), 3);
        vm.assertEq(coprocessor.balanceOf(address(prover)), 3);
    }

    function add(bytes4 selector, EvidenceKind kind) private returns (IVerifier verifier) {
        verifier = new NamedVerifier(selector, kind);
        vm.prank(OWNER);
        router.add(verifier);
    }
}
