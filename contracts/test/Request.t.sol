// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {Policy} from "../src/libraries/Policy.sol";
import {Request, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {bound, vm} from "./Vm.sol";

/// @title Asking, and being refunded
contract RequestTest is Deployment {
    address private constant ALICE = address(0xA11CE);

    function testFuzz_ARequestIsStoredUnderItsDigestAndSaidInFull(bytes calldata input, uint96 feeWei, uint32 gas_)
        public
    {
        gas_ = uint32(bound(gas_, 0, coprocessor.MAX_CALLBACK_GAS()));
        Request memory expected = nextRequest(ALICE, input, quorumPolicy(2, 0), feeWei, gas_);
        bytes32 id = coprocessor.computeRequestId(expected);
        requireStatus(id, Status.NONE);
        vm.deal(ALICE, feeWei);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.InferenceRequested(id, modelId, ALICE, expected, input);
        vm.prank(ALICE);
        coprocessor.request{value: feeWei}(modelId, input, expected.policy, gas_, expected.deadline, REFUND_TO);
        requireStatus(id, Status.REQUESTED);
        vm.assertEq(coprocessor.nextNonce(), expected.nonce + 1);
        vm.assertEq(address(coprocessor).balance, feeWei);
    }

    function test_TheSameQuestionTwiceIsTwoRequests() public {
        Request memory first = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Request memory second = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        vm.assertNotEq(coprocessor.computeRequestId(first), coprocessor.computeRequestId(second));
    }

    // ---- refused ----------------------------------------------------------------------------------------------

    function test_AnUnknownModelIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.ModelNotActive.selector, bytes32("no such model")));
        coprocessor.request("no such model", "x", quorumPolicy(2, 0), 0, uint64(block.timestamp + 1), REFUND_TO);
    }

    function test_ADeprecatedModelIsRefused() public {
        models.deprecate(modelId);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.ModelNotActive.selector, modelId));
        tryAsk(quorumPolicy(2, 0), 0, uint64(block.timestamp + 1), REFUND_TO);
    }

    function test_AMalformedPolicyIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(Policy.MalformedPolicy.selector, bytes32(0)));
        tryAsk(0, 0, uint64(block.timestamp + 1), REFUND_TO);
    }

    function test_ADemandNobodyServesIsRefused() public {
        vm.prank(GUARDIAN);
        router.stop(PROOF);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.KindNotServed.selector, uint8(2)));
        tryAsk(bytes32(hex"01020100000000"), 0, uint64(block.timestamp + 1), REFUND_TO);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.KindNotServed.selector, uint8(3)));
        tryAsk(bytes32(hex"01020200000000"), 0, uint64(block.timestamp + 1), REFUND_TO);
        vm.prank(GUARDIAN);
        router.stop(QUORUM);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.KindNotServed.selector, uint8(1)));
        tryAsk(quorumPolicy(2, 0), 0, uint64(block.timestamp + 1), REFUND_TO);
    }

    function test_AWindowLongerThanUnbondingCoversIsRefused() public {
        uint32 maxSeconds = coprocessor.MAX_WINDOW_SECONDS();
        tryAsk(quorumPolicy(2, maxSeconds), 0, uint64(block.timestamp + 1), REFUND_TO);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.WindowTooLong.selector, maxSeconds, maxSeconds + 1));
        tryAsk(quorumPolicy(2, maxSeconds + 1), 0, uint64(block.timestamp + 1), REFUND_TO);
    }

    function test_ADeadlineInThePastOrTooFarIsRefused() public {
        uint64 max = uint64(block.timestamp) + coprocessor.MAX_HORIZON_SECONDS();
        tryAsk(quorumPolicy(2, 0), 0, uint64(block.timestamp), REFUND_TO);
        tryAsk(quorumPolicy(2, 0), 0, max, REFUND_TO);
        vm.expectPartialRevert(ICoprocessor.DeadlineOutOfRange.selector);
        tryAsk(quorumPolicy(2, 0), 0, uint64(block.timestamp) - 1, REFUND_TO);
        vm.expectPartialRevert(ICoprocessor.DeadlineOutOfRange.selector);
        tryAsk(quorumPolicy(2, 0), 0, max + 1, REFUND_TO);
    }

    function test_TooMuchCallbackGasIsRefused() public {
        uint32 max = coprocessor.MAX_CALLBACK_GAS();
        tryAsk(quorumPolicy(2, 0), max, uint64(block.timestamp + 1), REFUND_TO);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.CallbackGasTooHigh.selector, max, max + 1));
        tryAsk(quorumPolicy(2, 0), max + 1, uint64(block.timestamp + 1), REFUND_TO);
    }

    function test_TooLongAnInputIsRefused() public {
        uint256 max = coprocessor.MAX_INPUT_BYTES();
        ask(ALICE, new bytes(max), quorumPolicy(2, 0), 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.InputTooLong.selector, max, max + 1));
        coprocessor.request(modelId, new bytes(max + 1), quorumPolicy(2, 0), 0, uint64(block.timestamp + 1), REFUND_TO);
    }

    function test_NowhereToRefundIsRefused() public {
        vm.expectRevert(ICoprocessor.ZeroRefundAddress.selector);
        tryAsk(quorumPolicy(2, 0), 0, uint64(block.timestamp + 1), address(0));
    }

    // ---- refunds ----------------------------------------------------------------------------------------------

    function test_ARefundIsDueTheSecondAfterTheDeadlineAndOnce() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 7 ether, 0);
        bytes32 id = coprocessor.computeRequestId(asked);
        vm.warp(asked.deadline);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.NotExpired.selector, asked.deadline));
        coprocessor.refund(asked);
        vm.warp(asked.deadline + 1);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.RequestRefunded(id, REFUND_TO, 7 ether);
        coprocessor.refund(asked);
        vm.assertEq(coprocessor.balanceOf(REFUND_TO), 7 ether);
        requireStatus(id, Status.REFUNDED);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.RequestClosed.selector, id, Status.REFUNDED));
        coprocessor.refund(asked);
        vm.assertEq(coprocessor.balanceOf(REFUND_TO), 7 ether);
    }

    function test_NobodyIsRefundedForARequestNeverMade() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 7 ether, 0);
        asked.feeWei = 8 ether;
        vm.warp(asked.deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(ICoprocessor.UnknownRequest.selector, coprocessor.computeRequestId(asked))
        );
        coprocessor.refund(asked);
    }

    function test_AnAnsweredRequestIsNotRefunded() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 7 ether, 0);
        coprocessor.deliver(asked, "", "y", evidenceOf(asked, "y", 2));
        vm.warp(asked.deadline + 1);
        vm.expectPartialRevert(ICoprocessor.AlreadyDelivered.selector);
        coprocessor.refund(asked);
    }

    function tryAsk(bytes32 policy, uint32 callbackGas, uint64 deadline, address refundTo) private {
        coprocessor.request(modelId, "x", policy, callbackGas, deadline, refundTo);
    }

    function requireStatus(bytes32 id, Status expected) private view {
        (Status status,,,) = coprocessor.statusOf(id);
        vm.assertEq(uint256(status), uint256(expected));
    }
}
