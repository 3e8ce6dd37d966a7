// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IFraudProofs} from "../src/interfaces/IFraudProofs.sol";
import {Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {DisputeDeployment} from "./DisputeDeployment.sol";
import {vm} from "./Vm.sol";

/// @title A committee that lies about a canonical model, however fast, and a proof that comes in time
/// @notice The committee here is the attacker's, all of it, and so is the challenger.
contract ProofsOverVotesTest is DisputeDeployment {
    uint256 private constant START = 1_700_000_000;
    /// @dev Of Deployment's terms: to draw, to commit, to reveal.
    uint256 private constant LONGEST = 2700;

    function setUp() public override {
        super.setUp();
        bytes32[] memory parts = new bytes32[](1);
        parts[0] = models.storeParameters(new bytes(96));
        modelId = models.register(1, "canonical", hex"01", parts, "");
        truth.learn(modelId, INPUT, TRUTH);
    }

    // ---- a true answer, and a committee that rules for a lie ----------------------------------------------------

    function test_ACommitteeAloneReplacesNothingWhileAProofCanCome() public {
        Request memory asked = deliverDisputable(TRUTH);
        bytes32 id = dispute(asked, LIE, 5, TRUTH, 0);
        requireOutcome(id, IDisputes.Outcome.OPEN);
        expectNothingFollows(asked, id, disputes.infoOf(id).members[0]);
        vm.warp(START + WINDOW - 1);
        requireOutcome(id, IDisputes.Outcome.OPEN);
        expectNothingFollows(asked, id, disputes.infoOf(id).members[0]);
        vm.warp(START + WINDOW);
        requireOutcome(id, IDisputes.Outcome.REPLACED);
        vm.assertEq(disputes.rulingOf(id).closedAt, START + WINDOW);
    }

    function test_AProofOfTheDisputedAnswerEndsTheDisputeAndTakesTheBond() public {
        Request memory asked = deliverDisputable(TRUTH);
        bytes32 id = dispute(asked, LIE, 4, TRUTH, 1);
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeSuperseded(id);
        vm.expectEmit(address(disputes));
        emit IDisputes.BondSettled(id, IDisputes.Outcome.SUPERSEDED, listOf(STRANGER), BOND_WEI);
        ResultCode code = coprocessor.challenge(asked, INPUT, TRUTH, proofOf(asked, TRUTH, STRANGER));
        vm.assertTrue(code == ResultCode.DELIVERED_PENDING, "code");
        requireOutcome(id, IDisputes.Outcome.SUPERSEDED);
        vm.assertEq(disputes.owedTo(STRANGER), BOND_WEI);
        vm.assertEq(disputes.owedTo(CHALLENGER), 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadySettled.selector, id));
        disputes.settleBond(id);
        vm.assertEq(disputes.isFaulty(id, disputes.infoOf(id).members[4]), false);
        requireStatus(asked, Status.PENDING, TRUTH);
        vm.expectPartialRevert(ICoprocessor.NothingToApply.selector);
        coprocessor.applyRuling(asked, LIE);
        vm.expectPartialRevert(ICoprocessor.WindowOpen.selector);
        coprocessor.finalize(asked, TRUTH, answerers());
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, TRUTH, answerers());
        requireStatus(asked, Status.FINAL, TRUTH);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), FEE_WEI / 2 + 1);
        vm.assertEq(coprocessor.balanceOf(STRANGER), 0);
    }

    /// @dev Nobody disputes it twice: a bond that somebody else's proof takes each time would be no bond.
    function test_WhatAProofUpheldIsNotDisputedAgainNorUpheldAgain() public {
        Request memory asked = deliverDisputable(TRUTH);
        bytes32 id = openAs(CHALLENGER, asked);
        coprocessor.challenge(asked, INPUT, TRUTH, proofOf(asked, TRUTH, STRANGER));
        vm.deal(CHALLENGER, BOND_WEI);
        vm.prank(CHALLENGER);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadyOpened.selector, id));
        disputes.open{value: BOND_WEI}(asked, answerers());
        expectUpholdRefused(asked, IDisputes.Phase.CLOSED);
        vm.warp(START + WINDOW);
        expectWindowOver(asked, TRUTH);
    }

    /// @dev Of an opaque model, ruled before the window is over: nothing real proves its answer, and this proof does.
    function test_ABondThatWasPaidIsNotPaidAgainToAProver() public {
        modelId = registerOpaque("another");
        truth.learn(modelId, INPUT, TRUTH);
        Request memory asked = deliverDisputable(TRUTH);
        bytes32 id = dispute(asked, TRUTH, 5, LIE, 0);
        disputes.settleBond(id);
        coprocessor.challenge(asked, INPUT, TRUTH, proofOf(asked, TRUTH, STRANGER));
        requireOutcome(id, IDisputes.Outcome.SUPERSEDED);
        vm.assertEq(disputes.owedTo(STRANGER), 0);
        vm.assertEq(disputes.owedTo(disputes.infoOf(id).members[0]), BOND_WEI / 5);
    }

    function test_OnlyADisputeIsUpheldAndOnlyByTheCoprocessor() public {
        Request memory asked = deliverDisputable(TRUTH);
        expectUpholdRefused(asked, IDisputes.Phase.NONE);
        bytes32 id = openAs(CHALLENGER, asked);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotCoprocessor.selector, address(this)));
        disputes.uphold(id, address(this));
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 11, 0);
        coprocessor.deliver(asked, INPUT, TRUTH, evidenceOf(asked, TRUTH, 2));
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.SameOutput.selector, keccak256(TRUTH)));
        this.challengeWith(asked, TRUTH);
    }

    /// @dev No proof verifier of ours does it; a router may resolve another one.
    function test_AProofThatNamesNobodyReplacesAndUpholdsNothing() public {
        Request memory asked = deliverDisputable(LIE);
        bytes32 id = openAs(CHALLENGER, asked);
        Evidence memory evidence = proofOf(asked, TRUTH, STRANGER);
        vm.etch(address(truth), hex"60205f5260405ff3"); // returns an empty list
        vm.expectRevert(ICoprocessor.NobodyToPay.selector);
        coprocessor.challenge(asked, INPUT, TRUTH, evidence);
        vm.expectRevert(ICoprocessor.NobodyToPay.selector);
        coprocessor.challenge(asked, INPUT, LIE, evidence);
        requireOutcome(id, IDisputes.Outcome.OPEN);
    }

    /// @dev Nothing is to be paid, so nobody has to be named.
    function test_AFreeAnswerIsReplacedByAProofThatNamesNobody() public {
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 0, 0);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
        Evidence memory evidence = proofOf(asked, TRUTH, STRANGER);
        vm.etch(address(truth), hex"60205f5260405ff3"); // returns an empty list
        coprocessor.challenge(asked, INPUT, TRUTH, evidence);
        requireStatus(asked, Status.FINAL, TRUTH);
    }

    function test_ALieIsNotUpheld() public {
        Request memory asked = deliverDisputable(LIE);
        bytes32 id = openAs(CHALLENGER, asked);
        vm.expectRevert();
        this.challengeWith(asked, LIE);
        requireOutcome(id, IDisputes.Outcome.OPEN);
    }

    // ---- a lie, and a committee that rules for another or upholds it -----------------------------------------------

    function test_AProofComesOverARulingForAnotherLie() public {
        Request memory asked = deliverDisputable("another lie");
        bytes32 id = dispute(asked, LIE, 5, TRUTH, 0);
        coprocessor.challenge(asked, INPUT, TRUTH, proofOf(asked, TRUTH, STRANGER));
        requireStatus(asked, Status.FINAL, TRUTH);
        requireOutcome(id, IDisputes.Outcome.SUPERSEDED);
        disputes.settleBond(id);
        vm.assertEq(disputes.owedTo(CHALLENGER), BOND_WEI);
    }

    // ---- opened in the last second, not drawn, of another kind ----------------------------------------------------

    function test_WhatIsDisputedInTheLastSecondCanBeProvenAsLongAsACommitteeMayTake() public {
        Request memory asked = deliverDisputable(TRUTH);
        vm.warp(START + WINDOW - 1);
        bytes32 id = dispute(asked, LIE, 5, TRUTH, 0); // in no time
        vm.warp(START + WINDOW - 2 + LONGEST);
        requireOutcome(id, IDisputes.Outcome.OPEN);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.DisputeOpen.selector, id));
        coprocessor.finalize(asked, TRUTH, answerers());
        uint256 before = vm.snapshotState();
        coprocessor.challenge(asked, INPUT, TRUTH, proofOf(asked, TRUTH, STRANGER));
        coprocessor.finalize(asked, TRUTH, answerers());
        requireStatus(asked, Status.FINAL, TRUTH);
        vm.revertToState(before);
        vm.warp(START + WINDOW - 1 + LONGEST);
        requireOutcome(id, IDisputes.Outcome.REPLACED);
        vm.assertEq(disputes.rulingOf(id).closedAt, START + WINDOW - 1 + LONGEST);
        expectWindowOver(asked, TRUTH);
    }

    function test_WithoutADisputeTheWindowEndsAsEver() public {
        Request memory asked = deliverDisputable(LIE);
        vm.warp(START + WINDOW);
        expectWindowOver(asked, TRUTH);
    }

    function test_WhatNobodyDrawsLapsesWhenNoProofCanComeAnyMore() public {
        Request memory asked = deliverDisputable(TRUTH);
        bytes32 id = openAs(CHALLENGER, asked);
        vm.warp(START + WINDOW - 1);
        requireOutcome(id, IDisputes.Outcome.OPEN);
        vm.warp(START + WINDOW);
        requireOutcome(id, IDisputes.Outcome.LAPSED);
        vm.assertEq(disputes.rulingOf(id).closedAt, START + WINDOW);
    }

    /// @dev Nothing can be proven about an opaque model, so nobody waits for a proof.
    function test_AboutAnOpaqueModelTheRulingIsThereAtOnce() public {
        modelId = registerOpaque("another manifest");
        Request memory asked = deliverDisputable(LIE);
        bytes32 id = dispute(asked, TRUTH, 5, LIE, 0);
        requireOutcome(id, IDisputes.Outcome.REPLACED);
        vm.assertEq(disputes.rulingOf(id).closedAt, vm.getBlockTimestamp());
        vm.warp(START + WINDOW);
        vm.expectPartialRevert(ICoprocessor.WindowOver.selector);
        this.challengeWith(asked, TRUTH);
    }

    // ---- inside ----------------------------------------------------------------------------------------------------

    /// @dev What the lying majority would have of its ruling.
    function expectNothingFollows(Request memory asked, bytes32 id, address member) private {
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.NothingToApply.selector, id, IDisputes.Outcome.OPEN));
        coprocessor.applyRuling(asked, LIE);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(0), claimDigestOf(asked, TRUTH));
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NotReplaced.selector, id, IDisputes.Outcome.OPEN));
        frauds.proveOutvoted(asked, keccak256(TRUTH), signatures);
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.settleBond(id);
        vm.assertEq(disputes.isFaulty(id, member), false);
    }

    function challengeWith(Request calldata asked, bytes calldata output) external {
        coprocessor.challenge(asked, INPUT, output, proofOf(asked, output, STRANGER));
    }

    function expectUpholdRefused(Request memory asked, IDisputes.Phase phase) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongPhase.selector, idOf(asked), phase));
        this.challengeWith(asked, TRUTH);
    }

    function expectWindowOver(Request memory asked, bytes memory output) private {
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.WindowOver.selector, START + WINDOW));
        this.challengeWith(asked, output);
    }

    function listOf(address account) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = account;
    }

    function requireStatus(Request memory asked, Status status, bytes memory output) private view {
        (Status got,, bytes32 digest,) = coprocessor.statusOf(idOf(asked));
        vm.assertEq(uint256(got), uint256(status));
        vm.assertEq(digest, keccak256(output));
    }
}
