// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {CallbackStatus, Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {bound, vm} from "./Vm.sol";
import {RecordingConsumer, RevertingConsumer} from "./hostile/Consumers.sol";

/// @title Policies with a window: accepted now, final later
contract WindowTest is Deployment {
    bytes private constant OUTPUT = "the answer";
    uint32 private constant GAS = 200_000;
    uint256 private constant START = 1_700_000_000;

    function testFuzz_NothingIsPaidOrCalledBeforeTheWindowIsOver(uint32 windowSeconds) public {
        windowSeconds = uint32(bound(windowSeconds, 1, coprocessor.MAX_WINDOW_SECONDS()));
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = deliverPending(address(consumer), windowSeconds);
        uint64 availableAt = uint64(START) + windowSeconds;
        requireState(asked, Status.PENDING, CallbackStatus.NONE, availableAt);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0);
        vm.warp(availableAt - 1);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.WindowOpen.selector, availableAt));
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
        vm.warp(availableAt);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.InferenceFinalized(coprocessor.computeRequestId(asked), keccak256(OUTPUT));
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
        requireState(asked, Status.FINAL, CallbackStatus.SUCCEEDED, availableAt);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 6, "first share with the remainder");
        vm.assertEq(coprocessor.balanceOf(operatorAt(1)), 5, "second share");
        vm.assertEq(consumer.calls(), 1);
    }

    function test_FinalizingHappensOnce() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), 100);
        vm.warp(START + 100);
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
    }

    function test_FinalizingTakesTheDeliveredOutputAndBeneficiariesOnly() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), 100);
        vm.warp(START + 100);
        vm.expectPartialRevert(ICoprocessor.OutputMismatch.selector);
        coprocessor.finalize(asked, "another answer", beneficiaries());
        address[] memory thief = new address[](2);
        (thief[0], thief[1]) = (operatorAt(0), address(this));
        vm.expectPartialRevert(ICoprocessor.BeneficiariesMismatch.selector);
        coprocessor.finalize(asked, OUTPUT, thief);
        vm.expectPartialRevert(ICoprocessor.BeneficiariesMismatch.selector);
        coprocessor.finalize(asked, OUTPUT, new address[](0));
        asked.feeWei = 1000;
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
    }

    function test_APendingAnswerIsNeitherRefundedNorReplacedNorRetried() public {
        Request memory asked = deliverPending(address(new RecordingConsumer()), 2 hours);
        Evidence[] memory again = asEvidence(quorumData(asked, "another", 2, 2));
        vm.expectPartialRevert(ICoprocessor.AlreadyDelivered.selector);
        coprocessor.deliver(asked, "", "another", again);
        vm.expectPartialRevert(ICoprocessor.CallbackNotFailed.selector);
        coprocessor.retryCallback(asked, OUTPUT, GAS);
        vm.warp(asked.deadline + 1);
        vm.expectPartialRevert(ICoprocessor.AlreadyDelivered.selector);
        coprocessor.refund(asked);
        vm.warp(START + 2 hours);
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
    }

    function test_ARequestNeverDeliveredIsNotFinalized() public {
        Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(2, 100), 11, GAS);
        vm.warp(START + 101);
        vm.expectPartialRevert(ICoprocessor.NotPending.selector);
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
    }

    function test_AFailedCallbackAfterTheWindowIsSettledAndRetried() public {
        RevertingConsumer consumer = new RevertingConsumer();
        Request memory asked = deliverPending(address(consumer), 100);
        vm.warp(START + 100);
        coprocessor.finalize(asked, OUTPUT, beneficiaries());
        requireState(asked, Status.FINAL, CallbackStatus.FAILED, uint64(START + 100));
        consumer.tame();
        vm.assertEq(coprocessor.retryCallback(asked, OUTPUT, GAS), true);
        vm.assertEq(consumer.calls(), 1);
    }

    function deliverPending(address consumer, uint32 windowSeconds) private returns (Request memory asked) {
        asked = ask(consumer, "x", quorumPolicy(2, windowSeconds), 11, GAS);
        ResultCode code = coprocessor.deliver(asked, "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
        vm.assertTrue(code == ResultCode.DELIVERED_PENDING, "code");
    }

    function beneficiaries() private pure returns (address[] memory paid) {
        paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
    }

    function requireState(Request memory asked, Status status, CallbackStatus callback, uint64 availableAt)
        private
        view
    {
        (Status gotStatus, CallbackStatus gotCallback,, uint64 gotAvailableAt) =
            coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertEq(uint256(gotStatus), uint256(status));
        vm.assertEq(uint256(gotCallback), uint256(callback));
        vm.assertEq(gotAvailableAt, availableAt);
    }
}
