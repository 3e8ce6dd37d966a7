// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {IVerifierRouter} from "../src/interfaces/IVerifierRouter.sol";
import {CallbackStatus, Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {RecordingConsumer, RevertingConsumer} from "./hostile/Consumers.sol";
import {TruthVerifier} from "./hostile/TruthVerifier.sol";

/// @title A pending answer that is wrong is replaced by the proven one
contract ChallengeTest is Deployment {
    bytes private constant INPUT = "x";
    bytes private constant OUTPUT = "the truth";
    bytes private constant LIE = "a lie";
    address private constant CHALLENGER = address(0xC4A11);
    address private constant THIEF = address(0xBAD);
    uint32 private constant GAS = 200_000;
    uint32 private constant WINDOW = 600;
    uint256 private constant START = 1_700_000_000;

    function setUp() public override {
        super.setUp();
        truth.learn(modelId, INPUT, OUTPUT);
    }

    function test_TheProvenOutputReplacesTheLieAndIsFinalAtOnce() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = deliverPending(address(consumer), LIE);
        bytes32 id = coprocessor.computeRequestId(asked);
        address[] memory paid = new address[](1);
        paid[0] = CHALLENGER;
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.InferenceReplaced(id, keccak256(LIE), keccak256(OUTPUT), OUTPUT, paid);
        ResultCode code = coprocessor.challenge(asked, INPUT, OUTPUT, evidence);
        vm.assertTrue(code == ResultCode.DELIVERED, "code");
        requireFinal(asked, OUTPUT, CallbackStatus.SUCCEEDED);
        vm.assertEq(coprocessor.balanceOf(CHALLENGER), 11, "the fee is the challenger's");
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0, "the liars get nothing");
        vm.assertEq(consumer.calls(), 1);
        vm.assertEq(consumer.lastOutput(), OUTPUT);
    }

    function test_AfterAChallengeNothingMoreHappens() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), LIE);
        coprocessor.challenge(asked, INPUT, OUTPUT, proofOf(asked, OUTPUT, CHALLENGER));
        Evidence memory again = proofOf(asked, OUTPUT, THIEF);
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.challenge(asked, INPUT, OUTPUT, again);
        vm.warp(START + WINDOW);
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.finalize(asked, LIE, liars());
        vm.expectPartialRevert(ICoprocessor.CallbackNotFailed.selector);
        coprocessor.retryCallback(asked, OUTPUT, GAS);
        Evidence[] memory lies = evidenceOf(asked, LIE, 2);
        vm.expectPartialRevert(ICoprocessor.AlreadyDelivered.selector);
        coprocessor.deliver(asked, "", LIE, lies);
    }

    function test_ATrueAnswerCannotBeChallenged() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), OUTPUT);
        Evidence memory same = proofOf(asked, OUTPUT, THIEF);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.SameOutput.selector, keccak256(OUTPUT)));
        coprocessor.challenge(asked, INPUT, OUTPUT, same);
        Evidence memory lie = proofOf(asked, LIE, THIEF);
        vm.expectPartialRevert(TruthVerifier.NotTrue.selector);
        coprocessor.challenge(asked, INPUT, LIE, lie);
    }

    /// @dev Exactly one of challenge and finalize is possible in every second.
    function test_TheWindowEndsToTheSecond() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), LIE);
        Request memory other = deliverPending(address(new RecordingConsumer()), LIE);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        Evidence memory late = proofOf(other, OUTPUT, CHALLENGER);
        vm.warp(START + WINDOW - 1);
        vm.expectPartialRevert(ICoprocessor.WindowOpen.selector);
        coprocessor.finalize(asked, LIE, liars());
        coprocessor.challenge(asked, INPUT, OUTPUT, evidence);
        vm.warp(START + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.WindowOver.selector, START + WINDOW));
        coprocessor.challenge(other, INPUT, OUTPUT, late);
        coprocessor.finalize(other, LIE, liars());
    }

    function test_WhatIsNotPendingCannotBeChallenged() public {
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 11, 0);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.challenge(asked, INPUT, OUTPUT, evidence);
        Request memory atOnce = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
        coprocessor.deliver(atOnce, "", LIE, evidenceOf(atOnce, LIE, 2));
        evidence = proofOf(atOnce, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.challenge(atOnce, INPUT, OUTPUT, evidence);
    }

    function test_ACopiedChallengePaysItsProver() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), LIE);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        bytes memory stolen = bytes.concat(evidence.data);
        for (uint256 i; i < 20; ++i) {
            stolen[i] = bytes20(THIEF)[i];
        }
        vm.prank(THIEF);
        vm.expectRevert(TruthVerifier.NotProven.selector);
        coprocessor.challenge(asked, INPUT, OUTPUT, Evidence(PROOF, stolen));
        vm.prank(THIEF);
        coprocessor.challenge(asked, INPUT, OUTPUT, evidence);
        vm.assertEq(coprocessor.balanceOf(CHALLENGER), 11);
    }

    function test_AChallengeOfOneRequestIsNoneOfAnother() public {
        Request memory first = deliverPending(address(new RecordingConsumer()), LIE);
        Request memory second = deliverPending(address(new RecordingConsumer()), LIE);
        Evidence memory evidence = proofOf(first, OUTPUT, CHALLENGER);
        vm.expectRevert(TruthVerifier.NotProven.selector);
        coprocessor.challenge(second, INPUT, OUTPUT, evidence);
        second.feeWei = 1;
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.challenge(second, INPUT, OUTPUT, evidence);
    }

    function test_AChallengeNeedsTheInputAndProofEvidence() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), LIE);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(TruthVerifier.InputMissing.selector);
        coprocessor.challenge(asked, "", OUTPUT, evidence);
        vm.expectPartialRevert(TruthVerifier.InputMissing.selector);
        coprocessor.challenge(asked, "another", OUTPUT, evidence);
        Evidence memory signatures = evidenceOf(asked, OUTPUT, 8)[0];
        vm.expectPartialRevert(IVerifierRouter.WrongKind.selector);
        coprocessor.challenge(asked, INPUT, OUTPUT, signatures);
        vm.prank(GUARDIAN);
        router.stop(PROOF);
        vm.expectPartialRevert(IVerifierRouter.SelectorStopped.selector);
        coprocessor.challenge(asked, INPUT, OUTPUT, evidence);
    }

    function test_WhoOwnsTheModelCannotForbidAChallenge() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), LIE);
        models.deprecate(modelId);
        coprocessor.challenge(asked, INPUT, OUTPUT, proofOf(asked, OUTPUT, CHALLENGER));
        requireFinal(asked, OUTPUT, CallbackStatus.SUCCEEDED);
    }

    function test_ASignedRequestIsChallengedToo() public {
        uint256 key = uint256(keccak256("requester"));
        coprocessor.depositFor{value: 11}(vm.addr(key));
        Request memory asked = nextRequest(vm.addr(key), INPUT, quorumPolicy(2, WINDOW), 11, 0);
        asked.nonce = 1 << 128;
        bytes memory signature = signDigest(key, coprocessor.computeRequestId(asked));
        Evidence[] memory lies = evidenceOf(asked, LIE, 2);
        vm.expectRevert(
            abi.encodeWithSelector(ICoprocessor.InputWithheld.selector, keccak256(INPUT), keccak256("something else"))
        );
        coprocessor.deliverSigned(asked, signature, "something else", LIE, lies);
        coprocessor.deliverSigned(asked, signature, INPUT, LIE, lies);
        coprocessor.challenge(asked, INPUT, OUTPUT, proofOf(asked, OUTPUT, CHALLENGER));
        vm.assertEq(coprocessor.balanceOf(CHALLENGER), 11);
    }

    function test_NobodyIsPaidInTheNameOfNobody() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), LIE);
        Evidence memory evidence = proofOf(asked, OUTPUT, address(0));
        vm.expectRevert();
        coprocessor.challenge(asked, INPUT, OUTPUT, evidence);
    }

    function test_AFailedCallbackOfAChallengeIsRetried() public {
        RevertingConsumer consumer = new RevertingConsumer();
        Request memory asked = deliverPending(address(consumer), LIE);
        ResultCode code = coprocessor.challenge(asked, INPUT, OUTPUT, proofOf(asked, OUTPUT, CHALLENGER));
        vm.assertTrue(code == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
        requireFinal(asked, OUTPUT, CallbackStatus.FAILED);
        consumer.tame();
        vm.expectPartialRevert(ICoprocessor.OutputMismatch.selector);
        coprocessor.retryCallback(asked, LIE, GAS);
        vm.assertEq(coprocessor.retryCallback(asked, OUTPUT, GAS), true);
        vm.assertEq(consumer.calls(), 1);
    }

    /// @dev Whatever gas a challenger gives: replaced and told, or nothing happened.
    function testFuzz_AChallengerCannotStarveTheCallback(uint24 gas_) public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = deliverPending(address(consumer), LIE);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        try coprocessor.challenge{gas: uint256(gas_) % 600_000}(asked, INPUT, OUTPUT, evidence) {
            requireFinal(asked, OUTPUT, CallbackStatus.SUCCEEDED);
            vm.assertEq(consumer.calls(), 1);
        } catch {
            (Status status,, bytes32 digest,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
            vm.assertTrue(status == Status.PENDING && digest == keccak256(LIE), "half a challenge");
            vm.assertEq(consumer.calls(), 0);
        }
    }

    function deliverPending(address consumer, bytes memory output) private returns (Request memory asked) {
        asked = ask(consumer, INPUT, quorumPolicy(2, WINDOW), 11, GAS);
        coprocessor.deliver(asked, "", output, evidenceOf(asked, output, 2));
    }

    function liars() private pure returns (address[] memory paid) {
        paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
    }

    function requireFinal(Request memory asked, bytes memory output, CallbackStatus expected) private view {
        (Status status, CallbackStatus callback, bytes32 digest,) =
            coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertEq(uint256(status), uint256(Status.FINAL));
        vm.assertEq(uint256(callback), uint256(expected));
        vm.assertEq(digest, keccak256(output));
    }
}
