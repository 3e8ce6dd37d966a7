// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IFraudProofs} from "../src/interfaces/IFraudProofs.sol";
import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {Claim, Request} from "../src/libraries/Types.sol";
import {DisputedAnswer} from "./DisputedAnswer.sol";
import {vm} from "./Vm.sol";

/// @title What a ruling costs those who signed the other output, and members who did not do their part
contract OutvotedTest is DisputedAnswer {
    // ---- who signed -------------------------------------------------------------------------------------------

    function test_WhoSignedTheLieLosesTheStakeHalfToTheChallenger() public {
        dispute(asked, TRUTH, 3, LIE, 2);
        vm.expectEmit(address(frauds));
        emit IFraudProofs.LieProven(
            id, operatorAt(0), CHALLENGER, keccak256(LIE), keccak256(TRUTH), 0.5 ether, 0.5 ether
        );
        vm.prank(STRANGER); // whoever calls
        vm.assertEq(frauds.proveOutvoted(asked, keccak256(LIE), signed(LIE, 2)), 2);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        vm.assertEq(operators.stakeOf(operatorAt(1)), 0);
        vm.assertEq(operators.owedTo(CHALLENGER), 1 ether);
        vm.assertEq(operators.owedTo(BURNT), 1 ether);
        vm.assertEq(operators.owedTo(STRANGER), 0);
        expectOutvotedRefused(LIE, signed(LIE, 2), IFraudProofs.NobodySlashed.selector);
    }

    function test_SignersOfAnyOtherOutputAreOutvoted() public {
        dispute(asked, TRUTH, 5, LIE, 0);
        vm.assertEq(frauds.proveOutvoted(asked, keccak256("third"), signed("third", 1)), 1);
    }

    function test_NobodyIsSlashedUnlessACommitteeRuledForAnother() public {
        bytes[] memory lies = signed(LIE, 2);
        expectOutvotedRefused(LIE, lies, IFraudProofs.NotReplaced.selector); // no dispute
        openAs(CHALLENGER, asked);
        expectOutvotedRefused(LIE, lies, IFraudProofs.NotReplaced.selector); // drawing
        draw(id);
        expectOutvotedRefused(LIE, lies, IFraudProofs.NotReplaced.selector); // voting
        vote(id, TRUTH, 2, LIE, 2);
        expectOutvotedRefused(LIE, lies, IFraudProofs.NotReplaced.selector); // no majority
    }

    function test_WhoseAnswerStandsIsNotSlashedNorWhoSignedTheRuling() public {
        Request memory other = deliverDisputable(LIE);
        dispute(other, TRUTH, 0, LIE, 5);
        vm.expectPartialRevert(IFraudProofs.NotReplaced.selector);
        frauds.proveOutvoted(other, keccak256(LIE), new bytes[](1));
        dispute(asked, TRUTH, 5, LIE, 0);
        expectOutvotedRefused(TRUTH, signed(TRUTH, 1), IFraudProofs.SameOutput.selector);
    }

    function test_ItTakesASignatureOfThatClaim() public {
        Request memory other = deliverDisputable(LIE);
        bytes[] memory others = signedFor(other, LIE, 1);
        dispute(asked, TRUTH, 5, LIE, 0);
        expectOutvotedRefused(LIE, new bytes[](0), IFraudProofs.NothingSigned.selector);
        expectOutvotedRefused(LIE, new bytes[](1), IFraudProofs.NotAnOperator.selector);
        expectOutvotedRefused(LIE, others, IFraudProofs.NotAnOperator.selector);
        expectOutvotedRefused("third", signed(LIE, 1), IFraudProofs.NotAnOperator.selector);
        vm.expectPartialRevert(IFraudProofs.NotReplaced.selector); // the other request was not ruled over
        frauds.proveOutvoted(other, keccak256(LIE), others);
    }

    /// @dev The stake is still there when the ruling comes, whenever the liar began to leave.
    function test_LeavingRightAfterSigningSavesNothing() public {
        vm.prank(operatorAt(0));
        operators.beginExit();
        vm.warp(START + WINDOW - 1);
        dispute(asked, TRUTH, 5, LIE, 0);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(IOperatorRegistry.ExitNotDue.selector);
        operators.withdrawStake(payable(operatorAt(0)));
        vm.assertEq(frauds.proveOutvoted(asked, keccak256(LIE), signed(LIE, 1)), 1);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
    }

    /// @dev A liar who disputes itself through another account has half of the stake back, and loses the other half.
    function test_ALiarWhoDisputesItselfLosesHalf() public {
        dispute(asked, TRUTH, 5, LIE, 0);
        frauds.proveOutvoted(asked, keccak256(LIE), signed(LIE, 1));
        disputes.settleBond(id);
        vm.assertEq(operators.owedTo(CHALLENGER) + disputes.owedTo(CHALLENGER), MIN_STAKE_WEI / 2 + BOND_WEI);
    }

    // ---- who voted --------------------------------------------------------------------------------------------

    function test_TheOutvotedAreFinedATenthHalfToWhoSaysSo() public {
        dispute(asked, TRUTH, 3, LIE, 2);
        address member = disputes.infoOf(id).members[4];
        vm.expectEmit(address(frauds));
        emit IFraudProofs.VoterFined(id, member, STRANGER, 0.05 ether, 0.05 ether);
        vm.prank(STRANGER);
        frauds.penalizeVoter(id, member);
        vm.assertEq(operators.stakeOf(member), 0.9 ether);
        vm.assertEq(operators.owedTo(STRANGER), 0.05 ether);
        vm.assertEq(operators.owedTo(BURNT), 0.05 ether);
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.AlreadyFined.selector, id, member));
        frauds.penalizeVoter(id, member);
        expectNotFaulty(disputes.infoOf(id).members[0]); // the majority
        expectNotFaulty(operatorAt(0)); // no member
        expectNotFaulty(STRANGER);
    }

    function test_WhoVotesAgainstAnAnswerThatStandsIsFined() public {
        dispute(asked, LIE, 3, TRUTH, 2);
        address[] memory members = disputes.infoOf(id).members;
        frauds.penalizeVoter(id, members[3]);
        frauds.penalizeVoter(id, members[4]);
        expectNotFaulty(members[0]);
    }

    function test_TheAbsentAreFinedAlsoWithoutAMajority() public {
        openAs(CHALLENGER, asked);
        address[] memory members = draw(id);
        commitAs(id, members[0], TRUTH);
        commitAs(id, members[1], LIE);
        commitAs(id, members[2], LIE); // and does not reveal
        expectNotFaulty(members[3]); // not yet
        vm.warp(disputes.infoOf(id).commitEndsAt);
        revealAs(id, members[0], TRUTH);
        revealAs(id, members[1], LIE);
        expectNotFaulty(members[3]); // not yet
        vm.warp(disputes.infoOf(id).revealEndsAt);
        requireOutcome(id, IDisputes.Outcome.NO_MAJORITY);
        for (uint256 i = 2; i < 5; ++i) {
            frauds.penalizeVoter(id, members[i]);
        }
        expectNotFaulty(members[0]);
        expectNotFaulty(members[1]);
    }

    function test_WhoIsDrawnAndLeavesIsFinedAllTheSame() public {
        openAs(CHALLENGER, asked);
        address member = draw(id)[0];
        vm.prank(member);
        operators.beginExit();
        vm.warp(disputes.infoOf(id).revealEndsAt);
        frauds.penalizeVoter(id, member);
        vm.assertEq(operators.stakeOf(member), 0.9 ether);
    }

    /// @dev A new key, a new seat, a new stake: the same account.
    function test_WhoWasAbsentAndComesBackIsFinedAllTheSame() public {
        openAs(CHALLENGER, asked);
        address member = draw(id)[0];
        vm.prank(member);
        operators.beginExit();
        vm.warp(vm.getBlockTimestamp() + UNBONDING_SECONDS);
        vm.prank(member);
        operators.withdrawStake(payable(member));
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NothingToFine.selector, member));
        frauds.penalizeVoter(id, member);
        uint256 key = uint256(keccak256("new key"));
        bytes memory possession = signDigest(key, operators.computePossessionDigest(member, vm.addr(key)));
        stake(member, 99, vm.addr(key), possession);
        frauds.penalizeVoter(id, member);
        vm.assertEq(operators.stakeOf(member), 0.9 ether);
    }

    /// @dev What is disputed is what is pending when the dispute comes, not what its challenger saw. Swapped by a
    ///      reorganisation, it costs the bond, and those who signed both the stakes.
    function test_KnownAnAnswerThatIsSwappedUnderADisputeCostsTheBondAndItsSignersTheStake() public {
        asked = ask(address(0xA11CE), INPUT, disputablePolicy(2, WINDOW), FEE_WEI, 0);
        bytes[] memory lies = signed(LIE, 2); // of a delivery that is in no block any more
        bytes[] memory truths = signed(TRUTH, 2);
        coprocessor.deliver(asked, INPUT, TRUTH, evidenceOf(asked, TRUTH, 2));
        id = dispute(asked, TRUTH, 5, LIE, 0);
        requireOutcome(id, IDisputes.Outcome.STANDS);
        disputes.settleBond(id);
        vm.assertEq(disputes.owedTo(CHALLENGER), 0);
        (Claim memory lie, Claim memory truth_) = (claimOf(asked, LIE), claimOf(asked, TRUTH));
        for (uint256 i; i < 2; ++i) {
            vm.prank(CHALLENGER);
            frauds.proveEquivocation(lie, lies[i], truth_, truths[i]);
        }
        vm.assertEq(operators.owedTo(CHALLENGER), MIN_STAKE_WEI);
    }

    function test_AFineIsAtMostTheStake() public {
        dispute(asked, TRUTH, 4, LIE, 1);
        address member = disputes.infoOf(id).members[4];
        vm.prank(address(frauds));
        operators.slash(member, 1 ether - 0.01 ether - 1, BURNT);
        frauds.penalizeVoter(id, member);
        vm.assertEq(operators.stakeOf(member), 0);
        vm.assertEq(operators.owedTo(address(this)), 0.005 ether);
        bytes32 other = disputeUntilDrawn(member);
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NothingToFine.selector, member));
        frauds.penalizeVoter(other, member);
    }

    function test_NobodyIsFinedForALapsedDispute() public {
        openAs(CHALLENGER, asked);
        vm.warp(START + 600);
        for (uint256 i; i < OPERATORS; ++i) {
            expectNotFaulty(operatorAt(i));
        }
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    /// @dev A dispute that was opened while the member could be drawn, and to which nobody came.
    function disputeUntilDrawn(address member) private returns (bytes32 otherId) {
        vm.deal(member, MIN_STAKE_WEI);
        vm.prank(member);
        operators.addStake{value: MIN_STAKE_WEI}();
        do {
            otherId = openAs(CHALLENGER, deliverDisputable(LIE));
        } while (!isAmong(member, draw(otherId)));
        vm.prank(address(frauds));
        operators.slash(member, MIN_STAKE_WEI, BURNT);
        vm.warp(disputes.infoOf(otherId).revealEndsAt);
    }

    function signedFor(Request memory about, bytes memory output, uint256 count)
        private
        view
        returns (bytes[] memory signatures)
    {
        signatures = new bytes[](count);
        for (uint256 i; i < count; ++i) {
            signatures[i] = signDigest(keyOf(i), claimDigestOf(about, output));
        }
    }

    function signed(bytes memory output, uint256 count) private view returns (bytes[] memory) {
        return signedFor(asked, output, count);
    }

    function expectOutvotedRefused(bytes memory output, bytes[] memory signatures, bytes4 reason) private {
        vm.expectPartialRevert(reason);
        frauds.proveOutvoted(asked, keccak256(output), signatures);
    }

    function expectNotFaulty(address member) private {
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NotFaulty.selector, id, member));
        frauds.penalizeVoter(id, member);
    }
}
