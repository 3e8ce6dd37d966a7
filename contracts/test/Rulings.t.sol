// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Coprocessor} from "../src/Coprocessor.sol";
import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IInferenceConsumer} from "../src/interfaces/IInferenceConsumer.sol";
import {CallbackStatus, Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {DisputeDeployment} from "./DisputeDeployment.sol";
import {Vm, vm} from "./Vm.sol";
import {RecordingConsumer, RevertingConsumer} from "./hostile/Consumers.sol";

/// @dev Tries, while it is told an answer, to have the ruling applied once more.
contract GreedyConsumer is IInferenceConsumer {
    Coprocessor private immutable COPROCESSOR;
    Request private asked;
    bytes4 public refusal;

    constructor(Coprocessor coprocessor) {
        COPROCESSOR = coprocessor;
    }

    function remember(Request calldata asked_) external {
        asked = asked_;
    }

    function onInference(bytes32, bytes calldata output) external {
        try COPROCESSOR.applyRuling(asked, output) {}
        catch (bytes memory reason) {
            refusal = bytes4(reason);
        }
    }
}

/// @title What the Coprocessor does about a dispute: waits, pays, replaces, refunds
contract RulingsTest is DisputeDeployment {
    uint256 private constant START = 1_700_000_000;
    uint32 private constant GAS = 200_000;

    // ---- an answer that stands --------------------------------------------------------------------------------

    function test_AnOpenDisputeHoldsTheAnswerUp() public {
        Request memory asked = deliverDisputable(LIE);
        vm.warp(START + WINDOW - 1);
        bytes32 id = openAs(CHALLENGER, asked);
        vm.warp(START + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.DisputeOpen.selector, id));
        coprocessor.finalize(asked, LIE, answerers());
        draw(id);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.DisputeOpen.selector, id));
        coprocessor.finalize(asked, LIE, answerers());
        expectNothingToApply(asked, LIE, IDisputes.Outcome.OPEN);
    }

    function test_AnAnswerThatStandsIsPaidToItsSignersAndTheMajority() public {
        Request memory asked = deliverDisputable(TRUTH);
        bytes32 id = dispute(asked, TRUTH, 3, LIE, 2);
        address[] memory members = disputes.infoOf(id).members;
        expectNothingToApply(asked, TRUTH, IDisputes.Outcome.STANDS);
        vm.expectPartialRevert(ICoprocessor.WindowOpen.selector); // also an upheld answer waits for proofs
        coprocessor.finalize(asked, TRUTH, answerers());
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, TRUTH, answerers());
        requireStatus(asked, Status.FINAL, keccak256(TRUTH));
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 203, "a fifth and the remainder");
        vm.assertEq(coprocessor.balanceOf(operatorAt(1)), 200);
        vm.assertEq(coprocessor.balanceOf(members[0]) + coprocessor.balanceOf(members[2]), 400);
        vm.assertEq(coprocessor.balanceOf(members[3]), 0, "outvoted");
    }

    // ---- an answer that is replaced ---------------------------------------------------------------------------

    function test_ARulingReplacesTheLieAndIsFinalAtOnce() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = deliverDisputable(address(consumer), LIE, GAS);
        bytes32 id = dispute(asked, TRUTH, 4, LIE, 1);
        address[] memory paid = new address[](5);
        paid[0] = CHALLENGER;
        for (uint256 i; i < 4; ++i) {
            paid[i + 1] = disputes.infoOf(id).members[i];
        }
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.InferenceReplaced(id, keccak256(LIE), keccak256(TRUTH), TRUTH, paid);
        vm.assertTrue(coprocessor.applyRuling(asked, TRUTH) == ResultCode.DELIVERED, "code");
        requireStatus(asked, Status.FINAL, keccak256(TRUTH));
        vm.assertEq(coprocessor.balanceOf(CHALLENGER), 203);
        vm.assertEq(coprocessor.balanceOf(paid[1]), 200);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0, "who signed the lie");
        vm.assertEq(consumer.calls(), 1);
        vm.assertEq(consumer.lastOutput(), TRUTH);
        expectNotPending(asked, id);
    }

    function test_ARulingIsAppliedAfterTheWindowToo() public {
        Request memory asked = deliverDisputable(LIE);
        bytes32 id = dispute(asked, TRUTH, 5, LIE, 0);
        vm.warp(START + 30 days);
        vm.expectPartialRevert(ICoprocessor.RuledOtherwise.selector);
        coprocessor.finalize(asked, LIE, answerers());
        coprocessor.applyRuling(asked, TRUTH);
        requireStatus(asked, Status.FINAL, keccak256(TRUTH));
        expectNotPending(asked, id);
    }

    function test_OnlyTheOutputThatWasRuledReplaces() public {
        Request memory asked = deliverDisputable(LIE);
        bytes32 id = dispute(asked, TRUTH, 5, LIE, 0);
        vm.expectRevert(
            abi.encodeWithSelector(ICoprocessor.OutputMismatch.selector, keccak256(TRUTH), keccak256("another"))
        );
        coprocessor.applyRuling(asked, "another");
        vm.expectPartialRevert(ICoprocessor.OutputMismatch.selector);
        coprocessor.applyRuling(asked, LIE);
        // A day later nobody has shown it: the asker does not wait for ever.
        vm.warp(disputes.rulingOf(id).closedAt + 1 days - 1);
        vm.expectPartialRevert(ICoprocessor.OutputMismatch.selector);
        coprocessor.applyRuling(asked, "");
        vm.warp(disputes.rulingOf(id).closedAt + 1 days);
        vm.assertTrue(coprocessor.applyRuling(asked, "") == ResultCode.CLOSED, "code");
        requireRefunded(asked);
        expectNotPending(asked, id);
    }

    function test_AFailedCallbackIsRetried() public {
        RevertingConsumer consumer = new RevertingConsumer();
        Request memory asked = deliverDisputable(address(consumer), LIE, GAS);
        dispute(asked, TRUTH, 5, LIE, 0);
        vm.assertTrue(coprocessor.applyRuling(asked, TRUTH) == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
        vm.expectPartialRevert(ICoprocessor.OutputMismatch.selector);
        coprocessor.retryCallback(asked, LIE, GAS);
        consumer.tame();
        vm.assertEq(coprocessor.retryCallback(asked, TRUTH, GAS), true);
        vm.assertEq(consumer.calls(), 1);
    }

    function test_ApplyingIsNotReentered() public {
        GreedyConsumer greedy = new GreedyConsumer(coprocessor);
        Request memory asked = deliverDisputable(address(greedy), LIE, GAS);
        greedy.remember(asked);
        dispute(asked, TRUTH, 5, LIE, 0);
        coprocessor.applyRuling(asked, TRUTH);
        vm.assertEq(bytes32(greedy.refusal()), bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))));
        vm.assertEq(coprocessor.balanceOf(CHALLENGER), 168, "a sixth and the remainder, once");
    }

    // ---- no majority ------------------------------------------------------------------------------------------

    function test_WithoutAMajorityTheAskerHasTheFeeBack() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = deliverDisputable(address(consumer), LIE, GAS);
        bytes32 id = dispute(asked, TRUTH, 2, LIE, 2);
        vm.warp(START + WINDOW);
        vm.expectRevert(
            abi.encodeWithSelector(ICoprocessor.RuledOtherwise.selector, id, IDisputes.Outcome.NO_MAJORITY)
        );
        coprocessor.finalize(asked, LIE, answerers());
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.RequestRefunded(id, REFUND_TO, FEE_WEI);
        vm.assertTrue(coprocessor.applyRuling(asked, LIE) == ResultCode.CLOSED, "code");
        requireRefunded(asked);
        vm.assertEq(consumer.calls(), 0);
        expectNotPending(asked, id);
    }

    // ---- nothing to apply -------------------------------------------------------------------------------------

    function test_WithoutARulingNothingIsApplied() public {
        Request memory asked = deliverDisputable(LIE);
        expectNothingToApply(asked, LIE, IDisputes.Outcome.NONE);
        openAs(CHALLENGER, asked);
        vm.warp(START + 600);
        expectNothingToApply(asked, LIE, IDisputes.Outcome.LAPSED);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 11, 0);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
        expectNothingToApply(asked, LIE, IDisputes.Outcome.NONE);
        asked = ask(address(0xA11CE), INPUT, disputablePolicy(2, WINDOW), 11, 0);
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.applyRuling(asked, LIE);
    }

    // ---- a proof meanwhile ------------------------------------------------------------------------------------

    /// @dev A proof is better than a vote, and comes in time while the window is open.
    function test_AProofEndsADisputeAndTheBondComesBack() public {
        truth.learn(modelId, INPUT, TRUTH);
        Request memory asked = deliverDisputable(LIE);
        bytes32 id = openAs(CHALLENGER, asked);
        address member = draw(id)[0];
        commitAs(id, member, LIE);
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeSuperseded(id);
        coprocessor.challenge(asked, INPUT, TRUTH, proofOf(asked, TRUTH, STRANGER));
        requireOutcome(id, IDisputes.Outcome.SUPERSEDED);
        vm.prank(member);
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.commitVote(id, keccak256("late"));
        vm.assertEq(disputes.isFaulty(id, member), false);
        expectNotPending(asked, id);
        disputes.settleBond(id);
        vm.assertEq(disputes.owedTo(CHALLENGER), BOND_WEI);
        vm.assertEq(coprocessor.balanceOf(STRANGER), FEE_WEI);
    }

    function test_AProofOverridesARulingThatWasNotCarriedOut() public {
        truth.learn(modelId, INPUT, TRUTH);
        Request memory asked = deliverDisputable(LIE);
        bytes32 id = dispute(asked, TRUTH, 1, LIE, 4);
        requireOutcome(id, IDisputes.Outcome.STANDS);
        address honest = disputes.infoOf(id).members[0];
        coprocessor.challenge(asked, INPUT, TRUTH, proofOf(asked, TRUTH, STRANGER));
        requireOutcome(id, IDisputes.Outcome.SUPERSEDED);
        vm.assertEq(disputes.isFaulty(id, honest), false);
    }

    function test_AProofWithoutADisputeIsNoDisputesMatter() public {
        truth.learn(modelId, INPUT, TRUTH);
        Request memory asked = deliverDisputable(LIE);
        Evidence memory evidence = proofOf(asked, TRUTH, STRANGER);
        vm.recordLogs();
        coprocessor.challenge(asked, INPUT, TRUTH, evidence);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            vm.assertTrue(logs[i].emitter != address(disputes), "nothing was superseded");
        }
        requireOutcome(idOf(asked), IDisputes.Outcome.NONE);
        requireStatus(asked, Status.FINAL, keccak256(TRUTH));
    }

    // ---- deployments without Disputes -------------------------------------------------------------------------

    function test_WithoutDisputesNothingIsAskedUnderADisputablePolicy() public {
        address nowhere = address(0);
        for (uint256 i; i < 2; ++i) {
            Coprocessor bare = Coprocessor(deployShipped("Coprocessor", abi.encode(models, router, nowhere, asset)));
            vm.expectRevert(ICoprocessor.DisputesNotServed.selector);
            bare.request(modelId, INPUT, disputablePolicy(2, WINDOW), 0, uint64(START + 60), REFUND_TO);
            bare.request(modelId, INPUT, quorumPolicy(2, WINDOW), 0, uint64(START + 60), REFUND_TO);
            nowhere = STRANGER; // no code there
        }
    }

    function test_WithoutDisputesNothingIsApplied() public {
        coprocessor = Coprocessor(deployShipped("Coprocessor", abi.encode(models, router, address(0), address(0))));
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 11, 0);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
        expectNothingToApply(asked, LIE, IDisputes.Outcome.NONE);
    }

    function test_WithoutDisputesAnswersAreChallengedAndFinalizedAllTheSame() public {
        coprocessor = Coprocessor(deployShipped("Coprocessor", abi.encode(models, router, address(0), address(0))));
        truth.learn(modelId, INPUT, TRUTH);
        Request memory first = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 11, 0);
        Request memory second = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 11, 0);
        coprocessor.deliver(first, INPUT, LIE, evidenceOf(first, LIE, 2));
        coprocessor.deliver(second, INPUT, LIE, evidenceOf(second, LIE, 2));
        coprocessor.challenge(first, INPUT, TRUTH, proofOf(first, TRUTH, STRANGER));
        requireStatus(first, Status.FINAL, keccak256(TRUTH));
        vm.warp(START + WINDOW);
        coprocessor.finalize(second, LIE, answerers());
        requireStatus(second, Status.FINAL, keccak256(LIE));
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function expectNothingToApply(Request memory asked, bytes memory output, IDisputes.Outcome outcome) private {
        bytes memory reason = abi.encodeWithSelector(ICoprocessor.NothingToApply.selector, idOf(asked), outcome);
        vm.expectRevert(reason);
        coprocessor.applyRuling(asked, output);
    }

    /// @dev Settled once, whatever is tried.
    function expectNotPending(Request memory asked, bytes32 id) private {
        (Status status,,,) = coprocessor.statusOf(id);
        bytes memory reason = abi.encodeWithSelector(ICoprocessor.NotPending.selector, id, status);
        vm.expectRevert(reason);
        coprocessor.applyRuling(asked, TRUTH);
        vm.expectRevert(reason);
        coprocessor.finalize(asked, LIE, answerers());
        (bytes32 digest, uint48 deliveredBlock) = coprocessor.deliveryOf(id);
        vm.assertEq(digest, bytes32(0));
        vm.assertEq(deliveredBlock, 0);
    }

    function requireRefunded(Request memory asked) private view {
        requireStatus(asked, Status.REFUNDED, 0);
        vm.assertEq(coprocessor.balanceOf(REFUND_TO), FEE_WEI);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0);
    }

    function requireStatus(Request memory asked, Status status, bytes32 outputDigest) private view {
        (Status got, CallbackStatus callback, bytes32 digest,) = coprocessor.statusOf(idOf(asked));
        vm.assertEq(uint256(got), uint256(status));
        vm.assertEq(digest, outputDigest);
        vm.assertTrue(callback != CallbackStatus.RUNNING, "running");
    }
}
