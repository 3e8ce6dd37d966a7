// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IFraudProofs} from "../src/interfaces/IFraudProofs.sol";
import {Request, Status} from "../src/libraries/Types.sol";
import {DisputeDeployment} from "./DisputeDeployment.sol";
import {Vm, vm} from "./Vm.sol";

/// @title An answer in four passes a committee although nobody doubts it
contract AuditsTest is DisputeDeployment {
    uint256 private constant START = 1_700_000_000;

    function terms() internal pure override returns (IDisputes.Terms memory with) {
        with = super.terms();
        with.auditOneIn = 4;
    }

    function test_FinalizingWhatTheLotteryHitForcesAnAuditInstead() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        vm.warp(START + WINDOW);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.AuditForced(id);
        vm.prank(CHALLENGER);
        coprocessor.finalize(asked, LIE, answerers());
        requireStatus(asked, Status.PENDING);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0);
        IDisputes.Info memory info = disputes.infoOf(id);
        vm.assertTrue(info.isAudit, "audit");
        vm.assertEq(info.challenger, CHALLENGER);
        vm.assertEq(info.disputedDigest, keccak256(LIE));
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.DisputeOpen.selector, id));
        coprocessor.finalize(asked, LIE, answerers());
        address[] memory members = draw(id);
        vm.assertTrue(!isAmong(operatorAt(0), members) && !isAmong(operatorAt(1), members), "signers");
        vote(id, TRUTH, 5, LIE, 0);
        coprocessor.applyRuling(asked, TRUTH);
        vm.assertEq(coprocessor.balanceOf(CHALLENGER), FEE_WEI / 6 + FEE_WEI % 6, "who opened it");
    }

    function test_AnHonestAnswerPassesItsAuditAndTheCommitteeIsPaidOutOfTheFee() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, LIE, answerers());
        draw(id);
        vote(id, LIE, 5, TRUTH, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadySettled.selector, id)); // there is no bond
        disputes.settleBond(id);
        coprocessor.finalize(asked, LIE, answerers());
        requireStatus(asked, Status.FINAL);
        vm.assertEq(coprocessor.balanceOf(disputes.infoOf(id).members[4]), FEE_WEI / 7);
        vm.assertEq(disputes.owedTo(disputes.infoOf(id).members[0]), 0);
    }

    function test_WhatTheLotteryMissedIsFinalWhenItIsDue() public {
        Request memory asked = deliverUntil(false);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AuditNotDue.selector, idOf(asked)));
        disputes.openAudit(asked, answerers());
        vm.warp(START + WINDOW);
        vm.recordLogs();
        coprocessor.finalize(asked, LIE, answerers());
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            vm.assertNotEq(logs[i].topics[0], ICoprocessor.AuditForced.selector);
        }
        requireStatus(asked, Status.FINAL);
    }

    /// @dev However short the window: nothing is final before its lot was drawn.
    function test_NothingIsFinalBeforeTheLotterysBlock() public {
        Request memory asked = deliverDisputable(LIE);
        uint256 block_ = vm.getBlockNumber() + 2;
        vm.warp(START + WINDOW);
        vm.roll(block_);
        vm.assertEq(disputes.isAuditDue(idOf(asked)), false);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.LotteryOpen.selector, block_));
        coprocessor.finalize(asked, LIE, answerers());
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AuditNotDue.selector, idOf(asked)));
        disputes.openAudit(asked, answerers());
    }

    function test_AnyoneOpensTheAuditBeforeItIsDueToBeFinal() public {
        Request memory asked = deliverUntil(true);
        vm.prank(operatorAt(3));
        disputes.openAudit(asked, answerers());
        bytes32 id = idOf(asked);
        vm.assertTrue(disputes.infoOf(id).isAudit, "audit");
        vm.assertEq(address(disputes).balance, 0);
        vm.assertEq(isAmong(operatorAt(3), draw(id)), false);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AuditNotDue.selector, id));
        disputes.openAudit(asked, answerers());
        vm.deal(CHALLENGER, BOND_WEI);
        vm.prank(CHALLENGER);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadyOpened.selector, id));
        disputes.open{value: BOND_WEI}(asked, answerers());
    }

    function test_AnAuditIsOpenedForTheTrueBeneficiariesOfAPendingAnswer() public {
        Request memory asked = deliverUntil(true);
        vm.expectPartialRevert(IDisputes.BeneficiariesMismatch.selector);
        disputes.openAudit(asked, new address[](0));
        Request memory other = ask(address(0xA11CE), INPUT, disputablePolicy(2, WINDOW), 0, 0);
        vm.expectPartialRevert(IDisputes.NotPending.selector);
        disputes.openAudit(other, answerers());
    }

    /// @dev One lot for all who look, not a new one every 256 blocks: or whoever comes back has every answer audited.
    function test_ALaterLotIsOnlyFinalizings() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        (, uint48 deliveredBlock) = coprocessor.deliveryOf(id);
        vm.roll(uint256(deliveredBlock) + 2 + 256);
        vm.assertTrue(disputes.isAuditDue(id), "in reach");
        vm.roll(uint256(deliveredBlock) + 2 + 257);
        vm.assertEq(disputes.isAuditDue(id), false);
        vm.expectPartialRevert(IDisputes.AuditNotDue.selector);
        disputes.openAudit(asked, answerers());
        vm.warp(START + WINDOW);
        bool isHit = uint256(keccak256(abi.encode(id, blockhash(uint256(deliveredBlock) + 258)))) % 4 == 0;
        coprocessor.finalize(asked, LIE, answerers());
        requireStatus(asked, isHit ? Status.PENDING : Status.FINAL);
    }

    /// @dev 400 answers, one in four: between 70 and 130 but once in a thousand lotteries. The hashes are fixed.
    /// @dev Its hash cannot be read there yet: what everyone would read is zero, and known before.
    function test_NoAuditIsDueInTheLotterysOwnBlock() public {
        for (uint256 i; i < 16; ++i) {
            Request memory asked = deliverDisputable(LIE);
            vm.roll(vm.getBlockNumber() + 2);
            vm.assertEq(disputes.isAuditDue(idOf(asked)), false);
        }
    }

    function test_AboutOneInFourIsHit() public {
        uint256 hits;
        for (uint256 i; i < 400; ++i) {
            if (isHitNext()) ++hits;
        }
        vm.assertTrue(hits >= 70 && hits <= 130, vm.toString(hits));
    }

    function test_AnAuditThatNobodyDrawsLapsesWithoutCost() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, LIE, answerers());
        vm.warp(START + WINDOW + 600);
        requireOutcome(id, IDisputes.Outcome.LAPSED);
        coprocessor.finalize(asked, LIE, answerers());
        requireStatus(asked, Status.FINAL);
    }

    function test_WithTooFewOthersNoAuditIsForced() public {
        Request memory asked = deliverUntil(true);
        for (uint256 i = 2; i < 6; ++i) {
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
        vm.expectRevert(abi.encodeWithSelector(IDisputes.CommitteeTooSmall.selector, 3, 2));
        disputes.openAudit(asked, answerers());
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, LIE, answerers());
        requireStatus(asked, Status.FINAL);
    }

    /// @dev Of three others one belongs to the liars, and finalizes: the audit is held all the same, and is nobody's.
    function test_WhoFinalizesDoesNotMakeACommitteeTooSmall() public {
        for (uint256 i; i < 2; ++i) {
            Request memory asked = deliverUntil(true);
            bytes32 id = idOf(asked);
            if (i == 0) beginExits(2, 5);
            vm.warp(vm.getBlockTimestamp() + WINDOW);
            vm.prank(i == 0 ? operatorAt(5) : vm.addr(keyOf(6)));
            coprocessor.finalize(asked, LIE, answerers());
            requireStatus(asked, Status.PENDING);
            requireOutcome(id, IDisputes.Outcome.OPEN);
            vm.assertEq(disputes.infoOf(id).challenger, BURNT);
            vm.assertEq(draw(id).length, 3);
            vote(id, TRUTH, 3, LIE, 0);
            coprocessor.applyRuling(asked, TRUTH);
        }
        vm.assertEq(coprocessor.balanceOf(BURNT), 2 * (FEE_WEI / 4 + FEE_WEI % 4));
    }

    function test_WithThreeOthersWhoFinalizesIsTheChallenger() public {
        Request memory asked = deliverUntil(true);
        beginExits(2, 4);
        vm.warp(START + WINDOW);
        vm.prank(operatorAt(4));
        coprocessor.finalize(asked, LIE, answerers());
        vm.assertEq(disputes.infoOf(idOf(asked)).challenger, operatorAt(4));
        vm.assertEq(isAmong(operatorAt(4), draw(idOf(asked))), false);
    }

    /// @dev The challenger's half is nobody's then, and it is a slashing all the same.
    function test_WhoIsOutvotedInAnAuditThatNobodyOpenedHasItOnRecord() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        beginExits(2, 5);
        vm.warp(START + WINDOW);
        vm.prank(operatorAt(5));
        coprocessor.finalize(asked, LIE, answerers());
        draw(id);
        vote(id, TRUTH, 3, LIE, 0);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(0), claimDigestOf(asked, LIE));
        vm.assertEq(frauds.proveOutvoted(asked, keccak256(LIE), signatures), 1);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        vm.assertEq(operators.owedTo(BURNT) + operators.owedTo(address(frauds)), MIN_STAKE_WEI);
        (,, uint64 slashed) = frauds.qualityOf(operatorAt(0));
        vm.assertEq(slashed, 1);
    }

    /// @dev It is replaced, but whoever answered has gone with the stake.
    function test_KnownAnAnswerThatNobodyFinalizesIsAuditedWhenItsSignersAreGone() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        beginExits(0, 2);
        vm.warp(START + UNBONDING_SECONDS);
        for (uint256 i; i < 2; ++i) {
            vm.prank(operatorAt(i));
            operators.withdrawStake(payable(operatorAt(i)));
        }
        coprocessor.finalize(asked, LIE, answerers());
        draw(id);
        vote(id, TRUTH, 5, LIE, 0);
        coprocessor.applyRuling(asked, TRUTH);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(0), claimDigestOf(asked, LIE));
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NobodySlashed.selector, id));
        frauds.proveOutvoted(asked, keccak256(LIE), signatures);
    }

    function test_AnAuditIsForcedOnce() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        disputes.openAudit(asked, answerers());
        vm.prank(address(coprocessor));
        vm.assertEq(disputes.forceAudit(id, modelId, answerers(), CHALLENGER), false);
    }

    /// @dev The liar's own audit: what it would have through another account, and its seat is not drawn.
    function test_WhoAuditsItsOwnLieStillLosesHalf() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        vm.prank(operatorAt(0));
        disputes.openAudit(asked, answerers());
        vm.assertEq(isAmong(operatorAt(0), draw(id)), false);
        vote(id, TRUTH, 5, LIE, 0);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(0), claimDigestOf(asked, LIE));
        frauds.proveOutvoted(asked, keccak256(LIE), signatures);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        vm.assertEq(operators.owedTo(operatorAt(0)), MIN_STAKE_WEI / 2);
        vm.assertEq(operators.owedTo(BURNT), MIN_STAKE_WEI / 2);
    }

    /// @dev A committee of the liars', drawn when the window is over, and as fast as it can be.
    function test_OfACanonicalModelAForcedAuditLeavesTimeForAProof() public {
        bytes32[] memory parts = new bytes32[](1);
        parts[0] = models.storeParameters(new bytes(96));
        modelId = models.register(1, "canonical", hex"01", parts, "");
        truth.learn(modelId, INPUT, LIE); // what was answered is true here, and a lie what is voted for
        Request memory asked = deliverUntil(true);
        bytes32 id = idOf(asked);
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, LIE, answerers());
        draw(id);
        vote(id, TRUTH, 5, LIE, 0);
        vm.warp(START + WINDOW + 2699);
        requireOutcome(id, IDisputes.Outcome.OPEN);
        coprocessor.challenge(asked, INPUT, LIE, proofOf(asked, LIE, STRANGER));
        vm.assertEq(disputes.owedTo(STRANGER), 0); // there is no bond
        coprocessor.finalize(asked, LIE, answerers());
        requireStatus(asked, Status.FINAL);
    }

    function test_OfACanonicalModelAnAuditBeforeItIsDueLeavesTheWholeWindow() public {
        bytes32[] memory parts = new bytes32[](1);
        parts[0] = models.storeParameters(new bytes(96));
        modelId = models.register(1, "canonical", hex"01", parts, "");
        Request memory asked = deliverUntil(true);
        disputes.openAudit(asked, answerers());
        draw(idOf(asked));
        vote(idOf(asked), TRUTH, 5, LIE, 0);
        vm.warp(START + WINDOW - 1);
        requireOutcome(idOf(asked), IDisputes.Outcome.OPEN);
        vm.warp(START + WINDOW);
        requireOutcome(idOf(asked), IDisputes.Outcome.REPLACED);
    }

    function test_WhatWasDisputedIsNotAuditedToo() public {
        Request memory asked = deliverUntil(true);
        bytes32 id = dispute(asked, TRUTH, 0, LIE, 5);
        vm.assertEq(disputes.isAuditDue(id), false);
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, LIE, answerers());
        requireStatus(asked, Status.FINAL);
    }

    function test_OtherPoliciesAreNeverAudited() public {
        for (uint256 i; i < 20; ++i) {
            Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 11, 0);
            coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
            vm.roll(vm.getBlockNumber() + 3);
            vm.assertEq(disputes.isAuditDue(idOf(asked)), false);
            vm.warp(vm.getBlockTimestamp() + WINDOW);
            coprocessor.finalize(asked, LIE, answerers());
            requireStatus(asked, Status.FINAL);
        }
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    /// @dev An answer that the lottery hits, or misses, three blocks later.
    function deliverUntil(bool isHit) private returns (Request memory asked) {
        do {
            asked = deliverDisputable(LIE);
            vm.roll(vm.getBlockNumber() + 3);
        } while (disputes.isAuditDue(idOf(asked)) != isHit);
    }

    function beginExits(uint256 first, uint256 end) private {
        for (uint256 i = first; i < end; ++i) {
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
    }

    function isHitNext() private returns (bool) {
        Request memory asked = deliverDisputable(LIE);
        vm.roll(vm.getBlockNumber() + 3);
        return disputes.isAuditDue(idOf(asked));
    }

    function requireStatus(Request memory asked, Status status) private view {
        (Status got,,,) = coprocessor.statusOf(idOf(asked));
        vm.assertEq(uint256(got), uint256(status));
    }
}
